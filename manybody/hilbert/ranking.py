# SPDX-License-Identifier: Apache-2.0
"""Numbering the legal configurations: levels to index and back, without a table of the space.

The index is the rank in lexicographic order of the levels, first site most significant, among the legal
configurations. It is found site by site: the configurations that agree with this one before site i and are smaller
there number

    sum_{l < level_i} W[i+1][r - l]  *  (ways to complete the other groups),

with W of `counting` and r the total that the site's sector still has to distribute. Sums of consecutive W are
differences of their running sums, so one int64 table of (sites, totals) is all that is needed, and the level is found
back by bisection. NumPy input is handled by NumPy in a loop over sites, JAX input by the same steps in a scan.

Without sectors the index is a plain mixed-radix number, and where a table of half of the sites is short it is a sum of
two look-ups (see `halves`).
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from manybody._types import Array
from manybody.hilbert import halves
from manybody.hilbert.arrays import AnyArray, constant
from manybody.hilbert.counting import Layout, completion_counts, sector_size, site_groups

BLOCK = 2**14
"""Configurations that NumPy handles at a time: the temporaries stay in the cache."""


class Site(NamedTuple):
    """What ranking needs to know of one site; of all sites when each field has a leading axis (sites,)."""

    group: AnyArray
    """Its group, int32."""
    step: AnyArray
    """What one level takes off the group's remaining total, int32."""
    dimension: AnyArray
    """Its number of levels, int32."""
    below: AnyArray
    """Running sums of the completion counts after it, int64 (totals + 1,): below[r] = sum_{t < r} W[i+1][t]."""
    free: AnyArray
    """Number of configurations of the free sites after it, int64."""


class Tables(NamedTuple):
    """The sites, and where each group starts: total to distribute, int32 (groups,), and count, int64 (groups,)."""

    sites: Site
    remaining: np.ndarray
    ways: np.ndarray


@functools.lru_cache(maxsize=64)
def strides(layout: Layout) -> np.ndarray:
    """The place values of the mixed-radix number that the levels are if nothing constrains them, int64 (sites,)."""
    after = np.append(np.array(layout.local_dimensions[1:], np.int64), 1)
    return np.cumprod(after[::-1])[::-1].copy()


@functools.lru_cache(maxsize=64)
def tables(layout: Layout) -> Tables:
    """The tables of an indexable space with sectors."""
    groups = site_groups(layout)
    dimensions = np.array(layout.local_dimensions, np.int32)
    n_sites, width = len(dimensions), int(groups.remaining.max()) + 2
    # A free site has one way to go on after each level, so its running sums count 0, 1, 2, ...
    below = np.tile(np.arange(width, dtype=np.int64), (n_sites, 1))
    ways = np.ones(len(groups.remaining), np.int64)
    for group, sector in enumerate(layout.sectors):
        own = layout.dimensions(sector)
        ways[group] = sector_size(own, sector.total)
        after_each = completion_counts(own, sector.total)  # the last one, W[0], is left over
        for site, counts in zip(reversed(sector.sites), after_each, strict=False):
            below[site] = np.pad(np.cumsum(np.array([0, *counts], np.int64)), (0, width - len(counts) - 1), "edge")
    free = np.ones(n_sites, np.int64)
    for site in reversed(range(n_sites - 1)):
        free[site] = free[site + 1] * (1 if groups.step[site + 1] else dimensions[site + 1])
    return Tables(Site(groups.of_site, groups.step, dimensions, below, free), groups.remaining, ways)


Carry = tuple[Any, Any, Any]  # remaining (groups, samples), ways (groups, samples), index (samples,)


def _others(xp: ModuleType, ways: AnyArray, group: AnyArray) -> AnyArray | int:
    """The number of ways to complete the groups other than `group`, (samples,) or the number 1."""
    if ways.shape[0] == 1:
        return 1
    own = xp.arange(ways.shape[0], dtype=np.int32) == group
    return xp.where(own[:, None], 1, ways).prod(axis=0)


def _put(xp: ModuleType, old: AnyArray, group: AnyArray, new: AnyArray) -> AnyArray:
    """`old` (groups, samples) with the row of `group` replaced; written so that it serves NumPy and a scan."""
    if old.shape[0] == 1:
        return new[None]
    own = xp.arange(old.shape[0], dtype=np.int32) == group
    return xp.where(own[:, None], new[None], old)


def _rank_site(xp: ModuleType, carry: Carry, site: Site, level: AnyArray) -> Carry:
    """Add what one site contributes to the rank."""
    remaining, ways, index = carry
    r = remaining[site.group]
    here = site.below[r + 1 - level]
    index = index + (site.below[r + 1] - here) * _others(xp, ways, site.group) * site.free
    if ways.shape[0] > 1:
        ways = _put(xp, ways, site.group, here - site.below[r - level])
    return _put(xp, remaining, site.group, r - level * site.step), ways, index


def _unrank_site(xp: ModuleType, bits: int, carry: Carry, site: Site) -> tuple[Carry, Any]:
    """Split the level of one site off the rank."""
    remaining, ways, index = carry
    r = remaining[site.group]
    top = site.below[r + 1]
    scale = _others(xp, ways, site.group) * site.free
    level = xp.zeros_like(r)
    for bit in reversed(range(bits)):  # bisection for the largest level whose predecessors do not exceed the rank
        trial = level + 2**bit
        before = (top - site.below[xp.maximum(r + 1 - trial, 0)]) * scale
        level = xp.where((trial < site.dimension) & (before <= index), trial, level)
    here = site.below[r + 1 - level]
    index = index - (top - here) * scale
    if ways.shape[0] > 1:
        ways = _put(xp, ways, site.group, here - site.below[r - level])
    return (_put(xp, remaining, site.group, r - level * site.step), ways, index), level


def _start(xp: ModuleType, table: Tables, zero: AnyArray) -> tuple[AnyArray, AnyArray]:
    """The remaining totals and counts before the first site, each (groups, samples).

    They are built on `zero` (samples,), a multiple of the input: inside `shard_map` a scan wants its carry to vary
    over the devices from the start, as it does after one step.
    """
    zero = zero[None].astype(np.int32)
    return xp.asarray(table.remaining)[:, None] + zero, xp.asarray(table.ways)[:, None] + zero.astype(table.ways.dtype)


def _scan_rank_numpy(layout: Layout, levels: np.ndarray) -> np.ndarray:
    table = tables(layout)
    index = np.empty(len(levels), np.int64)
    for start in range(0, len(levels), BLOCK):
        columns = np.ascontiguousarray(levels[start : start + BLOCK].T)  # (sites, block)
        zero = np.zeros(columns.shape[1], np.int64)
        carry = (*_start(np, table, zero), zero)
        for i, level in enumerate(columns):
            carry = _rank_site(np, carry, Site(*(field[i, ...] for field in table.sites)), level)
        index[start : start + BLOCK] = carry[-1]
    return index


def _scan_unrank_numpy(layout: Layout, index: np.ndarray) -> np.ndarray:
    table, bits = tables(layout), (max(layout.local_dimensions) - 1).bit_length()
    levels = np.empty((len(index), len(layout.local_dimensions)), np.int32)
    for start in range(0, len(index), BLOCK):
        block = index[start : start + BLOCK]
        carry = (*_start(np, table, 0 * block), block)
        for i in range(levels.shape[1]):
            carry, levels[start : start + BLOCK, i] = _unrank_site(
                np, bits, carry, Site(*(field[i, ...] for field in table.sites))
            )
    return levels


def _scan_rank_jax(layout: Layout, levels: Array) -> Array:
    table = jax.tree.map(constant, tables(layout))
    zero = levels[:, 0].astype(table.ways.dtype) * 0

    def step(carry: Carry, site: tuple[Site, Array]) -> tuple[Carry, None]:
        return _rank_site(jnp, carry, *site), None

    carry, _ = jax.lax.scan(step, (*_start(jnp, table, zero), zero), (table.sites, levels.T))
    return carry[-1]


def _scan_unrank_jax(layout: Layout, index: Array) -> Array:
    table = jax.tree.map(constant, tables(layout))
    index = index.astype(table.ways.dtype)
    bits = (max(layout.local_dimensions) - 1).bit_length()
    step = functools.partial(_unrank_site, jnp, bits)
    _, levels = jax.lax.scan(step, (*_start(jnp, table, 0 * index), index), table.sites)
    return levels.T  # (samples, sites)


# --- the cheapest way -------------------------------------------------------------------------------------------------


def _rank(layout: Layout, levels: AnyArray) -> AnyArray:
    if not layout.sectors:
        return halves.codes_of(levels, strides(layout))
    table = halves.halves(layout)
    if table is not None:
        return halves.rank(table, levels)
    return _scan_rank_numpy(layout, levels) if isinstance(levels, np.ndarray) else _scan_rank_jax(layout, levels)


def _unrank(layout: Layout, index: AnyArray) -> AnyArray:
    if not layout.sectors:
        return halves.digits(index, strides(layout), layout.local_dimensions)
    table = halves.halves(layout)
    if table is not None:
        return halves.unrank(table, layout.local_dimensions, index)
    return _scan_unrank_numpy(layout, index) if isinstance(index, np.ndarray) else _scan_unrank_jax(layout, index)


# Jitted so that a call outside of jit compiles once per space; inside jit it makes no difference.
_rank_jax = jax.jit(_rank, static_argnums=0)
_unrank_jax = jax.jit(_unrank, static_argnums=0)


def rank(layout: Layout, levels: AnyArray) -> AnyArray:
    """The index of each configuration, int64 (...), from its levels, int32 (..., sites); they must be legal."""
    rows = levels.reshape(-1, levels.shape[-1])
    index = (_rank if isinstance(rows, np.ndarray) else _rank_jax)(layout, rows)
    return index.reshape(levels.shape[:-1])


def unrank(layout: Layout, index: AnyArray) -> AnyArray:
    """The levels, int32 (..., sites), of the configurations with these indices (...); they must be in range."""
    rows = index.reshape(-1)
    levels = (_unrank if isinstance(rows, np.ndarray) else _unrank_jax)(layout, rows)
    return levels.reshape(*index.shape, len(layout.local_dimensions))


def index_parts(layout: Layout) -> tuple[halves.IndexPart, ...] | None:
    """The index as a sum of look-ups, where it is one; the states must be indexable."""
    if not layout.sectors:
        return (halves.IndexPart(strides(layout), None),)
    table = halves.halves(layout)
    return None if table is None else table.parts
