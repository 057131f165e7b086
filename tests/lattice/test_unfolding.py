# SPDX-License-Identifier: Apache-2.0
"""Tori of one infinite lattice: nearest images, and groups and sectors of one torus on another."""

import itertools

import numpy as np
import pytest

from manybody.lattice import Lattice, chain, cubic, from_networkx, honeycomb, kagome, square, triangular
from manybody.lattice.unfolding import group_on, labels, lattice_of, places, sector_on
from manybody.symmetry import PermutationGroup, Sector

TORI = {
    "ring": chain(6),
    "odd ring": chain(5),
    "open chain": chain(4, periodic=False),
    "cylinder": square(4, 3, periodic=(True, False)),
    "square": square(4),
    "rectangle": square(4, 5),
    "skewed": Lattice(np.eye(2), [[3, 1], [-1, 3]]),
    "long vectors": Lattice(np.eye(2), [[4, 0], [20, 4]]),
    "triangular": triangular(4),
    "kagome": kagome(3),
    "honeycomb": honeycomb(2),
    "cubic": cubic(2, 3, 4),
}


@pytest.mark.parametrize("lattice", TORI.values(), ids=TORI)
def test_nearest_images(lattice):
    """All of them, by trying."""
    windings = np.array(list(itertools.product(range(-7, 8), repeat=len(lattice.periods)))) @ lattice.periods
    for vector, images in zip(lattice.positions - lattice.positions[0], places(lattice), strict=True):
        lengths = np.linalg.norm(vector + windings.reshape(len(windings), -1), axis=1)
        nearest = vector + windings.reshape(len(windings), -1)[lengths < lengths.min() + 1e-6]
        offsets = np.array(lattice.offsets)
        found = np.array([np.array(cell) @ np.array(lattice.basis) + offsets[b] for b, *cell in images]) - offsets[0]
        assert len(found) == len(nearest)
        assert np.linalg.norm(found[:, None] - nearest, axis=-1).min(axis=0).max() < 1e-6


def test_labels_are_of_one_site_and_one_element():
    for lattice in (square(4), kagome(3)):
        for several in labels(lattice.space_group()):
            everything = [label for own in several for label in own]
            assert len(set(everything)) == len(everything)
    (first, *_), elements = labels(square(4).space_group())
    assert first == {(0, 0, 0)}
    assert max(len(own) for own in elements) == 4  # to the opposite corner


def test_groups_without_a_lattice():
    group = PermutationGroup([[0, 1], [1, 0]])
    sites, elements = labels(group)
    assert lattice_of(group) is None
    assert (len(set(sites)), len(set(elements))) == (2, 2)
    assert labels(PermutationGroup([[0, 1], [1, 0]])) == (sites, elements)
    assert not {*sites, *elements} & {label for own in labels(chain(3).automorphism_group()) for label in own}


# --- groups -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("small", "large"),
    [
        (square(4), square(6)),
        (square(3), square(4)),
        (square(6), square(4)),
        (triangular(3), triangular(4)),
        (kagome(3), kagome(4)),
        (honeycomb(3), honeycomb([[4, 0], [0, 4]])),
        (square(4), Lattice(np.eye(2), [[4, 4], [-4, 4]])),
        (square(4, 3, periodic=(True, False)), square(6, 3, periodic=(True, False))),
    ],
    ids=str,
)
def test_groups_of_the_other_torus(small, large):
    assert group_on(small.space_group(), large) == large.space_group()
    assert group_on(small.translation_group(), large) == large.translation_group()
    assert lattice_of(group_on(small.space_group(), large)) == large
    rotations = small.space_group().rotations
    proper = np.flatnonzero(np.linalg.det(rotations) > 0)
    found = group_on(small.space_group().subgroup(proper), large)
    assert found == large.space_group().subgroup(np.flatnonzero(np.linalg.det(large.space_group().rotations) > 0))


def test_bond_kinds():
    small, large = honeycomb(3), honeycomb(4)
    for rule in ("fix", "permute", "ignore"):
        assert group_on(small.space_group(rule), large) == large.space_group(rule)


MOMENTA = [
    (square(4), square(6), [0.0, 0.0]),
    (square(4), square(6), [np.pi, np.pi]),
    (square(4), square(6), [np.pi, 0.0]),
    (square(4), square(8), [np.pi / 2, 0.0]),
    (triangular(3), triangular(6), triangular(3).momenta()[1]),
]


@pytest.mark.parametrize(("small", "large", "momentum"), MOMENTA)
def test_sectors_of_the_other_torus(small, large, momentum):
    """Translations by t are exp(-i k.t), and what leaves the first site where it is has its character."""
    for irrep in range(len(small.space_group().irreps_at(momentum))):
        sector = Sector(small.space_group(), momentum=momentum, irrep=irrep)
        found = sector_on(sector, large)
        assert found.group == large.space_group().little_group(momentum)
        t = found.group.translations
        phases = np.exp(-1j * found.group.vectors[t] @ momentum)
        np.testing.assert_allclose(found.characters[t], sector.dimension * phases, atol=1e-12)

        def at_first_site(one):
            still = np.flatnonzero(one.group.sites[:, 0] == 0)
            return {tuple(one.group.rotations[g].ravel()): one.characters[g] for g in still}

        ours, theirs = at_first_site(found), at_first_site(sector)
        assert ours.keys() == theirs.keys()
        np.testing.assert_allclose(list(ours.values()), [theirs[key] for key in ours], atol=1e-12)


def test_sectors_of_several_arms():
    """Representations of the whole group: the star of (pi, 0)."""
    small, large = square(4).space_group(), square(6).space_group()
    shift = int(np.flatnonzero(small.sites[:, 0] == 1)[0])
    found = [
        sector_on(Sector(small, k), square(6))
        for k in range(small.n_irreps)
        if small.irrep_dimensions[k] == 2 and abs(small.characters(k)[shift]) < 1e-9
    ]
    assert found
    for sector in found:
        assert sector.group == large
        assert sector.dimension == 2


def test_what_is_not_on_the_other_torus():
    group, other = square(4).space_group(), square(6)
    twisted = chain(4, twist=np.pi).space_group()
    graph = from_networkx(other.to_networkx())
    oblique = square([[3, 0], [1, 4]])  # whose inversion does on 2 x 2 sites what translations do
    isometries = "`group` must be of isometries of a lattice, without signs"
    cell = "`lattice` must have the cell and the boundaries of"
    rotations = "`lattice` must have the same rotations and reflections"
    for call, message in (
        (lambda: group_on(square(4).automorphism_group(), other), isometries),
        (lambda: group_on(twisted, chain(6, twist=np.pi)), isometries),
        (lambda: sector_on(Sector(group, inversion=1), other), isometries),
        (lambda: group_on(square(4).point_group(), other), "`group` must have all translations"),
        (lambda: group_on(group, triangular(6)), cell),
        (lambda: group_on(group, square(6, periodic=False)), cell),
        (lambda: group_on(group, graph), cell),
        (lambda: group_on(group, square(4, 6)), rotations),
        (lambda: group_on(square(2).space_group(), square(4)), rotations),
        (lambda: group_on(square(2).space_group(), oblique), rotations),
        (lambda: sector_on(Sector(group, momentum=[np.pi / 2, 0]), other), "`lattice` must have the momenta of"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
