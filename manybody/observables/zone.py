# SPDX-License-Identifier: Apache-2.0
"""Momenta at which correlations may be asked for, in the first Brillouin zone and in the larger one of all positions.

Structure factors repeat with the reciprocal vectors of the lattice only if it has one site in the cell. With more they
repeat with those of the finest lattice on which all sites lie, if there is one: that of kagome is a triangular lattice
of half the spacing, whose Brillouin zone is four times as large.
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction

import numpy as np
import scipy

from manybody import _checks
from manybody._types import Float
from manybody.lattice import AbstractLattice, Lattice
from manybody.lattice.cluster import grid, reduction, shortest

_MAX_DENOMINATOR = 12
_TOLERANCE = 1e-6


def extended_reciprocal(lattice: Lattice) -> Float[np.ndarray, "dim dim"]:
    """Vectors by rows with which e^{ik.(r_i - r_j)} repeats for all sites: primitive ones of the extended zone.

    Raises:
        ValueError: if the sites in the cell are not commensurate with it.
    """
    fine = _fine_basis(lattice)
    must = f"have its sites at fractions of the primitive vectors, with denominators up to {_MAX_DENOMINATOR}"
    _checks.require(fine is not None, "lattice", must, lattice, "Choose the momenta yourself.")
    assert fine is not None
    return 2 * np.pi * np.linalg.inv(fine).T


def allowed_momenta(lattice: AbstractLattice, *, extended: bool = False) -> Float[np.ndarray, "momenta dim"]:
    """The momenta of correlations on a lattice, k . T_j = 0 mod 2 pi for all its periods T_j, twisted or not.

    Args:
        lattice: a Bravais lattice.
        extended: those in the extended zone, which for several sites in the cell are more than in the first one.

    Raises:
        TypeError: if the lattice is a graph.
        ValueError: if the sites in the cell are not commensurate with it and `extended` is set.

    Example:
        >>> from manybody.lattice import kagome
        >>> len(allowed_momenta(kagome(3))), len(allowed_momenta(kagome(3), extended=True))
        (9, 36)
    """
    _checks.require_type(lattice, Lattice, "lattice", "A graph has no momenta of its own; give some.")
    assert isinstance(lattice, Lattice)
    inner = untwisted(lattice).momenta()
    if not extended:
        return inner
    outer = extended_reciprocal(lattice)
    steps = np.rint(outer @ np.linalg.inv(lattice.reciprocal)).astype(int)
    repeat = abs(round(float(np.linalg.det(steps))))  # so many zones, and so many times any vector is an outer one
    shifts = grid((repeat,) * lattice.dim) @ lattice.reciprocal
    momenta = (inner[None] + shifts[:, None]).reshape(-1, lattice.dim)
    momenta = momenta + shortest(momenta, outer) @ outer
    rounded = np.round(momenta / np.abs(outer).max(), 9) + 0.0
    return momenta[np.sort(np.unique(rounded, axis=0, return_index=True)[1])]


def wigner_seitz(rows: np.ndarray) -> Float[np.ndarray, "corners 2"]:
    """Corners, counterclockwise, of what is nearer to 0 than to any other point of the lattice spanned by rows (2, 2).

    Of reciprocal vectors that is the first Brillouin zone.
    """
    steps = grid((5, 5)) - 2
    diagram = scipy.spatial.Voronoi(steps @ reduction(rows) @ rows)
    region = diagram.regions[diagram.point_region[len(steps) // 2]]
    corners = diagram.vertices[region]
    return corners[np.argsort(np.arctan2(corners[:, 1], corners[:, 0]))]


def untwisted(lattice: Lattice) -> Lattice:
    """The same lattice with plain boundaries."""
    if not any(lattice.twist):
        return lattice
    return Lattice(lattice.basis, lattice.extent, lattice.offsets, lattice.periodic, 0.0, lattice.bond_kinds)


def checked_momenta(lattice: AbstractLattice, momenta: np.ndarray) -> np.ndarray:
    """Momenta (n, dim), if e^{ik.r} is the same at all images of a site.

    Raises:
        ValueError: if there is one where it is not, or shapes do not fit.
    """
    dim = lattice.positions.shape[1]
    _checks.require(dim > 0, "lattice", "have positions", "none")
    fits = momenta.ndim == 2 and momenta.shape[1] == dim and len(momenta) > 0
    _checks.require(fits, "momenta", f"have shape (n, {dim})", momenta.shape)
    turns = momenta @ lattice.periods.T / (2 * np.pi)
    off = np.any(np.abs(turns - np.rint(turns)) > _TOLERANCE * np.maximum(1, np.abs(turns)), axis=1)
    cure = "`allowed_momenta(lattice)` are, and their sums with reciprocal vectors."
    must = "be commensurate with the periodic boundaries"
    _checks.require(not off.any(), "momenta", must, momenta[np.argmax(off)].tolist(), cure)
    return momenta


@functools.lru_cache(maxsize=64)
def _fine_basis(lattice: Lattice) -> np.ndarray | None:
    """Primitive vectors, by rows, of the lattice that all differences of positions span."""
    basis, offsets = np.array(lattice.basis), np.array(lattice.offsets)
    parts = (offsets - offsets[0]) @ np.linalg.inv(basis)
    fractions = [Fraction(float(x)).limit_denominator(_MAX_DENOMINATOR) for x in parts.ravel()]
    if np.abs(np.array([float(f) for f in fractions]) - parts.ravel()).max() > _TOLERANCE:
        return None
    scale = math.lcm(*(f.denominator for f in fractions))
    rows = np.array([int(f * scale) for f in fractions], int).reshape(parts.shape)
    rows = _row_echelon(np.concatenate([scale * np.eye(len(basis), dtype=int), rows]))
    return rows / scale @ basis


def _row_echelon(rows: np.ndarray) -> np.ndarray:
    """Linearly independent integer rows (dim, dim) that span the same lattice as more of them (n, dim)."""
    rows = rows.copy()
    for k in range(rows.shape[1]):
        while np.count_nonzero(rows[k:, k]) > 1:  # Euclid's algorithm, on all rows at once
            sizes = np.abs(rows[k:, k])
            pivot = k + int(np.argmin(np.where(sizes == 0, sizes.max() + 1, sizes)))
            rows[[k, pivot]] = rows[[pivot, k]]
            rows[k + 1 :] -= rows[k + 1 :, [k]] // rows[k, k] * rows[k]
        pivot = k + int(np.argmax(rows[k:, k] != 0))
        rows[[k, pivot]] = rows[[pivot, k]]
    return rows[: rows.shape[1]]
