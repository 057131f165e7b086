# SPDX-License-Identifier: Apache-2.0
"""Markov chains with the Metropolis-Hastings rule; the only accept/reject in the library."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks, _stack
from manybody._random import successors
from manybody._struct import FrozenArray, dataclass
from manybody._types import Array, Float, Inexact, Int, Int8, PRNGKey, PyTree
from manybody.amplitude import Amplitude, apply_change, held_by, try_change, where_accepted
from manybody.hilbert import DiscreteSpace
from manybody.parallel import REPLICATED, SHARD, Comm
from manybody.sampler.base import Sampler, Samples
from manybody.sampler.move import Move
from manybody.sampler.surrogate import Surrogate

Judged = tuple[Array, Array]
"""What is known with a surrogate besides its walk: log psi, and the evaluations of psi, the end points among them that
were new configurations, and those that were accepted (3,)."""

MOST_AT_ONCE = 64
"""Steps whose random numbers are made at once: 24 bytes for each step and chain."""


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


class Walk(NamedTuple):
    """Where chains are between two draws.

    Attributes:
        kept: configurations (chains, sites); None if the cache has them.
        cache: partial results for them.
        log_psi: followed along the walk.
        counts: how often each kind of move was proposed and accepted (2, kinds).
    """

    kept: Int8[Array, "chains sites"] | None
    cache: PyTree
    log_psi: Inexact[Array, "chains"]
    counts: Float[Array, "2 kinds"]

    @classmethod
    def at(cls, sigma: Int8[Array, "chains sites"], cache: PyTree, log_psi: Array, counts: Array) -> Self:
        """A walk at these configurations."""
        if held_by(cache, sigma) is not None:
            return cls(None, dataclasses.replace(cache, sigma=sigma), log_psi, counts)
        return cls(sigma, cache, log_psi, counts)

    @property
    def sigma(self) -> Int8[Array, "chains sites"]:
        """Configurations."""
        return self.cache.sigma if self.kept is None else self.kept


class Seen(NamedTuple):
    """What is seen where a walk begins; of many walks, with a leading axis.

    Attributes:
        sigma: configurations (chains, sites).
        log_psi: of the wave function (chains,).
        log_phi: of the one that is followed; the same, or the surrogate.
        followed: what the walk followed it to.
    """

    sigma: Int8[Array, "*walks chains sites"]
    log_psi: Inexact[Array, "*walks chains"]
    log_phi: Inexact[Array, "*walks chains"]
    followed: Inexact[Array, "*walks chains"]

    @property
    def drift(self) -> Float[Array, ""]:
        """Largest difference between log phi at the beginning of a walk and what the one before had followed it to."""
        from_zero = jnp.isneginf(self.log_phi[:-1].real)  # from there it cannot be followed
        return jnp.max(jnp.where(from_zero, 0.0, jnp.abs((self.log_phi[1:] - self.followed[:-1]).real)))


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
        surrogate: a cheap wave function that is followed between evaluations of the one that is sampled.

    The cache of partial results is made from scratch before every draw, so rounding errors of the updates do not
    build up; how far they had drifted (largest difference in log psi) is in the information returned.

    With a surrogate, "acceptance" and "cache_drift" are those of its steps. "full_acceptance" is the part of the new
    configurations at their ends that is accepted, and "evaluations_per_move" the number of evaluations of psi for each
    that is.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if the move leaves the space or cannot connect it, with the reason; a number is out of range; or the
            surrogate is no wave function on the space.
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
        surrogate: Surrogate | None = None,
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
        self.surrogate = surrogate
        if surrogate is not None:
            _checks.require_type(surrogate, Surrogate, "surrogate", "Wrap an amplitude: Surrogate(amplitude).")
            surrogate.check(space)

    def _identity(self) -> tuple:
        numbers = (self.n_chains, self.sweep_size, self.n_burn_in)
        return (self.space, self.move, *numbers, self.initial, self.surrogate)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Metropolis) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        start = "" if self.initial is None else f", initial={self.initial}"
        numbers = f"n_chains={self.n_chains}, sweep_size={self.sweep_size}, n_burn_in={self.n_burn_in}"
        guide = "" if self.surrogate is None else f", surrogate={self.surrogate}"
        return f"Metropolis({self.space}, {self.move}, {numbers}{start}{guide})"

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

    def check_amplitude(self, amplitude: Amplitude) -> None:
        if self.surrogate is not None:
            self.surrogate.check_covers(amplitude, self.space)

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
        key_now, key_next = successors(state.key)
        guide = amplitude if self.surrogate is None else comm.pvary(self.surrogate.amplitude)
        advance = self._advance(comm, amplitude, guide, key_now, n_local)

        def walk_on(number: Array, carry: tuple) -> tuple:
            sigma, counts, judged, seen = carry
            start = jnp.where(number > 0, state.owed + number, 0) * self.sweep_size
            stop = (state.owed + jnp.minimum(number + 1, n_draws)) * self.sweep_size
            log_phi = guide.log_psi(sigma)
            log_psi = log_phi if judged is None else judged[0]
            walk = Walk.at(sigma, *comm.pvary((guide.init_cache(sigma), log_phi, counts)))
            walk, judged = advance(start, stop, walk, judged)
            seen = _stack.put(seen, number, Seen(sigma, log_psi, log_phi, walk.log_psi))
            return walk.sigma, walk.counts, judged, seen

        judged = None if self.surrogate is None else (amplitude.log_psi(state.sigma), jnp.zeros(3))
        log_phi = jax.eval_shape(guide.log_psi, state.sigma)
        log_psi = log_phi if judged is None else judged[0]
        seen = _stack.room(Seen(state.sigma, log_psi, log_phi, log_phi), n_draws + 1)
        counts = jnp.zeros((2, len(self.move.names)))
        # The last walk makes no step, only log psi of the last draw: so the wave function is compiled once for this.
        begin = (state.sigma, *comm.pvary((counts, judged, seen)))
        last, counts, judged, seen = jax.lax.fori_loop(0, n_draws + 1, walk_on, begin)
        sigma = jnp.concatenate([seen.sigma[1:-1], last[None]])  # of a single draw nothing is kept on the way
        weight = comm.pvary(jnp.full((n_local, n_draws), 1.0 / (self.n_chains * n_draws)))
        samples = Samples(jnp.swapaxes(sigma, 0, 1), seen.log_psi[1:].T, weight, "chain")  # (chains, draws, ...)
        rates = _rates(comm, counts, None if judged is None else judged[1])
        return ChainState(last, key_next, jnp.int32(0)), samples, {**rates, "cache_drift": comm.pmax(seen.drift)}

    def _advance(
        self, comm: Comm, amplitude: Amplitude, guide: Amplitude, key: PRNGKey, n_local: int
    ) -> Callable[[Array, Array, Walk, Judged | None], tuple[Walk, Judged | None]]:
        """All chains make the steps from `start` to `stop`: (start, stop, walk, judged) -> (walk, judged)."""
        if self.surrogate is None:
            go = self._go(amplitude, comm.chain_keys(key, n_local), self.sweep_size)
            return lambda start, stop, walk, judged: (go(start, stop, walk), judged)
        key_walk, key_judge = jax.random.split(key)
        n_steps, keys = self.surrogate.n_steps, comm.chain_keys(key_judge, n_local)
        go = self._go(guide, comm.chain_keys(key_walk, n_local), n_steps)

        def advance(start: Array, stop: Array, walk: Walk, judged: Judged | None) -> tuple[Walk, Judged | None]:
            def judged_walk(number: Array, both: tuple[Walk, Judged]) -> tuple[Walk, Judged]:
                walk, judged = both
                first = start + number * n_steps
                begin = walk._replace(log_psi=jnp.zeros_like(walk.log_psi))
                end = go(first, jnp.minimum(first + n_steps, stop), begin)
                keys_now = jax.vmap(jax.random.fold_in, (0, None))(keys, first)
                accepted, judged = _judge(amplitude, keys_now, walk.sigma, end.sigma, end.log_psi.real, judged)
                there = (end.kept, end.cache, walk.log_psi + end.log_psi)
                kept, cache, log_phi = where_accepted(accepted, there, (walk.kept, walk.cache, walk.log_psi))
                return Walk(kept, cache, log_phi, end.counts), judged

            n_walks = (stop - start + n_steps - 1) // n_steps
            return jax.lax.fori_loop(0, n_walks, judged_walk, (walk, judged))

        return advance

    def _go(self, amplitude: Amplitude, keys: Array, length: int) -> Callable[[Array, Array, Walk], Walk]:
        """All chains make the steps from `start` to `stop`, usually `length` of them: (start, stop, walk) -> walk.

        Random numbers that do not depend on where the chains are come for many steps at once: with few chains, what
        starts their programs in each step would take more time than the rest of it.
        """
        n_blocks = -(-length // MOST_AT_ONCE)
        block = -(-length // n_blocks)
        # If every block is as long as the next one, XLA knows how often the loop turns, and does not ask each time.
        all_whole = self.sweep_size % length == 0 and length % block == 0
        fold_in = jax.vmap(jax.vmap(jax.random.fold_in, (0, None)), (None, 0))
        draw = jax.vmap(jax.vmap(lambda key: self.move.draw(key, self.space)))

        def go(start: Array, stop: Array, walk: Walk) -> Walk:
            def some(number: Array, walk: Walk) -> Walk:
                first = start + number * block
                keys_now = fold_in(keys, 2 * first + jnp.arange(2 * block, dtype=first.dtype))
                drawn, judge = draw(keys_now[0::2]), _thresholds(keys_now[1::2])  # (steps, chains, ...)
                n_steps = block if all_whole else jnp.minimum(block, stop - first)

                def one(number: Array, walk: Walk) -> Walk:
                    return self._step(amplitude, jax.tree.map(lambda x: x[number], drawn), judge[number], walk)

                return jax.lax.fori_loop(0, n_steps, one, walk)

            return jax.lax.fori_loop(0, (stop - start + block - 1) // block, some, walk)

        return go

    def _step(self, amplitude: Amplitude, drawn: PyTree, threshold: Array, walk: Walk) -> Walk:
        """One Metropolis step of all chains, with random numbers of a proposal and a threshold for each."""
        n_kinds = len(self.move.names)
        sigma = walk.sigma
        kind, (sites, values, log_q) = jax.vmap(lambda x, s: self.move.choose(x, s, self.space))(drawn, sigma)
        log_ratio, commit = try_change(amplitude, walk.cache, sites, values)
        accepted = _accepts(threshold, 2.0 * log_ratio.real, log_q)
        if not self.space.has_only_sectors:
            accepted &= self.space.contains(apply_change(sigma, sites, values))
        kept = None if walk.kept is None else apply_change(sigma, sites, values, accepted)
        log_psi = walk.log_psi + jnp.where(accepted, log_ratio, jnp.zeros_like(log_ratio))
        of_kind = kind[:, None] == jnp.arange(n_kinds, dtype=kind.dtype)[None, :]
        tally = jnp.stack([of_kind.sum(axis=0), (of_kind & accepted[:, None]).sum(axis=0)])
        return Walk(kept, commit(accepted), log_psi, walk.counts + tally.astype(walk.counts.dtype))


def _thresholds(keys: Array) -> Array:
    """Logarithms of uniform random numbers, one for each key."""
    return jnp.log(jax.vmap(jax.random.uniform)(keys.reshape(-1))).reshape(keys.shape)


def _accepts(threshold: Array, log_p_ratio: Array, log_q_ratio: Array) -> Array:
    """The rule of Metropolis and Hastings, for each chain; a ratio that is nan is refused."""
    return threshold < log_p_ratio + log_q_ratio.astype(threshold.dtype)


def _judge(
    amplitude: Amplitude, keys: Array, sigma: Array, end: Array, gain: Array, judged: Judged
) -> tuple[Array, Judged]:
    """Whether the ends of walks from `sigma`, along which log |phi| grew by `gain`, are accepted for psi."""
    log_psi, counts = judged
    new = amplitude.log_psi(end)
    # Where phi vanishes, no walk leads, so a chain can only have started there: it goes wherever psi does not vanish.
    gain = jnp.where(jnp.isposinf(gain), -jnp.inf, gain)
    accepted = _accepts(_thresholds(keys), 2.0 * (new - log_psi).real, -2.0 * gain)
    moved = jnp.any(end != sigma, axis=-1)
    tally = jnp.stack([jnp.ones_like(moved), moved, moved & accepted]).sum(axis=1)
    return accepted, (jnp.where(accepted, new, log_psi), counts + tally.astype(counts.dtype))


def _rates(comm: Comm, counts: Array, judged: Array | None) -> dict[str, Array]:
    """What the counts of all workers say."""
    counts, judged = comm.psum((counts, judged))
    proposed, accepted = counts
    rates = {"acceptance": accepted / jnp.maximum(proposed, 1.0)}
    if judged is not None:
        evaluations, moved, agreed = judged
        rates |= {"full_acceptance": agreed / jnp.maximum(moved, 1.0), "evaluations_per_move": evaluations / agreed}
    return rates


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
