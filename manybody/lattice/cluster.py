# SPDX-License-Identifier: Apache-2.0
"""The torus: which cells are the same cell, where the sites lie, and which site lies at a point.

A torus is an integer matrix with rows T_k: the cells n and n + T_k are one. It is brought to its Hermite normal form
H = U T, upper triangular with U unimodular, 0 < H_kk and 0 <= H_jk < H_kk above the diagonal. H spans the same
lattice of images, and is the only such matrix that does; so each cell has exactly one image with 0 <= n_k < H_kk
(H. Cohen, A Course in Computational Algebraic Number Theory (1993), section 2.4.2). A diagonal torus is its own normal
form, and everything below knows only the normal form, so plain and skewed lattices do not differ here.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Hashable
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from manybody import _checks
from manybody._struct import read_only

TOLERANCE = 1e-6
"""Relative difference below which two distances are the same, so that offsets may be given with seven digits."""

Matrix = tuple[tuple[int, ...], ...]
"""A torus by rows."""


@runtime_checkable
class Cells(Hashable, Protocol):
    """What the functions here, of bonds and of momenta read of a `Lattice`."""

    basis: tuple[tuple[float, ...], ...]
    offsets: tuple[tuple[float, ...], ...]
    periodic: tuple[bool, ...]
    twist: tuple[float, ...]

    @property
    def torus(self) -> Matrix: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


class NormalForm(NamedTuple):
    """Hermite normal form `rows` = `change` @ torus, both (dim, dim); `shape` is the diagonal of `rows`."""

    rows: np.ndarray
    change: np.ndarray
    shape: tuple[int, ...]


@functools.lru_cache(maxsize=512)
def normal_form(torus: Matrix) -> NormalForm:
    """The Hermite normal form of a torus.

    Raises:
        ValueError: if its rows are linearly dependent.
    """
    dim = len(torus)
    both = np.hstack([np.array(torus, dtype=int), np.eye(dim, dtype=int)])
    for k in range(dim):
        while np.count_nonzero(both[k:, k]) > 1:  # Euclid's algorithm, on all rows at once
            sizes = np.abs(both[k:, k])
            pivot = k + int(np.argmin(np.where(sizes == 0, sizes.max() + 1, sizes)))
            both[[k, pivot]] = both[[pivot, k]]
            both[k + 1 :] -= both[k + 1 :, [k]] // both[k, k] * both[k]
        pivot = k + int(np.argmax(both[k:, k] != 0))
        both[[k, pivot]] = both[[pivot, k]]
        _checks.require(bool(both[k, k] != 0), "extent", "have linearly independent rows", [list(row) for row in torus])
        both[k] *= np.sign(both[k, k])
        both[:k] -= both[:k, [k]] // both[k, k] * both[k]
    rows, change = read_only(both[:, :dim]), read_only(both[:, dim:])
    return NormalForm(rows, change, tuple(rows.diagonal().tolist()))


def wrap(torus: Matrix, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The image of each cell (..., dim) in 0 <= n < shape, and the windings w (..., dim) along the rows of the torus.

    cells = image + w @ torus. Where an axis is open the caller refuses windings other than 0.
    """
    form = normal_form(torus)
    image, turns = np.array(cells), np.empty_like(cells)
    for k, row in enumerate(form.rows):
        turns[..., k] = image[..., k] // row[k]
        image -= turns[..., k, None] * row
    return image, turns @ form.change


def grid(shape: tuple[int, ...]) -> np.ndarray:
    """All integer vectors 0 <= n < shape, last axis fastest, shape (prod(shape), dim)."""
    return np.indices(shape).reshape(len(shape), -1).T


def numbers(torus: Matrix, cells: np.ndarray) -> np.ndarray:
    """Place of each wrapped cell (..., dim) in the `grid` of its torus."""
    return np.ravel_multi_index(tuple(np.moveaxis(cells, -1, 0)), normal_form(torus).shape)


def periods(lattice: Cells) -> np.ndarray:
    """Cartesian vectors T_k along the periodic axes, (n_periodic, dim)."""
    return (np.array(lattice.torus) @ np.array(lattice.basis))[np.array(lattice.periodic)]


@functools.lru_cache(maxsize=128)
def positions(lattice: Cells) -> np.ndarray:
    """Cartesian positions (n_sites, dim) in the order of the sites: cells row by row, offsets fastest."""
    origins = grid(lattice.shape) @ np.array(lattice.basis)  # (n_cells, dim)
    sites = origins[:, None, :] + np.array(lattice.offsets)
    return read_only(sites.reshape(-1, len(lattice.basis)))


def locate(lattice: Cells, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sites (n,) at points (n, dim), -1 where there is none, and windings (n, dim); see `Lattice.locate`."""
    basis, offsets = np.array(lattice.basis), np.array(lattice.offsets)
    between = points[:, None, :] - offsets  # (n, n_offsets, dim)
    cells = np.rint(between @ np.linalg.inv(basis))
    apart = np.linalg.norm(between - cells @ basis, axis=-1)
    offset = np.argmin(apart, axis=1)
    each = np.arange(len(points))
    image, windings = wrap(lattice.torus, cells[each, offset].astype(int))
    near = apart[each, offset] <= TOLERANCE * np.linalg.norm(basis, axis=1).min()
    found = near & np.all((windings == 0) | np.array(lattice.periodic), axis=1)
    sites = numbers(lattice.torus, image) * len(offsets) + offset
    return np.where(found, sites, -1), np.where(found[:, None], windings, 0)


def shortest(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The integers w (n, k) for which `vectors` (n, dim) + w @ `rows` (k, dim) is shortest.

    The shortest one lies in the Voronoi cell of the lattice that the rows span, |v . A_k| <= |A_k|^2 / 2 for any of
    its vectors A_k, which bounds what to try: one step either way from the nearest for the usual cells. Of several
    that are equally short the lexicographically largest w is taken.
    """
    change = reduction(rows)
    around = change @ rows
    gram = around @ around.T
    inverse = np.linalg.inv(gram)
    reach = np.floor(0.5 * np.abs(inverse) @ np.diag(gram) + 0.5 + TOLERANCE).astype(int)
    start = -np.rint(vectors @ around.T @ inverse).astype(int)
    significance = 3 ** np.arange(len(rows))[::-1]  # the first sign that is not 0 outweighs all later ones
    best, least = start @ change, np.full(len(vectors), np.inf)
    for extra in itertools.product(*(range(-r, r + 1) for r in reach)):
        here = (start + np.array(extra, dtype=int)) @ change
        lengths = np.linalg.norm(vectors + here @ rows, axis=-1)
        closer = lengths < least * (1 - TOLERANCE)
        larger = np.sign(here - best) @ significance > 0
        better = closer | ((lengths <= least * (1 + TOLERANCE)) & larger)
        best = np.where(better[:, None], here, best)
        least = np.where(better, lengths, least)
    return best


def reduction(rows: np.ndarray) -> np.ndarray:
    """Unimodular (k, k) that makes the rows (k, dim) short: none gets shorter if another one is added to it.

    Without it, a torus written with long vectors would have many images to try.
    """
    change = np.eye(len(rows), dtype=int)
    pairs = list(itertools.permutations(range(len(rows)), 2))
    while True:
        short = change @ rows
        steps = [short[i] @ short[j] / (short[j] @ short[j]) for i, j in pairs]
        if not any(abs(step) > 0.5 + TOLERANCE for step in steps):
            return change
        number = int(np.argmax(np.abs(steps)))
        i, j = pairs[number]
        change[i] -= int(np.rint(steps[number])) * change[j]
