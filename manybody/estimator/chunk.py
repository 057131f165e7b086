# SPDX-License-Identifier: Apache-2.0
"""How many configurations fit into the memory at a time: `chunk_size="auto"`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._precision import widen
from manybody._types import Array, Float, Int, Int8, PyTree
from manybody.estimator.derivatives import jacobian_rows
from manybody.estimator.local import DEFAULT_CHUNK
from manybody.network import Network
from manybody.parallel import Comm, memory

AUTO = "auto"
SHARE = 2
"""A chunk takes at most 1 / SHARE of the memory: the rest is for what is there for all samples (configurations, caches,
lists of connections, rows of the Jacobian, the kernel) and for parameters."""


def check_chunk(chunk_size: Any, memory_limit: Any = None) -> int | str | None:
    """`chunk_size` as a number, None or `AUTO`.

    Raises:
        TypeError: if it, or the limit, is no number.
        ValueError: if it is another word or not positive, or there is a limit that nothing asks for.
    """
    unused = memory_limit is not None and chunk_size != AUTO
    _checks.require(not unused, "memory_limit", f"be left out unless chunk_size={AUTO!r}", memory_limit)
    if memory_limit is not None:
        _checks.positive(memory_limit, "memory_limit")
    if isinstance(chunk_size, str):
        return _checks.choice(chunk_size, (AUTO,), "chunk_size")
    return None if chunk_size is None else _checks.integer(chunk_size, "chunk_size", minimum=1)


def choose_chunk(
    comm: Comm,
    network: Network,
    params: PyTree,
    constants: PyTree,
    n_sites: int,
    n_local: int,
    memory_limit: float | None = None,
) -> int | None:
    """The number of configurations at a time whose evaluation takes half of the memory of a worker.

    Two programs are compiled, and the one that takes more decides: derivatives of log psi, configuration by
    configuration, and ratios of amplitudes with the caches that they need.

    Args:
        comm: the workers, all of which get the same answer.
        network: the wave function.
        params: its parameters, or their shapes.
        constants: its constants, likewise.
        n_sites: number of sites.
        n_local: number of samples of a worker.
        memory_limit: bytes for each worker; by default what is free now (`manybody.parallel.memory.free`).

    Returns:
        None if no chunks are needed; else a power of two, at most the number of connections that are evaluated at a
        time without chunks: larger chunks would be slower.

    Raises:
        ValueError: if one configuration takes too much, or free memory is not known.
    """
    limit = memory.free(comm) if memory_limit is None else int(memory_limit)
    shapes = jax.eval_shape(lambda: (params, constants))  # not where they are: one device is planned for

    def sigma(rows: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((rows, n_sites), jnp.int8)

    def change(rows: int) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
        return jax.ShapeDtypeStruct((rows, 1), jnp.int32), jax.ShapeDtypeStruct((rows, 1), jnp.int8)

    def derivatives(rows: int) -> int:
        return memory.taken(lambda p, c, s: _derivatives(network, p, c, s), *shapes, sigma(rows))

    def ratios(rows: int) -> int:
        return memory.taken(lambda p, c, s, x: _ratios(network, p, c, s, *x), *shapes, sigma(rows), change(rows))

    rows = everything = max(n_local, DEFAULT_CHUNK)
    for need, whole in ((derivatives, n_local), (ratios, everything)):
        wanted = min(whole, rows)
        fitting = memory.fit(need, wanted, limit // SHARE, DEFAULT_CHUNK) if wanted else 0
        rows = rows if fitting == wanted else fitting
    rows = int(comm.exchange(np.array(rows, np.int32)).min())  # before an error, which then all processes raise
    if rows == 0:
        one = SHARE * max(derivatives(1), ratios(1))
        must = f"be at least {one} bytes, {SHARE} times what the evaluation of one configuration takes"
        raise ValueError(_checks.requirement("memory_limit", must, limit))
    return None if rows == everything else rows


def _derivatives(
    network: Network, params: PyTree, constants: PyTree, sigma: Int8[Array, "samples sites"]
) -> Float[Array, "samples parts params"]:
    """Rows of the Jacobian as stochastic reconfiguration needs them, without their mean."""

    def log_psi(p: PyTree, s: Array) -> Array:
        return network.log_psi(p, constants, s)

    n_parts = 2 if jnp.iscomplexobj(jax.eval_shape(log_psi, params, sigma)) else 1
    return jacobian_rows(log_psi, params, sigma, n_parts)


def _ratios(
    network: Network,
    params: PyTree,
    constants: PyTree,
    sigma: Int8[Array, "samples sites"],
    sites: Int[Array, "samples changed"],
    values: Int8[Array, "samples changed"],
) -> Array:
    amplitude = network.bind(params, constants)
    return jnp.exp(widen(amplitude.log_ratio(amplitude.init_cache(sigma), sites, values)))
