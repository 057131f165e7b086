# SPDX-License-Identifier: Apache-2.0
"""The vision transformer: patches of all kinds of clusters, its formula, its symmetry."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody.ansatz import Symmetrised, ViT
from manybody.ansatz._cells import patches
from manybody.hilbert import Spin
from manybody.lattice import Lattice, chain, cubic, honeycomb, kagome, square, triangular
from manybody.symmetry import Sector
from tests.ansatz.sectors import amplitudes, assert_in_sector, random_parameters

LATTICES = {
    "chain": (chain(6), 2),
    "chain-sites": (chain(5), 1),
    "chain-open": (chain(6, periodic=False), 2),
    "square": (square(4, 6), (2, 3)),
    "cylinder": (square(4, 6, periodic=(False, True)), 2),
    "skewed": (Lattice(np.eye(2), [[4, 2], [-2, 4]]), 2),
    "skewed-patches": (square(4), ((1, 1), (1, -1))),
    "skewed-both": (Lattice(np.eye(2), [[3, 1], [-1, 3]]), ((1, 1), (-1, 1))),
    "triangular": (triangular(6), ((1, 1), (-1, 2))),
    "kagome": (kagome(2, 4), (1, 2)),
    "honeycomb-ribbon": (honeycomb(4, 2, periodic=(True, False)), (2, 1)),
    "cubic": (cubic(2, 2, 4, periodic=(True, False, True)), (1, 1, 2)),
}
each = pytest.mark.parametrize(("lattice", "patch"), LATTICES.values(), ids=LATTICES)


def vectors(lattice, patch):
    """The primitive vectors of the patches, Cartesian."""
    rows = patch if isinstance(patch, tuple) and isinstance(patch[0], tuple) else np.eye(lattice.dim) * np.array(patch)
    return np.array(rows) @ np.array(lattice.basis)


def is_same(lattice, one, other):
    """Whether vectors (..., dim) differ by periods."""
    around = (np.asarray(one) - other) @ np.linalg.pinv(lattice.periods) if len(lattice.periods) else np.zeros(1)
    back = np.rint(around) @ lattice.periods if len(lattice.periods) else 0
    return np.all(np.abs(np.asarray(one) - other - back) < 1e-6, axis=-1)


# --- patches ----------------------------------------------------------------------------------------------------------


@each
def test_patches_are_translated_tiles(lattice, patch):
    """Every site is in one patch, and patch i is patch 0, moved by whole primitive vectors of the patches."""
    found = patches(lattice, patch)
    assert sorted(found.sites.ravel()) == list(range(lattice.n_sites))
    assert found.sites.shape[1] == round(
        abs(np.linalg.det(vectors(lattice, patch) @ np.linalg.inv(lattice.basis)))
    ) * len(lattice.offsets)
    positions = lattice.positions[found.sites]  # (patches, sites, dim)
    moved = positions - positions[0]
    assert np.all(is_same(lattice, moved, moved[:, :1]))
    steps = moved[:, 0] @ np.linalg.inv(vectors(lattice, patch))
    whole = np.rint(steps) @ vectors(lattice, patch)
    assert np.all(is_same(lattice, moved[:, 0], whole))


@each
def test_displacements(lattice, patch):
    """Have equal numbers if they are equal up to periods; none is missing; on a torus they count the patches j - 0."""
    found = patches(lattice, patch)
    origin = lattice.positions[found.sites[:, 0]]
    between = origin[None, :] - origin[:, None]
    same = is_same(lattice, between[:, :, None, None], between)
    number = found.displacements
    np.testing.assert_array_equal(same, number[:, :, None, None] == number)
    assert sorted(set(number.ravel().tolist())) == list(range(found.n_displacements))
    assert (found.n_displacements == len(number)) == all(lattice.periodic)
    if all(lattice.periodic):
        np.testing.assert_array_equal(number[0], np.arange(len(number)))


# --- the network ------------------------------------------------------------------------------------------------------


def normalised(x, params, name):
    unit = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6)
    return params[f"{name}_scale"] * unit + params[f"{name}_shift"]


def dense(x, layer):
    return x @ layer["kernel"] + layer["bias"]


def by_loops(params, spins, displacements, layers, heads):
    """log psi of one configuration, spins (patches, sites of a patch), with output "real"."""
    x = dense(spins, params["embedding"])
    for layer in range(layers):
        values = dense(normalised(x, params, f"norm_attention_{layer}"), params[f"values_{layer}"])
        mixed = np.zeros_like(values)
        width = values.shape[1] // heads
        for i in range(len(x)):
            for j in range(len(x)):
                for h in range(heads):
                    own = slice(h * width, (h + 1) * width)
                    mixed[i, own] += params[f"attention_{layer}"][displacements[i, j], h] * values[j, own]
        x = x + dense(mixed, params[f"heads_{layer}"])
        hidden = dense(normalised(x, params, f"norm_hidden_{layer}"), params[f"hidden_{layer}"])
        x = x + dense(np.asarray(jax.nn.gelu(hidden)), params[f"output_{layer}"])
    return np.sum(normalised(x, params, "norm"), axis=0) @ params["Head_0"]["kernel"][:, 0]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cylinder", {"layers": 2, "d_model": 6, "heads": 3, "mlp_ratio": 1}),
        ("skewed", {"layers": 1, "d_model": 4, "heads": 2, "mlp_ratio": 3}),
    ],
)
def test_formula(name, options):
    lattice, patch = LATTICES[name]
    ansatz = ViT(lattice, patch, output="real", **options)
    sigma = np.random.default_rng(0).choice(np.int8([1, -1]), (3, lattice.n_sites))
    variables = random_parameters(ansatz, sigma, 0.5)
    tiles = patches(lattice, patch)
    expected = [
        by_loops(variables["params"], one[tiles.sites], tiles.displacements, options["layers"], options["heads"])
        for one in sigma
    ]
    np.testing.assert_allclose(jax.jit(ansatz.apply)(variables, sigma), expected, rtol=1e-10)


def by_whole_patches(lattice, patch):
    """The translations that map patches to patches."""
    group = lattice.translation_group()
    first = lattice.positions[0]
    ends = lattice.positions[group.sites[:, 0]] - first
    steps = np.round(ends @ np.linalg.inv(vectors(lattice, patch)), 9)
    around = lattice.periods @ np.linalg.inv(vectors(lattice, patch))
    assert np.allclose(around, np.rint(around))
    return group.subgroup(np.flatnonzero(np.all(steps == np.rint(steps), axis=1)).tolist())


@pytest.mark.parametrize(("name", "n_kept"), [("square", 4), ("skewed", 5), ("skewed-patches", 8), ("kagome", 4)])
def test_invariant_under_translations_by_patches(name, n_kept):
    lattice, patch = LATTICES[name]
    ansatz = ViT(lattice, patch, layers=1, d_model=4, heads=2)
    sigma = np.random.default_rng(1).choice(np.int8([1, -1]), (3, lattice.n_sites))
    variables = random_parameters(ansatz, sigma, 0.5)
    group = lattice.translation_group()
    kept = by_whole_patches(lattice, patch)
    assert kept.order == n_kept
    moved = np.concatenate([sigma[:, kept.sites], sigma[:, group.sites]], axis=1)
    log_psi = np.asarray(jax.jit(ansatz.apply)(variables, moved))
    np.testing.assert_allclose(log_psi[:, :n_kept], log_psi[:, :1] + np.zeros((1, n_kept)), atol=1e-10)
    equal = np.all(np.abs(log_psi[:, n_kept:] - log_psi[:, :1]) < 1e-6, axis=0)
    assert equal.sum() == n_kept  # no other translation leaves the state as it is


def test_momentum_by_symmetrised():
    """Within a patch; only as many elements as cells of a patch are evaluated."""
    lattice, space = chain(6), Spin(6)
    sector = Sector(lattice.translation_group(), momentum=[np.pi])
    ansatz = ViT(lattice, layers=1, d_model=4, heads=2)
    psi, _ = amplitudes(Symmetrised(ansatz, sector, space, cosets=by_whole_patches(lattice, 2)), space, 0.4)
    assert_in_sector(psi, sector, space)


# --- parameters and options -------------------------------------------------------------------------------------------


def test_parameters():
    sigma = np.ones((1, 24), np.int8)
    ansatz = ViT(square(6, 4, periodic=(False, True)), layers=1, d_model=6, heads=2, mlp_ratio=3)
    params = jax.eval_shape(ansatz.init, jax.random.key(0), sigma)["params"]
    found = {name: layer["kernel"].shape for name, layer in params.items() if isinstance(layer, dict)}
    assert found == {
        "embedding": (4, 6),
        "values_0": (6, 6),
        "heads_0": (6, 6),
        "hidden_0": (6, 18),
        "output_0": (18, 6),
        "Head_0": (6, 12),
    }
    assert params["attention_0"].shape == (5 * 2, 2)
    ones = nn.initializers.ones
    init = jax.jit(ViT(chain(4), 2, 1, 2, 1, bias_init=ones, kernel_init=ones).init)
    drawn = init(jax.random.key(0), sigma[:, :4])["params"]
    head = drawn.pop("Head_0")
    assert all(np.all(np.asarray(x) == 1) for x in [*jax.tree.leaves(drawn), head["bias"]])


@pytest.mark.parametrize(
    ("param_dtype", "output", "expected"),
    [(jnp.float32, "log_cosh", jnp.complex64), (jnp.float32, "real", jnp.float32), (float, "phase", jnp.complex128)],
)
def test_dtypes(param_dtype, output, expected):
    ansatz = ViT(chain(4), layers=1, d_model=4, heads=2, output=output, param_dtype=param_dtype)
    found, variables = jax.eval_shape(ansatz.init_with_output, jax.random.key(0), np.ones((3, 4), np.int8))
    assert found.dtype == expected
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype(param_dtype)}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ViT(6), TypeError, "`lattice` must be a Lattice"),
        (lambda: ViT(square(5)), ValueError, "`patch` must divide the cluster of extent .5, 5., got 2"),
        (lambda: ViT(Lattice(np.eye(2), [[3, 1], [-1, 3]])), ValueError, "`patch` must divide the cluster"),
        (lambda: ViT(square(3), ((1, 1), (1, -1))), ValueError, "`patch` must divide the cluster"),
        (lambda: ViT(square(4), (2,)), ValueError, "`patch` must be a number, or one for each of 2 axes"),
        (lambda: ViT(square(4), ((2, 0), 1)), ValueError, "`patch` must be a matrix of 2 x 2 integers"),
        (lambda: ViT(square(4), ((1, 1), (1, 1))), ValueError, "`patch` must have linearly independent rows"),
        (lambda: ViT(square(4, periodic=False), ((1, 1), (1, -1))), ValueError, "`patch` must be straight"),
        (lambda: ViT(square(4), 0), ValueError, "`patch` must satisfy 1 <= patch"),
        (lambda: ViT(square(4), heads=3), ValueError, "`heads` must divide d_model = 32"),
        (lambda: ViT(square(4), layers=0), ValueError, "`layers` must satisfy 1 <= layers"),
        (lambda: ViT(square(4), mlp_ratio=0.5), TypeError, "`mlp_ratio` must be an integer"),
        (lambda: ViT(square(4), output="exp"), ValueError, "`output` must be one of"),
        (lambda: ViT(square(4), param_dtype=complex), TypeError, "`param_dtype` must be a real type"),
        (lambda: ViT(square(4), param_dtype=int), TypeError, "`param_dtype` must be a floating-point type"),
        (lambda: ViT(chain(6)).init(jax.random.key(0), np.ones(5, np.int8)), ValueError, "must have 6 sites, got 5"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
