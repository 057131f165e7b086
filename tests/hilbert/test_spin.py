# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import os
import re
from fractions import Fraction

import numpy as np
import pytest

from manybody.hilbert import Spin, SumSector

unchecked = pytest.mark.skipif(os.environ.get("MANYBODY_TYPECHECK", "0") != "0", reason="jaxtyping complains first")


def test_local_basis_runs_from_up_to_down() -> None:
    assert Spin(1, s=1.5).all_states().ravel().tolist() == [3, 1, -1, -3]
    assert Spin(2).all_states().tolist() == [[1, 1], [1, -1], [-1, 1], [-1, -1]]
    widest = Spin(1, s=63.5).all_states().ravel()
    np.testing.assert_array_equal(widest, np.arange(127, -128, -2))


@pytest.mark.parametrize("total_sz", [-3, -2, 0, 1, 3])
def test_total_sz_is_the_sum_of_s_z(total_sz: int) -> None:
    for space in (Spin(6, total_sz=total_sz), Spin(3, s=1, total_sz=total_sz), Spin(2, s=1.5, total_sz=total_sz)):
        assert (space.all_states().sum(axis=1) == 2 * total_sz).all()


def test_sector_counts_levels() -> None:
    assert Spin(3).sectors == ()
    assert Spin(4, total_sz=-1).sectors == (SumSector((0, 1, 2, 3), 3),)
    assert Spin(3, s=1.5, total_sz=0.5).sectors == (SumSector((0, 1, 2), 4),)
    assert Spin(5, s=1).local_dimensions == (3,) * 5


@unchecked
def test_numbers_may_be_written_in_any_way() -> None:
    spaces = [
        Spin(3, s=0.5, total_sz=0.5),
        Spin(np.int32(3), s=Fraction(1, 2), total_sz=Fraction(1, 2)),
        Spin(3, s=np.float32(0.5), total_sz=np.float64(0.5)),
    ]
    assert len({*spaces}) == 1
    assert len({*map(repr, spaces)}) == 1
    assert {Spin(4, total_sz=0), Spin(4, total_sz=-0.0)} == {Spin(4, s=0.5, total_sz=0.0)}
    assert repr(Spin(4, total_sz=-0.0)) == "Spin(n_sites=4, s=0.5, total_sz=0.0)"
    assert len({Spin(4), Spin(5), Spin(4, s=1), Spin(4, total_sz=0), Spin(4, total_sz=1)}) == 5


@unchecked
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"n_sites": 4, "total_sz": 0.5},
            ValueError,
            "`total_sz` must be one of -2, -1, 0, 1, 2, what 4 spins of s = 1/2 can add up to, got 0.5. "
            "There is no such sector.",
        ),
        ({"n_sites": 3, "total_sz": 0}, ValueError, "`total_sz` must be one of -3/2, -1/2, 1/2, 3/2, what 3 spins"),
        ({"n_sites": 4, "total_sz": 3}, ValueError, "got 3. There is no such sector."),
        ({"n_sites": 2, "s": 1, "total_sz": -2.5}, ValueError, "what 2 spins of s = 1 can add up to, got -2.5."),
        ({"n_sites": 400, "total_sz": 201}, ValueError, "one of -200, -199, ..., 199, 200, what 400 spins"),
        ({"n_sites": 4, "total_sz": 0.1}, ValueError, "got 0.1. There is no such sector."),
        ({"n_sites": 4, "total_sz": math.nan}, ValueError, "got nan. There is no such sector."),
        ({"n_sites": 4, "total_sz": "0"}, TypeError, "`total_sz` must be a real number, got str ('0')."),
        ({"n_sites": 4, "s": 0.3}, ValueError, "`s` must be a multiple of 1/2 between 1/2 and 127/2, got 0.3."),
        ({"n_sites": 4, "s": 0}, ValueError, "`s` must be a multiple of 1/2"),
        ({"n_sites": 4, "s": 64}, ValueError, "`s` must be a multiple of 1/2"),
        ({"n_sites": 4, "s": math.inf}, ValueError, "`s` must be a multiple of 1/2"),
        ({"n_sites": 4, "s": True}, TypeError, "`s` must be a real number, got bool (True)."),
        ({"n_sites": 0}, ValueError, "`n_sites` must satisfy 1 <= n_sites, got 0."),
        ({"n_sites": 4.0}, TypeError, "`n_sites` must be an integer, got float (4.0)."),
    ],
)
def test_errors(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        Spin(**arguments)
