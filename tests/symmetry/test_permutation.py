# SPDX-License-Identifier: Apache-2.0
"""Permutations with signs and inversion, as the monomial matrices that they are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from manybody.symmetry import Permutation, PermutationGroup


def matrix(p: Permutation) -> np.ndarray:
    """On sites, with one more row for the inversion."""
    n = len(p.sites)
    found = np.zeros((n + 1, n + 1))
    found[list(p.sites), range(n)] = p.signs
    found[n, n] = -1 if p.inverts else 1
    return found


def random_permutation(rng: np.random.Generator, n: int) -> Permutation:
    return Permutation(rng.permutation(n).tolist(), rng.choice([1, -1], n).tolist(), bool(rng.integers(2)))


def test_products_are_those_of_matrices() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = random_permutation(rng, 5), random_permutation(rng, 5)
        np.testing.assert_array_equal(matrix(a @ b), matrix(a) @ matrix(b))
        assert (a @ a.inverse()).is_identity and (a.inverse() @ a).is_identity


def test_groups_multiply_as_their_elements() -> None:
    rng = np.random.default_rng(1)
    group = PermutationGroup.generated([random_permutation(rng, 3) for _ in range(2)])
    assert group.order == len({group[g] for g in range(group.order)}) > 6
    for a, b in itertools.product(range(group.order), repeat=2):
        assert group[int(group.multiply(a, b))] == group[a] @ group[b]
    for a in range(group.order):
        assert group[int(group.inverse[a])] == group[a].inverse()
        assert group.index(group[a]) == a


def test_generated_groups() -> None:
    """All signed permutations of three sites, with inversion: 2^3 3! 2."""
    swap, cycle = Permutation([1, 0, 2]), Permutation([1, 2, 0])
    sign, inversion = Permutation([0, 1, 2], [-1, 1, 1]), Permutation([0, 1, 2], inverts=True)
    orders = [PermutationGroup.generated(part).order for part in ([swap], [swap, cycle], [swap, cycle, sign])]
    assert orders == [2, 6, 48]
    assert PermutationGroup.generated([swap, cycle, sign, inversion]).order == 96


def test_with_inversion() -> None:
    ring = PermutationGroup.generated([Permutation([1, 2, 3, 0])])
    both = ring.with_inversion()
    assert both.order == 8
    np.testing.assert_array_equal(both.inverts, [False, True] * 4)
    np.testing.assert_array_equal(both.sites[::2], ring.sites)
    with pytest.raises(ValueError, match="no element that inverts"):
        both.with_inversion()


def test_products_of_groups() -> None:
    shifts = PermutationGroup.generated([Permutation([1, 2, 3, 0])])
    mirror = PermutationGroup.generated([Permutation([0, 3, 2, 1])])
    dihedral = mirror @ shifts
    assert dihedral.order == 8 and not dihedral.is_abelian
    np.testing.assert_array_equal(dihedral.sites[5], mirror.sites[1][shifts.sites[1]])
    with pytest.raises(ValueError, match="`other` must be closed under products"):
        shifts @ PermutationGroup.generated([Permutation([1, 0, 2, 3])])
    with pytest.raises(ValueError, match="`other` must have no permutation twice"):
        shifts @ shifts
    with pytest.raises(ValueError, match="`other` must act on 4 sites"):
        shifts @ PermutationGroup.generated([Permutation([1, 0])])


def test_on_components() -> None:
    ring = PermutationGroup.generated([Permutation([1, 2, 0], [1, 1, -1])])
    both = ring.on_components(2)
    assert (both.order, both.n_sites) == (6, 6)
    np.testing.assert_array_equal(both.sites[:, 3:], ring.sites + 3)
    np.testing.assert_array_equal(both.signs, np.tile(ring.signs, 2))
    exchanged = ring.on_components(3, exchange=True)
    assert exchanged.order == 36 and ring.on_components(1, exchange=True) == ring
    two = ring.on_components(2, exchange=True)
    np.testing.assert_array_equal(two.sites[::2], both.sites)
    np.testing.assert_array_equal(two.sites[1], [3, 4, 5, 0, 1, 2])
    with pytest.raises(ValueError, match="`n_components` must satisfy 1 <= n_components"):
        ring.on_components(0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([0, 0],), "`sites` must name each of the sites 0, ..., 1 once"),
        (([0, 1], [1]), "`signs` must be 1 or -1 for each of the 2 sites"),
        (([0, 1], [1, 2]), "`signs` must be 1 or -1"),
    ],
)
def test_no_permutations(arguments: tuple, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Permutation(*arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([0, 1],), "`sites` must have shape"),
        (([[0, 0]],), "`sites` must have permutations by rows"),
        (([[1, 0], [0, 1]],), "`sites` must have the identity first"),
        (([[1, 2, 0]],), r"the identity first, got Permutation\(sites=\(1, 2, 0\).*`PermutationGroup.generated` finds"),
        (([[0, 1], [0, 1]],), "`sites` must have no permutation twice"),
        (([[0, 1, 2], [1, 2, 0]],), "`sites` must be closed under products.*`PermutationGroup.generated`"),
        (([[0, 1]], [[1, 1, 1]]), "`signs` must have shape"),
        (([[0, 1]], [[1, 3]]), "`signs` must be 1 or -1"),
        (([[0, 1]], None, [True, False]), "`inverts` must have shape"),
    ],
)
def test_no_groups(arguments: tuple, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PermutationGroup(*arguments)


def test_generators_must_fit() -> None:
    with pytest.raises(TypeError, match=r"`sites` must be arrays of sites, .* Use PermutationGroup.generated"):
        PermutationGroup([Permutation([1, 2, 0])])
    with pytest.raises(ValueError, match="`generators` must be at least one"):
        PermutationGroup.generated([])
    with pytest.raises(ValueError, match="`generators` must act on the same sites"):
        PermutationGroup.generated([Permutation([0]), Permutation([0, 1])])
    with pytest.raises(ValueError, match="`permutation` must be an element of the group"):
        PermutationGroup.generated([Permutation([1, 2, 0])]).index(Permutation([1, 0, 2]))
