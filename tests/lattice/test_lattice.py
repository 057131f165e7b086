# SPDX-License-Identifier: Apache-2.0
"""The Lattice class: numbering, content equality, sublattices, refusals."""

from __future__ import annotations

import dataclasses
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manybody.lattice import Lattice, chain, honeycomb, kagome, rectangle, square, triangular

SQUARE = [[1.0, 0.0], [0.0, 1.0]]


def test_sites_are_numbered_row_by_row_with_offsets_fastest() -> None:
    """The order of the index, spelled out."""
    lattice = Lattice([[2, 0], [0, 3]], (2, 2), [[0, 0], [1, 0.5]])
    assert lattice.positions.tolist() == [
        [0, 0], [1, 0.5], [0, 3], [1, 3.5], [2, 0], [3, 0.5], [2, 3], [3, 3.5],
    ]  # fmt: skip
    assert (lattice.n_cells, lattice.n_sites, lattice.dim) == (4, 8, 2)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.booleans())
def test_any_dimension(extent: list[int], periodic: bool) -> None:
    """Hypercubic lattices of one to four dimensions have the expected number of bonds along every axis."""
    lattice = Lattice(np.eye(len(extent)), extent, periodic=periodic)
    n = lattice.n_sites
    expected = sum(n // size * (size - 1 + (periodic and size > 2)) for size in extent)
    assert lattice.n_sites == math.prod(extent)
    assert (len(lattice.bonds()) if n > 1 else 0) == expected


def test_equality_and_hash_by_content() -> None:
    """How a lattice was written down does not matter, nor its name; everything else does."""
    kinds = {"y": [(0, 0, (0, 1))], "x": [(0, 0, (-1, 0)), (0, 0, (1, 0))]}
    by_hand = Lattice(np.array(SQUARE), [4, 4], np.zeros((1, 2)), [True, True], (0, 0), kinds, "mine")
    assert by_hand == square(4) == rectangle(4, 4) and hash(by_hand) == hash(square(4))
    assert pickle.loads(pickle.dumps(by_hand)) == by_hand
    assert dataclasses.replace(square(4), extent=(4, 5)) == square(4, 5)
    others = [
        square(4, 5), square(4, periodic=False), square(4, twist=0.1), rectangle(4, 4, b=2.0), triangular(4),
        Lattice(SQUARE, 4), Lattice(SQUARE, 4, [[0.5, 0]], bond_kinds=kinds),
    ]  # fmt: skip
    assert len({square(4), *others}) == 1 + len(others)


def test_frozen() -> None:
    """Neither fields nor derived arrays can be changed."""
    lattice = square(3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        lattice.extent = (4, 4)  # type: ignore[misc]
    for array in (lattice.positions, lattice.distances(), *lattice.bond_table(), *lattice.bond_table(kind="x")):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize(
    ("lattice", "bipartite"),
    [(chain(1), True), (chain(4), True), (chain(5), False), (chain(5, periodic=False), True), (square(4), True),
     (square(4, 3), False), (square(4, 3, periodic=(True, False)), True), (honeycomb(3), True), (triangular(3), False),
     (kagome(2), False), (chain(2), True), (chain(4, twist=1.0), True)],
)  # fmt: skip
def test_bipartite(lattice: Lattice, bipartite: bool) -> None:
    """Every bond joins the two colours, or there is an error."""
    assert lattice.is_bipartite is bipartite
    if not bipartite:
        with pytest.raises(
            ValueError, match=r"`lattice` must be bipartite, got bond \(\d+, \d+\) within a loop of odd"
        ):
            lattice.sublattices()
        return
    colour = lattice.sublattices()
    assert colour[0] == 0 and set(colour.tolist()) <= {0, 1}
    if lattice.n_sites > 1:
        bonds = lattice.bonds()
        assert (colour[bonds[:, 0]] != colour[bonds[:, 1]]).all()


def test_chequerboard_and_sublattices_by_kind() -> None:
    """The colours of the square are those of a chessboard, also when it is stretched."""
    board = np.add.outer(np.arange(4), np.arange(6)) % 2
    assert square(4, 6).sublattices().tolist() == board.ravel().tolist()
    assert rectangle(4, 6, b=2.0).sublattices(kinds=("x", "y")).tolist() == board.ravel().tolist()
    assert honeycomb(2).sublattices().tolist() == [0, 1] * 4
    assert triangular(4).sublattices(kinds=["x"]).tolist() == [0] * 4 + [1] * 4 + [0] * 4 + [1] * 4
    for kinds in ((), "x"):
        with pytest.raises(ValueError, match="`kinds` must be a sequence of bond kinds"):
            square(4).sublattices(kinds)


def test_honeycomb_kinds_meet_at_every_site() -> None:
    """Kitaev: one bond of each kind at each site, in three directions 120 degrees apart."""
    lattice = honeycomb(3, 4)
    directions = []
    for kind in "xyz":
        assert np.bincount(lattice.bonds(kind=kind).ravel()).tolist() == [1] * lattice.n_sites
        from_a = np.where(lattice.bonds(kind=kind)[:, :1] % 2 == 0, 1, -1)  # bonds seen from sublattice 0
        vectors = from_a * lattice.bond_vectors(kind=kind)
        np.testing.assert_allclose(vectors, vectors[:1].repeat(len(vectors), axis=0), atol=1e-12)
        directions.append(vectors[0])
    np.testing.assert_allclose(np.sum(directions, axis=0), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"basis": [[1, 0], [2, 0]]}, ValueError, "`basis` must have linearly independent rows"),
        ({"basis": [[1, 0]]}, ValueError, r"`basis` must be a square matrix of vectors by rows, got \(1, 2\)"),
        ({"basis": [1, 0]}, ValueError, r"`basis` must be a matrix \(a list of vectors\), got shape \(2,\)"),
        ({"basis": [[1, 0], [0]]}, TypeError, "`basis` must be a matrix of real numbers"),
        ({"basis": [[1, 0], [0, math.nan]]}, ValueError, "`basis` must be finite"),
        ({"extent": (4, 0)}, ValueError, "`extent` must satisfy 1 <= extent, got 0"),
        ({"extent": (4, 2.0)}, TypeError, r"`extent` must be an integer, got float \(2.0\)"),
        ({"extent": (4,)}, ValueError, r"`extent` must have one entry for each of the 2 axes, got \(4,\)"),
        ({"offsets": [[0, 0], [1, 0]]}, ValueError, r"`offsets` must give every site its own position, got .*\[0, 1\]"),
        ({"offsets": [[0, 0], [0, 0]], "periodic": False}, ValueError, "`offsets` must give every site"),
        ({"offsets": [[0, 0, 0]]}, ValueError, r"`offsets` must have shape \(n_offsets, 2\), got \(1, 3\)"),
        ({"periodic": (True,)}, ValueError, "`periodic` must have one entry for each of the 2 axes"),
        ({"periodic": (1, 0)}, TypeError, r"`periodic` must be a bool, got int"),
        ({"periodic": False, "twist": 0.1}, ValueError, "`twist` must be 0 along the open axis 0, got 0.1. Make the"),
        ({"twist": (0.1,)}, ValueError, "`twist` must have one entry"),
        ({"twist": 1j}, TypeError, "`twist` must be a float or int"),
        ({"twist": True}, TypeError, "`twist` must be a float or int"),
        ({"twist": math.inf}, ValueError, "`twist` must be finite"),
        ({"bond_kinds": {"x": [(0, 1, (0, 0))]}}, ValueError, "`offset` must satisfy 0 <= offset <= 0, got 1"),
        ({"bond_kinds": {"x": [(0, 0, (0, 0))]}}, ValueError, "`bond_kinds` must join different sites"),
        ({"bond_kinds": {"x": [(0, 0, (1,))]}}, ValueError, "`bond_kinds` must consist of rules"),
        ({"bond_kinds": {"x": [(0, 0, (0.5, 0))]}}, TypeError, "`cells` must be an integer"),
        ({"bond_kinds": {"x": []}}, ValueError, "`bond_kinds` must have a rule for every kind, got none for 'x'"),
        ({"bond_kinds": {1: [(0, 0, (1, 0))]}}, TypeError, "`bond_kinds` must be a str"),
    ],
)
def test_refusals(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    """What is wrong, what it must be, what it was."""
    with pytest.raises(error, match=message):
        Lattice(**{"basis": SQUARE, "extent": (3, 3), **arguments})


def test_offsets_may_leave_the_cell_of_an_open_lattice() -> None:
    """A cluster in one open cell may have any shape; only sites that really coincide are refused."""
    cluster = Lattice(SQUARE, 1, [[0, 0], [1, 0], [1, 1]], periodic=False)
    assert cluster.bonds().tolist() == [[0, 1], [1, 2]]
    with pytest.raises(ValueError, match="own position"):
        Lattice(SQUARE, (2, 1), [[0, 0], [1, 0]], periodic=False)


@pytest.mark.parametrize(
    "lattice",
    [square(3, 4), honeycomb(3, 2), square(4, 3, periodic=(True, False))],
    ids=repr,
)
def test_translations_shift_positions(lattice):
    permutations = lattice.translations()
    periodic = [n for n, wraps in zip(lattice.extent, lattice.periodic, strict=True) if wraps]
    assert len({tuple(p) for p in permutations.tolist()}) == len(permutations) == np.prod(periodic)
    assert permutations[0].tolist() == list(range(lattice.n_sites))
    inverse = np.linalg.inv(np.array(lattice.basis))
    for number, permutation in enumerate(permutations):
        moved = (lattice.positions[permutation] - lattice.positions) @ inverse  # in cells, up to whole turns
        cells = np.round(moved) % lattice.extent
        np.testing.assert_allclose(moved, np.round(moved), atol=1e-9)
        assert len(np.unique(cells, axis=0)) == 1
        shape = [n if wraps else 1 for n, wraps in zip(lattice.extent, lattice.periodic, strict=True)]
        assert cells[0].tolist() == list(np.unravel_index(number, shape))
