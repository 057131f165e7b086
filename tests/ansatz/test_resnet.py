# SPDX-License-Identifier: Apache-2.0
"""The residual network: windows and convolutions on all kinds of clusters, its formula, its symmetry."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody.ansatz import ResNet, Symmetrised
from manybody.ansatz._cells import window
from manybody.ansatz._convolution import by_windows, on_lattice
from manybody.ansatz._waves import by_waves
from manybody.hilbert import Spin
from manybody.lattice import Lattice, chain, cubic, honeycomb, kagome, square, triangular
from manybody.symmetry import Sector
from tests.ansatz.sectors import amplitudes, assert_in_sector, random_parameters
from tests.cases import some_slow

LATTICES = {
    "chain": (chain(7), 3, None),
    "chain-even": (chain(5), 2, None),
    "chain-all": (chain(6), 6, None),
    "chain-open": (chain(5, periodic=False), 5, None),
    "square": (square(4, 3), (3, 1), None),
    "cylinder": (square(3, 4, periodic=(False, True)), 3, None),
    "skewed": (Lattice(np.eye(2), [[3, 1], [-1, 3]]), 3, None),
    "skewed-uneven": (Lattice(np.eye(2), [[2, 0], [1, 4]]), 3, None),
    "triangular": (triangular(4), 3, 1.0),
    "triangular-skewed": (triangular([[3, 1], [-1, 4]]), 3, 1.8),
    "kagome": (kagome(2, 3), 2, None),
    "honeycomb-ribbon": (honeycomb(3, 2, periodic=(True, False)), 3, None),
    "cubic": (cubic(3, 2, 3, periodic=(True, True, False)), 3, None),
}
SLOW = ("chain-even", "chain-all", "cylinder", "skewed", "triangular", "honeycomb-ribbon", "square")
each = pytest.mark.parametrize(("lattice", "size", "radius"), LATTICES.values(), ids=LATTICES)


def neighbours(lattice, taps):
    """The cell that lies a displacement away, by its position; -1 where there is none: (taps, cells)."""
    n_offsets = len(lattice.offsets)
    first = lattice.positions[::n_offsets]
    sites = np.stack([lattice.locate(first + d @ np.array(lattice.basis))[0] for d in taps])
    return np.where(sites < 0, -1, sites // n_offsets)


def by_loops(x, kernel, cells):
    """y_n = sum_d x_{n + d} W_d, x (cells, features, batch)."""
    y = np.zeros((len(x), kernel.shape[2], x.shape[2]), np.result_type(x, kernel))
    for weights, row in zip(kernel, cells, strict=True):
        for n, other in enumerate(row):
            if other >= 0:
                y[n] += weights.T @ x[other]
    return y


# --- convolutions -----------------------------------------------------------------------------------------------------


def forms_of(convolve, x, kernel):
    """The convolution as it chooses, and in either form."""
    waves = convolve.waves(jnp.iscomplexobj(x))
    return convolve(x, kernel), by_waves(waves, x, kernel), by_windows(convolve, x, kernel)


@pytest.mark.parametrize(("lattice", "size", "radius"), some_slow(LATTICES, SLOW))
def test_convolution(lattice, size, radius):
    taps = window(lattice, size, radius)
    cells = neighbours(lattice, taps)
    rng = np.random.default_rng(0)
    for is_complex in (False, True):
        x, kernel = rng.normal(size=(lattice.n_cells, 3, 2)), rng.normal(size=(len(taps), 3, 2))
        if is_complex:
            x, kernel = x + 1j * rng.normal(size=x.shape), kernel - 1j * rng.normal(size=kernel.shape)
        convolve, expected = on_lattice(lattice, taps), by_loops(x, kernel, cells)
        for n_batch in (2, 1):
            found = jax.jit(lambda x, kernel, f=convolve: forms_of(f, x, kernel))(x[..., :n_batch], kernel)
            for y in found:
                np.testing.assert_allclose(y, expected[..., :n_batch], atol=1e-13)


@each
def test_window_has_every_cell_once(lattice, size, radius):
    """Its own cell; no two displacements to the same one; none that leads out of all open ends."""
    taps = window(lattice, size, radius)
    cells = neighbours(lattice, taps)
    assert np.any(np.all(taps == 0, axis=1))
    assert np.all(np.any(cells >= 0, axis=1))
    for column in cells.T:
        inside = column[column >= 0]
        assert len(set(inside.tolist())) == len(inside)


def test_windows():
    assert window(chain(9), 3, None).tolist() == [[-1], [0], [1]]
    assert window(chain(9), 4, None).tolist() == [[-1], [0], [1], [2]]
    assert window(chain(3), 5, None).tolist() == [[-2], [-1], [0]]
    assert window(chain(3, periodic=False), 9, None).tolist() == [[-2], [-1], [0], [1], [2]]
    assert len(window(square(5), (3, 1), None)) == 3
    assert len(window(square(5), 3, 0.5)) == 1  # the radius alone counts
    assert len(window(square(5), 1, 1.0)) == 5
    assert len(window(square(7), 1, math.sqrt(2))) == 9
    assert len(window(triangular(5), 1, 1.0)) == 7
    assert len(window(triangular(7), 1, math.sqrt(3))) == 13
    assert len(window(kagome(5), 1, 2.0)) == 7  # cells are two nearest-neighbour distances apart
    skewed = Lattice([[1.0, 0.0], [5.0, 0.6]], (40, 3))  # a neighbour is many primitive vectors away
    assert sorted(window(skewed, 1, 1.0).tolist()) == [[-5, 1], [-1, 0], [0, 0], [1, 0], [5, -1]]


# --- the network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lattice", "options"),
    [
        (kagome(2, 3), {"features": 3, "blocks": 2, "kernel_size": (1, 3)}),
        (triangular([[3, 1], [-1, 4]]), {"features": 2, "blocks": 1, "radius": 1.0, "activation": jnp.tanh}),
        (chain(5, periodic=False), {"features": 2, "blocks": 0, "output": "phase"}),
    ],
)
def test_formula(lattice, options):
    ansatz = ResNet(lattice, **{"output": "real", **options})
    sigma = np.random.default_rng(1).choice(np.int8([1, -1]), (4, lattice.n_sites))
    variables = random_parameters(ansatz, sigma, 0.5)
    params, blocks = variables["params"]["ResidualNetwork_0"], options["blocks"]
    cells = neighbours(lattice, window(lattice, options.get("kernel_size", 3), options.get("radius")))

    def activation(x):
        return np.asarray(options.get("activation", jax.nn.gelu)(x))

    def layer(x, number):
        return by_loops(x, params[f"kernel_{number}"], cells) + params[f"bias_{number}"][:, None]

    x = layer(np.moveaxis(sigma.reshape(4, lattice.n_cells, -1), 0, 2).astype(float), 0)
    for block in range(blocks):
        step = activation(layer(activation(x / math.sqrt(block + 1)), 2 * block + 1))
        x = x + layer(step, 2 * block + 2)
    z = np.sum(activation(x / math.sqrt(blocks + 1)), axis=0).T
    weights = variables["params"]["Head_0"]["kernel"]
    expected = z @ (weights[:, 0] + 1j * weights[:, 1] if "output" in options else weights[:, 0])
    np.testing.assert_allclose(jax.jit(ansatz.apply)(variables, sigma), expected, rtol=1e-11)


@pytest.mark.parametrize(("lattice", "size", "radius"), some_slow(LATTICES, SLOW))
def test_invariant_under_translations(lattice, size, radius):
    """Of the periodic axes; but not if two cells are exchanged."""
    ansatz = ResNet(lattice, features=3, blocks=1, kernel_size=size, radius=radius)
    sigma = np.random.default_rng(2).choice(np.int8([1, -1]), (3, lattice.n_sites))
    variables = random_parameters(ansatz, sigma, 0.3)
    moved = sigma[:, lattice.translations()]  # (batch, translations, sites)
    log_psi = np.asarray(jax.jit(ansatz.apply)(variables, moved))
    np.testing.assert_allclose(log_psi, log_psi[:, :1] + np.zeros_like(log_psi), atol=1e-10)
    swapped = sigma.reshape(3, lattice.n_cells, -1)[:, np.r_[1, 0, 2 : lattice.n_cells]].reshape(sigma.shape)
    assert np.abs(np.asarray(jax.jit(ansatz.apply)(variables, swapped)) - log_psi[:, 0]).max() > 1e-4


def test_hexagonal_window_keeps_rotations():
    """With weights that depend on the distance only, the network has the point group; a rhombus has not."""
    lattice = triangular(3)
    group = lattice.space_group()
    sigma = np.random.default_rng(3).choice(np.int8([1, -1]), (4, 9))
    for radius, is_symmetric in ((1.0, True), (None, False)):
        ansatz = ResNet(
            lattice, features=2, blocks=1, radius=radius, kernel_size=2, kernel_init=same_for_all_neighbours
        )
        variables = jax.jit(ansatz.init)(jax.random.key(0), sigma)
        log_psi = np.asarray(jax.jit(ansatz.apply)(variables, sigma[:, group.sites]))
        assert np.allclose(log_psi, log_psi[:, :1], atol=1e-10) == is_symmetric


def same_for_all_neighbours(key, shape, dtype):
    return jnp.ones((*shape[:-2], 1, 1), dtype) * jax.random.normal(key, shape[-2:], dtype)[(None,) * (len(shape) - 2)]


def test_the_rest_of_a_space_group_by_symmetrised():
    """With translations as cosets only the point group is evaluated: the same as without, in every sector."""
    lattice, space = square(3), Spin(9, total_sz=0.5)
    group = lattice.space_group()
    sector = Sector(group, 4)
    ansatz = ResNet(lattice, features=2, blocks=1, kernel_size=2, param_dtype=complex)
    few = Symmetrised(ansatz, sector, space, cosets=lattice.translation_group())
    psi, variables = amplitudes(few, space, 0.3)
    assert_in_sector(psi, sector, space)
    whole = np.exp(np.asarray(jax.jit(Symmetrised(ansatz, sector, space).apply)(variables, space.all_states())))
    np.testing.assert_allclose(psi, whole, atol=1e-12 * np.abs(whole).max())


# --- parameters and options -------------------------------------------------------------------------------------------


def shapes(ansatz):
    sigma = np.ones((1, ansatz.lattice.n_sites), np.int8)
    return jax.eval_shape(ansatz.init, jax.random.key(0), sigma)["params"]


def test_parameters():
    found = jax.tree.map(lambda x: x.shape, shapes(ResNet(kagome(4), features=5, blocks=1)))
    assert found == {
        "ResidualNetwork_0": {
            "kernel_0": (9, 3, 5),
            "bias_0": (5,),
            "kernel_1": (9, 5, 5),
            "bias_1": (5,),
            "kernel_2": (9, 5, 5),
            "bias_2": (5,),
        },
        "Head_0": {"kernel": (5, 10), "bias": (10,)},
    }
    assert found == jax.tree.map(lambda x: x.shape, shapes(ResNet(kagome(6), features=5, blocks=1)))
    ones = nn.initializers.ones
    ansatz = ResNet(chain(4), 2, 1, bias_init=ones, kernel_init=ones)
    params = jax.jit(ansatz.init)(jax.random.key(0), np.ones((1, 4), np.int8))
    network, head = params["params"]["ResidualNetwork_0"], params["params"]["Head_0"]
    assert all(np.all(np.asarray(x) == 1) for x in [*network.values(), head["bias"]])


@pytest.mark.parametrize(
    ("param_dtype", "output", "expected"),
    [
        (jnp.float32, "real", jnp.float32),
        (jnp.float32, "log_cosh", jnp.complex64),
        (jnp.float64, "signed", jnp.complex128),
        (jnp.complex64, "log_cosh", jnp.complex64),
    ],
)
def test_dtypes(param_dtype, output, expected):
    ansatz = ResNet(chain(4), 2, 1, output=output, param_dtype=param_dtype)
    sigma = np.ones((3, 4), np.int8)
    found, variables = jax.eval_shape(ansatz.init_with_output, jax.random.key(0), sigma)
    assert found.dtype == expected
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype(param_dtype)}


def test_holomorphic_with_holomorphic_activation():
    """d log psi along i v is i times that along v; not so by default."""
    sigma = np.random.default_rng(4).choice(np.int8([1, -1]), (3, 4))
    for activation, is_holomorphic in ((jnp.tanh, True), (None, False)):
        more = {} if activation is None else {"activation": activation}
        ansatz = ResNet(chain(4), 2, 1, param_dtype=complex, **more)
        variables = random_parameters(ansatz, sigma, 0.3)
        slope = jax.jit(lambda v, a=ansatz, at=variables: jax.jvp(lambda p: a.apply(p, sigma), (at,), (v,))[1])
        turned = slope(jax.tree.map(lambda x: 1j * x, variables))
        assert np.allclose(turned, 1j * slope(variables), atol=1e-10) == is_holomorphic


def test_equal_instances_share_compiled_functions():
    traces = []

    def apply(ansatz, variables, sigma):
        traces.append(1)
        return ansatz.apply(variables, sigma)

    jitted = jax.jit(apply, static_argnums=0)
    sigma = np.ones((2, 6), np.int8)
    variables = random_parameters(ResNet(chain(6), 2, 1), sigma, 0.3)
    for _ in range(2):
        jitted(ResNet(chain(6), 2, 1), variables, sigma)
    assert len(traces) == 1
    assert ResNet(chain(6), 2, 1) != ResNet(chain(6), 2, 1, kernel_size=1)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ResNet(6), TypeError, "`lattice` must be a Lattice"),
        (lambda: ResNet(chain(6), 0), ValueError, "`features` must satisfy 1 <= features"),
        (lambda: ResNet(chain(6), blocks=-1), ValueError, "`blocks` must satisfy 0 <= blocks"),
        (lambda: ResNet(chain(6), kernel_size=0), ValueError, "`kernel_size` must satisfy 1 <= kernel_size"),
        (lambda: ResNet(square(3), kernel_size=(3,)), ValueError, "`kernel_size` must be a number, or one for each"),
        (lambda: ResNet(chain(6), kernel_size=3.0), TypeError, "`kernel_size` must be an integer"),
        (lambda: ResNet(chain(6), radius=-1.0), ValueError, "`radius` must satisfy radius >= 0"),
        (lambda: ResNet(chain(6), output="exp"), ValueError, "`output` must be one of"),
        (lambda: ResNet(chain(6), output="real", param_dtype=complex), ValueError, "`output` must be 'log_cosh'"),
        (lambda: ResNet(chain(6), param_dtype=int), TypeError, "`param_dtype` must be a floating-point type"),
        (lambda: ResNet(chain(6)).init(jax.random.key(0), np.ones(5, np.int8)), ValueError, "must have 6 sites, got 5"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
