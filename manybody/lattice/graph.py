# SPDX-License-Identifier: Apache-2.0
"""Lattices made from any graph: neighbours are counted in steps, not in lengths."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from manybody import _checks
from manybody._lazy import networkx as nx
from manybody._struct import read_only
from manybody._types import Float
from manybody.lattice._arrays import real_matrix, tuples
from manybody.lattice.base import AbstractLattice, Bonds


@dataclass(frozen=True, repr=False)
class Graph(AbstractLattice):
    """Sites joined by edges; the distance of two sites is the smallest number of edges between them.

    So `bonds(order)` are the pairs `order` steps apart, and there are no images and no twists: `images` changes
    nothing and all phases are 1. Made by `from_networkx`.

    Attributes:
        edges: pairs i < j, ascending.
        edge_kinds: bond kind of every edge, or None.
        coordinates: for each site its position, () for all of them if they have none.
        name: a label for people; two graphs that differ in nothing else are equal.
    """

    edges: tuple[tuple[int, int], ...]
    edge_kinds: tuple[str | None, ...]
    coordinates: tuple[tuple[float, ...], ...]
    name: str = field(default="graph", compare=False)

    def __post_init__(self) -> None:
        """Validate."""
        for i, j in self.edges:
            bound = f"join sites 0 <= i < j < {self.n_sites}"
            _checks.require(0 <= i < j < self.n_sites, "edges", bound, (i, j))
        ascending = all(a < b for a, b in zip(self.edges, self.edges[1:], strict=False))
        _checks.require(ascending, "edges", "be ascending, each once", f"{self.edges!r:.80}")
        same = len(self.edge_kinds) == len(self.edges)
        _checks.require(same, "edge_kinds", "have one entry for each edge", len(self.edge_kinds))
        dims = {len(position) for position in self.coordinates}
        _checks.require(len(dims) == 1, "coordinates", "be of one dimension, for at least one site", sorted(dims))

    def __repr__(self) -> str:
        """Name and size, short enough for an error message."""
        return f"Graph({self.name!r}, n_sites={self.n_sites}, n_edges={len(self.edges)})"

    @property
    def n_sites(self) -> int:
        """Number of nodes."""
        return len(self.coordinates)

    @property
    def positions(self) -> Float[np.ndarray, "sites dim"]:
        """The coordinates as an array."""
        return _positions(self)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names in `edge_kinds`, ascending."""
        return tuple(sorted({kind for kind in self.edge_kinds if kind is not None}))

    @property
    def n_shells(self) -> int:
        """The largest number of steps between two sites that a path joins."""
        steps = self.distances()
        return int(steps[np.isfinite(steps)].max())

    def distances(self) -> Float[np.ndarray, "sites sites"]:
        """Numbers of steps."""
        return _distances(self)

    def bond_table(self, order: int = 1, kind: str | None = None, images: bool = False) -> Bonds:
        """Bonds between sites `order` steps apart, or of a kind."""
        order, kind = self._checked_selection(order, kind)
        if kind is not None:
            pairs = [edge for edge, name in zip(self.edges, self.edge_kinds, strict=True) if name == kind]
            return _table(self, np.array(pairs))
        count = self.n_shells
        _checks.require(order <= count, "order", f"be at most {count}, the largest distance on this graph", order)
        return _table(self, np.argwhere(np.triu(self.distances() == order)))


def from_networkx(graph: nx.Graph) -> Graph:
    """The lattice whose nearest-neighbour bonds are the edges of a graph.

    Site i is the i-th node in ascending order, or in the order of insertion if the nodes cannot be sorted; nodes
    0 ... n - 1 keep their numbers. The node attribute `pos` becomes the position, if all nodes have one, and the
    edge attribute `kind` the bond kind. Other attributes, weights among them, are not read.

    Args:
        graph: undirected, without loops and multiple edges.

    Raises:
        TypeError: if `graph` is not such a graph.
        ValueError: if it has no nodes, loops, or positions of some nodes only.

    Example:
        >>> import networkx as nx
        >>> star = from_networkx(nx.star_graph(3))
        >>> star.bonds().tolist(), star.bonds(2).tolist()
        ([[0, 1], [0, 2], [0, 3]], [[1, 2], [1, 3], [2, 3]])
    """
    _checks.require_type(graph, nx.Graph, "graph")
    simple = not graph.is_directed() and not graph.is_multigraph()
    if not simple:
        raise TypeError(_checks.requirement("graph", "be undirected with single edges", type(graph).__name__))
    _checks.require(len(graph) > 0, "graph", "have nodes", "none")
    loops = list(nx.nodes_with_selfloops(graph))
    _checks.require(not loops, "graph", "have no edge from a node to itself", f"loops at {loops!r:.80}")
    nodes = _in_order(graph.nodes)
    site = {node: i for i, node in enumerate(nodes)}
    numbered = ((site[u], site[v], kind) for u, v, kind in graph.edges(data="kind"))
    edges = {(min(i, j), max(i, j)): kind for i, j, kind in numbered}
    pairs = tuple(sorted(edges))
    for kind in edges.values():
        _checks.require_type(kind, (str, type(None)), "kind")
    coordinates = _coordinates([graph.nodes[node].get("pos") for node in nodes])
    return Graph(pairs, tuple(edges[pair] for pair in pairs), coordinates, name=graph.name or "graph")


def _in_order(nodes: Iterable[Any]) -> list[Any]:
    try:
        return sorted(nodes)
    except TypeError:
        return list(nodes)


def _coordinates(given: list[Any]) -> tuple[tuple[float, ...], ...]:
    """Positions of all nodes as tuples, empty ones if no node has any."""
    missing = sum(position is None for position in given)
    if missing == len(given):
        return ((),) * len(given)
    _checks.require(missing == 0, "pos", "be given for all nodes or none", f"{missing} nodes without")
    return tuples(real_matrix(given, "pos"))


# Computed once for each graph; these are pure, so they are cached by content.


@functools.lru_cache(maxsize=128)
def _positions(graph: Graph) -> np.ndarray:
    return read_only(np.array(graph.coordinates, dtype=float).reshape(graph.n_sites, -1))


@functools.lru_cache(maxsize=16)
def _distances(graph: Graph) -> np.ndarray:
    steps = np.full((graph.n_sites, graph.n_sites), np.inf)
    links = nx.Graph(graph.edges)
    links.add_nodes_from(range(graph.n_sites))
    for i, reached in nx.all_pairs_shortest_path_length(links):
        steps[i, list(reached)] = list(reached.values())
    return read_only(steps)


def _table(graph: Graph, pairs: np.ndarray) -> Bonds:
    vectors = graph.positions[pairs[:, 1]] - graph.positions[pairs[:, 0]]
    return Bonds(read_only(pairs), read_only(vectors), read_only(np.ones(len(pairs), dtype=complex)))
