# SPDX-License-Identifier: Apache-2.0
"""Values and levels of a few sites of a configuration, as moves and operators need them."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from manybody._types import Array, Int, Int8
from manybody.hilbert.base import DiscreteSpace


def values_at(
    space: DiscreteSpace, sites: Int[Array, "*batch changed"], levels: Int[Array, "*batch changed"]
) -> Int8[Array, "*batch changed"]:
    """Values of `sites` that are in `levels`."""
    table = _value_table(space)
    line = _as_line(table)
    if line is not None:
        return (line[0] + line[1] * levels).astype(jnp.int8)  # arithmetic is cheaper than a look-up
    return jnp.asarray(table)[levels, sites]


def levels_of(
    space: DiscreteSpace, sites: Int[Array, "*batch changed"], values: Int8[Array, "*batch changed"]
) -> Int[Array, "*batch changed"]:
    """Levels that `values` of `sites` stand for: the inverse of `values_at`."""
    table = _value_table(space)
    line = _as_line(table)
    if line is not None:
        return _quotient(values.astype(jnp.int32) - line[0], line[1])
    known = jnp.asarray(table.T)[sites] == values[..., None]  # (..., changed, levels)
    return jnp.argmax(known, axis=-1).astype(jnp.int32)


def levels_at(
    space: DiscreteSpace, sigma: Int8[Array, "*batch sites"], sites: Int[Array, "*batch changed"]
) -> Int[Array, "*batch changed"]:
    """Levels of `sites` in configurations."""
    return levels_of(space, sites, jnp.take_along_axis(sigma, sites, axis=-1, mode="promise_in_bounds"))


def _quotient(x: Int[Array, "*shape"], step: int) -> Int[Array, "*shape"]:
    """x / step, without a rest."""
    shift = abs(step).bit_length() - 1
    if abs(step) != 2**shift:
        return jax.lax.div(x, jnp.int32(step))
    quotient = x >> shift  # XLA takes a division for so expensive that it becomes a kernel of its own
    return -quotient if step < 0 else quotient


def _as_line(table: np.ndarray) -> tuple[int, int] | None:
    """First value and step if value = first + step * level on every site."""
    first, step = int(table[0, 0]), int(table[1, 0]) - int(table[0, 0])
    line = np.broadcast_to(first + step * np.arange(len(table))[:, None], table.shape)
    return (first, step) if np.array_equal(table, line) else None


@functools.lru_cache(maxsize=128)
def _value_table(space: DiscreteSpace) -> np.ndarray:
    """int8 (levels, sites): the value of each level of each site (rows beyond a site's dimension mean nothing)."""
    dimensions = np.array(space.local_dimensions)
    levels = np.minimum(np.arange(max(2, dimensions.max()))[:, None], dimensions - 1)
    return np.asarray(space.from_levels(levels.astype(np.int32)))
