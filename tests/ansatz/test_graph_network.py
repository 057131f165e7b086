# SPDX-License-Identifier: Apache-2.0
"""The message-passing network: its formula, its symmetry, one set of parameters for many graphs."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest

from manybody.ansatz import GraphNetwork
from manybody.lattice import chain, from_networkx, kagome, square
from tests.ansatz.sectors import random_parameters


def coloured(graph, kinds):
    """The graph with these kinds of edges, in turn; None is no kind."""
    graph = graph.copy()
    for number, edge in enumerate(sorted(graph.edges)):
        graph.edges[edge]["kind"] = kinds[number % len(kinds)]
    return graph


PRISM = nx.cartesian_product(nx.cycle_graph(3), nx.path_graph(2))
for one, other in PRISM.edges:
    PRISM.edges[one, other]["kind"] = "rung" if one[0] == other[0] else "ring"
CASES = {
    "path": (nx.path_graph(5), None, 1),
    "kinds": (coloured(nx.petersen_graph(), ["a", "b", None]), None, 3),
    "no-kinds": (coloured(nx.petersen_graph(), ["a", "b", None]), (1,), 1),
    "prism": (PRISM, None, 2),
    "one-kind": (PRISM, ("rung",), 1),
    "square": (square(3), None, 1),
    "square-kinds": (square(3, 4), ("x", "y", 2), 3),
    "images": (square(2, 4), (1, 2), 2),
    "kagome": (kagome(2), (1, 2), 2),
}
each = pytest.mark.parametrize(("graph", "bonds", "n_kinds"), CASES.values(), ids=CASES)


def spins(n_sites, batch=3):
    return np.random.default_rng(0).choice(np.int8([1, -1]), (batch, n_sites))


def apply(ansatz, variables, sigma):
    return np.asarray(jax.jit(ansatz.apply)(variables, sigma))


# --- the formula ------------------------------------------------------------------------------------------------------


def joined(lattice, bonds):
    """Pairs of sites for each kind of bonds."""
    if bonds is None:
        edges = lattice.to_networkx().edges(data="kind")
        names = sorted({kind or "" for *_, kind in edges}) if hasattr(lattice, "edges") else [None]
        return [[(i, j) for i, j, kind in edges if name in (None, kind or "")] for name in names]
    chosen = [{"order": bond} if isinstance(bond, int) else {"kind": bond} for bond in bonds]
    return [lattice.bonds(**one, images=True).tolist() for one in chosen]


@each
def test_formula(graph, bonds, n_kinds):
    ansatz = GraphNetwork(graph, bonds, features=2, blocks=2, output="real", activation=jnp.tanh)
    lattice = ansatz.graph
    sigma = spins(lattice.n_sites)
    variables = random_parameters(ansatz, sigma, 0.4)
    params, pairs = variables["params"]["ResidualNetwork_0"], joined(lattice, bonds)
    assert params["kernel_0"].shape == (1 + n_kinds, 1, 2)
    assert len(pairs) == n_kinds

    def layer(x, number):
        kernel = params[f"kernel_{number}"]
        y = x @ kernel[0] + params[f"bias_{number}"]
        for weights, kind in zip(kernel[1:], pairs, strict=True):
            for i, j in kind:
                y[i] += x[j] @ weights
                y[j] += x[i] @ weights
        return y

    x = layer(sigma.T[:, :, None].astype(float), 0)
    for block in range(2):
        step = np.tanh(layer(np.tanh(x / math.sqrt(block + 1)), 2 * block + 1))
        x = x + layer(step, 2 * block + 2)
    z = np.sum(np.tanh(x / math.sqrt(3)), axis=0)
    expected = z @ variables["params"]["Head_0"]["kernel"][:, 0]
    np.testing.assert_allclose(apply(ansatz, variables, sigma), expected, rtol=1e-11)


# --- symmetry ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["prism", "kinds", "square"])
def test_invariant_under_automorphisms_that_keep_kinds(name):
    graph, bonds, _ = CASES[name]
    ansatz = GraphNetwork(graph, bonds, features=3, blocks=1)
    kinds = "fix" if name in ("prism", "kinds") else "ignore"
    lattice = ansatz.graph
    group = lattice.automorphism_group(kinds)
    assert group.order > (name == "prism")  # the coloured Petersen graph may have none
    sigma = spins(lattice.n_sites)
    variables = random_parameters(ansatz, sigma, 0.4)
    log_psi = apply(ansatz, variables, sigma[:, group.sites])
    np.testing.assert_allclose(log_psi, log_psi[:, :1] + np.zeros_like(log_psi), atol=1e-10)


def test_not_invariant_where_kinds_change():
    ring = coloured(nx.cycle_graph(8), ["a", "a", "b", "b"])
    group = from_networkx(ring).automorphism_group("ignore")
    sigma = spins(8)
    for bonds, is_invariant in ((None, False), ((1,), True)):
        ansatz = GraphNetwork(ring, bonds, features=2, blocks=1)
        variables = random_parameters(ansatz, sigma, 0.4)
        log_psi = apply(ansatz, variables, sigma[:, group.sites])
        assert np.allclose(log_psi, log_psi[:, :1], atol=1e-6) == is_invariant


# --- many graphs ------------------------------------------------------------------------------------------------------


def test_parameters_of_one_graph_apply_on_another():
    """A graph of two separate parts: log psi is the sum of those of the parts, with the same parameters."""
    one, other = coloured(nx.path_graph(4), ["a", "b"]), coloured(nx.complete_graph(4), ["b", "a"])
    both = nx.disjoint_union(one, other)
    small, next_one, large = (GraphNetwork(g, features=3, blocks=2, output="phase") for g in (one, other, both))
    sigma = spins(8)
    variables = random_parameters(small, sigma[:, :4], 0.4)
    parts = apply(small, variables, sigma[:, :4]) + apply(next_one, variables, sigma[:, 4:])
    np.testing.assert_allclose(apply(large, variables, sigma), parts, rtol=1e-12)


def test_local_functions_do_not_see_the_size_of_a_torus():
    """A configuration that repeats has the same log psi per site on small and large tori, also with images."""
    variables = None
    per_site = []
    for lx in (2, 4, 6):
        ansatz = GraphNetwork(square(lx, 4), (1, 2), features=2, blocks=1, output="real")
        sigma = np.tile(np.int8([[1, -1, 1, 1], [1, 1, -1, -1]]), (lx // 2, 1)).reshape(1, -1)
        variables = variables or random_parameters(ansatz, sigma, 0.4)
        per_site.append(apply(ansatz, variables, sigma)[0] / (4 * lx))
    np.testing.assert_allclose(per_site, per_site[0], rtol=1e-12)


def test_graphs_become_lattices():
    ansatz, same = GraphNetwork(nx.cycle_graph(4)), GraphNetwork(from_networkx(nx.cycle_graph(4)))
    assert ansatz == same
    assert hash(ansatz) == hash(same)
    assert ansatz != GraphNetwork(nx.path_graph(4))
    assert ansatz.clone() == ansatz
    lonely = GraphNetwork(nx.empty_graph(3), blocks=1)
    assert apply(lonely, random_parameters(lonely, spins(3), 1.0), spins(3)).shape == (3,)


# --- parameters and options -------------------------------------------------------------------------------------------


def test_initial_weights_are_smaller_the_more_neighbours_there_are():
    ones = nn.initializers.ones
    ansatz = GraphNetwork(kagome(3), (1, 2), 5, 1, kernel_init=ones, bias_init=ones)
    params = ansatz.init(jax.random.key(0), spins(27))["params"]
    network, head = params["ResidualNetwork_0"], params["Head_0"]
    counts = [1, 4, 2 * len(kagome(3).bonds(2, images=True)) / 27]
    for number, n_in in enumerate((1, 5, 5)):
        expected = np.broadcast_to(1 / np.array(counts)[:, None, None], (3, n_in, 5))
        np.testing.assert_allclose(network[f"kernel_{number}"], expected)
        assert np.all(np.asarray(network[f"bias_{number}"]) == 1)
    assert np.all(np.asarray(head["bias"]) == 1)
    assert len(network) == 6


@pytest.mark.parametrize(
    ("param_dtype", "output", "expected"),
    [(jnp.float32, "real", jnp.float32), (jnp.complex64, "log_cosh", jnp.complex64), (float, "signed", jnp.complex128)],
)
def test_dtypes(param_dtype, output, expected):
    ansatz = GraphNetwork(chain(4), (1, 2), 2, 1, output, param_dtype=param_dtype)
    found, variables = jax.eval_shape(ansatz.init_with_output, jax.random.key(0), spins(4))
    assert found.dtype == expected
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype(param_dtype)}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: GraphNetwork(6), TypeError, "`graph` must be a AbstractLattice"),
        (lambda: GraphNetwork(nx.DiGraph([(0, 1)])), TypeError, "`graph` must be undirected"),
        (lambda: GraphNetwork(chain(6), 1), TypeError, "`bonds` must be a tuple"),
        (lambda: GraphNetwork(chain(6), (1.0,)), TypeError, "`bonds` must be a int or str"),
        (lambda: GraphNetwork(chain(6), ("y",)), ValueError, "`kind` must be one of 'x'"),
        (lambda: GraphNetwork(nx.path_graph(3), (5,)), ValueError, "`order` must be at most 2"),
        (lambda: GraphNetwork(chain(6), features=0), ValueError, "`features` must satisfy 1 <= features"),
        (lambda: GraphNetwork(chain(6), blocks=-1), ValueError, "`blocks` must satisfy 0 <= blocks"),
        (lambda: GraphNetwork(chain(6), output="exp"), ValueError, "`output` must be one of"),
        (lambda: GraphNetwork(chain(6), param_dtype=int), TypeError, "`param_dtype` must be a floating-point type"),
        (
            lambda: GraphNetwork(chain(6)).init(jax.random.key(0), np.ones(5, np.int8)),
            ValueError,
            "must have 6 sites, got 5",
        ),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
