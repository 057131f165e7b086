# SPDX-License-Identifier: Apache-2.0
"""Random operators of all kinds against matrices that share nothing with the library.

Compiling is what takes time, so operators are evaluated many at a time: each is a coupling of one large operator, all
other couplings of which are zero.
"""

from __future__ import annotations

import jax
import numpy as np
import pytest

from manybody.hilbert import Fock, Product, Spin
from manybody.operator import DiscreteOperator, LocalOperator, PauliStrings, spin
from tests.operator.fuzz_cases import DRAW, Case, keep, one_of, sector

PER_SPACE = 10
CLOSE = 1e-12
"""Relative to the largest element of what a matrix is made of."""


def stack(operators: list[DiscreteOperator]) -> DiscreteOperator:
    """One operator with a coupling for each of several."""
    folded = [operator.fold() for operator in operators]
    terms = folded[0].terms
    for number, operator in enumerate(folded[1:], start=1):
        terms = terms.add(operator.terms, shift=number)
    is_projected = any(operator.is_projected for operator in operators)
    return folded[0].replace(terms=terms, couplings=np.zeros(len(folded)), is_projected=is_projected)


def matrices(operators: list[DiscreteOperator]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each operator the dense matrix, and that which its connections and diagonal make up."""
    together, space = stack(operators), operators[0].space
    states, found = space.all_states(), []
    for number in range(len(operators)):
        operator = together.replace(couplings=np.eye(len(operators))[number])
        connected = np.diag(np.asarray(operator.diagonal(states)).astype(complex))
        sites, values, elements = map(np.asarray, operator.connections(states))
        reached = np.repeat(states[:, None], elements.shape[1], axis=1)
        np.put_along_axis(reached, sites.astype(np.int64), values, axis=-1)
        row, conn = np.nonzero(elements)
        column = space.states_to_index(reached[row, conn])
        assert len({*zip(row.tolist(), column.tolist(), strict=True)}) == len(row)
        assert not np.any(row == column)
        connected[row, column] = elements[row, conn]
        found.append((operator.to_dense(), connected))
    return found


def algebra(rng: np.random.Generator, cases: list[Case]) -> list[tuple[Case, float]]:
    """The cases, and what can be made of them; with the size of what each is made of."""
    made = []
    for a, b in zip(cases, [*cases[1:], cases[0]], strict=True):
        o, p, m, n = a.operator, b.operator, a.matrix, b.matrix
        scalar = one_of(rng, 2.0, -1, 0, 0.5j, 1 - 2j, np.float64(0.25))
        one = np.eye(len(m))
        results = [
            (o, m),
            (o.adjoint(), m.conj().T),
            (o + p, m + n),
            (o - p.adjoint(), m - n.conj().T),
            (scalar * o, scalar * m),
            (scalar - o / 4, scalar * one - m / 4),
            (o + o.adjoint(), m + m.conj().T),
            (1j * (o - o.adjoint()), 1j * (m - m.conj().T)),
            (o + p - o, n),
        ]
        if not o.is_projected:
            results += [(o @ p, m @ n), ((o - 1j) @ o.adjoint(), (m - 1j * one) @ m.conj().T)]
        size = 1 + largest(m) + largest(n)
        size = size if o.is_projected else max(size, largest(abs(m) @ abs(n)), largest(abs(m) @ abs(m).T))
        made += [(Case(operator, matrix, a.everywhere and b.everywhere), size) for operator, matrix in results]
    return made


def largest(matrix: np.ndarray) -> float:
    return float(np.max(np.abs(matrix), initial=0.0))


def check_tags(case: Case, size: float) -> None:
    """What an operator claims is true; and what is true is known, of operators whose terms are the matrix."""
    operator, legal = case.operator, keep(case.operator.space)
    matrix = case.matrix[np.ix_(legal, legal)]
    folded = operator.fold()
    for known in (operator, folded):
        if known.is_hermitian:
            assert largest(matrix - matrix.conj().T) <= CLOSE * size
        if known.is_real:
            assert largest(matrix.imag) <= CLOSE * size
        if known.is_diagonal:
            assert largest(matrix - np.diag(np.diag(matrix))) <= CLOSE * size
    if case.everywhere:
        off = case.matrix - case.matrix.conj().T
        assert folded.is_hermitian == (largest(off) <= CLOSE * size)


def check_claims(case: Case) -> None:
    """Claims of a folded operator are not vacuous."""
    operator = case.operator.fold()
    if case.plain and not np.any(case.matrix.imag):
        assert operator.is_real
    if case.plain and not np.any(case.matrix - np.diag(np.diag(case.matrix))):
        assert operator.is_diagonal


def check_conserves(rng: np.random.Generator, case: Case, size: float) -> None:
    """`conserves` is true, and known of what keeps all sums."""
    free, other = case.operator.space, sector(rng, case.operator.space)
    if other is None or not case.everywhere:
        return
    assert case.operator.conserves(free)
    inside = keep(other)
    if case.operator.fold().conserves(other):
        assert largest(np.delete(case.matrix[:, inside], inside, axis=0)) <= CLOSE * size
    levels = np.stack(np.unravel_index(np.arange(len(case.matrix)), free.local_dimensions), axis=1)
    charges = np.stack([levels[:, list(s.sites)].sum(axis=1) for s in other.sectors], axis=1)  # (D, sectors)
    changes = np.any(charges[:, None] != charges[None], axis=-1)
    if largest(case.matrix[changes]) == 0:
        assert case.operator.fold().conserves(other)


def check_space(kind: str, seed: int, n_cases: int = PER_SPACE) -> None:
    """Operators on one random space: compiled twice, for matrices and for connections."""
    rng = np.random.default_rng([sum(map(ord, kind)), seed])
    space, draw = DRAW[kind](rng)
    cases = [draw(rng) for _ in range(n_cases)]
    assert {case.operator.space for case in cases} == {space}
    made = algebra(rng, cases)
    legal = np.ix_(keep(space), keep(space))
    for (case, size), (dense, connected) in zip(made, matrices([c.operator for c, _ in made]), strict=True):
        np.testing.assert_allclose(dense, case.matrix[legal], rtol=0, atol=CLOSE * size)
        np.testing.assert_allclose(connected, dense, rtol=0, atol=0)
        check_tags(case, size)
    for case in cases:
        check_claims(case)
    for case, size in made:
        check_conserves(rng, case, size)
    alone = cases[0].operator  # compiled for itself
    np.testing.assert_allclose(alone.to_dense(), cases[0].matrix[legal], rtol=0, atol=CLOSE * made[0][1])


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", DRAW)
def test_random_operators(kind, seed):
    check_space(kind, seed, PER_SPACE // 2)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(3))
@pytest.mark.parametrize("kind", DRAW)
def test_many_random_operators(kind, block):
    for seed in range(10 * block, 10 * block + 10):
        check_space(kind, seed)
        jax.clear_caches()


def test_terms_that_lead_out_of_a_small_sector_and_cancel():
    """Found at random: one of the terms flips all sites of a sector, whatever their levels."""
    space = Product(Fock(1, n_max=1, n_particles=0), Fock(1, n_max=1, n_particles=1))
    leaving = np.array([[0.0, 1.0], [0.0, 0.0]])
    operator = LocalOperator(space, [((1, 0), np.kron(leaving, np.eye(2))), ((1,), -leaving)])
    np.testing.assert_array_equal(operator.to_dense(), [[0.0]])
    with pytest.raises(ValueError, match="stay within the sector"):
        LocalOperator(space, [((1, 0), np.kron(leaving, np.eye(2))), ((1,), -2.0 * leaving)])


def test_terms_with_other_conditions_that_lead_out_and_cancel():
    """Found at random: raising where a neighbour is up, and where it is down, is raising."""
    space, raising = Spin(3, total_sz=0.5), np.eye(2, k=1)
    parts = [((0, 1), np.kron(raising, np.diag([1.0, 0.0]))), ((0, 1), np.kron(raising, np.diag([0.0, 1.0])))]
    assert not np.any(LocalOperator(space, [*parts, ((0,), -raising)]).to_dense())
    for others in ([((0,), -2.0 * raising)], [((1,), -raising)], []):
        with pytest.raises(ValueError, match="stay within the sector"):
            LocalOperator(space, [*parts, *others])


def test_products_of_operators_that_stay_in_half_filling():
    """Found at random: the flip of all spins leads only from half filling to half filling, as do products with it."""
    free, space = Spin(4), Spin(4, total_sz=0)
    flip = PauliStrings(space, ["XXXX"])
    hop = spin.sp(free, 0) @ spin.sm(free, 1)
    for product in (flip @ hop.on(space), hop.on(space) @ flip):
        assert product.conserves(space)
        assert not product.conserves(Spin(4, total_sz=1))
    assert (flip @ hop.on(space) @ flip).conserves(Spin(4, total_sz=1))
    np.testing.assert_array_equal((flip @ hop.on(space)).to_dense(), flip.to_dense() @ hop.on(space).to_dense())
