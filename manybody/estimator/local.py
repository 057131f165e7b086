# SPDX-License-Identifier: Apache-2.0
"""Local estimators O_loc(sigma) = sum over sigma' of <sigma|O|sigma'> psi(sigma') / psi(sigma)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from manybody._precision import widen
from manybody._types import Array, Bool, Inexact, Int, Int8
from manybody.amplitude import Amplitude
from manybody.operator import CompiledOperator
from manybody.parallel import Comm
from manybody.parallel.chunk import map_rows

DEFAULT_CHUNK = 1024
"""Connections evaluated at a time where the user gives no `chunk_size`: the work space of a network then stays in the
caches (4096 take a third longer with a residual network of 16 features)."""


class LocalValues(NamedTuple):
    """Local estimators and the number of connections that they took.

    Attributes:
        values: O_loc (samples,), in double precision.
        n_rows: the largest number of non-zero connections on any worker. If it exceeds the buffer, `values` are not
            complete and must be thrown away.
    """

    values: Inexact[Array, "samples"]
    n_rows: Int[Array, ""]


def local_values(
    comm: Comm,
    amplitude: Amplitude,
    operator: CompiledOperator,
    sigma: Int8[Array, "samples sites"],
    n_buffer: int,
    chunk_size: int | None,
) -> LocalValues:
    """Local estimators of a worker's samples.

    Only connections with a non-zero element are evaluated: they are listed in a buffer of static size `n_buffer` and
    worked off in chunks, as many as there are.

    Args:
        comm: the workers.
        amplitude: the wave function.
        operator: the compiled operator.
        sigma: configurations.
        n_buffer: static number of connections that fit (see `buffer_size`).
        chunk_size: static number of connections (and of configurations) evaluated at a time.
    """
    diagonal = widen(operator.diagonal(sigma))
    if operator.n_connections == 0:
        return LocalValues(diagonal, jnp.int32(0))
    elements = widen(operator.elements(sigma)).reshape(-1)  # (samples * conn,)

    def add(total: Array, row: Array, ratio: Array) -> Array:
        term = elements[row].astype(total.dtype) * ratio.astype(total.dtype)
        return total.at[sample_of(row, operator.n_connections)].add(term)

    total = diagonal.astype(np.result_type(ratio_dtype(amplitude, sigma), elements.dtype, diagonal.dtype))
    total, count = fold_ratios(comm, amplitude, operator, sigma, elements != 0, n_buffer, chunk_size, add, total)
    return LocalValues(total, comm.pmax(count))


def ratio_dtype(amplitude: Amplitude, sigma: Int8[Array, "samples sites"]) -> np.dtype:
    """The type of ratios of amplitudes: that of log psi."""
    return jax.eval_shape(amplitude.log_psi, sigma).dtype


def fold_ratios(
    comm: Comm,
    amplitude: Amplitude,
    operator: CompiledOperator,
    sigma: Int8[Array, "samples sites"],
    used: Bool[Array, "rows"],
    n_buffer: int,
    chunk_size: int | None,
    add: Callable[[Array, Array, Array], Array],
    total: Array,
) -> tuple[Array, Int[Array, ""]]:
    """Ratios psi(sigma') / psi(sigma) of the connections in use, in chunks, each chunk added to a running total.

    Args:
        comm: the workers.
        amplitude: the wave function.
        operator: the compiled operator.
        sigma: configurations.
        used: which connections to evaluate (samples * conn,).
        n_buffer: static number of connections that fit.
        chunk_size: static number of connections evaluated at a time.
        add: (total, rows, ratios) -> total. Rows that only fill up a chunk come as row 0 with the ratio 0.
        total: what to start from.

    Returns:
        The total, and the number of connections in use on this worker.
    """
    n_conn = operator.n_connections
    count = jnp.sum(used, dtype=jnp.int32)
    rows, n_listed = _listed(used, count, n_buffer, operator.never_vanishes)
    cache = map_rows(amplitude.init_cache, sigma, chunk_size)
    chunk = min(DEFAULT_CHUNK if chunk_size is None else chunk_size, n_buffer)

    def add_chunk(number: Array, total: Array) -> Array:
        start = jnp.minimum(number * chunk, n_buffer - chunk)
        place = start + jnp.arange(chunk, dtype=jnp.int32)
        row = place if rows is None else jax.lax.dynamic_slice_in_dim(rows, start, chunk)
        fresh = place >= number * chunk
        fresh &= used.at[row].get(mode="fill", fill_value=False)
        row = jnp.where(fresh, row, 0)
        sample = sample_of(row, n_conn)
        conn = row - sample * n_conn
        sites, values = operator.change(sigma[sample], conn)
        ratio = jnp.exp(widen(amplitude.log_ratio(jax.tree.map(lambda x: x[sample], cache), sites, values)))
        # Rows that only fill up may lead to illegal configurations, where the ratio can be anything, nan included.
        return add(total, row, jnp.where(fresh, ratio, jnp.zeros_like(ratio)))

    n_chunks = (jnp.minimum(n_listed, n_buffer) + chunk - 1) // chunk
    return jax.lax.fori_loop(jnp.zeros_like(n_chunks), n_chunks, add_chunk, comm.pvary(total)), count


def sample_of(row: Int[Array, "rows"], n_conn: int) -> Int[Array, "rows"]:
    """The number of the sample of a connection; rounded down by `//`, it would carry the treatment of signs along."""
    return jax.lax.div(row, jnp.asarray(n_conn, row.dtype))


def count_rows(
    comm: Comm, operator: CompiledOperator, sigma: Int8[Array, "samples sites"], chunk_size: int | None
) -> Int[Array, ""]:
    """The largest number of non-zero connections on any worker."""
    per_sample = map_rows(lambda s: jnp.sum(operator.elements(s) != 0, axis=-1, dtype=jnp.int32), sigma, chunk_size)
    return comm.pmax(jnp.sum(per_sample, dtype=jnp.int32))


def buffer_size(n_rows: int, n_local: int, n_conn: int) -> int:
    """Size of a buffer that holds `n_rows` connections of `n_local` samples with room to grow.

    A quarter more than asked for, rounded up on a coarse geometric grid, so that slowly growing needs and slightly
    different samples compile few variants; never more than all connections.
    """
    wanted = max(1, n_rows + n_rows // 4)
    grid = 2 ** max(0, wanted.bit_length() - 3)  # steps of an eighth to a quarter
    return min(-(-wanted // grid) * grid, n_local * n_conn)


def _listed(used: Array, count: Array, n_buffer: int, never_vanish: bool) -> tuple[Array | None, Array]:
    """Positions (n_buffer,) among which are those of the connections in use, and how many of the first ones to look at.

    If there is room for all, and nothing to leave out, these are all; else those in use, filled up with a position past
    the end. None if they are all in any case.
    """
    if n_buffer < used.shape[0]:
        return _compacted(used, n_buffer), count
    if never_vanish:
        return None, jnp.where(count > 0, jnp.int32(n_buffer), jnp.int32(0))
    # As varying over workers as the other branch, and so from the outset: JAX cannot batch a conditional inside of
    # which a constant becomes it.
    every = jnp.arange(n_buffer, dtype=jnp.int32) + jnp.zeros_like(used, jnp.int32)
    return jax.lax.cond(jnp.all(used), lambda: every, lambda: _compacted(used, n_buffer)), count


def _compacted(used: Array, n_buffer: int) -> Array:
    """As `jnp.nonzero(used, size=n_buffer)`, with one running sum instead of two."""
    n_rows = used.shape[0]
    place = jnp.where(used, jnp.cumsum(used, dtype=jnp.int32) - 1, n_buffer)
    empty = jnp.full_like(place, n_rows, shape=n_buffer)
    return empty.at[place].set(jnp.arange(n_rows, dtype=jnp.int32), mode="drop")
