# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manybody.hilbert import (
    Blockade,
    Constrained,
    DiscreteSpace,
    Doubled,
    Fermion,
    Fock,
    Product,
    Qubit,
    Spin,
    SumSector,
    halves,
    ranking,
)
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


@pytest.fixture(params=["halves", "scan"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """With look-ups, and without: as for more sites than tables are made for."""
    if request.param == "scan":
        monkeypatch.setattr(halves, "MAX_CODES", 0)
    yield from fresh()


def fresh() -> Iterator[None]:
    """Nothing that was remembered before is used, nor remembered afterwards."""
    remembered = (halves.halves.cache_clear, ranking._rank_jax.clear_cache, ranking._unrank_jax.clear_cache)
    for forget in remembered:
        forget()
    yield
    for forget in remembered:
        forget()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the same for all examples
@given(layout=layouts())
@pytest.mark.usefixtures("way")
def test_rank_is_the_place_among_the_legal_configurations(layout: Layout) -> None:
    levels = legal_levels(layout)
    index = np.arange(len(levels))
    assert n_configurations(layout) == len(levels)
    np.testing.assert_array_equal(rank(layout, levels), index)
    np.testing.assert_array_equal(unrank(layout, index), levels)


def test_strides() -> None:
    np.testing.assert_array_equal(strides(Layout((2, 3, 4), ())), [12, 4, 1])


@pytest.mark.usefixtures("way")
def test_more_configurations_than_a_block() -> None:
    layout = Layout((2,) * 18, (SumSector(tuple(range(18)), 9),))
    index = np.random.default_rng(0).permutation(n_configurations(layout))
    assert len(index) > 2 * BLOCK
    levels = unrank(layout, index)
    assert (levels.sum(axis=1) == 9).all()
    np.testing.assert_array_equal(rank(layout, levels), index)


@pytest.mark.usefixtures("way")
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


@pytest.mark.parametrize(
    "space",
    [
        Spin(5),
        Spin(6, total_sz=1),
        Fermion(4, n_per_component=(2, 1), n_components=2),
        Product(Spin(3), Fock(3, n_max=3, n_particles=2), Spin(2, s=1)),
        Doubled(Spin(4, total_sz=0)),
        Product(Doubled(Fock(2, n_max=2)), Qubit(3)),
    ],
    ids=repr,
)
def test_the_index_is_a_sum_of_parts(space: DiscreteSpace) -> None:
    levels = np.asarray(space.to_levels(space.all_states()))
    parts = space.index_parts()
    assert parts is not None
    assert all(not np.any((a.place != 0) & (b.place != 0)) for a, b in itertools.combinations(parts, 2))
    index = sum(part.of_codes(halves.codes_of(levels, part.place)) for part in parts)
    np.testing.assert_array_equal(index, np.arange(space.n_states))


def test_many_sectors_have_no_table_of_all_sums() -> None:
    layout = Layout((2,) * 30, tuple(SumSector((i,), 1) for i in range(30)))  # 2^30 sums, of which one occurs
    assert halves.halves(layout) is None
    np.testing.assert_array_equal(rank(layout, unrank(layout, np.array([0]))), [0])


def test_a_list_of_configurations_is_no_sum() -> None:
    space = Constrained(Spin(4), Blockade(((0, 1), (1, 2))))
    assert space.index_parts() is None
    assert Product(space, Spin(1)).index_parts() is None
    assert Doubled(space).index_parts() is None
