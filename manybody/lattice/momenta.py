# SPDX-License-Identifier: Apache-2.0
"""Reciprocal space: the momenta that a lattice with its boundaries allows.

A momentum k = f_1 b_1 + ... of the periodic axes is allowed if a particle that goes once round the torus picks up the
twist, k . T_j = twist_j mod 2 pi, so if torus @ f = m + twist / 2 pi with integers m. Adding a reciprocal vector adds
a column of the torus to m, so the classes of m are the wrapped cells of the transposed torus.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from manybody import _checks
from manybody._struct import read_only
from manybody.lattice.cluster import TOLERANCE, Cells, Matrix, grid, normal_form, numbers, shortest, wrap


@functools.lru_cache(maxsize=128)
def reciprocal(lattice: Cells) -> np.ndarray:
    """Rows b_k with a_j . b_k = 2 pi delta_jk."""
    return read_only(2 * np.pi * np.linalg.inv(lattice.basis).T)


@functools.lru_cache(maxsize=128)
def momenta(lattice: Cells) -> np.ndarray:
    """The allowed momenta (n_momenta, dim) in the first Brillouin zone; see `Lattice.momenta`."""
    dual = _dual(lattice)
    windings = grid(normal_form(dual.columns).shape)  # (n_momenta, dim)
    return read_only(_to_zone(dual, _at(dual, windings)))


def momentum_index(lattice: Cells, momentum: np.ndarray) -> int:
    """The row of `momenta` that a momentum (dim,) is equivalent to; see `Lattice.momentum_index`."""
    dual = _dual(lattice)
    windings = np.rint(dual.torus @ (momentum @ np.linalg.pinv(dual.rows)) - dual.shift).astype(int)
    if np.linalg.norm(momentum - _at(dual, windings)) > TOLERANCE * np.linalg.norm(dual.rows, axis=1).max():
        between = _to_zone(dual, momenta(lattice) - momentum)
        nearest = momenta(lattice)[np.argmin(np.linalg.norm(between, axis=1))]
        must, cure = "be one of `momenta()`, up to reciprocal vectors", f"The nearest one is {_shown(nearest)}."
        raise ValueError(_checks.requirement("momentum", must, _shown(momentum), cure))
    image, _ = wrap(dual.columns, windings)
    return int(numbers(dual.columns, image))


class _Dual(NamedTuple):
    """What momenta depend on. An open axis has one cell here, no twist and a reciprocal vector of 0.

    Attributes:
        torus: as floats, (dim, dim).
        columns: its transpose.
        rows: reciprocal vectors in the span of the periodic axes, (dim, dim).
        shift: twists over 2 pi, (dim,).
    """

    torus: np.ndarray
    columns: Matrix
    rows: np.ndarray
    shift: np.ndarray


def _dual(lattice: Cells) -> _Dual:
    wraps = np.array(lattice.periodic)
    torus = np.where(wraps[:, None], lattice.torus, np.eye(len(wraps), dtype=int))
    columns = tuple(map(tuple, torus.T.tolist()))
    rows = 2 * np.pi * np.linalg.pinv(np.where(wraps[:, None], lattice.basis, 0.0)).T
    return _Dual(torus.astype(float), columns, rows, np.array(lattice.twist) / (2 * np.pi))


def _at(dual: _Dual, windings: np.ndarray) -> np.ndarray:
    """The momenta (..., dim) that wind so often (..., dim) round the torus, besides the twist."""
    return np.linalg.solve(dual.torus, (windings + dual.shift)[..., None])[..., 0] @ dual.rows


def _to_zone(dual: _Dual, momenta: np.ndarray) -> np.ndarray:
    """Momenta (n, dim), moved to the first Brillouin zone."""
    rows = dual.rows[np.any(dual.rows, axis=1)]
    return momenta + shortest(momenta, rows) @ rows


def _shown(momentum: np.ndarray) -> str:
    return f"({', '.join(f'{x:.6g}' for x in momentum + 0.0)})"
