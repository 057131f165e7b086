# SPDX-License-Identifier: Apache-2.0
"""The ready-made lattices against networkx and textbook coordination numbers."""

from __future__ import annotations

import math
from collections import Counter

import networkx as nx
import numpy as np
import pytest

from manybody.lattice import (
    Lattice,
    bcc,
    chain,
    cubic,
    diamond,
    fcc,
    honeycomb,
    kagome,
    pyrochlore,
    rectangle,
    shastry_sutherland,
    shuriken,
    square,
    triangular,
)

COORDINATION = [
    (chain(7), 2, [1, 2, 3]),
    (square(7), 4, [1, 2**0.5, 2]),
    (rectangle(7, 7, 1.0, 1.2), 2, [1, 1.2, 2.44**0.5]),
    (cubic(5), 6, [1, 2**0.5, 3**0.5]),
    (triangular(7), 6, [1, 3**0.5, 2]),
    (honeycomb(5), 3, [1, 3**0.5, 2]),
    (kagome(4), 4, [1, 3**0.5, 2]),
    (shuriken(3), 4, [1, 2**0.5, 3**0.5]),
    (shastry_sutherland(3), 4, [1, 2**0.5, 2]),
    (bcc(5), 8, [1, 2 / 3**0.5, (8 / 3) ** 0.5]),
    (fcc(5), 12, [1, 2**0.5, 3**0.5]),
    (diamond(4), 4, [1, (8 / 3) ** 0.5, (11 / 3) ** 0.5]),
    (pyrochlore(3), 6, [1, 3**0.5, 2]),
]


@pytest.mark.parametrize(("lattice", "coordination", "lengths"), COORDINATION, ids=lambda x: getattr(x, "name", ""))
def test_coordination_and_first_distances(lattice: Lattice, coordination: int, lengths: list[float]) -> None:
    """Nearest neighbours at distance 1, in the textbook number; the next shells at the textbook distances."""
    assert np.bincount(lattice.bonds().ravel()).tolist() == [coordination] * lattice.n_sites
    for order, length in enumerate(lengths, start=1):
        np.testing.assert_allclose(np.linalg.norm(lattice.bond_vectors(order), axis=1), length, rtol=1e-12)


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)])
def test_square_equals_the_grid_of_networkx(shape: tuple[int, int], periodic: bool) -> None:
    """The same edges on the same numbers, row by row."""
    grid = nx.convert_node_labels_to_integers(nx.grid_2d_graph(*shape, periodic=periodic), ordering="sorted")
    mine = square(*shape, periodic=periodic).to_networkx()
    assert nx.utils.edges_equal(grid.edges, mine.edges)


@pytest.mark.parametrize("periodic", [(True, False), (False, True)])
def test_mixed_boundaries_equal_the_grid_of_networkx(periodic: tuple[bool, bool]) -> None:
    """Each axis has its own boundary."""
    grid = nx.grid_2d_graph(4, 5, periodic=periodic)
    expected = {tuple(sorted((5 * a + b, 5 * c + d))) for (a, b), (c, d) in grid.edges}
    assert set(map(tuple, square(4, 5, periodic=periodic).bonds().tolist())) == expected


def with_diagonals(grid: nx.Graph, lx: int, ly: int) -> nx.Graph:
    """The triangular lattice is the square lattice with one diagonal in every plaquette."""
    grid.add_edges_from([((x, y), ((x + 1) % lx, (y - 1) % ly)) for x, y in grid])
    return grid


@pytest.mark.parametrize(
    ("lattice", "graph"),
    [
        (chain(9), nx.cycle_graph(9)),
        (chain(9, periodic=False), nx.path_graph(9)),
        (cubic(3, 4, 5), nx.grid_graph((3, 4, 5), periodic=True)),
        (cubic(3, 2, 4, periodic=False), nx.grid_graph((3, 2, 4))),
        (honeycomb(3, 6), nx.hexagonal_lattice_graph(3, 6, periodic=True)),
        (triangular(4, 5), with_diagonals(nx.grid_2d_graph(4, 5, periodic=True), 4, 5)),
        (kagome(3, 6), nx.line_graph(nx.hexagonal_lattice_graph(3, 6, periodic=True))),
    ],
    ids=lambda x: getattr(x, "name", "") or "graph",
)
def test_isomorphic_to_networkx(lattice: Lattice, graph: nx.Graph) -> None:
    """Networkx repeats a rectangle of hexagons: with 2 m columns its torus is that of m x 2 m cells.

    The kagome lattice is the line graph of the honeycomb lattice.
    """
    assert nx.is_isomorphic(lattice.to_networkx(), graph)


@pytest.mark.parametrize(
    ("make", "in_cell", "neighbours"),
    [(shuriken, 6, 4), (shastry_sutherland, 4, 4), (bcc, 1, 8), (fcc, 1, 12), (diamond, 2, 4), (pyrochlore, 4, 6)],
)
def test_sites_and_bonds_of_a_cell(make: type[Lattice], in_cell: int, neighbours: int) -> None:
    """As many as textbooks say, for each axis its own size, also where bonds wind round."""
    sizes = (2, 3) if make in (shuriken, shastry_sutherland) else (2, 3, 1)
    lattice = make(*sizes)
    assert lattice.extent == sizes and lattice.n_sites == in_cell * 6
    assert make(2) == make(*(2 for _ in sizes)) and make(2, 3) == make(2, 3, *(2 for _ in sizes[2:]))
    assert make(4).n_sites == in_cell * 4 ** len(sizes)
    degrees = np.bincount(make(4).bonds(images=True).ravel())
    assert degrees.tolist() == [neighbours] * make(4).n_sites
    assert make(2, periodic=False).periodic == (False,) * len(sizes)
    assert make(2, twist=0.5).twist == (0.5,) * len(sizes)
    assert lattice.name == make.__name__


def test_squares_and_triangles_of_the_shuriken() -> None:
    """The corners of a square have two bonds of either kind, a tip four to corners."""
    lattice = shuriken(3)
    assert {"square", "triangle"} == set(lattice.kinds)
    squares = np.bincount(lattice.bonds(kind="square").ravel(), minlength=54).reshape(-1, 6)
    assert (squares == [2, 2, 2, 2, 0, 0]).all()
    triangles = np.bincount(lattice.bonds(kind="triangle").ravel(), minlength=54).reshape(-1, 6)
    assert (triangles == [2, 2, 2, 2, 4, 4]).all()
    together = [*lattice.bonds(kind="square").tolist(), *lattice.bonds(kind="triangle").tolist()]
    assert sorted(together) == lattice.bonds().tolist()
    assert Counter(len(p.sites) for p in lattice.plaquettes()) == {3: 36, 4: 9, 8: 9}
    assert sum(nx.triangles(nx.Graph(lattice.bonds().tolist())).values()) == 3 * 36


def test_dimers_of_shastry_and_sutherland() -> None:
    """A square lattice; one dimer at each site, two directions, none in neighbouring plaquettes."""
    lattice = shastry_sutherland(3, 2)
    grid = nx.convert_node_labels_to_integers(nx.grid_2d_graph(6, 4, periodic=True))
    assert nx.is_isomorphic(lattice.to_networkx(), grid)
    assert lattice.bonds(kind="square").tolist() == lattice.bonds().tolist()
    dimers = lattice.bonds(kind="dimer")
    assert np.bincount(dimers.ravel()).tolist() == [1] * 24
    vectors = lattice.bond_vectors(kind="dimer")
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), math.sqrt(2))
    assert Counter(np.sign(vectors[:, 0] * vectors[:, 1]).tolist()) == {1.0: 6, -1.0: 6}
    middles = lattice.positions[dimers[:, 0]] + vectors / 2
    centres = set(map(tuple, np.round(middles % [6, 4], 6).tolist()))
    assert len(centres) == 12 and {round(x - y) % 2 for x, y in centres} == {0}
    assert Counter(len(p.sites) for p in lattice.plaquettes(lattice.kinds)) == {3: 24, 4: 12}


def test_tetrahedra_of_the_pyrochlore() -> None:
    """Each site is the corner of one tetrahedron of either kind."""
    lattice = pyrochlore(3)
    for kind in ("up", "down"):
        parts = list(nx.connected_components(nx.Graph(lattice.bonds(kind=kind).tolist())))
        assert len(parts) == 27 and {len(part) for part in parts} == {4}
        assert len(lattice.bonds(kind=kind)) == 27 * 6
    assert (
        sorted([*lattice.bonds(kind="up").tolist(), *lattice.bonds(kind="down").tolist()]) == lattice.bonds().tolist()
    )
    assert pyrochlore(1, periodic=False).bonds().tolist() == lattice.bonds(kind="up")[:6].tolist()


@pytest.mark.parametrize(
    ("make", "matrix", "side", "in_cube"),
    [
        (bcc, [[0, 1, 1], [1, 0, 1], [1, 1, 0]], 2 / 3**0.5, 2),
        (fcc, [[-1, 1, 1], [1, -1, 1], [1, 1, -1]], 2**0.5, 4),
        (diamond, [[-1, 1, 1], [1, -1, 1], [1, 1, -1]], 4 / 3**0.5, 8),
        (pyrochlore, [[-1, 1, 1], [1, -1, 1], [1, 1, -1]], 8**0.5, 16),
    ],
)
def test_conventional_cells(make: type[Lattice], matrix: list[list[int]], side: float, in_cube: int) -> None:
    """The documented matrices span cubes."""
    lattice = make(3 * np.array(matrix))
    np.testing.assert_allclose(lattice.periods, 3 * side * np.eye(3), atol=1e-12)
    assert lattice.n_sites == 27 * in_cube


def test_diamond_and_bcc_are_bipartite() -> None:
    assert diamond(3).is_bipartite and bcc(4).is_bipartite
    assert not any(make(4).is_bipartite for make in (fcc, pyrochlore, shuriken))
    assert diamond(3).sublattices().tolist() == [0, 1] * 27


@pytest.mark.parametrize("make", [square, triangular, kagome, shuriken, shastry_sutherland])
def test_cylinders(make: type[Lattice]) -> None:
    """One periodic axis: as open as a ribbon along one axis, as closed as a torus along the other."""
    length, around = 6, 4
    cylinder = make(length, around, periodic=(False, True))
    torus, ribbon = make(length, around), make(length, around, periodic=False)
    inside, both = (set(map(tuple, x.bonds().tolist())) for x in (ribbon, torus))
    bonds = set(map(tuple, cylinder.bonds().tolist()))
    assert inside < bonds < both
    ends = {site for pair in both - bonds for site in pair}
    cells = {site // len(cylinder.offsets) // around for site in ends}
    assert cells == {0, length - 1}
    assert len(cylinder.translations()) == len(cylinder.momenta()) == around
    assert len(cylinder.periods) == 1


def test_defaults_of_the_sizes() -> None:
    """A missing size is the first one."""
    assert square(3) == square(3, 3) and cubic(2) == cubic(2, 2, 2) and cubic(2, 3) == cubic(2, 3, 2)
    assert rectangle(3, b=2.0) == rectangle(3, 3, b=2.0)
    assert triangular(3) == triangular(3, 3) and honeycomb(2) == honeycomb(2, 2) and kagome(2) == kagome(2, 2)


def test_unequal_spacings_are_different_orders() -> None:
    """Shells of a rectangular cell come by distance: (0, b) after (a, 0), and 2a before a long diagonal."""
    lattice = rectangle(6, 6, a=1.0, b=1.9)
    assert lattice.bonds(1).tolist() == lattice.bonds(kind="x").tolist()
    assert lattice.bonds(2).tolist() == lattice.bonds(kind="y").tolist()
    np.testing.assert_allclose(abs(lattice.bond_vectors(3)), [[2.0, 0.0]] * 36, atol=1e-12)


def test_refusals() -> None:
    """Sizes and spacings are checked where they enter."""
    with pytest.raises(ValueError, match="`a` must satisfy a > 0, got 0"):
        rectangle(3, 3, a=0.0)
    with pytest.raises(ValueError, match="`extent` must satisfy 1 <= extent, got -1"):
        square(-1)
    with pytest.raises(TypeError, match="`extent` must be an integer"):
        chain("4")
    with pytest.raises(ValueError, match="`twist` must be 0 along the open axis 0"):
        chain(4, periodic=False, twist=0.5)
