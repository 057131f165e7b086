# SPDX-License-Identifier: Apache-2.0
"""Cells of a lattice as networks see them: the window of a convolution, and patches.

Cells are integer vectors n in units of the primitive vectors, and n + T_k is the cell n for the periods T_k. All is
counted modulo an integer matrix, so straight and skewed clusters do not differ. An open axis is closed as well, beyond
so many empty cells that nothing is reached the other way round.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from manybody import _checks
from manybody._struct import read_only
from manybody.lattice import Lattice
from manybody.lattice.cluster import Matrix, grid, normal_form, numbers, shortest, wrap


def closed(torus: Matrix, periodic: Sequence[bool], beyond: np.ndarray) -> Matrix:
    """The torus, with `beyond` empty cells behind the end of each open axis."""
    rows = np.array(torus)
    rows[np.diag_indices(len(rows))] += np.where(periodic, 0, beyond)
    return tuple(map(tuple, rows.tolist()))


# --- windows ----------------------------------------------------------------------------------------------------------


def check_size(size: Any, lattice: Lattice, name: str) -> tuple[int, ...]:
    """Numbers of cells along each axis; one number counts for all of them."""
    sizes = size if isinstance(size, tuple) else (size,) * lattice.dim
    _checks.require(len(sizes) == lattice.dim, name, f"be a number, or one for each of {lattice.dim} axes", size)
    return tuple(_checks.integer(n, name, minimum=1) for n in sizes)


@functools.lru_cache(maxsize=64)
def window(lattice: Lattice, size: int | tuple[int, ...], radius: float | None) -> np.ndarray:
    """The cells (taps, dim) that a convolution sees, as displacements from its own one.

    By `size`, a box around the own cell, one cell further in the positive direction if a size is even; by `radius`, all
    cells not further away than that. Cells that a small lattice has only once are in the window once.
    """
    found = _box(check_size(size, lattice, "kernel_size")) if radius is None else _ball(lattice, radius)
    reached = np.all((np.abs(found) < lattice.shape) | np.array(lattice.periodic), axis=1)
    found = found[reached]
    apart = closed(lattice.torus, lattice.periodic, np.array(lattice.shape))
    _, first = np.unique(numbers(apart, wrap(apart, found)[0]), return_index=True)
    return read_only(found[np.sort(first)])


def _box(sizes: tuple[int, ...]) -> np.ndarray:
    return np.array(list(itertools.product(*(range(-((n - 1) // 2), n // 2 + 1) for n in sizes))))


def _ball(lattice: Lattice, radius: float) -> np.ndarray:
    basis = np.array(lattice.basis)
    reach = np.floor(radius * np.linalg.norm(np.linalg.inv(basis), axis=0) * (1 + 1e-9)).astype(int)
    cells = _box(tuple((2 * reach + 1).tolist()))
    return cells[np.linalg.norm(cells @ basis, axis=1) <= radius * (1 + 1e-6)]


# --- patches ----------------------------------------------------------------------------------------------------------


class Patches(NamedTuple):
    """The sites of a lattice in tiles, which translations map to each other.

    Attributes:
        sites: of each patch, in the same order in all of them, shape (patches, sites of a patch).
        displacements: the number of the displacement from patch i to patch j, shape (patches, patches).
        vectors: the displacements, the shortest ones, in units of the primitive vectors of the patches, shape (numbers,
            dim): as many as patches on a torus, more with open ends.
    """

    sites: np.ndarray
    displacements: np.ndarray
    vectors: np.ndarray

    @property
    def n_displacements(self) -> int:
        """How many displacements there are."""
        return len(self.vectors)


@functools.lru_cache(maxsize=64)
def patches(lattice: Lattice, patch: int | tuple[int, ...] | Matrix) -> Patches:
    """Patches of so many cells along each axis; or tiles of the lattice whose primitive vectors are a matrix's rows.

    Raises:
        ValueError: if the cluster is not periodic, or does not end, with whole patches.
    """
    tile, torus = _tiling(lattice, patch)
    within, where = wrap(tile, grid(lattice.shape))  # the cell is within + where @ tile
    n_offsets, size = len(lattice.offsets), int(np.prod(normal_form(tile).shape))
    order = np.argsort(numbers(torus, wrap(torus, where)[0]) * size + numbers(tile, within))
    sites = (order[:, None] * n_offsets + np.arange(n_offsets)).reshape(-1, size * n_offsets)
    shape = normal_form(torus).shape
    places = grid(shape)
    around = closed(torus, lattice.periodic, np.array(shape) - 1)
    between = numbers(around, wrap(around, places[None, :] - places[:, None])[0])
    basis = np.array(tile) @ np.array(lattice.basis)
    vectors = grid(normal_form(around).shape)
    vectors = vectors + shortest(vectors @ basis, np.array(around) @ basis) @ np.array(around)
    return Patches(read_only(sites), read_only(between), read_only(vectors))


def _tiling(lattice: Lattice, patch: Any) -> tuple[Matrix, Matrix]:
    """The primitive vectors of the patches in units of those of the lattice, and the torus in units of the former."""
    tile = _matrix(lattice, patch)
    straight = all(lattice.periodic) or bool(np.count_nonzero(tile) == lattice.dim)
    _checks.require(straight, "patch", "be straight where there are open axes", patch)
    torus = np.array(lattice.torus) @ np.linalg.inv(tile)
    whole = bool(np.all(np.abs(torus - np.rint(torus)) < 1e-6))
    _checks.require(whole, "patch", f"divide the cluster of extent {lattice.extent}", patch)
    return tuple(map(tuple, tile.tolist())), tuple(map(tuple, np.rint(torus).astype(int).tolist()))


def _matrix(lattice: Lattice, patch: Any) -> np.ndarray:
    if not (isinstance(patch, tuple) and any(isinstance(row, tuple) for row in patch)):
        return np.diag(check_size(patch, lattice, "patch"))
    square = [np.shape(row) for row in patch] == [(lattice.dim,)] * lattice.dim
    _checks.require(square, "patch", f"be a matrix of {lattice.dim} x {lattice.dim} integers", patch)
    rows = np.array([[_checks.integer(n, "patch") for n in row] for row in patch])
    _checks.require(bool(abs(np.linalg.det(rows)) > 0.5), "patch", "have linearly independent rows", patch)
    return rows
