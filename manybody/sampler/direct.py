# SPDX-License-Identifier: Apache-2.0
"""Independent samples of an autoregressive wave function."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp

from manybody import _checks
from manybody._random import successors
from manybody._types import Array
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
        ValueError: by the state, if the ansatz draws configurations outside of `space`.

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
        levels, log_p = drawing.drawn(comm, amplitude, keys)  # (positions, draws)
        sigma = drawing.in_place(self.space, amplitude, levels.T)
        log_psi = drawing.log_psi(amplitude, sigma, jnp.sum(log_p, axis=0))
        weight = comm.pvary(jnp.full((1, n_draws), 1.0 / (comm.size * n_draws)))
        return DrawState(key_next), Samples(sigma[None], log_psi[None], weight, "independent"), {}
