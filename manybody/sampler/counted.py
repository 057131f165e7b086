# SPDX-License-Identifier: Apache-2.0
"""Huge numbers of samples of an autoregressive wave function, as distinct configurations with counts."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from manybody import _checks
from manybody._random import successors
from manybody._types import Array, Bool, Float, Int, PRNGKey, PyTree
from manybody.amplitude import Amplitude
from manybody.hilbert import DiscreteSpace
from manybody.parallel import Comm
from manybody.sampler import drawing
from manybody.sampler.base import Samples
from manybody.sampler.drawing import DrawState, Trees


@dataclass(frozen=True)
class Counted(Trees):
    """Draws `population` independent configurations and keeps each distinct one once, with how often it came.

    The draws are as many independent points between 0 and 1. Every beginning of a configuration has an interval as long
    as its probability, which its continuations share, and is followed as long as there are points in it: the cost is
    that of the distinct configurations, however many draws they stand for. If there would be more of these than places
    (`n_samples` of the state), some of those with the smallest counts are dropped and others count for more, such that
    every expected weight stays what it was (optimal resampling of Fearnhead and Clifford). Places that stay empty have
    weight zero.

    Args:
        space: the space.
        population: number of draws, of all trees together; each takes 8 bytes.
        n_trees: number of independent trees on all workers together, each with an equal share of draws and places.

    Raises:
        TypeError: if `space` is no discrete space; by the state, if the ansatz is not autoregressive.
        ValueError: if a number is not positive, or `population` no multiple of `n_trees`; by the state, if the ansatz
            draws configurations outside of `space`.

    Reference:
        Barrett, Malyshev, Lvovsky (2022), arXiv:2109.12606 (batches with counts); Fearnhead, Clifford (2003), J. R.
        Stat. Soc. B 65, 887, section 3.
    """

    space: DiscreteSpace
    population: int = 1_000_000
    n_trees: int = 1

    def __post_init__(self) -> None:
        _checks.require_type(self.space, DiscreteSpace, "space")
        _checks.integer(self.n_trees, "n_trees", minimum=1)
        population = _checks.integer(self.population, "population", minimum=1)
        _checks.require(
            population % self.n_trees == 0, "population", f"be a multiple of n_trees ({self.n_trees})", population
        )

    def sample(
        self, comm: Comm, amplitude: Amplitude, state: DrawState, n_draws: int
    ) -> tuple[DrawState, Samples, dict[str, Array]]:
        amplitude = drawing.drawable(self.space, amplitude)
        key_now, key_next = successors(state.key)
        keys = comm.chain_keys(key_now, self.n_local(comm))
        n_trees, n_points = len(keys), self.population // self.n_trees
        shape = (n_trees, n_draws)
        points = jax.vmap(lambda key: _ordered_points(key, n_points))(_fold(keys, self.space.size))

        def step(walk: PyTree, position: Array) -> tuple[PyTree, None]:
            cache, levels, interval, factor = walk
            last = levels[:, :, position - 1].reshape(-1)  # at position 0 it means nothing
            log_p, cache = amplitude.draw_step(cache, position, last)
            n_levels = log_p.shape[1]
            children = _divided(interval, jnp.exp(log_p).reshape(*shape, n_levels)).reshape(n_trees, -1, 2)
            counts, factor = jax.vmap(_count)(points, children), jnp.repeat(factor, n_levels, axis=1)
            select = functools.partial(_select, n_places=n_draws)
            place, stays, factor = jax.vmap(select)(_fold(keys, position), counts, factor)
            children = jnp.take_along_axis(children, place[:, :, None], axis=1)
            interval = jnp.where(stays[:, :, None], children, 0.0)
            cache, levels = drawing.continued(cache, levels, place // n_levels, place % n_levels, position)
            return comm.pvary((cache, levels, interval, factor)), None

        first = (jnp.arange(n_draws) == 0).astype(points.dtype)[:, None] * jnp.array([0.0, 1.0])[None]  # all of it
        levels = jnp.zeros((*shape, self.space.size), jnp.int32)
        start = (amplitude.init_draw(n_trees * n_draws), levels, jnp.tile(first, (n_trees, 1, 1)), jnp.ones(shape))
        walk, _ = jax.lax.scan(step, comm.pvary(start), jnp.arange(self.space.size, dtype=jnp.int32))
        _, levels, interval, factor = walk
        counts = jax.vmap(_count)(points, interval)
        sigma = drawing.in_place(self.space, amplitude, levels.reshape(n_trees * n_draws, -1))
        weight = counts * factor
        weight = weight / comm.psum(jnp.sum(weight))
        # One whose weight was raised by chance says no more than one draw, whatever it counts for.
        noise = jnp.where(factor > 1, 1.0, 1.0 / jnp.maximum(counts, 1.0))
        sigma, log_psi = drawing.stand_ins(sigma, amplitude.log_psi(sigma), weight.reshape(-1))
        samples = Samples(sigma.reshape(*shape, -1), log_psi.reshape(shape), weight, "independent", noise)
        return DrawState(key_next), samples, {}


def _fold(keys: PRNGKey, number: Array) -> PRNGKey:
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)


def _ordered_points(key: PRNGKey, n_points: int) -> Float[Array, "points"]:
    """Independent points between 0 and 1 in ascending order: those of a Poisson process, scaled."""
    steps = jax.random.exponential(key, (n_points + 1,))
    return jnp.cumsum(steps)[:-1] / jnp.sum(steps)


def _divided(interval: Float[Array, "*batch 2"], p: Float[Array, "*batch levels"]) -> Float[Array, "*batch levels 2"]:
    """Each interval cut in proportion to p; an empty one, where p need not be a probability, into empty ones."""
    is_empty = interval[..., 1:] <= interval[..., :1]
    shares = jnp.cumsum(jnp.where(is_empty, 1.0, p), axis=-1)
    low, high = interval[..., :1], interval[..., 1:]
    ends = jnp.where(is_empty, low, low + (high - low) * (shares / shares[..., -1:]))
    return jnp.stack([jnp.concatenate([low, ends[..., :-1]], axis=-1), ends], axis=-1)


def _count(points: Float[Array, "points"], intervals: Float[Array, "children 2"]) -> Float[Array, "children"]:
    """How many of the points are in each interval."""
    below = jnp.searchsorted(points, intervals)
    return (below[:, 1] - below[:, 0]).astype(points.dtype)


def _select(
    key: PRNGKey, counts: Float[Array, "children"], factor: Float[Array, "children"], n_places: int
) -> tuple[Int[Array, "places"], Bool[Array, "places"], Float[Array, "places"]]:
    """Children for the places, whether they stay, and the factors by which they count for more than before."""
    order = jnp.argsort(-counts * factor)
    counts, factor = counts[order], factor[order]
    weight = counts * factor
    rest = jnp.cumsum(weight[::-1])[::-1]  # of this one and all smaller ones
    number = jnp.arange(len(weight), dtype=weight.dtype)
    # The first so many are sure of a place, the others share what is left in proportion to their weights: at most one.
    fits = (weight * (n_places - number) <= rest) | (number >= n_places)
    n_sure = jnp.where(jnp.sum(weight > 0) <= n_places, float(n_places), jnp.argmax(fits).astype(weight.dtype))
    is_sure = number < n_sure
    one_place = jnp.max(jnp.where(is_sure, 0.0, rest)) / jnp.maximum(n_places - n_sure, 1.0)
    places = jnp.cumsum(jnp.where(is_sure, 0.0, weight / one_place)) - jax.random.uniform(key)
    drawn = jnp.floor(places) > jnp.floor(jnp.roll(places, 1).at[0].set(-0.5))
    stays = (counts > 0) & (is_sure | ((n_sure < n_places) & drawn))
    factor = jnp.where(is_sure, factor, one_place / jnp.maximum(counts, 1.0))
    chosen = jnp.argsort(~stays, stable=True)[:n_places]
    return order[chosen].astype(jnp.int32), stays[chosen], factor[chosen]
