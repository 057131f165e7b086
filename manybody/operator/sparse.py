# SPDX-License-Identifier: Apache-2.0
"""Operators from matrices over all states of a space."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy

from manybody import _checks
from manybody.hilbert import DiscreteSpace
from manybody.operator import matrices
from manybody.operator.bits import merged_rows, pack_sites
from manybody.operator.discrete import DiscreteOperator, Terms, from_terms
from manybody.operator.matrices import MatrixTerms
from manybody.operator.strings import pack_rows

_MAX_ELEMENTS = 2**22
_MAX_LEVELS = 2**10
"""Joint levels of all sites, where some have more than two: their matrix is stored in full."""
_TOLERANCE = 1e-14


def from_sparse(space: DiscreteSpace, matrix: Any) -> DiscreteOperator:
    """The operator with these matrix elements.

    What is a sum of terms on a few sites is found to be one where the space has no sector and no constraint; the
    operator is then as good as one built from terms. Otherwise each element is a term, and each configuration costs as
    many operations as there are elements: for small spaces, and for comparison with other codes.

    The way back is `DiscreteOperator.to_sparse`, or `manybody.exact.linear_operator`.

    Args:
        space: a space whose states can be numbered.
        matrix: a SciPy sparse matrix or an array, real or complex (n_states, n_states), rows and columns in the order
            of `space.all_states()`.

    Raises:
        TypeError: if the matrix does not hold numbers.
        ValueError: if the states cannot be numbered; the matrix has another shape, an element that is not finite, or
            more than 2^22 elements; or sites have more than two levels, and all sites together more than 2^10.

    Example:
        >>> import numpy as np, manybody as mb
        >>> space = mb.hilbert.Spin(3)
        >>> operator = mb.operator.from_sparse(space, np.kron(np.eye(4), [[0.0, 1.0], [1.0, 0.0]]))
        >>> operator == mb.operator.spin.sigmax(space, 2)
        True
    """
    _checks.require_type(space, DiscreteSpace, "space")
    n_states = space.n_states
    shape = np.shape(matrix)
    _checks.require(shape == (n_states, n_states), "matrix", f"have shape ({n_states}, {n_states})", shape)
    dtype = matrix.dtype if scipy.sparse.issparse(matrix) else np.asarray(matrix).dtype
    if not np.issubdtype(dtype, np.number):
        raise TypeError(_checks.requirement("matrix", "hold real or complex numbers", dtype))
    elements = scipy.sparse.coo_array(matrix)
    elements.sum_duplicates()
    _checks.require(elements.nnz <= _MAX_ELEMENTS, "matrix", f"have at most {_MAX_ELEMENTS} elements", elements.nnz)
    values = elements.data.astype(complex if np.iscomplexobj(elements.data) else float)
    _checks.require(bool(np.all(np.isfinite(values))), "matrix", "be finite", "an element that is not")
    rows, columns = (space.to_levels(space.index_to_states(index.astype(np.int64))) for index in elements.coords)
    everything = n_states == math.prod(space.local_dimensions)
    make = _bit_terms if all(d == 2 for d in space.local_dimensions) else _matrix_terms
    return from_terms(space, make(space.local_dimensions, rows, columns, values, everything), np.ones(1))


Levels = np.ndarray
"""int32 (elements, sites)"""


# --- two-level sites --------------------------------------------------------------------------------------------------


def _bit_terms(dimensions: tuple[int, ...], rows: Levels, columns: Levels, values: np.ndarray, every: bool) -> Terms:
    """A row with conditions on all sites for each element, or signs where that takes fewer rows."""
    n_sites = len(dimensions)
    source = pack_rows(columns == 1)
    flip = source ^ pack_rows(rows == 1)
    need = np.broadcast_to(pack_sites(range(n_sites), n_sites), source.shape)
    masks = np.stack([flip, need, source, np.zeros_like(source)])
    zero = np.zeros(len(values), np.int32)
    if not every:
        return merged_rows(n_sites, masks, zero, values)
    scale = np.max(np.abs(values), initial=0.0)
    parts = [_with_signs(masks[:, group], values[group], columns[group], scale) for group in _groups(flip)]
    masks = np.concatenate([masks[:, :0], *(part for part, _ in parts)], axis=1)
    weight = np.concatenate([values[:0], *(weight for _, weight in parts)])
    return merged_rows(n_sites, masks, np.zeros(len(weight), np.int32), weight)


def _groups(keys: np.ndarray) -> Iterator[np.ndarray]:
    """The numbers of the elements that have the same key (elements, words)."""
    _, number = np.unique(keys, axis=0, return_inverse=True)
    order = np.argsort(number.ravel(), kind="stable")
    return iter(np.split(order, np.flatnonzero(np.diff(number.ravel()[order])) + 1) if len(order) else [])


def _with_signs(masks: np.ndarray, values: np.ndarray, columns: Levels, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows with one flip as they are, or as rows without conditions, whichever are fewer: masks and weights.

    k elements take at least 2^n / k signs (the uncertainty relation of the Walsh-Hadamard transform).
    """
    n_sites = columns.shape[1]
    if len(values) ** 2 < 2**n_sites:
        return masks, values
    amplitude = np.zeros(2**n_sites, values.dtype)
    amplitude[columns @ 2 ** np.arange(n_sites)[::-1]] = values
    spectrum = _walsh(amplitude, n_sites) / 2**n_sites
    signs = np.flatnonzero(np.abs(spectrum) > _TOLERANCE * scale)
    if len(signs) > len(values):
        return masks, values
    sign = pack_rows((signs[:, None] >> np.arange(n_sites)[::-1]) & 1 == 1)
    zero = np.zeros_like(sign)
    return np.stack([zero | masks[0, 0], zero, zero, sign]), spectrum[signs]


def _walsh(vector: np.ndarray, n_sites: int) -> np.ndarray:
    """sum_x (-1)^popcount(x & s) vector[x] for all s, (2^n,)."""
    for site in range(n_sites):
        pairs = vector.reshape(2**site, 2, -1)
        vector = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1)
    return vector.reshape(-1)


# --- sites of any dimension -------------------------------------------------------------------------------------------


def _matrix_terms(dimensions: tuple[int, ...], rows: Levels, columns: Levels, values: np.ndarray, every: bool) -> Terms:
    """One matrix on all sites, or those of its parts that act on a few of them where these are smaller together."""
    size = math.prod(dimensions)
    must = f"have at most {_MAX_LEVELS} joint levels of its sites, where some have more than two"
    _checks.require(size <= _MAX_LEVELS, "space", must, size)
    place = np.array([math.prod(dimensions[i + 1 :]) for i in range(len(dimensions))])
    matrix = np.zeros((size, size), values.dtype)
    matrix[rows @ place, columns @ place] = values
    whole = matrices.from_matrix(dimensions, range(len(dimensions)), matrix)
    if not every:
        return whole
    negligible = _TOLERANCE * np.max(np.abs(values), initial=0.0)
    parts = whole.as_irreducible().terms.items()
    split = MatrixTerms(dimensions, {p: m for p, m in parts if np.max(np.abs(m), initial=0.0) > negligible})
    return split if _n_entries(split) < _n_entries(whole) else whole


def _n_entries(terms: MatrixTerms) -> int:
    return sum(matrix.size for matrix in terms.terms.values())
