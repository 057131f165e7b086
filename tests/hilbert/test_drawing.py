# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import jax
import numpy as np
import scipy.special
import scipy.stats

from manybody.hilbert import Spin, SumSector
from manybody.hilbert.counting import Layout
from manybody.hilbert.drawing import draw_levels, thresholds


def test_thresholds_are_the_conditional_probabilities() -> None:
    layout = Layout((3, 2, 3), (SumSector((0, 1, 2), 2),))
    # Left for sites 1 and 2 after level 0, 1, 2 of site 0: r = 2, 1, 0 with 2, 2, 1 ways.
    np.testing.assert_array_equal(thresholds(layout)[0, 2], [2 / 5, 4 / 5])
    # Site 1 has two levels; at r = 2 and r = 1 both leave one way, at r = 0 only level 0 does.
    np.testing.assert_array_equal(thresholds(layout)[1], [[1, 1], [1 / 2, 1], [1 / 2, 1]])
    # The last site must take what is left.
    np.testing.assert_array_equal(thresholds(layout)[2], [[1, 1], [0, 1], [0, 0]])


def test_free_sites_are_uniform() -> None:
    layout = Layout((3, 2, 4), (SumSector((1,), 1),))
    np.testing.assert_array_equal(thresholds(layout)[0, -1], [1 / 3, 2 / 3, 1])
    np.testing.assert_array_equal(thresholds(layout)[2, -1], [1 / 4, 2 / 4, 3 / 4])
    levels = np.asarray(draw_levels(layout, jax.random.key(5), 6000))
    assert (levels[:, 1] == 1).all()
    counts = np.bincount(levels[:, 0] * 4 + levels[:, 2], minlength=12)
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_half_of_a_large_sector_is_hypergeometric() -> None:
    """Chi-square of the up spins among the first half of 400, p > 1e-3 with this seed; no index is involved."""
    n = 20_000
    states = np.asarray(Spin(400, total_sz=0).random_state(jax.random.key(6), n))
    assert (states.sum(axis=1, dtype=int) == 0).all()
    ups = np.sum(states[:, :200] == 1, axis=1)
    edges = np.arange(86, 115)  # the tails are pooled
    counts = np.bincount(np.clip(ups, 85, 114) - 85, minlength=30)
    below = scipy.stats.hypergeom(400, 200, 200).cdf(edges - 1)
    expected = n * np.diff(np.concatenate([[0], below, [1]]))
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-3


def test_a_spin_one_sector_has_the_right_number_of_zeros() -> None:
    """Chi-square of the sites with s_z = 0 among 60, p > 1e-3 with this seed."""
    n, n_sites = 20_000, 60
    states = np.asarray(Spin(n_sites, s=1, total_sz=0).random_state(jax.random.key(7), n))
    zeros = np.sum(states == 0, axis=1)
    pairs = (n_sites - zeros) // 2
    half = np.arange(n_sites // 2 + 1)
    ways = scipy.special.comb(n_sites, half) * scipy.special.comb(n_sites - half, half)
    kept = np.arange(14, 27)
    counts = np.bincount(np.clip(pairs, 13, 27) - 13, minlength=15)
    expected = np.concatenate([[ways[:14].sum()], ways[kept], [ways[27:].sum()]]) * (n / ways.sum())
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-3


def test_inside_shard_map() -> None:
    """A scan refuses a carry that starts the same on all devices and then varies."""
    space = Spin(6, total_sz=0)
    keys = jax.random.split(jax.random.key(8), 4)
    mesh = jax.make_mesh((1,), ("device",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("device")
    draw = jax.vmap(lambda key: space.random_state(key, 1)[0])
    spread = jax.jit(jax.shard_map(draw, mesh=mesh, in_specs=spec, out_specs=spec))
    np.testing.assert_array_equal(spread(keys), draw(keys))
