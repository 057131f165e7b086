# SPDX-License-Identifier: Apache-2.0
"""How mixed a density matrix is."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from manybody import _checks
from manybody._types import Array, Float, Int8, PyTree
from manybody.amplitude import Amplitude
from manybody.network import Network
from manybody.observables.sites import check_state
from manybody.parallel import REPLICATED, Comm
from manybody.parallel.chunk import map_rows
from manybody.sampler import Diagonal, Samples
from manybody.sampler.base import samples_spec
from manybody.state import VariationalState
from manybody.stats import Estimate, estimate


def purity(state: VariationalState) -> Estimate:
    r"""Tr rho^2 / (Tr rho)^2, from pairs of samples: 1 for a pure state, 1 / n_states for a fully mixed one.

    .. math::
        \frac{\mathrm{Tr} \rho^2}{(\mathrm{Tr} \rho)^2} = \Bigl\langle
            \frac{|\rho(\sigma, \eta)|^2}{\rho(\sigma, \sigma)\, \rho(\eta, \eta)} \Bigr\rangle

    with sigma and eta drawn independently from the diagonal. Every chain is used once: the first with the second, the
    third with the fourth, at the same draw. What is averaged lies between 0 and 1 where rho is positive. The exact
    sampler sums over all pairs.

    Args:
        state: a density matrix measured on its diagonal (`state.diagonal(...)`), with samples.

    Raises:
        TypeError: if `state` is not a state.
        ValueError: if it has no samples, or others; or a worker has an odd number of chains.

    Example:
        >>> import manybody as mb
        >>> space = mb.hilbert.Spin(3)
        >>> pure = mb.ansatz.DensityRBM(beta=0)
        >>> state = mb.VariationalState(pure, mb.sampler.Exact(mb.hilbert.Doubled(space)))
        >>> mb.observables.purity(state.diagonal(mb.sampler.Exact(space)).sample())
        1 (exact) [var=0]
    """
    check_state(state)
    samples, sampler = state.samples, state.sampler
    assert samples is not None
    is_diagonal = isinstance(sampler, Diagonal) and samples.noise is None
    cure = "Use `state.diagonal(...).sample()`."
    _checks.require(is_diagonal, "state", "be measured on its diagonal", f"samples of {sampler}", cure)
    if samples.kind != "exact":
        n_rows = sampler.n_local(state.comm) if samples.kind == "chain" else state.n_local
        must = "have an even number of chains (or independent draws) of each worker"
        _checks.require(n_rows % 2 == 0, "state", must, n_rows)
    run = _measuring(state.comm, state.network, samples.kind, state.chunk_size)
    return run(state.params, state.constants, samples)


@functools.lru_cache(maxsize=16)
def _measuring(comm: Comm, network: Network, kind: str, chunk_size: int | None) -> Callable:
    def run(params: PyTree, constants: PyTree, samples: Samples) -> Estimate:
        overlap = functools.partial(_overlap, network.bind(params, constants), chunk_size)
        n_sites = samples.sigma.shape[-1] // 2
        rows = (samples.sigma[..., :n_sites], samples.log_psi.real, samples.weight)
        if kind == "exact":
            rows = jax.tree.map(lambda x: x[:, 0], rows)  # (states, ...)
            sigma, log_rho, weight = rows
            others = comm.all_gather(rows)
            values = jax.lax.map(lambda row: overlap(row[:2], others[:2]), (sigma, log_rho))  # (states, all states)
            return estimate(comm, values, weight[:, None] * others[2][None], "exact")
        if kind == "independent":
            rows = jax.tree.map(lambda x: x.reshape(-1, 1, *x.shape[2:]), rows)
        first, second = (jax.tree.map(lambda x, i=i: x[i::2], rows) for i in range(2))  # (chains / 2, draws, ...)
        values = overlap(first[:2], second[:2])
        weight = first[2] * second[2]
        return estimate(comm, values, weight / comm.psum(jnp.sum(weight)), samples.kind)

    return comm.spmd(run, (REPLICATED, REPLICATED, samples_spec(kind)), REPLICATED)  # type: ignore[arg-type]


Rows = tuple[Int8[Array, "*batch sites"], Float[Array, "*batch"]]
"""Configurations sigma, and log rho(sigma, sigma)."""


def _overlap(rho: Amplitude, chunk_size: int | None, first: Rows, second: Rows) -> Float[Array, "*batch"]:
    """|rho(sigma, eta)|^2 / rho(sigma, sigma) rho(eta, eta)."""
    shape = second[0].shape
    pairs = jnp.concatenate([jnp.broadcast_to(first[0], shape), second[0]], axis=-1)
    log_rho = map_rows(rho.log_psi, pairs.reshape(-1, pairs.shape[-1]), chunk_size).real.reshape(shape[:-1])
    return jnp.exp(2 * log_rho - first[1] - second[1])
