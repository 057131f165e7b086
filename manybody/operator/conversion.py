# SPDX-License-Identifier: Apache-2.0
"""Operators as matrices over all states of a space."""

from __future__ import annotations

import jax
import numpy as np
import scipy.sparse

from manybody import _checks
from manybody.hilbert import DiscreteSpace
from manybody.operator.compiled import CompiledOperator

_BATCH = 2**14


def to_sparse(space: DiscreteSpace, compiled: CompiledOperator) -> scipy.sparse.csr_array:
    """Matrix (n_states, n_states) of a compiled operator; row = sigma, column = sigma'."""
    _checks.require(
        space.n_states < 2**31, "space", "have fewer than 2^31 states to be written as a matrix", space.n_states
    )
    n_states = space.n_states
    elements_of, diagonal_of = jax.jit(compiled.elements), jax.jit(compiled.diagonal)
    change = jax.jit(compiled.change)
    rows, columns, values = [], [], []
    for start in range(0, n_states, _BATCH):
        index = np.arange(start, min(start + _BATCH, n_states))
        sigma = space.index_to_states(index)
        elements = np.asarray(elements_of(sigma))
        sample, conn = np.nonzero(elements)
        changed = _changed(sigma, sample, conn, change, elements.size)
        rows += [index, index[sample]]
        columns += [index, space.states_to_index(changed)]
        values += [np.asarray(diagonal_of(sigma)), elements[sample, conn]]
    data = np.concatenate(values)
    matrix = scipy.sparse.coo_array(
        (data, (np.concatenate(rows).astype(np.int32), np.concatenate(columns).astype(np.int32))),
        shape=(n_states, n_states),
    ).tocsr()
    matrix.eliminate_zeros()
    return matrix


def _changed(sigma: np.ndarray, sample: np.ndarray, conn: np.ndarray, change, size: int) -> np.ndarray:  # noqa: ANN001
    """sigma' of the non-zero elements; padded to one static size so that nothing compiles twice."""
    fill = size - len(sample)
    parents = sigma[np.pad(sample, (0, fill))]
    sites, values = (np.asarray(a)[: len(sample)] for a in change(parents, np.pad(conn, (0, fill)).astype(np.int32)))
    changed = parents[: len(sample)].copy()
    np.put_along_axis(changed, sites.astype(np.int64), values, axis=1)
    return changed
