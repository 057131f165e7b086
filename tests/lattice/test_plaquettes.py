# SPDX-License-Identifier: Apache-2.0
"""Plaquettes: Euler's formula, counts, areas, and each bond on two sides, down to the smallest tori."""

from __future__ import annotations

from collections import Counter

import networkx as nx
import numpy as np
import pytest
import scipy.spatial

from manybody.lattice import (
    AbstractLattice,
    Lattice,
    chain,
    cubic,
    from_networkx,
    honeycomb,
    kagome,
    rectangle,
    shastry_sutherland,
    square,
    triangular,
)

SKEWED = Lattice([[2, 1], [-1, 2]], (2, 1), [[0, 0], [1, 0], [0, 1], [1, 1], [-1, 1]], name="square, cut along (2, 1)")
OCTAGONS = Lattice(np.eye(2) * (1 + 2**0.5), 2, np.array([[1, 0], [0, 1], [-1, 0], [0, -1]]) / 2**0.5, name="octagons")
DIMERS = shastry_sutherland(2)
TORI: dict[str, tuple[AbstractLattice, dict[int, int]]] = {
    "square-2": (square(2), {4: 4}),
    "square-2x3": (square(2, 3), {4: 6}),
    "square-5x4": (square(5, 4, twist=0.3), {4: 20}),
    "square-skewed": (SKEWED, {4: 10}),
    "triangular-2": (triangular(2), {3: 8}),
    "triangular-4x3": (triangular(4, 3), {3: 24}),
    "honeycomb-1": (honeycomb(1), {6: 1}),
    "honeycomb-2": (honeycomb(2), {6: 4}),
    "honeycomb-3x2": (honeycomb(3, 2), {6: 6}),
    "kagome-1": (kagome(1), {3: 2, 6: 1}),
    "kagome-2": (kagome(2), {3: 8, 6: 4}),
    "kagome-3x4": (kagome(3, 4), {3: 24, 6: 12}),
    "octagons": (OCTAGONS, {4: 4, 8: 4}),
}
"""With the number of plaquettes by the number of their corners."""
OPEN: dict[str, tuple[AbstractLattice, int]] = {
    "square-1x4": (square(1, 4, periodic=False), 0),
    "square-3x4": (square(3, 4, periodic=False), 6),
    "triangular-3": (triangular(3, periodic=False), 8),
    "honeycomb-3": (honeycomb(3, periodic=False), 2),
    "kagome-2": (kagome(2, periodic=False), 6),
}
CYLINDERS = {
    "square": (square(2, 4, periodic=(True, False)), 6),
    "triangular": (triangular(4, 3, periodic=(False, True)), 18),
    "honeycomb": (honeycomb(3, periodic=(True, False)), 3),
    "kagome": (kagome(2, periodic=(True, False)), 8),
}


def assert_well_formed(lattice: AbstractLattice, kinds: tuple[str, ...] | None = None) -> float:
    """Bonds lead from each corner to the next and close; the lowest corner is first. Returns the area of all."""
    tables = [lattice.bond_table(images=True)] if kinds is None else [lattice.bond_table(1, k, True) for k in kinds]
    sites, vectors = (np.concatenate([getattr(table, name) for table in tables]) for name in ("sites", "vectors"))
    total = 0.0
    for corners, bonds, directions in lattice.plaquettes(kinds):
        assert corners.shape == bonds.shape == directions.shape
        walked = np.where(directions[:, None] > 0, sites[bonds], sites[bonds][:, ::-1])
        np.testing.assert_array_equal(walked, np.stack([corners, np.roll(corners, -1)], axis=1))
        assert corners[0] == corners.min()
        places = np.cumsum(directions[:, None] * vectors[bonds], axis=0)
        np.testing.assert_allclose(places[-1], 0, atol=1e-12)
        x, y = places.T
        area = np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2
        assert area > 0.4  # counterclockwise
        total += area
    return total


@pytest.mark.parametrize("name", TORI)
def test_plaquettes_divide_a_torus(name: str) -> None:
    """Counts by shape, Euler's formula, the area, and two sides of each bond: one on the left of either direction."""
    lattice, counts = TORI[name]
    plaquettes = lattice.plaquettes()
    assert Counter(len(plaquette.sites) for plaquette in plaquettes) == counts
    n_bonds = len(lattice.bonds(images=True))
    assert lattice.n_sites - n_bonds + len(plaquettes) == 0
    assert assert_well_formed(lattice) == pytest.approx(abs(np.linalg.det(lattice.periods)))
    sides = Counter((b, d) for p in plaquettes for b, d in zip(p.bonds.tolist(), p.directions.tolist(), strict=True))
    assert sides == Counter((b, d) for b in range(n_bonds) for d in (1, -1))


@pytest.mark.parametrize("name", OPEN)
def test_the_area_round_an_open_lattice_is_none(name: str) -> None:
    lattice, count = OPEN[name]
    assert len(lattice.plaquettes()) == count
    assert lattice.n_sites - len(lattice.bonds(images=True)) + count == 1
    assert_well_formed(lattice)


@pytest.mark.parametrize("name", CYLINDERS)
def test_the_areas_beyond_a_cylinder_are_none(name: str) -> None:
    lattice, count = CYLINDERS[name]
    assert len(lattice.plaquettes()) == count
    assert lattice.n_sites - len(lattice.bonds(images=True)) + count == 0
    assert_well_formed(lattice)


def test_two_sites_each_way_are_four_plaquettes_of_the_same_sites() -> None:
    """Bonds 0-1, 0-2, 1-3, 2-3, first the one in the positive direction: corners (0, 0), (1, 0), (1, 1), (0, 1)."""
    walks = [(p.sites.tolist(), p.bonds.tolist(), p.directions.tolist()) for p in square(2).plaquettes()]
    assert walks == [
        ([0, 1, 3, 2], [0, 5, 6, 3], [1, 1, -1, -1]),  # up, left, down, right
        ([0, 1, 3, 2], [1, 4, 7, 2], [1, 1, -1, -1]),  # down, right, up, left
        ([0, 2, 3, 1], [2, 6, 4, 0], [1, 1, -1, -1]),
        ([0, 2, 3, 1], [3, 7, 5, 1], [1, 1, -1, -1]),
    ]


@pytest.mark.parametrize("kinds", [("square", "dimer"), ("dimer", "square")])
def test_bonds_of_kinds(kinds: tuple[str, ...]) -> None:
    """The dimers of Shastry and Sutherland cut every second square in two."""
    plaquettes = DIMERS.plaquettes(kinds)
    assert Counter(len(p.sites) for p in plaquettes) == {3: 16, 4: 8}
    assert assert_well_formed(DIMERS, kinds) == pytest.approx(16)
    assert len(DIMERS.plaquettes(["square"])) == len(DIMERS.plaquettes()) == 16
    assert len(rectangle(3, 3, b=1.5).plaquettes(["x", "y"])) == 9


def test_triangulation_of_random_points() -> None:
    """Those of a graph with positions are the triangles that it was made of."""
    points = np.random.default_rng(0).random((60, 2)) * 100
    triangles = scipy.spatial.Delaunay(points).simplices
    graph = nx.Graph()
    graph.add_nodes_from((i, {"pos": tuple(p)}) for i, p in enumerate(points))
    graph.add_edges_from(pair for a, b, c in triangles.tolist() for pair in ((a, b), (b, c), (c, a)))
    plaquettes = from_networkx(graph).plaquettes()
    assert {frozenset(p.sites.tolist()) for p in plaquettes} == {frozenset(t) for t in triangles.tolist()}


def drawn(edges: list[tuple[int, int]], *positions: tuple[float, float]) -> AbstractLattice:
    graph = nx.Graph(edges)
    graph.add_nodes_from((i, {"pos": position}) for i, position in enumerate(positions))
    return from_networkx(graph)


def test_concave_plaquettes_and_dead_ends() -> None:
    """An arrowhead is one plaquette; a bond that ends inside is walked along both ways, one outside not at all."""
    arrow = drawn([(0, 1), (1, 2), (2, 3), (0, 3)], (0, 0), (2, -2), (0, 4), (-2, -2))
    (plaquette,) = arrow.plaquettes()
    assert plaquette.sites.tolist() == [0, 1, 2, 3]
    corners = (0, 0), (4, 0), (0, 4)
    (inside,) = drawn([(0, 1), (1, 2), (0, 2), (0, 3)], *corners, (1, 1)).plaquettes()
    assert inside.sites.tolist() == [0, 1, 2, 0, 3]
    assert sorted(inside.bonds.tolist()) == [0, 1, 2, 2, 3]
    (outside,) = drawn([(0, 1), (1, 2), (0, 2), (0, 3)], *corners, (-1, -1)).plaquettes()
    assert outside.sites.tolist() == [0, 1, 2]


CORNERS = (0, 0), (1, 0), (1, 1), (0, 1)
CROSSED = Lattice(np.eye(2), 2, bond_kinds={"a": [(0, 0, (1, 1))], "b": [(0, 0, (1, -1))], "long": [(0, 0, (2, 1))]})
BOUNDARY = Lattice(
    np.eye(2), 1, [[0.1, 0.1], [0.9, 0.9], [0.1, 0.9], [0.9, 0.1]], bond_kinds={"a": [(1, 0, (1, 1)), (3, 2, (1, -1))]}
)
"""Two bonds, one begins near the origin, one near the top, that cross at the corner of the cell."""
REFUSED = {
    "one coordinate": (lambda: chain(4).plaquettes(), "`lattice` must have sites with two coordinates, got 1"),
    "three": (lambda: cubic(2).plaquettes(), "two coordinates, got 3"),
    "none": (
        lambda: from_networkx(nx.petersen_graph()).plaquettes(),
        "two coordinates, got 0. Positions in a graph are the node attribute `pos`",
    ),
    "crossing": (lambda: drawn([(0, 2), (1, 3)], *CORNERS).plaquettes(), r"cross each other, got bonds \[\[0, 2\]"),
    "touching": (lambda: drawn([(0, 2), (1, 3)], *CORNERS[:3], (0.5, 0.5)).plaquettes(), "cross each other"),
    "overlapping": (lambda: drawn([(0, 2), (1, 3)], (0, 0), (1, 0), (2, 0), (3, 0)).plaquettes(), "cross each other"),
    "crossing kinds": (lambda: CROSSED.plaquettes(["a", "b"]), "cross each other.* Choose those that do not by `kind"),
    "crossing across": (lambda: CROSSED.plaquettes(["b", "long"]), "cross each other"),
    "crossing at the boundary": (lambda: BOUNDARY.plaquettes(["a"]), "cross each other"),
    "twice": (lambda: DIMERS.plaquettes(["square", "square"]), "cross each other"),
    "chains": (lambda: rectangle(4, 4, b=1.5).plaquettes(), "must be divided into polygons by its bonds"),
    "no bonds across": (lambda: square(1, 4).plaquettes(), "every extent must be 2 or more"),
    "a word": (lambda: DIMERS.plaquettes("square"), "`kinds` must be a sequence of bond kinds, got 'square'"),
    "another kind": (lambda: DIMERS.plaquettes(["squares"]), "`kind` must be one of 'dimer', 'square', got 'squares'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_drawn_is_refused(name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        call()


def test_results_are_shared_and_locked() -> None:
    lattice = square(3)
    assert lattice.plaquettes() is square(3).plaquettes()
    for array in (*lattice.plaquettes()[0], lattice.periods, chain(3, periodic=False).periods):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    assert [len(lattice.periods) for lattice in (square(3), CYLINDERS["square"][0], OPEN["square-3x4"][0])] == [2, 1, 0]
