# SPDX-License-Identifier: Apache-2.0
"""Which sites of a Bravais lattice are neighbours: shells of equal distance, images, windings.

Everything is said in displacements (from offset a of one cell to offset b of the cell n cells away), because these
are few: bonds are all the places where a displacement fits. The functions are pure, and cached by the lattice.
"""

from __future__ import annotations

import functools
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from manybody import _checks
from manybody._struct import read_only
from manybody.lattice.base import Bonds
from manybody.lattice.cluster import TOLERANCE, Cells, Matrix, grid, normal_form, numbers, shortest, wrap

Rule = tuple[int, int, tuple[int, ...]]
"""A bond of every cell: from offset a to offset b of the cell that is so many cells away."""


@runtime_checkable
class Bonded(Cells, Protocol):
    """`Cells` with bond kinds."""

    bond_kinds: tuple[tuple[str, tuple[Rule, ...]], ...]


class Displacements(NamedTuple):
    """From offset `source` to offset `target`, `cells` (n, dim) away; `vectors` (n, dim) and `lengths` (n,)."""

    source: np.ndarray
    target: np.ndarray
    cells: np.ndarray
    vectors: np.ndarray
    lengths: np.ndarray

    def select(self, mask: np.ndarray) -> Displacements:
        """Those where `mask` (n,) is true."""
        return Displacements(*(field[mask] for field in self))


@functools.lru_cache(maxsize=16)
def distances(lattice: Cells) -> np.ndarray:
    """Minimum-image distances (n_sites, n_sites)."""
    n_offsets, classes, cells = len(lattice.offsets), _classes(lattice), grid(lattice.shape)
    away, _ = wrap(classes, cells[None, :, :] - cells[:, None, :])  # (n_cells, n_cells, dim)
    table = nearest_images(lattice).lengths.reshape(n_offsets, n_offsets, -1)
    lengths = np.moveaxis(table[:, :, numbers(classes, away)], (0, 1), (1, 3))
    lengths = lengths.reshape(2 * (len(cells) * n_offsets,))  # (n_cells, n_offsets, n_cells, n_offsets) before
    return read_only(np.minimum(lengths, lengths.T))  # the two directions may differ in the last digit


@functools.lru_cache(maxsize=128)
def n_shells(lattice: Cells) -> int:
    """Number of distinct minimum-image distances between different sites."""
    return int(_shells(nearest_images(lattice).lengths).max())


@functools.lru_cache(maxsize=512)
def bond_table(lattice: Bonded, order: int, kind: str | None, images: bool) -> Bonds:
    """The bonds of one order or kind; `images` as in `AbstractLattice`."""
    images = images or any(lattice.twist)
    if kind is not None:
        return _place(lattice, _of_kind(lattice, kind), images)
    if images and any(lattice.periodic):
        return _place(lattice, _shell_of_images(lattice, order), images)
    nearest = nearest_images(lattice)
    shells, count = _shells(nearest.lengths), n_shells(lattice)
    _checks.require(order <= count, "order", f"be at most {count}, the number of distances on this lattice", order)
    return _place(lattice, nearest.select(shells == order), images)


@functools.lru_cache(maxsize=32)
def nearest_images(lattice: Cells) -> Displacements:
    """For each pair of offsets and each class of cells away, the displacement to the nearest image.

    Of several nearest images the one that is lexicographically largest in cells is taken. The classes are those of
    `_classes`, so that `distances` may look them up.
    """
    classes = _classes(lattice)
    widths = normal_form(classes).shape
    cells = grid(widths)
    cells = np.where(cells < lattice.shape, cells, cells - widths)  # open axes go both ways
    start = _displacements(lattice, *_pairs_of_offsets(lattice, cells))
    # By rows of the normal form, of which larger windings are larger cells, as it is triangular.
    images = normal_form(lattice.torus).rows[np.array(lattice.periodic)]
    windings = shortest(start.vectors, images @ np.array(lattice.basis))
    return _displacements(lattice, start.source, start.target, start.cells + windings @ images)


def _shell_of_images(lattice: Cells, order: int) -> Displacements:
    """All displacements of the `order`-th length, on the lattice unfolded along its periodic axes.

    The lengths within a growing radius are counted until there is one more than needed: the last may be incomplete.
    """
    radius = float(np.linalg.norm(lattice.basis, axis=1).min())
    while True:
        found = _within(lattice, radius)
        shells = _shells(found.lengths)
        if shells.max() > order:
            return found.select(shells == order)
        radius *= 1.5


def _within(lattice: Cells, radius: float) -> Displacements:
    """All displacements up to `radius`, those of length zero included."""
    offsets = np.array(lattice.offsets)
    span = np.linalg.norm(offsets[:, None] - offsets[None, :], axis=-1).max()
    reach = np.floor((radius + span) * np.linalg.norm(np.linalg.inv(lattice.basis), axis=0) + TOLERANCE).astype(int)
    reach = np.where(lattice.periodic, reach, np.minimum(reach, np.array(lattice.shape) - 1))
    cells = grid(tuple((2 * reach + 1).tolist())) - reach
    found = _displacements(lattice, *_pairs_of_offsets(lattice, cells))
    return found.select(found.lengths <= radius)


def _of_kind(lattice: Bonded, kind: str) -> Displacements:
    """The displacements of a bond kind, in both directions."""
    rules = dict(lattice.bond_kinds)[kind]
    both = [*rules, *((b, a, tuple(-n for n in cells)) for a, b, cells in rules)]
    source, target, cells = (np.array(column) for column in zip(*both, strict=True))
    return _displacements(lattice, source, target, cells)


def _place(lattice: Cells, moves: Displacements, images: bool) -> Bonds:
    """The bonds i < j that displacements, given in both directions, make from all cells."""
    n_offsets = len(lattice.offsets)
    # (moves, n_cells, dim)
    reached, winding = wrap(lattice.torus, grid(lattice.shape)[None, :, :] + moves.cells[:, None, :])
    move, cell = np.nonzero(np.all((winding == 0) | np.array(lattice.periodic), axis=-1))
    winding = winding[move, cell]
    i = cell * n_offsets + moves.source[move]
    j = numbers(lattice.torus, reached[move, cell]) * n_offsets + moves.target[move]
    keep = i < j
    i, j, move, winding = i[keep], j[keep], move[keep], winding[keep]
    # ascending pairs; images of a pair with the largest displacement first, as in `nearest_images`
    rank = np.lexsort((*(-moves.cells[move].T[::-1]), j, i))
    sites, move, winding = np.stack([i, j], axis=1)[rank], move[rank], winding[rank]
    if not images:
        sites, first = np.unique(sites, axis=0, return_index=True)
        move, winding = move[first], winding[first]
    # rounded so that antiperiodic boundaries are exactly real: exp(i pi) = -1 + 1.2e-16i
    phases = np.round(np.exp(1j * (winding @ np.array(lattice.twist))), 15)
    return Bonds(read_only(sites), read_only(moves.vectors[move]), read_only(phases))


def _shells(lengths: np.ndarray) -> np.ndarray:
    """The shell (n,) of every length, 0 for length 0, which must be among them."""
    rank = np.argsort(lengths)
    ascending = lengths[rank]
    shells = np.empty(len(lengths), dtype=int)
    shells[rank] = np.concatenate([[0], np.cumsum(np.diff(ascending) > TOLERANCE * ascending[1:])])
    return shells


def _displacements(lattice: Cells, source: np.ndarray, target: np.ndarray, cells: np.ndarray) -> Displacements:
    offsets = np.array(lattice.offsets)
    vectors = cells @ np.array(lattice.basis) + (offsets[target] - offsets[source])
    return Displacements(source, target, cells, vectors, np.linalg.norm(vectors, axis=-1))


def _pairs_of_offsets(lattice: Cells, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every pair of offsets with every one of `cells` (n, dim), the latter fastest."""
    n_offsets = len(lattice.offsets)
    source, target = grid((n_offsets, n_offsets)).T
    return np.repeat(source, len(cells)), np.repeat(target, len(cells)), np.tile(cells, (n_offsets**2, 1))


def _classes(lattice: Cells) -> Matrix:
    """The torus on which differences of cells are distinct: open axes are long enough for both directions."""
    rows = zip(lattice.torus, lattice.shape, lattice.periodic, strict=True)
    return tuple(row if wraps else tuple(n // size * (2 * size - 1) for n in row) for row, size, wraps in rows)
