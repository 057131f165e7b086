# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manybody.hilbert import SumSector
from manybody.hilbert.counting import Layout, completion_counts, n_configurations, sector_size, site_groups

dimensions = st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple)


@given(dimensions, st.integers(0, 12))
def test_sector_size_is_the_number_of_level_choices(local_dimensions: tuple[int, ...], total: int) -> None:
    choices = itertools.product(*map(range, local_dimensions))
    assert sector_size(local_dimensions, total) == sum(sum(levels) == total for levels in choices)


@given(dimensions, st.integers(0, 12))
def test_completion_counts_where_they_are_reached(local_dimensions: tuple[int, ...], total: int) -> None:
    rows = list(completion_counts(local_dimensions, total))[::-1]  # W[0], ..., W[n]
    assert len(rows) == len(local_dimensions) + 1
    for i, row in enumerate(rows):
        before = {sum(levels) for levels in itertools.product(*map(range, local_dimensions[:i]))}
        after = [sum(levels) for levels in itertools.product(*map(range, local_dimensions[i:]))]
        assert row == [after.count(r) if total - r in before else 0 for r in range(total + 1)]
        assert sum(row) <= max(rows[0][total], 1)


def test_sizes_in_closed_form() -> None:
    assert sector_size((2,) * 400, 200) == math.comb(400, 200)
    assert sector_size((2,) * 5 + (1,) * 3, 6) == 0
    bosons = math.comb(100 + 29, 29)  # 100 bosons on 30 sites that never fill up
    assert sector_size((101,) * 30, 100) == bosons
    assert sum(sector_size((4,) * 20, total) for total in range(61)) == 4**20
    layout = Layout((2,) * 40 + (3,), (SumSector(tuple(range(20)), 10), SumSector(tuple(range(20, 40)), 7)))
    assert n_configurations(layout) == 3 * math.comb(20, 10) * math.comb(20, 7)


def test_groups() -> None:
    groups = site_groups(Layout((2, 3, 2, 5), (SumSector((2, 0), 1),)))
    np.testing.assert_array_equal(groups.of_site, [0, 1, 0, 1])
    np.testing.assert_array_equal(groups.step, [1, 0, 1, 0])
    np.testing.assert_array_equal(groups.remaining, [1, 4])
    assert len(site_groups(Layout((2, 2), (SumSector((0, 1), 1),))).remaining) == 1


def test_a_sector_does_not_depend_on_the_order_of_its_sites() -> None:
    sector = SumSector((2, 0), 1)
    assert sector == SumSector((0, 2), 1)
    assert hash(sector) == hash(SumSector((0, 2), 1))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SumSector((), 0), "`sites` must be at least one site, each named once"),
        (lambda: SumSector((1, 1), 0), "`sites` must be at least one site, each named once"),
        (lambda: SumSector((-1,), 0), "`sites` must satisfy 0 <= sites"),
        (lambda: SumSector((1,), -2), "`total` must satisfy 0 <= total"),
        (lambda: site_groups(Layout((2, 2), (SumSector((2,), 0),))), "`sectors` must name sites below 2"),
        (
            lambda: site_groups(Layout((2, 2), (SumSector((0,), 0), SumSector((0, 1), 0)))),
            "`sectors` must be disjoint",
        ),
    ],
)
def test_errors(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
