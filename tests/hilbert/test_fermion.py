# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import os
import re

import jax
import numpy as np
import pytest

from manybody.hilbert import Fermion, SumSector

unchecked = pytest.mark.skipif(os.environ.get("MANYBODY_TYPECHECK", "0") != "0", reason="jaxtyping complains first")


def test_modes_are_ordered_by_component() -> None:
    space = Fermion(3, n_components=2)
    modes = [[space.mode(orbital, component) for orbital in range(3)] for component in range(2)]
    assert modes == [[0, 1, 2], [3, 4, 5]]
    assert space.size == 6
    assert Fermion(3).mode(2) == 2


def test_one_fermion_occupies_one_mode() -> None:
    space = Fermion(2, n_fermions=1, n_components=2)
    assert space.all_states()[:, ::-1].tolist() == np.eye(4, dtype=int).tolist()
    assert Fermion(1).all_states().ravel().tolist() == [0, 1]


def test_sectors() -> None:
    assert Fermion(4).sectors == ()
    assert Fermion(2, n_fermions=3, n_components=2).sectors == (SumSector((0, 1, 2, 3), 3),)
    each = Fermion(2, n_per_component=(0, 1, 2), n_components=3)
    assert each.sectors == (SumSector((0, 1), 0), SumSector((2, 3), 1), SumSector((4, 5), 2))
    assert each.all_states().tolist() == [[0, 0, 0, 1, 1, 1], [0, 0, 1, 0, 1, 1]]
    assert each.local_dimensions == (2,) * 6


def test_counts_in_closed_form() -> None:
    assert Fermion(6, n_components=2).n_states == 2**12
    assert Fermion(6, n_fermions=5, n_components=2).n_states == math.comb(12, 5)
    assert Fermion(6, n_per_component=(3, 2), n_components=2).n_states == math.comb(6, 3) * math.comb(6, 2)
    assert Fermion(200, n_per_component=(99, 1, 0), n_components=3).n_states == math.comb(200, 99) * 200
    assert Fermion(200, n_fermions=150, n_components=2).n_states == math.comb(400, 150)


def test_total_number_is_the_union_of_numbers_per_component() -> None:
    total = {tuple(s) for s in Fermion(3, n_fermions=3, n_components=2).all_states().tolist()}
    parts = [Fermion(3, n_per_component=(n, 3 - n), n_components=2).all_states().tolist() for n in range(4)]
    assert sorted(total) == sorted(tuple(s) for part in parts for s in part)


def test_400_modes() -> None:
    """The mean occupation of every mode within 5 sigma for this seed, and the numbers exactly."""
    space, n = Fermion(200, n_per_component=(100, 30), n_components=2), 2000
    sigma = np.asarray(jax.jit(lambda key: space.random_state(key, n))(jax.random.key(3)))
    assert (sigma[:, :200].sum(axis=1) == 100).all()
    assert (sigma[:, 200:].sum(axis=1) == 30).all()
    filling = np.repeat([0.5, 0.15], 200)
    assert (np.abs(sigma.mean(axis=0) - filling) < 5 * np.sqrt(filling * (1 - filling) / n)).all()


@unchecked
def test_numbers_may_be_written_in_any_way() -> None:
    assert Fermion(4, n_per_component=(2, 1), n_components=2) == Fermion(
        np.int64(4), n_per_component=np.array([2, 1]), n_components=np.int8(2)
    )
    one = {Fermion(4, n_fermions=2), Fermion(4, n_per_component=(2,)), Fermion(4, n_per_component=[2])}
    assert len(one) == 1
    assert {*map(repr, one)} == {"Fermion(n_orbitals=4, n_fermions=2, n_per_component=None, n_components=1)"}
    others = [
        Fermion(4),
        Fermion(4, n_components=2),
        Fermion(2, n_components=4),
        Fermion(4, n_fermions=0),
        Fermion(4, n_fermions=3, n_components=2),
        Fermion(4, n_per_component=(2, 1), n_components=2),
        Fermion(4, n_per_component=(1, 2), n_components=2),
    ]
    assert len({*others}) == len(others)


@unchecked
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"n_fermions": 9, "n_components": 2},
            ValueError,
            "`n_fermions` must satisfy 0 <= n_fermions <= 8, what 2 x 4 modes can hold, got 9. "
            "There is no such sector.",
        ),
        ({"n_fermions": -1}, ValueError, "got -1. There is no such sector."),
        ({"n_fermions": 1.0}, TypeError, "`n_fermions` must be an integer, got float (1.0)."),
        (
            {"n_per_component": (5, 2), "n_components": 2},
            ValueError,
            "`n_per_component` must hold numbers from 0 to n_orbitals (4), got (5, 2). There is no such sector.",
        ),
        ({"n_per_component": (0, -1), "n_components": 2}, ValueError, "got (0, -1). There is no such sector."),
        (
            {"n_per_component": (2, 2)},
            ValueError,
            "`n_per_component` must be one number for each of 1 components (n_components), got (2, 2). "
            "For 2 components pass n_components=2.",
        ),
        (
            {"n_fermions": 4, "n_per_component": (2, 2), "n_components": 2},
            ValueError,
            "`n_per_component` must be None if n_fermions is given, got (2, 2).",
        ),
        ({"n_per_component": 2}, TypeError, "`n_per_component` must be a tuple of integers, got int (2)."),
        ({"n_per_component": (2.0,)}, TypeError, "`n_per_component` must be an integer, got float (2.0)."),
        ({"n_components": 0}, ValueError, "`n_components` must satisfy 1 <= n_components, got 0."),
        ({"n_orbitals": 0}, ValueError, "`n_orbitals` must satisfy 1 <= n_orbitals, got 0."),
        ({"n_orbitals": 4.0}, TypeError, "`n_orbitals` must be an integer, got float (4.0)."),
    ],
)
def test_errors(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        Fermion(**({"n_orbitals": 4} | arguments))


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ((4, 0), "`orbital` must satisfy 0 <= orbital <= 3, got 4."),
        ((-1, 0), "`orbital` must satisfy 0 <= orbital <= 3, got -1."),
        ((0, 2), "`component` must satisfy 0 <= component <= 1, got 2."),
    ],
)
def test_modes_that_do_not_exist(mode: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Fermion(4, n_components=2).mode(*mode)
