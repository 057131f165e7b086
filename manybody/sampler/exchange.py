# SPDX-License-Identifier: Apache-2.0
"""Moves that conserve the sum of levels of a pair of sites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from manybody._types import Array
from manybody.hilbert import DiscreteSpace
from manybody.hilbert.local import values_at
from manybody.sampler.law import Law
from manybody.sampler.move import Proposal, TwoStage, index_below, random_bits
from manybody.sampler.pairs import blocks, checked_pairs, choose_active, conserved_by, pairs_in, why_not

Drawn = tuple[Array, Array | None]
"""Random bits: for the pair, and for the levels if more than one other is possible; or for the sites one by one."""


@dataclass(frozen=True, init=False)
class Exchange(TwoStage):
    """Quanta pass between the two sites of a pair; on two-level sites their values are swapped.

    Of the pairs that can change one is chosen uniformly, then one of the other ways to share the same sum of levels.
    Pairs that cannot change (two equal spins 1/2) are never proposed; the different number of choices on the way back
    is accounted for.

    Args:
        pairs: a lattice (then its nearest-neighbour bonds), an array of pairs (n_pairs, 2), or "all": any two sites
            in the same sector of the space, or both in none.

    Raises:
        ValueError: if a pair has one site twice, or there are no pairs.
    """

    pairs: tuple[tuple[int, int], ...] | str

    def __init__(self, pairs: Any) -> None:
        object.__setattr__(self, "pairs", checked_pairs(pairs))

    def draw(self, key: Array, space: DiscreteSpace) -> Drawn:
        if _is_two_level(space) and self.pairs != "all":  # there is but one other way: nothing more to draw
            return random_bits(key), None
        first, second = jax.random.split(key)
        return random_bits(first), random_bits(second)

    def choose(self, drawn: Drawn, sigma: Array, space: DiscreteSpace) -> tuple[Array, Proposal]:
        any_two = self.pairs == "all" and _is_two_level(space)
        return jnp.int32(0), (_swap_any if any_two else self._of_pair)(drawn, sigma, space)

    def _of_pair(self, drawn: Drawn, sigma: Array, space: DiscreteSpace) -> Proposal:
        for_pair, for_levels = drawn
        pairs = jnp.asarray(pairs_in(self.pairs, space), jnp.int32)
        levels = jnp.asarray(space.to_levels(sigma))
        ways = _ways(levels, pairs, space)  # (pairs,)
        pair, n_active = choose_active(for_pair, ways > 0)
        sites = pairs[pair]
        old = levels[sites]
        total, first, last = _range_of_first(old, sites, space)
        other = first + (0 if for_levels is None else index_below(jnp.maximum(last - first, 1), for_levels))
        level = jnp.where(other >= old[0], jnp.minimum(other + 1, last), other)  # skips the present one
        new = jnp.stack([level, total - level])
        possible = n_active > 0
        new = jnp.where(possible, new, old)
        n_active_after = jnp.sum(_ways(levels.at[sites].set(new), pairs, space) > 0, dtype=jnp.int32)
        log_q = jnp.log(jnp.maximum(n_active, 1).astype(float)) - jnp.log(jnp.maximum(n_active_after, 1).astype(float))
        return sites, values_at(space, sites, new), log_q

    def laws(self, space: DiscreteSpace) -> set[Law]:
        """The sum of levels on each connected component of the pairs."""
        return conserved_by(pairs_in(self.pairs, space), space)

    def leaves(self, space: DiscreteSpace) -> str | None:
        return why_not(pairs_in(self.pairs, space), space)


def _swap_any(drawn: Drawn, sigma: Array, space: DiscreteSpace) -> Proposal:
    """Swap two sites with different levels: O(sites), and symmetric because the counts of the levels stay."""
    for_first, for_second = drawn
    levels, block = jnp.asarray(space.to_levels(sigma)), blocks(space)
    if np.all(block == block[0]):
        first = index_below(space.size, for_first)
        together = jnp.ones(space.size, bool)
    else:  # a site from a block in which there is something to swap
        n_blocks = int(block.max()) + 1
        upper = jax.ops.segment_sum(levels, jnp.asarray(block), n_blocks)
        size = jnp.asarray(np.bincount(block, minlength=n_blocks), jnp.int32)
        first, _ = choose_active(for_first, ((upper > 0) & (upper < size))[block])
        together = jnp.asarray(block) == jnp.asarray(block)[first]
    second, n_other = choose_active(for_second, (levels != levels[first]) & together)
    second = jnp.where(n_other > 0, second, (first + 1) % space.size)
    sites = jnp.stack([first, second])
    old = levels[sites]
    return sites, values_at(space, sites, jnp.where(n_other > 0, old[::-1], old)), jnp.zeros(())


def _is_two_level(space: DiscreteSpace) -> bool:
    return all(d == 2 for d in space.local_dimensions)


def _range_of_first(old: Array, sites: Array, space: DiscreteSpace) -> tuple[Array, Array, Array]:
    """Sum of the levels of a pair, and the lowest and highest level of its first site at this sum."""
    top = jnp.asarray(space.local_dimensions, jnp.int32) - 1
    total = old[..., 0] + old[..., 1]
    return total, jnp.maximum(total - top[sites[..., 1]], 0), jnp.minimum(total, top[sites[..., 0]])


def _ways(levels: Array, pairs: Array, space: DiscreteSpace) -> Array:
    """For every pair the number of other ways to share its sum of levels."""
    if _is_two_level(space):
        return (levels[pairs[:, 0]] != levels[pairs[:, 1]]).astype(jnp.int32)
    _, first, last = _range_of_first(levels[pairs], pairs, space)
    return last - first
