# SPDX-License-Identifier: Apache-2.0
"""Markov chains with the Metropolis-Hastings rule; the only accept/reject in the library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._struct import FrozenArray, dataclass
from manybody._types import Array, Int, Int8, PRNGKey, PyTree
from manybody.amplitude import Amplitude, apply_change, try_change, where_accepted
from manybody.hilbert import DiscreteSpace
from manybody.parallel import REPLICATED, SHARD, Comm
from manybody.sampler.base import Sampler, Samples
from manybody.sampler.move import Move


@dataclass
class ChainState:
    """Where the chains are.

    Attributes:
        sigma: configurations (chains, sites).
        key: randomness of the next call.
        owed: sweeps of burn-in still to be made before the next draw.
    """

    sigma: Int8[Array, "chains sites"]
    key: PRNGKey
    owed: Int[Array, ""]


class Metropolis(Sampler):
    """Chains that walk through `space` by a `move`.

    Args:
        space: the space.
        move: proposals; must stay in the space and connect it. Those that violate the constraint of a `Constrained`
            space are rejected.
        n_chains: number of chains on all workers together.
        sweep_size: steps between two draws; by default the number of sites.
        n_burn_in: sweeps that new chains make before their first draw.
        initial: where new chains start: configurations (n_chains, sites) or (sites,), or a function
            (key, n) -> (n, sites); by default random states of the space.

    The cache of partial results is made from scratch before every draw, so rounding errors of the updates do not
    build up; how far they had drifted (largest difference in log psi) is in the information returned.

    Raises:
        ValueError: if the move leaves the space or cannot connect it, with the reason; or a number is out of range.
    """

    kind = "chain"

    def __init__(
        self,
        space: DiscreteSpace,
        move: Move,
        n_chains: int = 16,
        sweep_size: int | None = None,
        n_burn_in: int = 10,
        initial: Any = None,
    ) -> None:
        _checks.require_type(space, DiscreteSpace, "space")
        _checks.require_type(move, Move, "move")
        reason = move.obstruction(space)
        _checks.require(reason is None, "move", f"sample all of {space}", f"{move}: {reason}")
        self.space = space
        self.move = move
        self.n_chains = _checks.integer(n_chains, "n_chains", minimum=1)
        self.sweep_size = _checks.integer(space.size if sweep_size is None else sweep_size, "sweep_size", minimum=1)
        self.n_burn_in = _checks.integer(n_burn_in, "n_burn_in", minimum=0)
        self.initial = _checked_initial(initial, space, self.n_chains)

    def _identity(self) -> tuple:
        return (self.space, self.move, self.n_chains, self.sweep_size, self.n_burn_in, self.initial)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Metropolis) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        start = "" if self.initial is None else f", initial={self.initial}"
        numbers = f"n_chains={self.n_chains}, sweep_size={self.sweep_size}, n_burn_in={self.n_burn_in}"
        return f"Metropolis({self.space}, {self.move}, {numbers}{start})"

    def n_local(self, comm: Comm) -> int:
        return comm.local_count(self.n_chains, "n_chains")

    def n_draws(self, n_samples: int | None, comm: Comm) -> int:
        del comm
        if n_samples is None:
            return 1
        n = _checks.integer(n_samples, "n_samples", minimum=1)
        below = n - n % self.n_chains
        near = " or ".join(str(m) for m in (below, below + self.n_chains) if m > 0)
        _checks.require(
            n % self.n_chains == 0, "n_samples", f"be a multiple of n_chains ({self.n_chains})", n, f"Nearest: {near}."
        )
        return n // self.n_chains

    def init(self, comm: Comm, key: PRNGKey) -> ChainState:
        n_local = self.n_local(comm)
        key_start, key_next = jax.random.split(key)
        if isinstance(self.initial, FrozenArray):
            every = jnp.broadcast_to(jnp.asarray(self.initial.array), (self.n_chains, self.space.size))
            sigma = every[comm.global_index(n_local)]
        else:
            draw = self.space.random_state if self.initial is None else self.initial
            sigma = jax.vmap(lambda k: draw(k, 1)[0])(comm.chain_keys(key_start, n_local))
        return ChainState(sigma.astype(jnp.int8), key_next, jnp.int32(self.n_burn_in))

    @property
    def state_spec(self) -> ChainState:
        return ChainState(SHARD, REPLICATED, REPLICATED)

    def examples(self, comm: Comm, state: ChainState) -> Int8[Array, "chains sites"]:
        del comm
        return state.sigma

    @property
    def info_spec(self) -> Any:
        return REPLICATED

    def sample(
        self, comm: Comm, amplitude: Amplitude, state: ChainState, n_draws: int
    ) -> tuple[ChainState, Samples, dict[str, Array]]:
        n_local = state.sigma.shape[0]
        key_now, key_next = jax.random.split(state.key)
        step = self._step(amplitude, comm.chain_keys(key_now, n_local))
        n_kinds = len(self.move.names)

        def draw(carry: PyTree, number: Array) -> tuple[PyTree, PyTree]:
            start, *walk = carry
            sweeps = 1 + jnp.where(number == 0, state.owed, 0)
            stop = start + sweeps * self.sweep_size
            from_zero = jnp.isneginf(walk[2].real)  # log psi cannot be followed from there
            sigma, _, log_psi, counts = jax.lax.fori_loop(start, stop, step, tuple(walk))
            cache, fresh = amplitude.init_cache(sigma), amplitude.log_psi(sigma)
            drift = jnp.max(jnp.where(from_zero, 0.0, jnp.abs((fresh - log_psi).real)))
            return (stop, sigma, *comm.pvary((cache, fresh, counts))), (sigma, fresh, drift)

        walk = (
            state.sigma,
            *comm.pvary((amplitude.init_cache(state.sigma), amplitude.log_psi(state.sigma), jnp.zeros((2, n_kinds)))),
        )
        carry, (sigma, log_psi, drift) = jax.lax.scan(draw, (jnp.int32(0), *walk), jnp.arange(n_draws))
        proposed, accepted = comm.psum(carry[-1])
        weight = comm.pvary(jnp.full((n_local, n_draws), 1.0 / (self.n_chains * n_draws)))
        samples = Samples(jnp.swapaxes(sigma, 0, 1), log_psi.T, weight, "chain")  # (chains, draws, ...)
        info = {"acceptance": accepted / jnp.maximum(proposed, 1.0), "cache_drift": comm.pmax(jnp.max(drift))}
        return ChainState(carry[1], key_next, jnp.int32(0)), samples, info

    def _step(self, amplitude: Amplitude, keys: Array) -> Callable[[Array, PyTree], PyTree]:
        """One Metropolis step of all chains: the loop body (number, walk) -> walk."""
        n_kinds = len(self.move.names)

        def step(number: Array, walk: PyTree) -> PyTree:
            sigma, cache, log_psi, counts = walk
            key_propose, key_accept = jax.vmap(lambda k: jax.random.split(jax.random.fold_in(k, number)), out_axes=1)(
                keys
            )
            kind, (sites, values, log_q) = jax.vmap(lambda k, s: self.move.propose_kind(k, s, self.space))(
                key_propose, sigma
            )
            log_ratio, commit = try_change(amplitude, cache, sites, values)
            threshold = jnp.log(jax.vmap(jax.random.uniform)(key_accept))
            accepted = threshold < 2.0 * log_ratio.real + log_q.astype(threshold.dtype)
            proposed = apply_change(sigma, sites, values)
            if not self.space.has_only_sectors:
                accepted &= self.space.contains(proposed)
            sigma = where_accepted(accepted, proposed, sigma)
            log_psi = log_psi + jnp.where(accepted, log_ratio, jnp.zeros_like(log_ratio))
            of_kind = kind[:, None] == jnp.arange(n_kinds, dtype=kind.dtype)[None, :]
            tally = jnp.stack([of_kind.sum(axis=0), (of_kind & accepted[:, None]).sum(axis=0)])
            return sigma, commit(accepted), log_psi, counts + tally.astype(counts.dtype)

        return step


def _checked_initial(initial: Any, space: DiscreteSpace, n_chains: int) -> FrozenArray | Callable | None:
    if initial is None:
        return None
    shapes: list[tuple[int, ...]]
    if callable(initial):
        array, shapes = np.asarray(initial(jax.random.key(0), n_chains)), [(n_chains, space.size)]
    else:
        array, shapes = np.asarray(initial), [(space.size,), (n_chains, space.size)]
    _checks.require(array.shape in shapes, "initial", f"have shape {' or '.join(map(str, shapes))}", array.shape)
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(_checks.requirement("initial", "have an integer dtype", array.dtype))
    legal = space.contains(array)
    bad = "" if np.all(legal) else array.reshape(-1, space.size)[np.argmin(legal.reshape(-1))].tolist()
    _checks.require(bool(np.all(legal)), "initial", f"hold configurations of {space}", bad)
    return initial if callable(initial) else FrozenArray(array.astype(np.int8))
