# SPDX-License-Identifier: Apache-2.0
"""Row-wise functions in chunks: the memory of a chunk, the numbers of the whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import jaxpr_as_fun, subjaxprs

from manybody._types import PyTree
from manybody.parallel.comm import Comm

_NEAR = 2**22
"""Bytes of an array that stays in the caches of a processor until it is used."""

_FEWEST = 16
"""Rows at a time that are always worth it: products of matrices need some."""


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


def map_each(f: Callable[[PyTree], PyTree], rows: PyTree, chunk_size: int | None) -> PyTree:
    """f of each row on its own, at most `chunk_size` rows at a time.

    Without it all at once; but on a processor so few that all arrays on the way stay in its caches. Larger
    ones are far slower, above all where the system must find and clear memory for them, and nothing is gained.
    """
    if chunk_size is not None or jax.default_backend() != "cpu":
        return map_rows(jax.vmap(f), rows, chunk_size)
    closed, out = jax.make_jaxpr(f, return_shape=True)(jax.tree.map(lambda x: x[0], rows))
    flat, structure = jaxpr_as_fun(closed), jax.tree.structure(out)

    def same(row: PyTree) -> PyTree:  # what was traced is not traced again
        return jax.tree.unflatten(structure, flat(*jax.tree.leaves(row)))

    most = max(1, _NEAR // _largest(closed.jaxpr))
    return map_rows(jax.vmap(same), rows, max(_FEWEST, 2 ** (most.bit_length() - 1)))


def _largest(jaxpr: Any) -> int:
    """Bytes of the largest array that is made on the way to the results."""
    results = set(map(id, jaxpr.outvars))
    made = (x.aval for eqn in jaxpr.eqns for x in eqn.outvars if id(x) not in results)
    own = (math.prod(x.shape) * x.dtype.itemsize for x in made if hasattr(x, "shape"))
    return max([1, *own, *map(_largest, subjaxprs(jaxpr))])


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
    if not missing:
        return x.reshape((n_chunks, chunk_size, *x.shape[1:]))
    fill = jnp.zeros((missing, *x.shape[1:]), x.dtype) if zero else jnp.repeat(x[:1], missing, axis=0)
    return jnp.concatenate([x, fill]).reshape((n_chunks, chunk_size, *x.shape[1:]))
