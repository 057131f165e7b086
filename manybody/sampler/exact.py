# SPDX-License-Identifier: Apache-2.0
"""All configurations of a space, weighted by |psi|^2: sums instead of estimates."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from manybody import _checks
from manybody._struct import dataclass as pytree
from manybody._types import Array, Bool, Int8, PRNGKey
from manybody.amplitude import Amplitude
from manybody.hilbert import DiscreteSpace
from manybody.parallel import SHARD, Comm
from manybody.sampler.base import Sampler, Samples

_MAX_STATES = 2**24


@pytree
class ExactState:
    """The configurations of the local workers; the last ones may be there only to fill up its block."""

    sigma: Int8[Array, "states sites"]
    counts: Bool[Array, "states"]


@dataclass(frozen=True)
class Exact(Sampler):
    """Enumerates `space`: every state is one sample of weight |psi|^2 / norm. No randomness, no error.

    States of weight zero are replaced by the most likely one (with weight zero): ratios of amplitudes and derivatives
    of log psi do not exist there, and contribute nothing.

    Raises:
        ValueError: if the space has more than 2^24 states.
    """

    space: DiscreteSpace

    kind = "exact"
    has_memory = False

    def __post_init__(self) -> None:
        _checks.require_type(self.space, DiscreteSpace, "space")
        _checks.require(
            self.space.n_states <= _MAX_STATES,
            "space",
            "have at most 2^24 states to be summed over",
            self.space.n_states,
        )

    def n_local(self, comm: Comm) -> int:
        """Blocks are filled up, so any number of workers will do."""
        return -(-self.space.n_states // comm.size)

    def n_draws(self, n_samples: int | None, comm: Comm) -> int:
        del comm
        _checks.require(
            n_samples is None, "n_samples", "be None for the exact sampler (it takes all states)", n_samples
        )
        return 1

    def init(self, comm: Comm, key: PRNGKey) -> ExactState:
        del key
        n_states = self.space.n_states
        index = comm.global_index(self.n_local(comm))
        states = jnp.asarray(self.space.all_states())
        return ExactState(states[jnp.minimum(index, n_states - 1)], index < n_states)

    @property
    def state_spec(self) -> ExactState:
        return ExactState(SHARD, SHARD)

    def examples(self, comm: Comm, state: ExactState) -> Int8[Array, "states sites"]:
        del comm
        return state.sigma

    @property
    def info_spec(self) -> dict:
        return {}

    def sample(
        self, comm: Comm, amplitude: Amplitude, state: ExactState, n_draws: int
    ) -> tuple[ExactState, Samples, dict[str, Array]]:
        log_psi = amplitude.log_psi(state.sigma)
        log_weight = jnp.where(state.counts, 2.0 * log_psi.real, -jnp.inf)
        weight = jnp.exp(log_weight - comm.pmax(jnp.max(log_weight)))
        weight = weight / comm.psum(jnp.sum(weight))
        best = jnp.argmax(log_weight)
        bests = comm.all_gather((log_weight[best][None], state.sigma[best][None], log_psi[best][None]))
        _, likely_sigma, likely_log_psi = jax.tree.map(lambda x: x[jnp.argmax(bests[0])], bests)
        sigma = jnp.where(weight[:, None] > 0, state.sigma, likely_sigma[None])
        log_psi = jnp.where(weight > 0, log_psi, likely_log_psi)
        samples = Samples(sigma[:, None], log_psi[:, None], weight[:, None], "exact")  # (states, 1, ...)
        return state, samples, {}
