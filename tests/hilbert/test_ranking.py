# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from manybody.hilbert import SumSector
from manybody.hilbert.counting import Layout, n_configurations
from manybody.hilbert.ranking import BLOCK, rank, strides, unrank


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Up to six sites of up to four levels, each in one of two sectors or free."""
    dimensions = draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
    groups = draw(st.lists(st.integers(0, 2), min_size=len(dimensions), max_size=len(dimensions)))
    sectors = []
    for group in (0, 1):
        sites = tuple(site for site, of in enumerate(groups) if of == group)
        if sites:
            sectors.append(SumSector(sites, draw(st.integers(0, sum(dimensions[site] - 1 for site in sites)))))
    return Layout(tuple(dimensions), tuple(sectors))


def legal_levels(layout: Layout) -> np.ndarray:
    levels = np.array(list(itertools.product(*map(range, layout.local_dimensions))), np.int32)
    legal = np.ones(len(levels), bool)
    for sector in layout.sectors:
        legal &= levels[:, list(sector.sites)].sum(axis=1) == sector.total
    return levels[legal]


@given(layouts())
def test_rank_is_the_place_among_the_legal_configurations(layout: Layout) -> None:
    levels = legal_levels(layout)
    index = np.arange(len(levels))
    assert n_configurations(layout) == len(levels)
    np.testing.assert_array_equal(rank(layout, levels), index)
    np.testing.assert_array_equal(unrank(layout, index), levels)


def test_strides() -> None:
    np.testing.assert_array_equal(strides(Layout((2, 3, 4), ())), [12, 4, 1])


def test_more_configurations_than_a_block() -> None:
    layout = Layout((2,) * 18, (SumSector(tuple(range(18)), 9),))
    index = np.random.default_rng(0).permutation(n_configurations(layout))
    assert len(index) > 2 * BLOCK
    levels = unrank(layout, index)
    assert (levels.sum(axis=1) == 9).all()
    np.testing.assert_array_equal(rank(layout, levels), index)


def test_inside_shard_map() -> None:
    """A scan refuses a carry that starts the same on all devices and then varies."""
    layout = Layout((2, 3, 2, 2), (SumSector((0, 3), 1),))
    levels = jnp.asarray(legal_levels(layout))
    mesh = jax.make_mesh((1,), ("device",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("device")

    def round_trip(levels: jax.Array) -> jax.Array:
        return unrank(layout, rank(layout, levels))

    spread = jax.jit(jax.shard_map(round_trip, mesh=mesh, in_specs=spec, out_specs=spec))
    np.testing.assert_array_equal(spread(levels), levels)
