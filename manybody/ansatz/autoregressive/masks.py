# SPDX-License-Identifier: Apache-2.0
"""Conditional probabilities that conserve sums of levels.

A configuration is written position by position. At each position the levels that the fixed sums of the space still
allow are an interval: what is left to distribute must not become negative, and must fit on the positions that follow.
All others have probability 0, and the rest is normalised. The last position of a sum has one level left, so that the
probabilities of all legal configurations add up to 1.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from manybody._struct import read_only
from manybody._types import Array, Float, Int
from manybody.hilbert import DiscreteSpace


class Limits(NamedTuple):
    """What the sums mean for each position. A position in no sum is alone in one that leaves it all levels."""

    before: np.ndarray
    """float32 (positions, positions): [j, p] is 1 if j comes before p and belongs to the same sum, else 0."""
    total: np.ndarray
    """Total of the position's sum, int32 (positions,)."""
    after: np.ndarray
    """The most that the positions behind it in the same sum can take, int32 (positions,)."""
    highest: np.ndarray
    """The position's highest level, int32 (positions,)."""


@functools.lru_cache(maxsize=64)
def limits(space: DiscreteSpace, order: tuple[int, ...]) -> Limits:
    """The limits of a space whose sites are written in this order."""
    highest = np.array(space.local_dimensions, np.int32)[list(order)] - 1
    group, total, after = np.full(len(order), -1), highest.copy(), highest.copy()
    for number, sector in enumerate(space.sectors):
        members = np.flatnonzero(np.isin(order, sector.sites))
        group[members], total[members] = number, sector.total
        after[members] = highest[members].sum() - np.cumsum(highest[members])
    same = (group[:, None] == group) & (group >= 0)
    before = np.triu(same, k=1).astype(np.float32)
    return Limits(*map(read_only, (before, total, after, highest)))


def used_before(space: DiscreteSpace, order: tuple[int, ...], levels: Int[Array, "rows positions"]) -> Array:
    """How much of its sum is used up before each position, int32 (rows, positions)."""
    if not space.sectors:
        return jnp.zeros_like(levels)
    # A product of small integers is exact, and faster than a cumulative sum.
    before = jnp.asarray(limits(space, order).before)
    return jnp.matmul(levels.astype(before.dtype), before, precision="highest").astype(levels.dtype)


def open_levels(limits: Limits, used: Int[Array, "*shape"]) -> tuple[Int[Array, "*shape"], Int[Array, "*shape"]]:
    """Lowest and highest level that can occur, given what is used of the sum.

    If too much or too little was used already, they are those of the nearest legal case: there is always a level.
    """
    total, after, highest = (
        jnp.broadcast_to(jnp.asarray(x), used.shape) for x in (limits.total, limits.after, limits.highest)
    )
    rest = jnp.clip(total - used, jnp.zeros_like(used), after + highest)
    return jnp.maximum(rest - after, 0), jnp.minimum(rest, highest)


def log_conditionals(
    logits: Float[Array, "*shape levels"], low: Int[Array, "*shape"], high: Int[Array, "*shape"]
) -> Float[Array, "*shape levels"]:
    """log p of each level, -inf outside [low, high], normalised. Derivatives are finite everywhere."""
    level = _level_numbers(logits)
    masked = jnp.where((level >= low[..., None]) & (level <= high[..., None]), logits, -jnp.inf)
    top = jax.lax.stop_gradient(jnp.max(masked, axis=-1, keepdims=True))
    shifted = masked - top
    return shifted - jnp.log(jnp.sum(jnp.exp(shifted), axis=-1, keepdims=True))


def chosen(x: Float[Array, "*shape levels"], levels: Int[Array, "*shape"], otherwise: float) -> Float[Array, "*shape"]:
    """The entries of these levels, or another number where there is no such level."""
    is_chosen = _level_numbers(x) == levels[..., None]
    picked = jnp.sum(jnp.where(is_chosen, x, 0), axis=-1)
    return jnp.where(jnp.any(is_chosen, axis=-1), picked, otherwise)


def _level_numbers(x: Float[Array, "*shape levels"]) -> Int[Array, "*ones levels"]:
    return jax.lax.broadcasted_iota(jnp.int32, (1,) * (x.ndim - 1) + x.shape[-1:], x.ndim - 1)
