# SPDX-License-Identifier: Apache-2.0
"""Row-wise functions in chunks: the memory of a chunk, the numbers of the whole."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from manybody._types import PyTree
from manybody.parallel.comm import Comm


def map_rows(f: Callable[[PyTree], PyTree], rows: PyTree, chunk_size: int | None) -> PyTree:
    """f(rows) for a function that treats rows (leading axis) independently, at most `chunk_size` rows at a time.

    The last chunk is filled up with copies of the first row, whose results are dropped.
    """
    n = jax.tree.leaves(rows)[0].shape[0]
    if chunk_size is None or n <= chunk_size:
        return f(rows)
    n_chunks = -(-n // chunk_size)
    blocks = jax.tree.map(lambda x: _blocks(x, n_chunks, chunk_size), rows)
    out = jax.lax.map(f, blocks)
    return jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:]))[:n], out)


def sum_rows(comm: Comm, f: Callable[[PyTree], PyTree], rows: PyTree, chunk_size: int | None) -> PyTree:
    """f(rows) for a function that adds up over rows and is linear in the leaves of ``rows[1]`` (zero rows add nothing).

    Args:
        comm: the workers (the running sum of a loop is local).
        f: function of a pair (what, coefficients).
        rows: the pair, all leaves with the same leading axis.
        chunk_size: rows at a time.
    """
    what, coefficients = rows
    n = jax.tree.leaves(what)[0].shape[0]
    if chunk_size is None or n <= chunk_size:
        return f(rows)
    n_chunks = -(-n // chunk_size)
    blocks = (
        jax.tree.map(lambda x: _blocks(x, n_chunks, chunk_size), what),
        jax.tree.map(lambda x: _blocks(x, n_chunks, chunk_size, zero=True), coefficients),
    )
    shapes = jax.eval_shape(f, jax.tree.map(lambda x: x[0], blocks))
    zero = comm.pvary(jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes))
    return jax.lax.scan(lambda total, block: (jax.tree.map(jnp.add, total, f(block)), None), zero, blocks)[0]


def _blocks(x: jax.Array, n_chunks: int, chunk_size: int, zero: bool = False) -> jax.Array:
    missing = n_chunks * chunk_size - x.shape[0]
    fill = jnp.zeros((missing, *x.shape[1:]), x.dtype) if zero else jnp.repeat(x[:1], missing, axis=0)
    return jnp.concatenate([x, fill]).reshape((n_chunks, chunk_size, *x.shape[1:]))
