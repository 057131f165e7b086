# SPDX-License-Identifier: Apache-2.0
"""Uniform random configurations of a sector, for spaces of any size.

The sites are drawn one after the other, each with its probability given the ones before,

    P(level_i = l | r left to distribute) = W[i+1][r - l] / W[i][r],

with the exact counts W of `counting`. Their ratios are rounded once, to double precision, so that the distribution is
uniform to 2^-53 per site however many states there are, and no draw is rejected.
"""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from manybody._types import Array, Int, PRNGKey
from manybody.hilbert.arrays import constant
from manybody.hilbert.counting import Layout, completion_counts, site_groups


@functools.lru_cache(maxsize=64)
def thresholds(layout: Layout) -> np.ndarray:
    """Cumulative probabilities P(level_i <= j | r), float64 (sites, totals, levels - 1).

    What cannot happen has probability exactly 0, and levels beyond a site's own are padded with 1: a uniform number
    in [0, 1) never leads to an illegal configuration.
    """
    groups = site_groups(layout)
    n_levels = max(layout.local_dimensions)
    table = np.ones((len(layout.local_dimensions), int(groups.remaining.max()) + 1, n_levels - 1))
    for site in layout.free_sites:
        d = layout.local_dimensions[site]
        table[site, :, : d - 1] = np.arange(1, d) / d
    for sector in layout.sectors:
        counts = completion_counts(layout.dimensions(sector), sector.total)
        for site, (after, now) in zip(reversed(sector.sites), itertools.pairwise(counts), strict=True):
            below = [0, *itertools.accumulate(after)]
            for r, ways in enumerate(now):
                if ways:
                    smaller = [below[r + 1] - below[max(r + 1 - j, 0)] for j in range(1, layout.local_dimensions[site])]
                    table[site, r, : len(smaller)] = [count / ways for count in smaller]  # int / int: rounded once
    return table


@functools.partial(jax.jit, static_argnums=(0, 2))
def draw_levels(layout: Layout, key: PRNGKey, n: int) -> Int[Array, "n sites"]:
    """Levels of `n` independent configurations, uniform over the legal ones, int32."""
    n_sites = len(layout.local_dimensions)
    if not layout.sectors:
        dimensions = constant(np.array(layout.local_dimensions, float))
        return (jax.random.uniform(key, (n, n_sites), dtype=float) * dimensions[None]).astype(np.int32)
    groups = jax.tree.map(constant, site_groups(layout))
    uniform = jax.random.uniform(key, (n_sites, n), dtype=float)

    def draw_site(remaining: Array, site: tuple[Array, ...]) -> tuple[Array, Array]:
        group, step, table, number = site
        r = remaining[group]  # (n,)
        level = jnp.sum(table[r] <= number[:, None], axis=-1, dtype=np.int32)
        return remaining.at[group].set(r - level * step), level

    # Built on the random numbers because a scan inside `shard_map` wants a carry that varies like its result.
    start = groups.remaining[:, None] + 0 * uniform[:1].astype(np.int32)
    _, levels = jax.lax.scan(draw_site, start, (groups.of_site, groups.step, constant(thresholds(layout)), uniform))
    return levels.T  # (n, sites)
