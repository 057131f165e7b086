# SPDX-License-Identifier: Apache-2.0
"""The ready-made lattices against networkx and textbook coordination numbers."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from manybody.lattice import Lattice, chain, cubic, honeycomb, kagome, rectangle, square, triangular

COORDINATION = [
    (chain(7), 2, [1, 2, 3]),
    (square(7), 4, [1, 2**0.5, 2]),
    (rectangle(7, 7, 1.0, 1.2), 2, [1, 1.2, 2.44**0.5]),
    (cubic(5), 6, [1, 2**0.5, 3**0.5]),
    (triangular(7), 6, [1, 3**0.5, 2]),
    (honeycomb(5), 3, [1, 3**0.5, 2]),
    (kagome(4), 4, [1, 3**0.5, 2]),
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


def test_defaults_of_the_sizes() -> None:
    """A missing size is the first one."""
    assert square(3) == square(3, 3) and cubic(2) == cubic(2, 2, 2) and cubic(2, 3) == cubic(2, 3, 2)
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
