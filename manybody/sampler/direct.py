# SPDX-License-Identifier: Apache-2.0
"""Independent samples of an autoregressive wave function."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from manybody import _checks
from manybody._random import successors
from manybody._types import Array, PyTree
from manybody.amplitude import Amplitude
from manybody.hilbert import DiscreteSpace
from manybody.parallel import Comm
from manybody.sampler import drawing
from manybody.sampler.base import Samples
from manybody.sampler.drawing import Drawing, DrawState


@dataclass(frozen=True)
class Direct(Drawing):
    """Draws independent configurations of `space` from an autoregressive ansatz, one site after the other.

    There are no chains, no burn-in and no correlations: the cost of a sample is about that of one evaluation, if the
    ansatz keeps partial results. The number of samples must be a multiple of the number of workers.

    Raises:
        TypeError: if `space` is no discrete space; by the state, if the ansatz is not autoregressive.

    Reference:
        Sharir, Levine, Wies, Carleo, Shashua (2020), arXiv:1902.04057.
    """

    space: DiscreteSpace

    def __post_init__(self) -> None:
        _checks.require_type(self.space, DiscreteSpace, "space")

    def n_local(self, comm: Comm) -> int:
        """One row of draws."""
        return 1

    def n_draws(self, n_samples: int | None, comm: Comm) -> int:
        return comm.local_count(_checks.integer(n_samples, "n_samples", minimum=1), "n_samples")

    def sample(
        self, comm: Comm, amplitude: Amplitude, state: DrawState, n_draws: int
    ) -> tuple[DrawState, Samples, dict[str, Array]]:
        amplitude = drawing.drawable(self.space, amplitude)
        key_now, key_next = successors(state.key)
        keys = comm.chain_keys(key_now, n_draws)

        def step(walk: tuple[PyTree, Array], position: Array) -> tuple[tuple[PyTree, Array], tuple[Array, Array]]:
            log_p, cache = amplitude.draw_step(walk[0], position, walk[1])
            gumbel = jax.vmap(lambda key: jax.random.gumbel(jax.random.fold_in(key, position), log_p.shape[1:]))(keys)
            levels = jnp.argmax(log_p + gumbel, axis=1).astype(jnp.int32)
            chosen = jnp.take_along_axis(log_p, levels[:, None], axis=1)[:, 0]
            return comm.pvary((cache, levels)), (levels, chosen)

        start = comm.pvary((amplitude.init_draw(n_draws), jnp.zeros(n_draws, jnp.int32)))
        _, drawn = jax.lax.scan(step, start, jnp.arange(self.space.size, dtype=jnp.int32))
        levels, log_p = drawn  # (positions, draws)
        sigma = drawing.in_place(self.space, amplitude, levels.T)
        log_psi = drawing.log_psi(amplitude, sigma, jnp.sum(log_p, axis=0))
        weight = comm.pvary(jnp.full((1, n_draws), 1.0 / (comm.size * n_draws)))
        return DrawState(key_next), Samples(sigma[None], log_psi[None], weight, "independent"), {}
