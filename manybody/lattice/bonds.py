# SPDX-License-Identifier: Apache-2.0
"""Which sites of a Bravais lattice are neighbours: shells of equal distance, images, windings.

Everything is said in displacements (from offset a of one cell to offset b of the cell n cells away), because these
are few: bonds are all the places where a displacement fits. The functions are pure, and cached by the lattice.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Hashable
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from manybody import _checks
from manybody.lattice._arrays import read_only
from manybody.lattice.base import Bonds

TOLERANCE = 1e-6
"""Relative difference below which two distances are the same, so that offsets may be given with seven digits."""

Rule = tuple[int, int, tuple[int, ...]]
"""A bond of every cell: from offset a to offset b of the cell that is so many cells away."""


@runtime_checkable
class Cells(Hashable, Protocol):
    """What the functions here read of a `Lattice`."""

    basis: tuple[tuple[float, ...], ...]
    extent: tuple[int, ...]
    offsets: tuple[tuple[float, ...], ...]
    periodic: tuple[bool, ...]
    twist: tuple[float, ...]
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


def grid(extent: tuple[int, ...]) -> np.ndarray:
    """All integer vectors 0 <= n < extent, last axis fastest, shape (prod(extent), dim)."""
    return np.indices(extent).reshape(len(extent), -1).T


@functools.lru_cache(maxsize=128)
def positions(lattice: Cells) -> np.ndarray:
    """Cartesian positions (n_sites, dim) in the order of the sites: cells row by row, offsets fastest."""
    origins = grid(lattice.extent) @ np.array(lattice.basis)  # (n_cells, dim)
    sites = origins[:, None, :] + np.array(lattice.offsets)
    return read_only(sites.reshape(-1, len(lattice.basis)))


@functools.lru_cache(maxsize=16)
def distances(lattice: Cells) -> np.ndarray:
    """Minimum-image distances (n_sites, n_sites)."""
    n_offsets, widths, cells = len(lattice.offsets), _widths(lattice), grid(lattice.extent)
    away = (cells[None, :, :] - cells[:, None, :]) % widths  # (n_cells, n_cells, dim)
    index = np.ravel_multi_index(tuple(np.moveaxis(away, -1, 0)), widths)
    table = nearest_images(lattice).lengths.reshape(n_offsets, n_offsets, -1)
    lengths = np.moveaxis(table[:, :, index], (0, 1), (1, 3))  # (n_cells, n_offsets, n_cells, n_offsets)
    lengths = lengths.reshape(2 * (len(cells) * n_offsets,))
    return read_only(np.minimum(lengths, lengths.T))  # the two directions may differ in the last digit


@functools.lru_cache(maxsize=128)
def n_shells(lattice: Cells) -> int:
    """Number of distinct minimum-image distances between different sites."""
    return int(_shells(nearest_images(lattice).lengths).max())


@functools.lru_cache(maxsize=512)
def bond_table(lattice: Cells, order: int, kind: str | None, images: bool) -> Bonds:
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

    The nearest image lies in the Voronoi cell of the lattice of images, |v . A_k| <= |A_k|^2 / 2 for its vectors A_k,
    which bounds the windings to try (to one either way for the usual cells). Of several nearest images the one that is
    lexicographically largest in cells is taken. The classes are those of `_widths`, so that `distances` may look
    them up.
    """
    widths = np.array(_widths(lattice))
    extent, basis, wraps = np.array(lattice.extent), np.array(lattice.basis), np.array(lattice.periodic)
    cells = grid(_widths(lattice))
    cells = np.where(cells < extent, cells, cells - widths)  # open axes go both ways
    start = _displacements(lattice, *_pairs_of_offsets(lattice, cells))
    around = (extent[:, None] * basis)[wraps]  # vectors A_k of the images
    gram = around @ around.T
    inverse = np.linalg.inv(gram)
    reach = np.floor(0.5 * np.abs(inverse) @ np.diag(gram) + 0.5 + TOLERANCE).astype(int)
    winding = np.zeros_like(start.cells)
    winding[:, wraps] = -np.round(start.vectors @ around.T @ inverse)

    best, shortest = start, np.full(len(start.lengths), np.inf)
    # descending, and replaced only by a really shorter one, so that among equals the largest stays
    for extra in itertools.product(*(range(r, -r - 1, -1) for r in reach)):
        winding_here = winding.copy()
        winding_here[:, wraps] += np.array(extra, dtype=int)
        image = _displacements(lattice, start.source, start.target, start.cells + winding_here * extent)
        closer = image.lengths < shortest * (1 - TOLERANCE)
        shortest = np.where(closer, image.lengths, shortest)
        best = Displacements(
            *(np.where(closer.reshape((-1,) + (1,) * (b.ndim - 1)), a, b) for a, b in zip(image, best, strict=True))
        )
    return best


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
    offsets, extent = np.array(lattice.offsets), np.array(lattice.extent)
    span = np.linalg.norm(offsets[:, None] - offsets[None, :], axis=-1).max()
    reach = np.floor((radius + span) * np.linalg.norm(np.linalg.inv(lattice.basis), axis=0) + TOLERANCE).astype(int)
    reach = np.where(lattice.periodic, reach, np.minimum(reach, extent - 1))
    cells = grid(tuple((2 * reach + 1).tolist())) - reach
    found = _displacements(lattice, *_pairs_of_offsets(lattice, cells))
    return found.select(found.lengths <= radius)


def _of_kind(lattice: Cells, kind: str) -> Displacements:
    """The displacements of a bond kind, in both directions."""
    rules = dict(lattice.bond_kinds)[kind]
    both = [*rules, *((b, a, tuple(-n for n in cells)) for a, b, cells in rules)]
    source, target, cells = (np.array(column) for column in zip(*both, strict=True))
    return _displacements(lattice, source, target, cells)


def _place(lattice: Cells, moves: Displacements, images: bool) -> Bonds:
    """The bonds i < j that displacements, given in both directions, make from all cells."""
    n_offsets, extent = len(lattice.offsets), np.array(lattice.extent)
    reached = grid(lattice.extent)[None, :, :] + moves.cells[:, None, :]  # (moves, n_cells, dim)
    winding = reached // extent
    move, cell = np.nonzero(np.all((winding == 0) | np.array(lattice.periodic), axis=-1))
    winding, reached = winding[move, cell], (reached % extent)[move, cell]
    i = cell * n_offsets + moves.source[move]
    j = np.ravel_multi_index(tuple(reached.T), lattice.extent) * n_offsets + moves.target[move]
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


def _widths(lattice: Cells) -> tuple[int, ...]:
    """Number of classes of cells away: modulo the extent on periodic axes, all differences on open ones."""
    return tuple(n if wraps else 2 * n - 1 for n, wraps in zip(lattice.extent, lattice.periodic, strict=True))
