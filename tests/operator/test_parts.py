# SPDX-License-Identifier: Apache-2.0
"""Operators on factors of products, and on pairs of configurations."""

import numpy as np
import pytest

import manybody as mb
from manybody.hilbert import Doubled, Fermion, Fock, Product, Qubit, Spin
from manybody.operator import FermionOperator, Liouvillian, PauliStrings, boson, identity, on_part, spin
from tests.operator.jordan_wigner import annihilation

RNG = np.random.default_rng(2)


def random_fermions(space: Fermion) -> FermionOperator:
    factors = [
        [(int(m), bool(c)) for m, c in zip(*RNG.integers(0, [[space.size], [2]], (2, k)), strict=True)]
        for k in (1, 2, 3, 4)
    ]
    return FermionOperator(space, factors, weights=RNG.normal(size=4) + 1j * RNG.normal(size=4))


@pytest.mark.parametrize("part", [0, 1, 2])
def test_kronecker_products_of_all_kinds(part):
    spaces = (Fermion(3), Fock(1, n_max=2), Spin(2))
    operators = (
        random_fermions(spaces[0]),
        boson.create(spaces[1], 0) + 0.5,
        spin.sy(spaces[2], 1) @ spin.sx(spaces[2], 0),
    )
    space = Product(*spaces)
    factors = [np.eye(s.n_states) for s in spaces]
    factors[part] = operators[part].to_dense()
    expected = np.kron(np.kron(factors[0], factors[1]), factors[2])
    np.testing.assert_allclose(on_part(operators[part], space, part).to_dense(), expected, atol=1e-14)


def test_strings_and_matrices_multiply():
    fermions, bosons = Fermion(3), Fock(1, n_max=2)
    space = Product(fermions, bosons)
    one, other = (on_part(random_fermions(fermions), space, 0) for _ in range(2))
    dense = one.to_dense() @ other.to_dense()
    np.testing.assert_allclose((one @ other).to_dense(), dense, atol=1e-13)
    np.testing.assert_allclose(one.adjoint().to_dense(), one.to_dense().conj().T, atol=1e-14)
    hermitian = one + one.adjoint()
    assert hermitian.is_hermitian
    assert not (one + other).is_hermitian
    commutator = one @ on_part(boson.number(bosons, 0), space, 1) - on_part(boson.number(bosons, 0), space, 1) @ one
    assert commutator.max_connections == 0
    np.testing.assert_allclose(commutator.to_dense(), 0, atol=1e-14)


def test_signs_of_a_long_string_in_a_mixed_space():
    fermions = Fermion(40, n_fermions=20)
    space = Product(fermions, Fock(2, n_max=3))
    hop = on_part(FermionOperator(fermions, {"0^ 35": 1.0, "35^ 0": 1.0}), space, 0)
    sigma = np.zeros((2, 42), np.int8)
    sigma[:, 35] = 1
    sigma[0, 1:20] = 1
    sigma[1, 3:20] = 1
    sigma[1, 37:39] = 1
    sigma[:, 40] = 2
    np.testing.assert_allclose(np.asarray(hop.connections(sigma).elements), [[-1.0], [-1.0]])
    sigma[0, 1], sigma[0, 39] = 0, 1
    np.testing.assert_allclose(np.asarray(hop.connections(sigma).elements), [[1.0], [-1.0]])


def test_two_level_products_stay_bits():
    space = Product(Spin(2), Qubit(33))
    operator = on_part(PauliStrings(Qubit(33), ["X0 Z32"]), space, 1)
    sigma = np.ones((1, 35), np.int8)
    sigma[0, 2:] = 0
    connections = operator.connections(sigma)
    assert connections.sites[0, 0].tolist() == [2]
    assert connections.values[0, 0].tolist() == [1]
    np.testing.assert_allclose(np.asarray(connections.elements), [[1.0]])


def test_couplings_stay_leaves():
    space = Product(Qubit(1), Fock(1, n_max=2))
    operator = on_part(PauliStrings(Qubit(1), ["X", "Z"], couplings=[2.0, 3.0]), space, 0)
    np.testing.assert_array_equal(operator.couplings, [2.0, 3.0])


@pytest.mark.parametrize(
    ("part", "operator", "message"),
    [
        (2, lambda: identity(Qubit(2)), "0 <= part <= 1"),
        (0, lambda: identity(Qubit(3)), "act on the sites of Qubit"),
        (1, lambda: boson.create(Fock(2, n_max=2), 0), "stay within the sector"),
    ],
)
def test_bad_parts(part, operator, message):
    space = Product(Qubit(2), Fock(2, n_max=2, n_particles=2))
    with pytest.raises(ValueError, match=message):
        on_part(operator(), space, part)


# --- open systems -----------------------------------------------------------------------------------------------------


def lindblad(hamiltonian: np.ndarray, jumps: list[np.ndarray]) -> np.ndarray:
    """The generator, element by element: its action on every matrix with a single one."""
    n = len(hamiltonian)
    columns = []
    for number in range(n * n):
        rho = np.zeros((n, n), complex)
        rho.flat[number] = 1.0
        change = -1j * (hamiltonian @ rho - rho @ hamiltonian)
        for k in jumps:
            loss = k.conj().T @ k
            change += k @ rho @ k.conj().T - (loss @ rho + rho @ loss) / 2
        columns.append(change.ravel())
    return np.stack(columns, axis=1)


OPEN = {
    "spins": lambda: (
        mb.hamiltonian.ising(Spin(3), mb.lattice.chain(3)) + 0.3 * spin.sy(Spin(3), 1),
        [0.7 * spin.sm(Spin(3), i) for i in range(3)] + [(0.2 + 0.3j) * spin.sp(Spin(3), 0)],
    ),
    "bosons": lambda: (
        mb.hamiltonian.bose_hubbard(Fock(2, n_max=2), mb.lattice.chain(2)),
        [boson.destroy(Fock(2, n_max=2), 0), (0.5 - 0.1j) * boson.create(Fock(2, n_max=2), 1)],
    ),
    "fermions": lambda: (
        mb.hamiltonian.t_v(Fermion(3), mb.lattice.chain(3, twist=0.4)),
        [mb.operator.fermion.destroy(Fermion(3), 2), 0.5 * mb.operator.fermion.create(Fermion(3), 0)],
    ),
    "sector": lambda: (
        mb.hamiltonian.heisenberg(Spin(4, total_sz=0), mb.lattice.chain(4)),
        [spin.sz(Spin(4, total_sz=0), i) for i in range(4)],
    ),
    "closed": lambda: (spin.sx(Spin(1), 0), []),
}


@pytest.mark.parametrize("case", OPEN)
def test_liouvillian(case):
    hamiltonian, jumps = OPEN[case]()
    generator = Liouvillian(hamiltonian, jumps)
    assert generator.space == Doubled(hamiltonian.space)
    expected = lindblad(hamiltonian.to_dense(), [jump.to_dense() for jump in jumps])
    np.testing.assert_allclose(generator.to_dense(), expected, atol=1e-12)


def test_steady_state():
    generator = Liouvillian(*OPEN["spins"]())
    rho = mb.exact.steady_state(generator)
    assert np.trace(rho) == pytest.approx(1)
    np.testing.assert_allclose(generator.to_dense() @ rho.ravel(), 0, atol=1e-12)
    assert np.linalg.eigvalsh(rho).min() > 0
    with pytest.raises(ValueError, match="one steady state"):
        mb.exact.steady_state(Liouvillian(*OPEN["closed"]()))
    with pytest.raises(TypeError, match="Doubled"):
        mb.exact.steady_state(spin.sx(Spin(1), 0))


def test_bad_liouvillians():
    with pytest.raises(ValueError, match="be Hermitian"):
        Liouvillian(spin.sp(Spin(2), 0))
    with pytest.raises(ValueError, match="`jumps` must act on"):
        Liouvillian(spin.sx(Spin(2), 0), [spin.sx(Spin(3), 0)])
    with pytest.raises(TypeError, match=r"`jumps` must be a list of operators, got one operator. Write \[jump\]"):
        Liouvillian(spin.sx(Spin(2), 0), spin.sm(Spin(2), 0))
    with pytest.raises(TypeError, match="`jumps` must be a DiscreteOperator, got ndarray"):
        Liouvillian(spin.sx(Spin(2), 0), [np.eye(4)])
    with pytest.raises(TypeError, match="`hamiltonian` must be a DiscreteOperator"):
        Liouvillian("H")


def test_annihilation_is_the_reference_of_fermions():
    np.testing.assert_allclose(mb.operator.fermion.destroy(Fermion(2), 1).to_dense(), annihilation(1, 2))
