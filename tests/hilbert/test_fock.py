# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import os
import re

import jax
import numpy as np
import pytest

from manybody.hilbert import Fock, SumSector

unchecked = pytest.mark.skipif(os.environ.get("MANYBODY_TYPECHECK", "0") != "0", reason="jaxtyping complains first")


def test_local_basis_ascends() -> None:
    assert Fock(1, n_max=3).all_states().ravel().tolist() == [0, 1, 2, 3]
    assert Fock(2, n_max=1).all_states().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    np.testing.assert_array_equal(Fock(1, n_max=127).all_states().ravel(), np.arange(128))


def test_index_is_the_number_that_the_occupations_spell() -> None:
    assert Fock(4, n_max=9).states_to_index(np.array([1, 9, 0, 7])) == 1907
    assert Fock(3, n_max=(1, 9, 4)).states_to_index(np.array([1, 2, 3])) == 50 + 10 + 3


def test_number_of_particles_is_the_sector() -> None:
    space = Fock(4, n_max=(3, 1, 2, 5), n_particles=6)
    assert space.sectors == (SumSector((0, 1, 2, 3), 6),)
    assert space.local_dimensions == (4, 2, 3, 6)
    assert (space.all_states().sum(axis=1) == 6).all()
    assert Fock(4, n_max=3).sectors == ()
    assert [Fock(3, n_max=2, n_particles=n).n_states for n in range(7)] == [1, 3, 6, 7, 6, 3, 1]


def test_counts_in_closed_form() -> None:
    assert Fock(400, n_max=3).n_states == 4**400
    assert Fock(30, n_max=100, n_particles=100).n_states == math.comb(129, 29)  # no site ever fills up
    assert Fock(50, n_max=1, n_particles=21).n_states == math.comb(50, 21)


def test_occupation_of_one_site_among_400() -> None:
    """Mean and variance within 4 sigma for this seed: as n_max never binds, P(n) is a ratio of binomials."""
    space, n = Fock(400, n_max=12, n_particles=200), 4000
    sigma = np.asarray(jax.jit(lambda key: space.random_state(key, n))(jax.random.key(1)))
    assert (sigma.sum(axis=1, dtype=int) == 200).all()
    weight = [math.comb(200 - k + 398, 398) / math.comb(200 + 399, 399) for k in range(13)]
    assert abs(sum(weight) - 1) < 1e-6
    for site in (0, 200, 399):
        counts = np.bincount(sigma[:, site], minlength=13)
        error = np.sqrt(n * np.array(weight) + 1)
        assert (np.abs(counts - n * np.array(weight)) < 4 * error).all()


@unchecked
def test_numbers_may_be_written_in_any_way() -> None:
    spaces = [
        Fock(3, 2, 4),
        Fock(np.int32(3), np.int64(2), np.int8(4)),
        Fock(3, (2, 2, 2), 4),
        Fock(3, [2, 2, 2], 4),
        Fock(3, np.full(3, 2), 4),
    ]
    assert len({*spaces}) == 1
    assert {*map(repr, spaces)} == {"Fock(n_sites=3, n_max=2, n_particles=4)"}
    assert len({Fock(3, 2), Fock(4, 2), Fock(3, 3), Fock(3, (2, 2, 3)), Fock(3, 2, 4), Fock(3, 2, 0)}) == 6


@unchecked
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            (4, 3, 13),
            ValueError,
            "`n_particles` must satisfy 0 <= n_particles <= 12, what 4 sites with n_max = 3 can hold, got 13. "
            "There is no such sector.",
        ),
        ((2, (3, 1), 5), ValueError, "0 <= n_particles <= 4, what 2 sites with n_max = (3, 1) can hold, got 5."),
        ((4, 3, -1), ValueError, "got -1. There is no such sector."),
        ((4, 3, 2.0), TypeError, "`n_particles` must be an integer, got float (2.0)."),
        ((4, 0), ValueError, "`n_max` must satisfy 1 <= n_max <= 127, got 0."),
        ((4, 128), ValueError, "`n_max` must satisfy 1 <= n_max <= 127, got 128."),
        ((2, (3, 0)), ValueError, "`n_max` must satisfy 1 <= n_max <= 127, got 0."),
        ((4, 2.5), TypeError, "`n_max` must be an integer, got float (2.5)."),
        ((2, "ab"), TypeError, "`n_max` must be an integer, got str ('a')."),
        ((4, True), TypeError, "`n_max` must be an integer, got bool (True)."),
        ((4, (1, 2)), ValueError, "`n_max` must be one number, or one for each of 4 sites, got (1, 2)."),
        ((0, 2), ValueError, "`n_sites` must satisfy 1 <= n_sites, got 0."),
        ((2.0, 2), TypeError, "`n_sites` must be an integer, got float (2.0)."),
    ],
)
def test_errors(arguments: tuple, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        Fock(*arguments)
