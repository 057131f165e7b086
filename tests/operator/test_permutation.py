# SPDX-License-Identifier: Apache-2.0
"""Permutations and spin inversion as operators, against matrices written down state by state."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import manybody as mb
from manybody.hilbert import Blockade, Constrained, DiscreteSpace, Fermion, Fock, Product, Qubit, Spin
from manybody.operator import LocalOperator, permutation, spin_inversion
from manybody.operator.fermion import create, destroy
from manybody.operator.spin import sp, sx, sy, sz
from manybody.testing import check_operator
from tests.cases import some_slow


def dense(space: DiscreteSpace, sites: list[int], turned: tuple[int, ...] = ()) -> np.ndarray:
    """The matrix of a permutation: signs by exchanging neighbours until the modes are in order again."""
    states = space.all_states()
    position = {tuple(state.tolist()): i for i, state in enumerate(states)}
    matrix = np.zeros((len(states),) * 2)
    levels = np.asarray(space.to_levels(states))
    for column, level in enumerate(levels):
        new = np.empty_like(level)
        new[sites] = level
        for site in turned:
            new[site] = space.local_dimensions[site] - 1 - new[site]
        sign = 1
        for modes in space.fermions:
            created = [sites[i] for i in modes if level[i]]
            for _ in created:
                for i in range(len(created) - 1):
                    if created[i] > created[i + 1]:
                        created[i : i + 2] = created[i + 1], created[i]
                        sign = -sign
        matrix[position[tuple(np.asarray(space.from_levels(new)).tolist())], column] = sign
    return matrix


CASES = {
    "spins": (Spin(5), [1, 2, 3, 4, 0]),
    "sector": (Spin(6, total_sz=1), [5, 0, 4, 2, 3, 1]),
    "spins 1": (Spin(3, s=1, total_sz=0), [2, 0, 1]),
    "bosons": (Fock(3, n_max=3, n_particles=4), [1, 0, 2]),
    "fermions": (Fermion(5), [3, 1, 4, 0, 2]),
    "electrons": (Fermion(3, n_per_component=(2, 1), n_components=2), [1, 2, 0, 4, 5, 3]),
    "exchanged components": (Fermion(3, n_per_component=(2, 2), n_components=2), [3, 5, 4, 0, 1, 2]),
    "spins and fermions": (Product(Spin(2, s=1), Fermion(3), Qubit(2)), [1, 0, 3, 4, 2, 6, 5]),
    "two kinds of fermions": (Product(Fermion(2), Fermion(2)), [3, 2, 0, 1]),
    "blockade": (Constrained(Qubit(4), Blockade(((0, 1), (1, 2), (2, 3), (0, 3)))), [1, 2, 3, 0]),
}


@pytest.mark.parametrize(
    "name",
    some_slow({name: name for name in CASES}, ["spins 1", "two kinds of fermions", "sector", "spins", "fermions"]),
)
def test_permutation(name: str) -> None:
    space, sites = CASES[name]
    operator = permutation(space, sites)
    matrix = dense(space, sites)
    np.testing.assert_array_equal(operator.to_dense(), matrix)
    np.testing.assert_array_equal(operator.adjoint().to_dense(), matrix.T)
    assert (operator @ operator.adjoint()).is_diagonal
    if name in {"spins 1", "electrons", "two kinds of fermions"}:  # of which the laws take a while
        check_operator(operator + 0.5 * operator.adjoint() @ operator.adjoint())


@pytest.mark.parametrize(
    "space",
    [
        Spin(4),
        Spin(4, total_sz=0),
        Spin(3, s=1),
        Qubit(3),
        Fermion(3, n_components=2),
        Product(Fock(2, n_max=2), Spin(2)),
    ],
    ids=repr,
)
def test_spin_inversion(space: DiscreteSpace) -> None:
    operator = spin_inversion(space)
    if isinstance(space, Fermion):
        expected = dense(space, [3, 4, 5, 0, 1, 2])
    else:
        turned = tuple(range(space.size))[2 if isinstance(space, Product) else 0 :]
        expected = dense(space, list(range(space.size)), turned)
    np.testing.assert_array_equal(operator.to_dense(), expected)
    assert operator.is_hermitian
    check_operator(operator)


def random_operator(space: DiscreteSpace, seed: int):
    """Terms of all kinds: on several sites, complex, and with strings."""
    rng = np.random.default_rng(seed)

    def local(i: int, j: int):
        d = space.local_dimensions[i] * space.local_dimensions[j]
        return LocalOperator(space, [((i, j), rng.normal(size=(d, d)) + 1j * rng.normal(size=(d, d)))])

    spins = [i for i in range(space.size) if not any(i in modes for modes in space.fermions)]
    total = sum(local(i, j) for i, j in itertools.pairwise(spins)) if len(spins) > 1 else 0
    if isinstance(space, Fermion):
        ladder = [create(space, i) for i in range(space.size)] + [destroy(space, i) for i in range(space.size)]
        for _ in range(6):
            a, b, c = rng.integers(len(ladder), size=3)
            total = total + complex(*rng.normal(size=2)) * (ladder[a] @ ladder[b] @ ladder[c] + ladder[a] @ ladder[c])
    if isinstance(space, Product):
        for part, factor in enumerate(space.spaces):
            total = total + mb.operator.on_part(random_operator(factor, seed + part), space, part)
        first = mb.operator.on_part(random_operator(space.spaces[0], seed + 7), space, 0)
        second = mb.operator.on_part(random_operator(space.spaces[1], seed + 8), space, 1)
        total = total + first @ second
    return total


@pytest.mark.parametrize(
    ("space", "sites"),
    [
        (Spin(4), [2, 0, 3, 1]),
        (Spin(3, s=1), [2, 0, 1]),
        (Fermion(5), [3, 1, 4, 0, 2]),
        pytest.param(Product(Spin(2, s=1), Fermion(3)), [1, 0, 4, 3, 2], marks=pytest.mark.slow),
        pytest.param(Product(Fermion(3), Fock(2, n_max=2)), [2, 0, 1, 4, 3], marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_algebra_with_other_operators(space: DiscreteSpace, sites: list[int]) -> None:
    move, other = permutation(space, sites), random_operator(space, 1)
    m, o = move.to_dense(), other.to_dense()
    np.testing.assert_allclose((move @ other).to_dense(), m @ o, rtol=0, atol=1e-12)
    np.testing.assert_allclose((other @ move).to_dense(), o @ m, rtol=0, atol=1e-12)
    np.testing.assert_allclose((move @ other @ move).to_dense(), m @ o @ m, rtol=0, atol=1e-12)
    np.testing.assert_allclose((other @ move).adjoint().to_dense(), (o @ m).conj().T, rtol=0, atol=1e-12)
    combination = 2.0 * other - 1j * move + move @ other
    np.testing.assert_allclose(combination.to_dense(), 2 * o - 1j * m + m @ o, rtol=0, atol=1e-12)
    assert (other @ move + move.adjoint() @ other.adjoint()).is_hermitian
    assert not (other @ move).is_hermitian
    turned = move @ other @ move.adjoint()
    np.testing.assert_allclose(turned.to_dense(), m @ o @ m.T, rtol=0, atol=1e-12)
    assert type(turned.terms) is type(other.terms)


def test_reversed_levels_in_products() -> None:
    space = Spin(3, s=1)
    flip, other = spin_inversion(space), random_operator(space, 3)
    f, o = flip.to_dense(), other.to_dense()
    np.testing.assert_allclose((flip @ other @ flip).to_dense(), f @ o @ f, rtol=0, atol=1e-12)
    move = permutation(space, [1, 2, 0])
    np.testing.assert_allclose((move @ flip @ other).to_dense(), move.to_dense() @ f @ o, rtol=0, atol=1e-12)


def test_modes_are_moved() -> None:
    space, sites = Fermion(4), [2, 3, 1, 0]
    move = permutation(space, sites)
    for mode in range(4):
        moved = move @ destroy(space, mode) @ move.adjoint()
        assert (moved - destroy(space, sites[mode])).terms.weight.size == 0


def test_inversion_turns_spins() -> None:
    space = Spin(3, s=1)
    flip = spin_inversion(space)
    for matrix, sign in ((sx, 1), (sy, -1), (sz, -1)):
        turned = (flip @ matrix(space, 1) @ flip).to_dense()
        np.testing.assert_allclose(turned, sign * matrix(space, 1).to_dense(), atol=1e-14)


def test_momentum_projector() -> None:
    """Of the Heisenberg ring: idempotent, commuting, and with the momentum of the ground state, pi for 6 sites."""
    space, n = Spin(6, total_sz=0), 6
    shift = permutation(space, [*range(1, n), 0])
    powers = [permutation(space, np.roll(np.arange(n), -k).tolist()) for k in range(n)]
    ring = mb.hamiltonian.heisenberg(space, mb.lattice.chain(n))
    projector = sum(powers[k] * ((-1) ** k / n) for k in range(n))
    assert projector.is_hermitian
    p, h = projector.to_dense(), ring.to_dense()
    np.testing.assert_allclose(p @ p, p, atol=1e-13)
    np.testing.assert_allclose((ring @ projector - projector @ ring).to_dense(), 0, atol=1e-13)
    ground = np.linalg.eigh(h)[1][:, 0]
    np.testing.assert_allclose(shift.to_dense() @ ground, -ground, atol=1e-12)
    np.testing.assert_allclose(p @ ground, ground, atol=1e-12)


def test_a_state_has_expectations_of_permutations() -> None:
    """Also where configurations are mapped to themselves, with the exact sampler."""
    space = Spin(5)
    operator = permutation(space, [1, 2, 3, 4, 0]) + 0.3 * spin_inversion(space) @ sp(space, 2)
    state = mb.VariationalState(mb.ansatz.RBM(alpha=1), mb.sampler.Exact(space), seed=1).sample()
    psi = state.to_array()
    psi = psi / np.linalg.norm(psi)
    expected = psi.conj() @ operator.to_dense() @ psi
    assert abs(state.expect(operator).mean - expected) < 1e-12


def test_on_part_of_a_product() -> None:
    part, space = Fermion(3), Product(Spin(1, s=1), Fermion(3), Qubit(2))
    inner = permutation(part, [2, 0, 1]) @ destroy(part, 1)
    whole = mb.operator.on_part(inner, space, 1)
    expected = np.kron(np.kron(np.eye(3), inner.to_dense()), np.eye(4))
    np.testing.assert_allclose(whole.to_dense(), expected, rtol=0, atol=1e-14)


def test_liouvillian_of_a_hopping_that_permutes() -> None:
    space = Fermion(3)
    move = permutation(space, [1, 2, 0])
    hamiltonian, h = move + move.adjoint(), (move + move.adjoint()).to_dense()
    generator = mb.operator.Liouvillian(hamiltonian).to_dense()
    np.testing.assert_allclose(generator, -1j * (np.kron(h, np.eye(8)) - np.kron(np.eye(8), h.T)), atol=1e-14)


def test_what_cancels_leaves_nothing() -> None:
    space = Fermion(3)
    move = permutation(space, [1, 2, 0])
    assert (move - move).to_sparse().nnz == 0
    nothing = move @ destroy(space, 0) - destroy(space, 1) @ move
    assert nothing.to_sparse().nnz == 0
    check_operator(nothing)


def test_conserved_numbers() -> None:
    space = Fermion(3, n_components=2)
    hop = create(space, 0) @ destroy(space, 1)
    flip = create(space, 0, 0) @ destroy(space, 0, 1)
    every = {"n_fermions", "n_per_component[0]", "n_per_component[1]"}
    assert hop.conserved == every
    assert flip.conserved == {"n_fermions"}
    assert (flip + hop).conserved == {"n_fermions"}
    assert destroy(space, 0).conserved == {"n_per_component[1]"}
    assert permutation(space, [1, 0, 2, 3, 4, 5]).conserved == every
    assert spin_inversion(space).conserved == {"n_fermions"}
    spins = Spin(4)
    ring = mb.lattice.chain(4)
    assert mb.hamiltonian.heisenberg(spins, ring).conserved == {"total_sz"}
    assert mb.hamiltonian.ising(spins, ring).conserved == set()
    assert spin_inversion(Spin(4, total_sz=0)).conserved == {"total_sz"}  # there, it cannot be otherwise
    mixed = Product(Fock(2, n_max=2), Spin(2))
    assert mb.operator.on_part(sz(Spin(2), 0), mixed, 1).conserved == {"spaces[0].n_particles", "spaces[1].total_sz"}
    assert Constrained(Qubit(3), Blockade(((0, 1),))).numbers == {}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: permutation(Spin(3), [0, 1]), "`sites` must name each of the sites 0, ..., 2 once"),
        (lambda: permutation(Spin(3), [0, 1, 1]), "once"),
        (lambda: permutation(Product(Spin(2), Spin(1, s=1)), [2, 1, 0]), "with as many levels"),
        (lambda: permutation(Product(Qubit(2), Fermion(2)), [2, 1, 0, 3]), "keep fermions together"),
        (lambda: permutation(Fermion(2, n_per_component=(2, 1), n_components=2), [2, 3, 0, 1]), "within the sector"),
        (lambda: spin_inversion(Spin(4, total_sz=1)), "within the sector"),
        (lambda: spin_inversion(Fock(2, n_max=1)), "`space` must have spins"),
    ],
)
def test_bad_input(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
