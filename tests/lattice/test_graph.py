# SPDX-License-Identifier: Apache-2.0
"""Lattices made from graphs."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manybody.lattice import Graph, from_networkx, honeycomb, square


@st.composite
def graphs(draw: st.DrawFn) -> nx.Graph:
    """Graphs of up to eight nodes 0 ... n - 1, connected or not."""
    n = draw(st.integers(1, 8))
    graph = nx.Graph(name="drawn")
    graph.add_nodes_from(range(n))
    graph.add_edges_from(draw(st.sets(st.tuples(*[st.integers(0, n - 1)] * 2).filter(lambda e: e[0] != e[1]))))
    return graph


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_round_trip(graph: nx.Graph) -> None:
    """Networkx -> lattice -> networkx keeps nodes and edges; once more gives an equal lattice."""
    lattice = from_networkx(graph)
    back = lattice.to_networkx()
    assert sorted(back) == sorted(graph) and nx.utils.edges_equal(back.edges, graph.edges)
    assert from_networkx(back) == lattice and hash(from_networkx(back)) == hash(lattice)


@given(graphs())
@settings(max_examples=40, deadline=None)
def test_orders_are_graph_distances(graph: nx.Graph) -> None:
    """Order k has the pairs with a shortest path of k edges; unreachable pairs have none."""
    lattice = from_networkx(graph)
    steps = dict(nx.all_pairs_shortest_path_length(graph))
    far = max(max(reached.values()) for reached in steps.values())
    assert lattice.n_shells == far
    for order in range(1, far + 1):
        expected = {(i, j) for i in graph for j in graph if i < j and steps[i].get(j) == order}
        assert set(map(tuple, lattice.bonds(order).tolist())) == expected
    for i in graph:
        assert [lattice.distances()[i, j] for j in sorted(graph)] == [steps[i].get(j, np.inf) for j in sorted(graph)]
    assert lattice.is_bipartite == nx.is_bipartite(graph)


def test_labels_positions_and_kinds_are_taken_over() -> None:
    """Nodes in ascending order whatever the order of insertion; positions and kinds by site."""
    graph = nx.Graph()
    graph.add_node("c", pos=(2.0, 1.0))
    graph.add_node("a", pos=(0, 0))
    graph.add_node("b", pos=(1, 0))
    graph.add_edge("c", "b", kind="long")
    graph.add_edge("a", "b", kind="short")
    graph.add_edge("a", "c")
    lattice = from_networkx(graph)
    assert lattice.positions.tolist() == [[0, 0], [1, 0], [2, 1]]
    assert lattice.kinds == ("long", "short")
    assert lattice.bonds(kind="long").tolist() == [[1, 2]] and lattice.bonds(kind="short").tolist() == [[0, 1]]
    assert lattice.bond_vectors().tolist() == [[1, 0], [2, 1], [1, 1]]
    assert dict(lattice.to_networkx().edges) == {(0, 1): {"kind": "short"}, (0, 2): {}, (1, 2): {"kind": "long"}}
    with pytest.raises(ValueError, match=r"`kind` must be one of 'long', 'short', got 'shor'\. Did you mean 'short'\?"):
        lattice.bonds(kind="shor")


def test_mixed_labels_keep_their_order() -> None:
    """Nodes that cannot be compared stay as inserted."""
    graph = nx.Graph([("z", 1), (1, "a")])
    assert from_networkx(graph).bonds().tolist() == [[0, 1], [1, 2]]


def test_a_bravais_lattice_as_graph() -> None:
    """Edges, positions and kinds survive; distances are counted in steps from then on."""
    lattice = honeycomb(3, periodic=False)
    graph = from_networkx(lattice.to_networkx())
    assert isinstance(graph, Graph)
    np.testing.assert_array_equal(graph.positions, lattice.positions)
    for kind in "xyz":
        np.testing.assert_array_equal(graph.bonds(kind=kind), lattice.bonds(kind=kind))
    assert from_networkx(square(4).to_networkx()).distances().max() == 4
    assert dict(honeycomb(1).to_networkx().edges) == {(0, 1): {}}  # of all three kinds at once
    second = nx.Graph(square(4).bonds(2).tolist())
    assert nx.utils.edges_equal(square(4).to_networkx(order=2).edges, second.edges)


def test_refusals() -> None:
    """Graphs that are no lattice."""
    with pytest.raises(TypeError, match="`graph` must be a Graph, got list"):
        from_networkx([(0, 1)])
    for kind in (nx.DiGraph, nx.MultiGraph):
        with pytest.raises(TypeError, match=f"`graph` must be undirected with single edges, got {kind.__name__}"):
            from_networkx(kind([(0, 1)]))
    with pytest.raises(ValueError, match="`graph` must have nodes"):
        from_networkx(nx.Graph())
    with pytest.raises(ValueError, match=r"no edge from a node to itself, got loops at \[1\]"):
        from_networkx(nx.Graph([(0, 1), (1, 1)]))
    half = nx.path_graph(2)
    half.nodes[0]["pos"] = (0, 0)
    with pytest.raises(ValueError, match="`pos` must be given for all nodes or none, got 1 nodes without"):
        from_networkx(half)
    with pytest.raises(TypeError, match="`kind` must be a str"):
        from_networkx(nx.Graph([(0, 1, {"kind": 3})]))
    with pytest.raises(ValueError, match="`order` must be at most 2, the largest distance on this graph, got 3"):
        from_networkx(nx.path_graph(3)).bonds(3)
    with pytest.raises(ValueError, match="`edges` must be ascending"):
        Graph(((0, 1), (0, 1)), (None, None), ((), ()))
    with pytest.raises(ValueError, match="`edges` must join sites 0 <= i < j < 2"):
        Graph(((0, 2),), (None,), ((), ()))
