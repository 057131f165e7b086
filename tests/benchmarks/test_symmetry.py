# SPDX-License-Identifier: Apache-2.0
"""The benchmark of groups and group-convolutional networks: our side of it, and what the tools must agree on."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.benchmarks.scripts import BENCHMARKS, WORKERS, load

EXTENT = 4
LAYERS, FEATURES = 3, 2


@pytest.fixture(scope="module")
def symmetry():
    return load(BENCHMARKS / "symmetry.py")


@pytest.fixture(scope="module")
def ours():
    return load(WORKERS / "manybody_symmetry.py")


@pytest.fixture(scope="module")
def parts():
    return load(WORKERS / "symmetry_parts.py")


# --- groups ----------------------------------------------------------------------------------------------------------


def square_isometries(extent):
    """Permutations of the sites x * extent + y: products of a translation, a rotation and a reflection."""
    x, y = np.divmod(np.arange(extent**2), extent)
    generators = [(x + 1, y), (-y, x), (y, x)]
    generators = [tuple((a % extent * extent + b % extent).tolist()) for a, b in generators]
    found = pending = {tuple(range(extent**2))}
    while pending:
        pending = {product(g, h) for g in generators for h in pending} - found
        found = found | pending
    return found


def product(g, h):
    return tuple(g[j] for j in h)


def inverse(g):
    return tuple(np.argsort(g).tolist())


@pytest.mark.parametrize("extent", [3, 4])
def test_dimensions_are_those_of_the_group(ours, extent):
    found = ours.Group("square", extent).build()
    elements = square_isometries(extent)
    inverses = {g: inverse(g) for g in elements}
    classes = {frozenset(product(product(h, g), inverses[h]) for h in elements) for g in elements}
    assert found["order"] == len(elements) == 8 * extent**2
    assert len(found["dimensions"]) == len(classes)
    assert sum(d**2 for d in found["dimensions"]) == len(elements)
    assert found["error"] < 1e-12


def test_dimensions_of_the_kagome_lattice(ours):
    found = ours.Group("kagome", 3).build()
    assert found["order"] == 9 * 12
    assert sum(d**2 for d in found["dimensions"]) == 9 * 12
    assert found["error"] < 1e-12
    assert {"elements", "product_table", "character_table", "irreps"} < set(found)


@pytest.fixture(scope="module")
def triangle():
    """Symmetries of a triangle: products, inverses, and their permutation matrices."""
    elements = list(itertools.permutations(range(3)))
    table = np.array([[elements.index(product(g, h)) for h in elements] for g in elements])
    return table, np.array([elements.index(inverse(g)) for g in elements]), np.eye(3)[np.array(elements)].swapaxes(1, 2)


def test_error_is_that_of_products(parts, triangle):
    table, inverses, matrices = triangle
    one = np.ones((6, 1, 1))
    assert parts.largest_error(table, [one, matrices]) == 0
    assert parts.largest_error(table[inverses], [one, matrices], of_inverse=True) == 0
    assert parts.largest_error(table[inverses], [one, matrices]) == 1
    assert parts.largest_error(table, [one, matrices], of_inverse=True) == 1
    assert parts.largest_error(table, [one, 2 * matrices]) == 2
    assert np.isnan(parts.largest_error(table, [one, np.nan * one]))


@pytest.mark.parametrize("wrong", [{"order": 4}, {"dimensions": [2]}, {"error": 1e-7}, {"error": float("nan")}])
@pytest.mark.parametrize("tool", ["manybody", "netket"])
def test_groups_must_agree(symmetry, tool, wrong):
    same = {"order": 6, "dimensions": [1, 1, 2], "error": 1e-14, "irreps": 0.1}
    found = {"manybody": same, "netket": {**same, "irreps": 0.2}}
    symmetry.check_groups(found)
    with pytest.raises(symmetry.Disagreement, match="groups are not the same"):
        symmetry.check_groups(found | {tool: {**same, **wrong}})


# --- networks --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def problem(ours, tmp_path_factory):
    """What our side hands to the others, and what it says itself."""
    folder = tmp_path_factory.mktemp("network")
    ours.network(EXTENT, LAYERS, FEATURES, 3, folder / "problem.npz").check(folder / "answer.npz")
    with np.load(folder / "problem.npz") as given, np.load(folder / "answer.npz") as answer:
        return dict(given), dict(answer)


def log_psi(params, sigma, sites):
    """The logarithm of the sum over elements and features, by the definition of the convolutions."""
    index, inverses = {row.tobytes(): k for k, row in enumerate(sites)}, np.argsort(sites, axis=1)
    ratio = np.array([[index[k[g].tobytes()] for g in inverses] for k in sites])  # of k g^-1
    # After g there is at each site what was where g came from.
    x = sigma[:, inverses].astype(float) @ params["kernel_0"] + params["bias_0"][None, None]
    for layer in range(1, LAYERS):
        x = jax.nn.selu(x)  # (batch, elements, features)
        x = jnp.einsum("bkf,kgfh->bgh", x, params[f"kernel_{layer}"][ratio]) + params[f"bias_{layer}"][None, None]
    return jnp.log(jnp.exp(x).sum(axis=(1, 2)))


def test_configurations_and_elements_are_those_of_the_square(problem):
    given, _ = problem
    assert given["sigma"].shape == (3, EXTENT**2)
    assert np.all(given["sigma"].sum(axis=1) == 0)
    assert {tuple(row) for row in given["sites"].tolist()} == square_isometries(EXTENT)
    assert np.array_equal(given["sites"][given["inverse"]], np.argsort(given["sites"], axis=1))


def test_our_network_and_its_derivative_are_those_of_the_definition(problem):
    given, answer = problem
    params = {name: jnp.asarray(x) for name, x in given.items() if name.startswith(("kernel", "bias"))}
    expected = functools.partial(log_psi, sigma=given["sigma"], sites=given["sites"])
    np.testing.assert_allclose(answer["log_psi"], expected(params), rtol=1e-12)
    slopes = jax.tree.leaves(jax.grad(lambda params: expected(params).mean())(params))
    length = np.linalg.norm(np.concatenate([np.ravel(x) for x in slopes]))
    np.testing.assert_allclose(answer["slope"], length, rtol=1e-12)


class Fake:
    """A worker whose check finds what it is told."""

    def __init__(self, log_psi, slope):
        self.result = {"log_psi": np.asarray(log_psi), "slope": slope}

    def call(self, method, out):
        assert method == "check"
        np.savez(out, **self.result)


@pytest.mark.parametrize(
    ("log_psi", "slope"),
    [([1.0, 2.0 + 1e-9], 3.0), ([1.0, 2.0], 3.0 + 1e-9), ([np.nan, 2.0], 3.0), ([1.0, 2.0], np.nan)],
    ids=["log psi", "slope", "nan", "nan slope"],
)
@pytest.mark.parametrize("wrong", ["manybody", "netket_fft", "netket_irreps"])
def test_networks_must_agree(symmetry, tmp_path, wrong, log_psi, slope):
    workers = {name: Fake([1.0, 2.0], 3.0) for name in ("manybody", "netket_fft", "netket_irreps")}
    differences = symmetry.check_networks(workers, tmp_path)
    assert set(differences) == set(workers)
    assert all(found == {"log_psi": 0.0, "slope": 0.0} for found in differences.values())
    workers[wrong] = Fake(log_psi, slope)
    with pytest.raises(symmetry.Disagreement, match="do not compute the same"):
        symmetry.check_networks(workers, tmp_path)
