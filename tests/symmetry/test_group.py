# SPDX-License-Identifier: Apache-2.0
"""Character tables against textbooks, subgroups, cosets, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from manybody.symmetry import Permutation, PermutationGroup, TableGroup, characters, direct_product

CYCLE = [Permutation([1, 2, 0])]
S3 = PermutationGroup.generated([*CYCLE, Permutation([1, 0, 2])])
S4 = PermutationGroup(np.array(list(itertools.permutations(range(4)))))
A5 = PermutationGroup.generated([Permutation([1, 2, 3, 4, 0]), Permutation([1, 2, 0, 3, 4])])
GOLDEN = (1 + np.sqrt(5)) / 2


def columns(group: PermutationGroup) -> list[tuple]:
    """For each class: how many elements, how often cycles of each length, and the characters."""
    found = []
    for c, (g, size) in enumerate(zip(group.classes.representatives, group.classes.sizes, strict=True)):
        found.append((int(size), cycles(group.sites[g]), group.character_table[:, c]))
    return found


def cycles(sites: np.ndarray) -> tuple[int, ...]:
    lengths, left = [], set(range(len(sites)))
    while left:
        start = site = left.pop()
        length = 1
        while (site := int(sites[site])) != start:
            left.remove(site)
            length += 1
        lengths.append(length)
    return tuple(sorted(lengths, reverse=True))


def test_symmetric_group_of_four() -> None:
    """J.-P. Serre, Linear Representations of Finite Groups, 5.8."""
    wanted = {
        (1, 1, 1, 1): (1, [1, 1, 2, 3, 3]),
        (2, 1, 1): (6, [1, -1, 0, 1, -1]),
        (2, 2): (3, [1, 1, 2, -1, -1]),
        (3, 1): (8, [1, 1, -1, 0, 0]),
        (4,): (6, [1, -1, 0, -1, 1]),
    }
    for size, lengths, values in columns(S4):
        assert wanted[lengths][0] == size
        np.testing.assert_array_equal(sorted(values.real), sorted(wanted[lengths][1]))
    np.testing.assert_array_equal(S4.irrep_dimensions, [1, 1, 2, 3, 3])


def test_icosahedral_group() -> None:
    """Its two representations of dimension 3 differ by the golden ratio and its conjugate."""
    np.testing.assert_array_equal(A5.irrep_dimensions, [1, 3, 3, 4, 5])
    fives = [values for _, lengths, values in columns(A5) if lengths == (5,)]
    for values in fives:
        np.testing.assert_allclose(sorted(values.real), sorted([1, GOLDEN, 1 - GOLDEN, -1, 0]), atol=1e-14)
    np.testing.assert_allclose(fives[0][1] * fives[1][1], -1, atol=1e-14)


def test_quaternions_cannot_be_made_real() -> None:
    turns = [Permutation([1, 0, 3, 2], [1, -1, 1, -1]), Permutation([2, 3, 0, 1], [1, -1, -1, 1])]
    group = PermutationGroup.generated(turns)
    assert (group.order, group.n_irreps) == (8, 5)
    assert [group.frobenius_schur(k) for k in range(5)] == [1, 1, 1, 1, -1]
    assert np.iscomplexobj(group.irrep(4)) and np.all(group.characters(4).imag == 0)
    assert group.frobenius_schur(4) == -1


@pytest.mark.parametrize("orders", [(7,), (4, 6), (2, 2, 2), (3, 9)])
def test_abelian_groups(orders: tuple[int, ...]) -> None:
    """Both methods give all products of roots of unity, each once."""
    cells = np.indices(orders).reshape(len(orders), -1).T
    shifts = [np.ravel_multi_index(((cells + shift) % orders).T, orders) for shift in cells]
    group = PermutationGroup(np.stack(shifts))
    phases = np.array(orders, float)
    wanted = np.exp(2j * np.pi * (cells / phases) @ cells.T)
    table = group.character_table
    assert group.is_abelian and abs(table - wanted[:, None]).max(axis=2).min(axis=0).max() < 1e-13
    assert abs(table - wanted[:, None]).max(axis=2).min(axis=1).max() < 1e-13
    np.testing.assert_allclose(np.sort_complex(characters._dixon(group).ravel()), np.sort_complex(table.ravel()))


def test_complex_characters() -> None:
    """Z3 x S3: a table with complex entries that is not abelian."""
    group = direct_product(PermutationGroup.generated(CYCLE), S3)
    one, two = np.exp(2j * np.pi * np.arange(3) / 3), S3.character_table
    z3 = np.array([[1, 1, 1], [1, one[1], one[2]], [1, one[2], one[1]]])
    wanted = np.kron(z3[:, [0, 1, 2]], two)
    rows = {tuple(np.round(row, 8) + 0.0) for row in np.sort_complex(np.round(group.character_table, 8) + 0.0)}
    assert rows == {tuple(np.round(row, 8) + 0.0) for row in np.sort_complex(np.round(wanted, 8) + 0.0)}


def test_orders_and_exponent() -> None:
    assert sorted(S4.element_orders.tolist()) == [1] + 9 * [2] + 8 * [3] + 6 * [4]
    assert (S4.exponent, S3.exponent, A5.exponent) == (12, 6, 30)
    assert not S4.is_abelian and PermutationGroup.generated(CYCLE).is_abelian


def test_subgroups() -> None:
    klein = [g for g in range(24) if cycles(S4.sites[g]) in ((1, 1, 1, 1), (2, 2))]
    stabiliser = np.flatnonzero(S4.sites[:, 3] == 3).tolist()
    assert S4.is_subgroup(klein) and S4.is_normal(klein)
    assert S4.is_subgroup(stabiliser) and not S4.is_normal(stabiliser)
    assert not S4.is_subgroup([0, 1, 2]) and not S4.is_subgroup([])
    assert S4.subgroup(stabiliser).order == 6
    np.testing.assert_array_equal(S4.generated_by(klein[1:3]), klein)
    with pytest.raises(ValueError, match="`elements` must be closed under products"):
        S4.subgroup([0, 3, 5])
    with pytest.raises(ValueError, match="`elements` must satisfy 0 <= elements <= 23"):
        S4.is_subgroup([24])


@pytest.mark.parametrize("side", ["left", "right"])
def test_cosets(side: str) -> None:
    own = np.flatnonzero(S4.sites[:, 3] == 3)
    cosets = S4.cosets(own.tolist(), side)
    assert cosets.shape == (4, 6) and sorted(cosets.ravel().tolist()) == list(range(24))
    np.testing.assert_array_equal(cosets[0], own)
    # left cosets of the stabiliser of a site agree on where it goes, right cosets on what comes there
    images = S4.sites[cosets][..., 3] if side == "left" else S4.sites[S4.inverse[cosets]][..., 3]
    assert np.all(images == images[:, :1])
    with pytest.raises(ValueError, match="`subgroup` must be closed"):
        S4.cosets([0, 3, 5], side)
    with pytest.raises(ValueError, match="`side`"):
        S4.cosets(own.tolist(), "top")


def test_products_of_groups() -> None:
    group = direct_product(S3, A5)
    assert (group.order, group.n_irreps) == (360, 15)
    np.testing.assert_array_equal(
        np.sort(group.irrep_dimensions), np.sort(np.outer([1, 1, 2], [1, 3, 3, 4, 5]).ravel())
    )
    a, b = np.divmod(group.multiply(100, 200), 60)
    assert (a, b) == (S3.multiply(1, 3), A5.multiply(40, 20))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ([[0, 1]], "square matrix of integers"),
        ([[0.0, 1.0], [1.0, 0.0]], "square matrix of integers"),
        ([[0, 1], [0, 1]], "every element once"),
        ([[1, 0], [0, 1]], "identity as element 0"),
        (  # a loop of five elements
            [[0, 1, 2, 3, 4], [1, 0, 3, 4, 2], [2, 4, 0, 1, 3], [3, 2, 4, 0, 1], [4, 3, 1, 2, 0]],
            "be associative",
        ),
    ],
)
def test_tables_that_are_no_group(table: list, words: str) -> None:
    with pytest.raises(ValueError, match=f"`product_table` must .*{words}"):
        TableGroup(table)


def test_content_decides_equality() -> None:
    twin = PermutationGroup(np.array(list(itertools.permutations(range(4)))))
    assert twin == S4 and hash(twin) == hash(S4) and twin != S3
    assert TableGroup(S3.product_table) == TableGroup(S3.product_table) != TableGroup([[0]])
    with pytest.raises(ValueError, match="`irrep` must satisfy 0 <= irrep <= 2"):
        S3.irrep(3)
