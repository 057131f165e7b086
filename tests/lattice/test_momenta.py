# SPDX-License-Identifier: Apache-2.0
"""Allowed momenta: their number, order and representatives, and how one of them is found."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from manybody.lattice import Lattice, chain, cubic, fcc, honeycomb, kagome, pyrochlore, square, triangular

LATTICES = [
    chain(5),
    chain(4, twist=0.7),
    chain(5, periodic=False),
    square(4, 3),
    square(4, 3, periodic=(False, True)),
    square([[5, 1], [-1, 5]]),
    square([[1, 4], [3, -2]], twist=(0.3, -1.2)),
    triangular(6),
    triangular(3, twist=(math.pi, 0.4)),
    triangular([[3, 3], [-3, 6]]),
    honeycomb(2, 3),
    kagome([[2, 2], [-2, 4]]),
    cubic(3, 2, 2, periodic=(True, False, True)),
    fcc(3),
    pyrochlore([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]),
    Lattice([[1, 0], [0.4, 1]], (3, 4), periodic=(False, True), twist=(0.0, 0.5)),
]
every_lattice = pytest.mark.parametrize("lattice", LATTICES, ids=repr)


def reciprocal_vectors(lattice: Lattice, reach: int) -> np.ndarray:
    """Those in the span of the periodic axes, from the equations that define them."""
    axes = np.array(lattice.basis)[np.array(lattice.periodic)]
    rows = [np.linalg.lstsq(axes, 2 * np.pi * unit, rcond=None)[0] for unit in np.eye(len(axes))]
    steps = list(itertools.product(range(-reach, reach + 1), repeat=len(axes)))
    return np.array(steps).reshape(len(steps), len(axes)) @ np.array(rows).reshape(len(axes), lattice.dim)


@every_lattice
def test_reciprocal(lattice: Lattice) -> None:
    np.testing.assert_allclose(lattice.basis @ lattice.reciprocal.T, 2 * np.pi * np.eye(lattice.dim), atol=1e-12)


@every_lattice
def test_momenta_carry_the_twist_round_every_cycle(lattice: Lattice) -> None:
    """As many as translations, all different, k . T = twist mod 2 pi, in the span of the periodic axes."""
    momenta = lattice.momenta()
    assert momenta.shape == (len(lattice.translations()), lattice.dim)
    twist = np.array(lattice.twist)[np.array(lattice.periodic)]
    turns = (momenta @ lattice.periods.T - twist) / (2 * np.pi)
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-9)
    axes = np.array(lattice.basis)[np.array(lattice.periodic)]
    np.testing.assert_allclose(momenta @ np.linalg.pinv(axes) @ axes, momenta, atol=1e-9)
    if not any(lattice.twist):
        assert not momenta[0].any()
    for array in (momenta, lattice.reciprocal):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@every_lattice
def test_plane_waves_are_orthogonal(lattice: Lattice) -> None:
    """So no two are equivalent, and they are the characters of the translations."""
    moved = lattice.positions[lattice.translations()[:, 0]] - lattice.positions[0]
    waves = np.exp(1j * moved @ lattice.momenta().T)
    np.testing.assert_allclose(waves.conj().T @ waves, len(moved) * np.eye(len(moved)), atol=1e-9)


@every_lattice
def test_momenta_lie_in_the_first_zone(lattice: Lattice) -> None:
    """None is longer than another one that is equivalent; of equally long ones it is furthest along b_1, b_2, ..."""
    images = reciprocal_vectors(lattice, 3)
    for momentum in lattice.momenta():
        others = momentum + images
        lengths = np.linalg.norm(others, axis=1)
        assert np.linalg.norm(momentum) <= lengths.min() * (1 + 1e-9) + 1e-12
        tied = others[lengths <= lengths.min() * (1 + 1e-9) + 1e-12]
        along = np.round(tied @ np.array(lattice.basis).T, 6)[:, np.array(lattice.periodic)].tolist()
        mine = np.round(momentum @ np.array(lattice.basis).T, 6)[np.array(lattice.periodic)].tolist()
        assert mine == max(along)


def test_order() -> None:
    """Row by row, along b_1 slowest; -pi is pi."""
    turns = square(4, 3).momenta() / (2 * np.pi)
    expected = [[x, y] for x in (0, 0.25, 0.5, -0.25) for y in (0, 1 / 3, -1 / 3)]
    np.testing.assert_allclose(turns, expected, atol=1e-12)
    np.testing.assert_allclose(
        chain(3, twist=0.3).momenta()[:, 0], np.array([0.3, 0.3 + 2 * np.pi, 0.3 - 2 * np.pi]) / 3
    )
    corner = triangular(3).momentum_index([4 * np.pi / 3, 0])
    np.testing.assert_allclose(triangular(3).momenta()[corner], [4 * np.pi / 3, 0], atol=1e-12)


@every_lattice
def test_index_of_equivalent_momenta(lattice: Lattice) -> None:
    """Up to reciprocal vectors, and to seven digits."""
    images = reciprocal_vectors(lattice, 2)
    rng = np.random.default_rng(0)
    for number, momentum in enumerate(lattice.momenta()):
        for image in images[rng.integers(len(images), size=5)]:
            assert lattice.momentum_index(np.round(momentum + image, 7)) == number
    assert isinstance(lattice.momentum_index(lattice.momenta()[0].tolist()), int)


def test_incommensurate_momenta() -> None:
    """The nearest one is named, in the first zone."""
    with pytest.raises(
        ValueError, match=r"`momentum` must be one of.*got \(1\.4, 6\.4\)\. The nearest one is \(1\.57\d*, 0"
    ):
        square(4).momentum_index([1.4, 6.4])
    with pytest.raises(ValueError, match=r"The nearest one is \(-2\.09\d*\)"):
        chain(3).momentum_index([np.pi + 0.1])
    with pytest.raises(ValueError, match=r"The nearest one is \(0\.1\)"):
        chain(3, twist=0.3).momentum_index([0.0])
    with pytest.raises(ValueError, match=r"got \(0, 0\.5\)\. The nearest one is \(0, 0\)"):
        square(4, periodic=(True, False)).momentum_index([0.0, 0.5])
    with pytest.raises(ValueError, match=r"`momentum` must have 2 components, got \(1,\)"):
        square(4).momentum_index([0.0])
    with pytest.raises(ValueError, match="`momentum` must be finite"):
        chain(4).momentum_index([math.inf])
    with pytest.raises(TypeError, match="`momentum` must be a matrix of real numbers"):
        chain(4).momentum_index("pi")
