# SPDX-License-Identifier: Apache-2.0
"""Sectors: by number, by characters, by momentum, with inversion."""

from __future__ import annotations

import numpy as np
import pytest

from manybody.lattice import chain, honeycomb, square
from manybody.symmetry import Permutation, PermutationGroup, Sector, TableGroup

RING = chain(6).space_group()
SQUARE = square(4).space_group()


def test_the_default_is_trivial() -> None:
    sector = Sector(RING)
    assert (sector.irrep, sector.dimension, sector.is_real) == (0, 1, True)
    np.testing.assert_array_equal(sector.characters, 1)
    np.testing.assert_array_equal(sector.matrices, np.ones((12, 1, 1)))


@pytest.mark.parametrize("irrep", range(6))
def test_by_number_and_by_characters(irrep: int) -> None:
    sector = Sector(RING, irrep)
    assert sector == Sector(RING, sector.characters) and hash(sector) == hash(Sector(RING, sector.characters))
    assert sector != Sector(RING, (irrep + 1) % 6)
    np.testing.assert_allclose(np.trace(sector.matrices, axis1=1, axis2=2), RING.characters(irrep), atol=1e-12)


@pytest.mark.parametrize("number", range(6))
def test_by_momentum(number: int) -> None:
    """T psi = exp(-i k) psi for the translation by one site."""
    k = 2 * np.pi * number / 6
    sector = Sector(chain(6).translation_group(), momentum=[k])
    np.testing.assert_allclose(sector.characters[1], np.exp(-1j * k), atol=1e-14)
    assert sector.is_real == (number in (0, 3))


def test_by_momentum_in_a_space_group() -> None:
    sectors = [Sector(SQUARE, irrep, momentum=(np.pi, np.pi)) for irrep in range(5)]
    assert [s.dimension for s in sectors] == [1, 1, 1, 1, 2] and all(s.group.order == 128 for s in sectors)
    line = Sector(SQUARE, 1, momentum=(np.pi / 2, 0))
    assert line.group.order == 32 and line.dimension == 1
    assert Sector(SQUARE, momentum=(np.pi / 2, 0)) != line
    with pytest.raises(ValueError, match="`irrep` must be below 2, the number of representations at this momentum"):
        Sector(SQUARE, 2, momentum=(np.pi / 2, 0))
    with pytest.raises(ValueError, match="`momentum` must fit the boundaries"):
        Sector(SQUARE, momentum=(1.0, 0))


@pytest.mark.parametrize("inversion", [1, -1])
def test_with_inversion(inversion: int) -> None:
    sector = Sector(RING, 2, inversion=inversion)
    assert sector.group == RING.with_inversion()
    np.testing.assert_allclose(sector.characters[::2], RING.characters(2))
    np.testing.assert_allclose(sector.characters[1::2], inversion * RING.characters(2))
    at = Sector(honeycomb(2).space_group(), momentum=(0, 0), inversion=inversion)
    assert at.group.order == 2 * 48 and at.dimension == 1


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((TableGroup([[0]]),), {}, TypeError, "`group` must be .*PermutationGroup"),
        ((RING, 6), {}, ValueError, "`irrep` must satisfy 0 <= irrep <= 5"),
        (
            (RING, SQUARE.characters(0)),
            {},
            ValueError,
            "`irrep` must be a number, or the characters of the 12",
        ),
        ((RING, RING.characters(0) + RING.characters(1)), {}, ValueError, "`irrep` must be irreducible characters"),
        ((RING, np.eye(12)[0]), {}, ValueError, "`irrep` must be irreducible characters"),
        ((RING,), {"inversion": 2}, ValueError, "`inversion` must be 1 or -1"),
        ((RING.with_inversion(),), {"inversion": 1}, ValueError, "no element that inverts"),
        (
            (PermutationGroup.generated([Permutation([1, 0])]),),
            {"momentum": [0.0]},
            TypeError,
            "`group` must have momenta",
        ),
    ],
)
def test_sectors_that_do_not_exist(arguments: tuple, options: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        Sector(*arguments, **options)
