# SPDX-License-Identifier: Apache-2.0
"""Convolutions over products of rings; those over lattices are in `test_resnet`, those over groups in `test_gcnn`."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody.ansatz._cells import window
from manybody.ansatz._convolution import Forms, _mixed, by_windows, on_box, on_lattice
from manybody.ansatz._waves import by_waves
from manybody.lattice import Lattice, chain, kagome, square
from manybody.lattice.cluster import grid


@pytest.mark.parametrize("shape", [(1,), (2,), (2, 2), (5,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize("is_complex", [False, True], ids=["real", "complex"])
def test_over_a_box(shape, is_complex):
    """Also where all waves are their own opposites, or only one is."""
    rng, n = np.random.default_rng(0), int(np.prod(shape))
    x, kernel = rng.normal(size=(n, 3, 2)), rng.normal(size=(n, 3, 4))
    if is_complex:
        x, kernel = x + 1j * rng.normal(size=x.shape), kernel - 1j * rng.normal(size=kernel.shape)
    axes = tuple(range(len(shape)))
    shifted = [np.roll(x.reshape(*shape, 3, 2), tuple(-d), axes).reshape(n, 3, 2) for d in grid(shape)]
    expected = sum(weights.T @ moved for moved, weights in zip(shifted, kernel, strict=True))
    convolve = on_box(shape)
    for form in (
        convolve,
        lambda *args: by_waves(convolve.waves(is_complex), *args),
        lambda *args: by_windows(convolve, *args),
    ):
        found = jax.jit(form)(x, kernel)
        assert found.dtype == x.dtype
        np.testing.assert_allclose(found, expected, atol=1e-13)


# --- the choice of a form ---------------------------------------------------------------------------------------------

WAVES, WINDOWS = "waves", "windows"


@pytest.mark.parametrize(
    ("lattice", "size", "features", "n_batch", "expected"),
    [
        (square(6), 3, (16, 16), 512, (WAVES, WAVES)),
        (square(6), 3, (1, 16), 512, (WINDOWS, WINDOWS)),  # few features become many
        (kagome(4), 3, (3, 16), 512, (WAVES, WAVES)),
        (square(6), 6, (1, 16), 512, (WAVES, WAVES)),  # a window of all cells
        (chain(30), 3, (16, 16), 512, (WAVES, WAVES)),
        (chain(100), 3, (16, 16), 512, (WINDOWS, WINDOWS)),  # transforms grow as the square of the number of cells
        (square(8), 3, (16, 16), 512, (WAVES, WAVES)),
        (square(16), 3, (16, 16), 512, (WINDOWS, WINDOWS)),
        (square(6), 3, (16, 16), 2, (WAVES, WAVES)),
        (square(6), 3, (16, 16), 1, (WAVES, WINDOWS)),  # for each configuration 9 x 16 numbers a cell, not 2 x 16 x 16
        (square(6), 3, (16, 5), 1, (WAVES, WINDOWS)),
        (square(6), 3, (16, 4), 1, (WAVES, WAVES)),
        (square(6), 6, (16, 16), 1, (WAVES, WAVES)),
    ],
)
def test_the_cheaper_form_is_taken(lattice, size, features, n_batch, expected):
    """In the program, not only in the answer."""
    convolve = on_lattice(lattice, window(lattice, size, None))
    assert convolve.forms(features, n_batch, False) == Forms(*expected)
    x, kernel = jnp.ones((lattice.n_cells, features[0], n_batch)), jnp.ones((len(convolve.taps.array), *features))

    def total(kernel):
        return jnp.sum(convolve(x, kernel) ** 2)

    assert ("gather" in str(jax.make_jaxpr(convolve)(x, kernel))) == (expected[0] == WINDOWS)
    assert ("gather" in str(jax.make_jaxpr(jax.grad(total))(kernel))) == (WINDOWS in expected)


def test_costs():
    """Counted by hand for three cells on a ring: the wave q = 0, which is a pair with nothing, and another pair."""
    convolve = on_lattice(chain(3), window(chain(3), (2,), None))
    found = convolve.costs((5, 7), False)
    transforms, pairs = 4 * 3 * 5 + 3 * 4 * 7, 2 * (2 * 5) * (2 * 7)
    assert found == {"waves": 2 * (transforms + pairs), "windows": 3 * 2 * 5 * (50 + 2 * 7)}
    of_complex = convolve.costs((5, 7), True)
    transforms, pairs = 6 * 6 * 5 + 6 * 6 * 7, 3 * (2 * 5) * (2 * 7)
    assert of_complex == {"waves": 2 * (transforms + pairs), "windows": 2 * 3 * 2 * 5 * (50 + 4 * 7)}


# --- derivatives ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("forms", list(itertools.product((WAVES, WINDOWS), repeat=2)))
@pytest.mark.parametrize("is_complex", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("n_batch", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_derivatives(forms, is_complex, n_batch):
    """Of both arguments, in both modes, of each configuration, and the second ones mixed: as those by waves."""
    lattice = Lattice(np.eye(2), [[3, 1], [-1, 3]])
    convolve, rng = on_lattice(lattice, window(lattice, (2, 3), None)), np.random.default_rng(0)
    shapes = [(lattice.n_cells, 2, n_batch), (6, 2, 3), (lattice.n_cells, 3, n_batch)]
    x, kernel, weights = (
        jnp.array(rng.normal(size=s) + (1j * rng.normal(size=s) if is_complex else 0)) for s in shapes
    )

    def total(function):
        return lambda x, kernel: jnp.sum((weights * function(jnp.sin(x), kernel) ** 2).real)

    def derivatives(function):
        loss = total(function)
        each = jax.vmap(lambda x: jax.grad(loss, 1)(x, kernel))(jnp.stack([x, 2 * x]))
        along = jax.jvp(function, (x, kernel), (jnp.cos(x), jnp.sin(kernel)))
        mixed = jax.jvp(jax.grad(loss, (0, 1)), (x, kernel), (jnp.cos(x), jnp.sin(kernel)))
        twice = jax.grad(lambda kernel: jnp.sum(jnp.abs(jax.grad(loss, 0)(x, kernel)) ** 2))(kernel)
        return each, along, mixed, twice

    found = jax.jit(lambda: derivatives(lambda x, kernel: _mixed(convolve, Forms(*forms), x, kernel)))()
    expected = jax.jit(lambda: derivatives(lambda x, kernel: by_waves(convolve.waves(is_complex), x, kernel)))()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-10), found, expected)


def test_gradients_add_up_by_products_only():
    """Adding up numbers where they belong is slow: with respect to x it is not done, whatever the form of the value."""
    convolve = on_lattice(chain(5), window(chain(5), 3, None))
    x, kernel = jnp.ones((5, 2, 3)), jnp.ones((3, 2, 2))
    loss = lambda x, kernel: jnp.sum(_mixed(convolve, Forms(WINDOWS, WINDOWS), jnp.sin(x), kernel) ** 2)  # noqa: E731
    program = str(jax.make_jaxpr(jax.grad(loss, (0, 1)))(x, kernel))
    assert "scatter" not in program
    assert "gather" in program
