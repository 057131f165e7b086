# SPDX-License-Identifier: Apache-2.0
"""The laws of every Metropolis move, to be held by anybody's own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from manybody._compile import ONCE
from manybody._types import Array, Float, Int
from manybody.hilbert import DiscreteSpace
from manybody.sampler import Move

MAX_STATES = 512
"""Up to this number of states every one is a start, and frequencies of proposals are compared."""


class Proposals(NamedTuple):
    """Many proposals from some configurations.

    Attributes:
        start: (starts, sites).
        sites: (starts, trials, changed).
        reached: (starts, trials, sites) the proposed configurations.
        log_q_ratio: (starts, trials) log q(sigma|sigma') - log q(sigma'|sigma).
    """

    start: np.ndarray
    sites: np.ndarray
    reached: np.ndarray
    log_q_ratio: np.ndarray


def check_move(move: Move, space: DiscreteSpace, *, n_trials: int = 2000, wasted: bool = False, seed: int = 0) -> None:
    """Hold a move to its contract.

    * the changed sites are distinct, always equally many, and the configurations that it leads to are legal;
    * something changes (unless `wasted` proposals are allowed);
    * `obstruction` has no objection.

    And on spaces of up to `MAX_STATES` states:

    * log q(sigma|sigma') - log q(sigma'|sigma) agrees with the frequencies of proposals, by a chi-square test with
      p > 1e-5 (a right move fails once in 100,000 seeds);
    * every state can be reached from every other one.

    Args:
        move: the move.
        space: a space that it samples.
        n_trials: proposals from each state.
        wasted: whether proposals may change nothing.
        seed: of the proposals.

    Raises:
        AssertionError: naming the law that is broken, and where.
    """
    proposals = propose_often(move, space, n_trials, seed)
    start = np.broadcast_to(proposals.start[:, None], proposals.reached.shape)
    ordered = np.sort(proposals.sites, axis=-1)
    _hold((ordered[..., :1] >= 0) & (ordered[..., -1:] < space.size), "changes sites that do not exist", start, ordered)
    _hold(ordered[..., 1:] != ordered[..., :-1], "changes a site twice", start, proposals.sites)
    _hold(space.contains(proposals.reached)[..., None], f"leaves {space}", start, proposals.reached)
    _hold(np.isfinite(proposals.log_q_ratio)[..., None], "has no finite log_q_ratio", start, proposals.reached)
    if not wasted:
        _hold((proposals.reached != start).any(-1, keepdims=True), "changes nothing", start, proposals.reached)
    reason = move.obstruction(space)
    if reason is not None:
        raise AssertionError(f"{move} is refused: {reason}")
    if space.is_indexable and space.n_states <= MAX_STATES:
        p_value = p_value_of_ratios(proposals, space)
        if not p_value > 1e-5:
            raise AssertionError(f"log_q_ratio of {move} contradicts the frequencies of its proposals (p = {p_value})")
        if not connects(proposals, space):
            raise AssertionError(f"{move} does not lead from every configuration of {space} to every other one")


def propose_often(move: Move, space: DiscreteSpace, n_trials: int, seed: int = 0) -> Proposals:
    """`n_trials` proposals from every state of a small space, or from 64 random states of a large one."""
    small = space.is_indexable and space.n_states <= MAX_STATES
    start = jnp.asarray(space.all_states()) if small else space.random_state(jax.random.key(seed), 64)
    bits = np.random.default_rng(seed).integers(2**32, size=(start.shape[0], n_trials, 2), dtype=np.uint32)
    keys = jax.random.wrap_key_data(jnp.asarray(bits), impl="threefry2x32")
    sites, reached, log_q_ratio = _proposals(move, space)(keys, start)
    return Proposals(*map(np.asarray, (start, sites, reached, log_q_ratio)))


def p_value_of_ratios(proposals: Proposals, space: DiscreteSpace) -> float:
    """How likely deviations as large as these are, if q(sigma'|sigma) exp(log_q_ratio) = q(sigma|sigma').

    For every pair of states the number of proposals b -> a is compared with the sum of exp(log_q_ratio) over those
    a -> b, if there are enough of them for a normal distribution.
    """
    n_states = space.n_states
    source = np.repeat(np.arange(n_states), proposals.reached.shape[1])
    target = space.states_to_index(proposals.reached).ravel()
    ratio = np.exp(proposals.log_q_ratio.ravel().astype(float))

    def matrix(weight: np.ndarray) -> np.ndarray:
        total = np.zeros((n_states, n_states))
        np.add.at(total, (source, target), weight)
        np.fill_diagonal(total, 0.0)
        return total

    forth, weighted, squares = matrix(np.ones_like(ratio)), matrix(ratio), matrix(ratio**2)
    enough = forth + forth.T >= 20
    z2 = (weighted - forth.T)[enough] ** 2 / (squares + forth.T)[enough]
    return float(scipy.stats.chi2.sf(z2.sum(), enough.sum())) if enough.any() else 1.0


def connects(proposals: Proposals, space: DiscreteSpace) -> bool:
    """Whether the proposals lead from every state to every other one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    target = space.states_to_index(proposals.reached)
    source = np.broadcast_to(np.arange(space.n_states)[:, None], target.shape)
    graph = coo_array((np.ones(target.size), (source.ravel(), target.ravel())), shape=(space.n_states,) * 2)
    return connected_components(graph.tocsr(), connection="strong")[0] == 1


@functools.lru_cache(maxsize=8)
def _proposals(move: Move, space: DiscreteSpace) -> Callable:
    def one(key: Array, sigma: Array) -> tuple[Int[Array, "changed"], Array, Float[Array, ""]]:
        sites, values, log_q_ratio = move.propose(key, sigma, space)
        return sites, sigma.at[sites].set(values), log_q_ratio

    # It runs once: a quick compilation is better than a quick program.
    return jax.jit(jax.vmap(jax.vmap(one, (0, None))), compiler_options=ONCE)


def _hold(good: np.ndarray, what: str, start: np.ndarray, proposed: np.ndarray) -> None:
    """Raise unless `good` (starts, trials, ...) everywhere, naming the first exception."""
    bad = np.argwhere(~good.all(axis=-1))
    if len(bad):
        where = tuple(bad[0])
        raise AssertionError(f"the move {what}: from {start[where].tolist()} it proposed {proposed[where].tolist()}")
