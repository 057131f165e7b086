# SPDX-License-Identifier: Apache-2.0
"""Shells, images and phases against an enumeration of images that shares nothing with the package."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from manybody.lattice import (
    Lattice,
    chain,
    cubic,
    diamond,
    fcc,
    honeycomb,
    kagome,
    rectangle,
    shastry_sutherland,
    shuriken,
    square,
    triangular,
)

SMALL = [
    chain(1),
    chain(2),
    chain(6),
    chain(5, periodic=False),
    square(4),
    square(3, 5),
    square(2, 4),
    square(4, 1),
    square(4, 3, periodic=(True, False)),
    square(3, periodic=False),
    rectangle(4, 3, b=1.3),
    triangular(4),
    triangular(3, 2),
    honeycomb(3),
    honeycomb(3, 4, periodic=(False, True)),
    kagome(3),
    kagome(2),
    cubic(3, 2, 4),
    cubic(3, 3, 2, periodic=(True, False, True)),
    Lattice([[1, 0], [0.9, 0.5]], (3, 4), [[0, 0], [0.31, 0.2]], periodic=(True, False)),
    rectangle(4, 2, b=0.4, periodic=(True, False)),  # twice b is shorter than a, but leads out of the lattice
    Lattice([[1.0]], 5, [[0.0], [7.3]]),  # an offset far outside the cell
    shuriken(2, 1),
    shastry_sutherland(2),
    fcc(2),
    diamond(2, 2, 1, periodic=(True, True, False)),
    square([[3, 1], [-1, 3]]),
    square([[5, 1], [-1, 5]]),
    square([[1, 4], [3, -2]]),  # a negative determinant
    square([[-3, 0], [0, 3]]),
    triangular([[2, 1], [-1, 3]]),
    triangular([[3, 3], [-3, 6]]),
    kagome([[2, 1], [-1, 1]]),
    honeycomb([[2, 2], [0, 3]]),
    cubic([[2, 1, 0], [0, 2, 1], [1, 0, 2]]),
    Lattice([[1, 0], [0.9, 0.5]], [[2, 1], [-1, 3]], [[0, 0], [0.31, 0.2]]),
]


def windings_of(lattice: Lattice, reach: int) -> np.ndarray:
    """Cartesian vectors of up to `reach` windings along each vector of the torus."""
    torus = np.array(lattice.extent) if np.ndim(lattice.extent) == 2 else np.diag(lattice.extent)
    reach = 3 * reach if np.ndim(lattice.extent) == 2 else reach  # the box of the normal form may be long
    windings = [range(-reach, reach + 1) if p else (0,) for p in lattice.periodic]
    return np.array(list(itertools.product(*windings))) @ torus @ np.array(lattice.basis)


def brute_force(lattice: Lattice, reach: int) -> dict[tuple[int, int], np.ndarray]:
    """All displacements (n, dim) from i to images of j with up to `reach` windings, for i < j, by loops."""
    basis, offsets = np.array(lattice.basis), np.array(lattice.offsets)
    sites = [
        np.array(cell) @ basis + offset for cell in itertools.product(*map(range, lattice.shape)) for offset in offsets
    ]
    shifts = windings_of(lattice, reach)
    pairs = itertools.combinations(range(len(sites)), 2)
    return {(i, j): sites[j] - sites[i] + shifts for i, j in pairs}


def shells_of(lengths: list[float] | np.ndarray) -> list[float]:
    """Distinct lengths, ascending."""
    return sorted(set(np.round(lengths, 7).tolist()))


@pytest.mark.parametrize("lattice", SMALL, ids=repr)
def test_minimum_image_shells_equal_brute_force(lattice: Lattice) -> None:
    """Every order has exactly the pairs whose nearest image is at that distance."""
    nearest = {pair: np.linalg.norm(moves, axis=1).min() for pair, moves in brute_force(lattice, 3).items()}
    shells = shells_of(list(nearest.values()))
    assert lattice.n_shells == len(shells)
    for order, length in enumerate(shells, start=1):
        expected = [pair for pair, d in nearest.items() if abs(d - length) < 1e-6]
        assert list(map(tuple, lattice.bonds(order).tolist())) == expected
    for (i, j), length in nearest.items():
        assert lattice.distances()[i, j] == pytest.approx(length, abs=1e-12)
        assert lattice.distances()[j, i] == lattice.distances()[i, j]
    assert not lattice.distances().diagonal().any()


@pytest.mark.parametrize("lattice", [x for x in SMALL if any(x.periodic) and x.n_sites > 1], ids=repr)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_image_shells_equal_brute_force(lattice: Lattice, order: int) -> None:
    """With images each displacement of the order's length is a bond, images of the same pair included."""
    own = np.linalg.norm(windings_of(lattice, 3), axis=1)  # of sites to their own images
    found = {pair: np.linalg.norm(moves, axis=1) for pair, moves in brute_force(lattice, 3).items()}
    length = shells_of(np.concatenate([own[own > 0], *found.values()]))[order - 1]
    expected = Counter({pair: int(np.sum(abs(lengths - length) < 1e-6)) for pair, lengths in found.items()})
    assert Counter(map(tuple, lattice.bonds(order, images=True).tolist())) == +expected
    np.testing.assert_allclose(np.linalg.norm(lattice.bond_vectors(order, images=True), axis=1), length)


@st.composite
def lattices(draw: st.DrawFn) -> Lattice:
    """Oblique lattices in the plane with one or two sites in the cell and any boundaries."""
    radius, angle = st.floats(0.7, 1.5), st.floats(0, 2 * math.pi)
    basis = np.array([[r * math.cos(a), r * math.sin(a)] for r, a in [(draw(radius), draw(angle)) for _ in range(2)]])
    assume(abs(np.linalg.det(basis)) > 0.5 * np.linalg.norm(basis, axis=1).prod())
    offsets = [[0.0, 0.0], *([draw(st.tuples(st.floats(0.1, 0.9), st.floats(0.1, 0.9))) @ basis] * draw(st.booleans()))]
    extent = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    return Lattice(basis, extent, offsets, draw(st.tuples(st.booleans(), st.booleans())))


@given(lattices())
@settings(max_examples=40, deadline=None)
def test_distances_of_oblique_lattices(lattice: Lattice) -> None:
    """The few windings that are tried are enough, however oblique and flat the lattice of images."""
    for (i, j), moves in brute_force(lattice, 9).items():
        assert lattice.distances()[i, j] == pytest.approx(np.linalg.norm(moves, axis=1).min(), rel=1e-9)


@given(lattices(), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_vectors_lead_from_site_to_image(lattice: Lattice, order: int) -> None:
    """A bond vector is the difference of positions up to whole windings of periodic axes."""
    for images in (False, True):
        if order > lattice.n_shells:
            continue
        bonds, vectors = lattice.bonds(order, images=images), lattice.bond_vectors(order, images=images)
        direct = lattice.positions[bonds[:, 1]] - lattice.positions[bonds[:, 0]]
        windings = (vectors - direct) @ np.linalg.inv(lattice.basis) / lattice.extent
        np.testing.assert_allclose(windings, np.round(windings), atol=1e-9)
        assert not np.round(windings[:, ~np.array(lattice.periodic)]).any()


def test_the_four_by_four_square() -> None:
    """The numbers that decide whose J1-J2 (-J3) energies one reproduces."""
    lattice = square(4)
    assert [len(lattice.bonds(order)) for order in range(1, 6)] == [32, 32, 16, 32, 8]
    assert lattice.n_shells == 5
    assert [len(lattice.bonds(order, images=True)) for order in (1, 2, 3)] == [32, 32, 32]


def test_images_on_the_shortest_lattices() -> None:
    """Length 2 joins two sites twice round the ring; length 1 only joins a site to itself, which is dropped."""
    assert chain(2).bonds().tolist() == [[0, 1]]
    assert chain(2).bonds(images=True).tolist() == [[0, 1], [0, 1]]
    assert chain(2).bond_vectors(images=True).tolist() == [[1.0], [-1.0]]
    assert len(square(2).bonds()) == 4 and len(square(2).bonds(images=True)) == 8
    assert len(square(2).bonds(2)) == 2 and len(square(2).bonds(2, images=True)) == 8
    assert square(2).bonds(3, images=True).shape == (0, 2)  # (2, 0) leads back to the same site
    assert square(4, 1).bonds(kind="y").shape == (0, 2)
    assert chain(2, periodic=False).bonds(images=True).tolist() == [[0, 1]]
    assert honeycomb(1).bonds(images=True).tolist() == [[0, 1]] * 3


def test_of_equally_near_images_the_largest_displacement_is_shown() -> None:
    """A documented choice, so that vectors do not depend on rounding."""
    assert chain(4).bond_vectors(2).tolist() == [[2.0], [2.0]]
    assert (square(4).bond_vectors(3).max(axis=1) == 2).all()


def test_images_keep_the_coordination_number() -> None:
    """On the folded lattice each site has as many bonds as on the infinite one."""
    for lattice, coordination in [(chain(2), 2), (square(2), 4), (triangular(2), 6), (kagome(1), 4), (cubic(2), 6)]:
        degrees = np.bincount(lattice.bonds(images=True).ravel(), minlength=lattice.n_sites)
        assert degrees.tolist() == [coordination] * lattice.n_sites


def hopping(lattice: Lattice, order: int = 1) -> np.ndarray:
    """-sum phase c_j^dag c_i + h.c. for one particle."""
    matrix = np.zeros((lattice.n_sites, lattice.n_sites), dtype=complex)
    for (i, j), phase in zip(lattice.bonds(order), lattice.bond_phases(order), strict=True):
        matrix[j, i] -= phase
        matrix[i, j] -= phase.conj()
    return matrix


@pytest.mark.parametrize("n", [2, 3, 4, 7])
@pytest.mark.parametrize("twist", [0.3, -1.1, math.pi, 4.0])
def test_ring_with_a_twist(n: int, twist: float) -> None:
    """E = -2 cos k with k = (2 pi m + twist) / n, whatever n."""
    k = (2 * np.pi * np.arange(n) + twist) / n
    np.testing.assert_allclose(np.linalg.eigvalsh(hopping(chain(n, twist=twist))), np.sort(-2 * np.cos(k)), atol=1e-12)
    if n > 2:  # next-nearest neighbours pick up the phase once, also where both ways round are equally long
        expected = np.sort(-2 * np.cos(2 * k))
        np.testing.assert_allclose(np.linalg.eigvalsh(hopping(chain(n, twist=twist), 2)), expected, atol=1e-12)


def test_plane_with_two_twists() -> None:
    """Triangular lattice: the third direction, a_1 - a_2, sees the difference of the momenta, so signs matter."""
    twist = (0.4, 1.7)
    kx, ky = np.meshgrid(*((2 * np.pi * np.arange(n) + t) / n for n, t in zip((3, 4), twist, strict=True)))
    energies = -2 * (np.cos(kx) + np.cos(ky) + np.cos(kx - ky))
    lattice = triangular(3, 4, twist=twist)
    np.testing.assert_allclose(np.linalg.eigvalsh(hopping(lattice)), np.sort(energies.ravel()), atol=1e-12)
    ladder = square(3, 4, periodic=(True, False), twist=(0.4, 0.0))
    rungs = np.array([-2 * np.cos(np.pi * q / 5) for q in range(1, 5)])  # an open chain of 4
    expected = np.add.outer(-2 * np.cos((2 * np.pi * np.arange(3) + 0.4) / 3), rungs)
    np.testing.assert_allclose(np.linalg.eigvalsh(hopping(ladder)), np.sort(expected.ravel()), atol=1e-12)


def test_direction_of_the_phase() -> None:
    """A hop across the boundary in the positive direction, 2 -> 0, picks up exp(i twist); 0 -> 2 the conjugate."""
    lattice = chain(3, twist=0.3)
    assert lattice.bonds().tolist() == [[0, 1], [0, 2], [1, 2]]
    np.testing.assert_allclose(lattice.bond_phases(), [1, np.exp(-0.3j), 1])
    assert lattice.bond_vectors().tolist() == [[1.0], [-1.0], [1.0]]


def test_twist_keeps_images_and_antiperiodic_is_real() -> None:
    """Two bonds of opposite sign on the antiperiodic ring of two, exactly."""
    lattice = chain(2, twist=math.pi)
    assert lattice.bonds().tolist() == lattice.bonds(kind="x").tolist() == [[0, 1], [0, 1]]
    assert sorted(lattice.bond_phases().tolist(), key=lambda z: z.real) == [-1, 1]
    assert (square(4).bond_phases() == 1).all()


@pytest.mark.parametrize(
    "lattice",
    [chain(5), chain(5, periodic=False), square(4, 3), square(4, 3, periodic=(True, False)), cubic(3), triangular(4),
     honeycomb(3), honeycomb(3, periodic=(False, True)), kagome(3), kagome(3, periodic=False), square(2), honeycomb(1)],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("images", [False, True])
def test_kinds_together_are_the_nearest_neighbours(lattice: Lattice, images: bool) -> None:
    """Kinds split the nearest-neighbour bonds of these lattices, and respect boundaries as orders do."""
    union = Counter(tuple(pair) for kind in lattice.kinds for pair in lattice.bonds(kind=kind, images=images).tolist())
    nearest = Counter(map(tuple, lattice.bonds(images=images).tolist()))
    assert union == nearest if images else set(union) == set(nearest)


def test_bad_selections() -> None:
    """Errors name what there is."""
    with pytest.raises(ValueError, match=r"`order` must be at most 5, the number of distances on this lattice, got 6"):
        square(4).bonds(6)
    with pytest.raises(ValueError, match=r"`order` must satisfy 1 <= order, got 0"):
        square(4).bonds(0)
    with pytest.raises(TypeError, match="`order` must be an integer"):
        square(4).bonds(1.0)
    with pytest.raises(ValueError, match=r"`kind` must be one of 'x', 'y', got 'z'"):
        square(4).bonds(kind="z")
    with pytest.raises(ValueError, match="`kind` must be None on a lattice without bond kinds, got 'x'"):
        Lattice([[1]], 4).bonds(kind="x")
    with pytest.raises(ValueError, match="`order` must be left out when `kind` is given, got 2"):
        square(4).bonds(2, kind="x")
