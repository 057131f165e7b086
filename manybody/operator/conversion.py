# SPDX-License-Identifier: Apache-2.0
"""Operators as matrices over all states of a space."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy

from manybody import _checks
from manybody._types import Array
from manybody.hilbert import DiscreteSpace
from manybody.operator.compiled import CompiledOperator, connected

_BLOCK = 2**17
"""Matrix elements, zeros included, that are computed at a time: their configurations stay in the cache."""


def to_sparse(space: DiscreteSpace, compiled: CompiledOperator) -> scipy.sparse.csr_array:
    """Matrix (n_states, n_states) of a compiled operator; row = sigma, column = sigma'."""
    n_states = space.n_states
    _checks.require(n_states < 2**31, "space", "have fewer than 2^31 states to be written as a matrix", n_states)
    n_rows = min(n_states, max(1, _BLOCK // (compiled.n_connections + 1)))
    per_row = np.zeros(n_states + 1, np.int64)
    columns, values = [], []
    for start in range(0, n_states, n_rows):
        stop = min(start + n_rows, n_states)
        index = np.minimum(np.arange(start, start + n_rows), n_states - 1)  # one static size: compiled once
        rows = _rows(space, compiled, index, space.index_to_states(index))
        target, element = (np.asarray(a)[: stop - start] for a in rows)
        used = element != 0
        per_row[start + 1 : stop + 1] = used.sum(axis=1)
        columns.append(target[used])
        values.append(element[used])
    pointers = np.cumsum(per_row).astype(np.int32 if per_row.sum() < 2**31 else np.int64)
    matrix = scipy.sparse.csr_array(
        (np.concatenate(values), np.concatenate(columns), pointers), shape=(n_states, n_states)
    )
    matrix.sort_indices()
    if compiled.may_repeat:
        matrix.sum_duplicates()
    return matrix


@functools.partial(jax.jit, static_argnums=0)
def _rows(space: DiscreteSpace, compiled: CompiledOperator, index: Array, sigma: Array) -> tuple[Array, Array]:
    """Columns, int32 (rows, 1 + conn), and values of the matrix elements of some rows, the diagonal first."""
    diagonal, (target, elements) = compiled.diagonal(sigma), off_diagonal_rows(space, compiled, sigma)
    dtype = np.promote_types(diagonal.dtype, elements.dtype)
    return (
        jnp.concatenate([index[:, None].astype(jnp.int32), target.astype(jnp.int32)], axis=1),
        jnp.concatenate([diagonal[:, None].astype(dtype), elements.astype(dtype)], axis=1),
    )


def off_diagonal_rows(space: DiscreteSpace, compiled: CompiledOperator, sigma: Array) -> tuple[Array, Array]:
    """Columns and values (rows, conn) of the matrix elements in the rows of some configurations, the diagonal apart.

    Columns of zero elements mean nothing.
    """
    return _index_of_connected(space, compiled, sigma), compiled.elements(sigma)


def _index_of_connected(space: DiscreteSpace, compiled: CompiledOperator, sigma: Array) -> Array:
    """Indices (rows, conn) of what configurations are connected to."""
    if compiled.n_connections == 0:
        return jnp.zeros((sigma.shape[0], 0), jnp.int32)
    parts = space.index_parts()
    if parts is None:
        return jnp.asarray(space.states_to_index(connected(sigma, *compiled.changes(sigma))))
    index = (jnp.asarray(part.of_codes(compiled.codes(space, sigma, part.place))) for part in parts)
    return functools.reduce(jnp.add, index)
