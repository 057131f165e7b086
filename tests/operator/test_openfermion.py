# SPDX-License-Identifier: Apache-2.0
"""OpenFermion: its matrices and spectra against ours, and round trips."""

import itertools
import sys

import numpy as np
import pytest

import manybody as mb
from manybody.hilbert import Constrained, Doubled, Fermion, Fock, Parity, Product, Qubit, Spin
from manybody.operator import FermionOperator, PauliStrings, from_openfermion, identity, to_openfermion
from tests.operator.jordan_wigner import product

openfermion = pytest.importorskip("openfermion")


def random_ladders(rng, n_modes: int, n_terms: int = 8, longest: int = 6):
    """Products of any length in any order, among them the identity, with complex coefficients."""
    total = openfermion.FermionOperator((), complex(*rng.normal(size=2)))
    for _ in range(n_terms):
        factors = [(int(rng.integers(n_modes)), int(rng.integers(2))) for _ in range(rng.integers(1, longest + 1))]
        total += openfermion.FermionOperator(tuple(factors), complex(*rng.normal(size=2)))
    return total


def random_strings(rng, n_qubits: int, n_terms: int = 8):
    total = openfermion.QubitOperator((), complex(*rng.normal(size=2)))
    for _ in range(n_terms):
        letters = [(i, "IXYZ"[rng.integers(4)]) for i in range(n_qubits)]
        total += openfermion.QubitOperator([x for x in letters if x[1] != "I"], complex(*rng.normal(size=2)))
    return total


def their_matrix(operator, n: int) -> np.ndarray:
    return openfermion.get_sparse_operator(operator, n_qubits=n).toarray()


def reorder(space: Fermion) -> np.ndarray:
    """Signed permutation U (ours, theirs): the state of OpenFermion with some occupied modes in terms of ours.

    Ladder operators in their order on the vacuum are sorted into ours by transpositions.
    """
    n, states = space.size, space.all_states()
    change = np.zeros((len(states), 2**n))
    for number, levels in enumerate(states):
        theirs = np.zeros(n, int)
        theirs.reshape(space.n_orbitals, space.n_components)[:] = levels.reshape(space.n_components, -1).T
        ours = [mode % space.n_components * space.n_orbitals + mode // space.n_components for mode in range(n)]
        occupied = [ours[mode] for mode in range(n) if theirs[mode]]
        inversions = sum(a > b for a, b in itertools.combinations(occupied, 2))
        change[number, int("".join(map(str, theirs)), 2)] = (-1) ** inversions
    return change


# --- fermions ---------------------------------------------------------------------------------------------------------

five, three = (
    pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, n))])
    for n in (5, 3)
)
SPACES = {
    "one component": Fermion(4),
    "up and down": Fermion(3, n_components=2),
    "three components": Fermion(2, n_components=3),
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@five
def test_matrices_agree_up_to_the_signed_permutation(space, seed):
    theirs = random_ladders(np.random.default_rng(seed), space.size)
    ours = from_openfermion(theirs, space)
    change = reorder(space)
    np.testing.assert_array_equal(change @ change.T, np.eye(2**space.size))
    expected = change @ their_matrix(theirs, space.size) @ change.T
    np.testing.assert_allclose(ours.to_dense(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@five
def test_round_trip_is_normal_ordering(space, seed):
    theirs = random_ladders(np.random.default_rng(seed), space.size)
    ours = from_openfermion(theirs, space)
    back = to_openfermion(ours)
    assert back.is_normal_ordered()
    difference = openfermion.normal_ordered(theirs) - back
    assert max(map(abs, difference.terms.values()), default=0.0) < 1e-12
    np.testing.assert_allclose(from_openfermion(back, space).to_dense(), ours.to_dense(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("string", ["".join(s) for s in itertools.product("IXYZ", repeat=3)])
def test_every_string_of_matrices_on_modes(string):
    """What is no short product of ladder operators: strings that end nowhere, signs on their own."""
    operator = PauliStrings(Fermion(3), {string: 1.0 + 0.5j})
    expected = their_matrix(to_openfermion(operator), 3)
    np.testing.assert_allclose(operator.to_dense(), expected, rtol=0, atol=1e-12)


@five
def test_conditions_and_signs_together(seed):
    rng = np.random.default_rng(seed)
    projector = PauliStrings(Fermion(4), {"Z1": 0.5, "": 0.5}) @ PauliStrings(Fermion(4), {"Z3": -0.5, "": 0.5})
    strings = PauliStrings(Fermion(4), {"".join(rng.choice(list("IXYZ"), 4)): complex(*rng.normal(size=2))})
    ladders = from_openfermion(random_ladders(rng, 4, n_terms=2), Fermion(4))
    operator = 0.5 * projector @ strings @ ladders
    expected = their_matrix(to_openfermion(operator), 4)
    np.testing.assert_allclose(operator.to_dense(), expected, rtol=0, atol=1e-12)


def test_a_short_product_stays_one():
    space = Fermion(20, n_components=2)
    operator = FermionOperator(space, {"3^ 35^ 17 0": 2.0, "30^ 30 5^ 5": 1.0, "4 7": 1j, "12": -1.0})
    expected = {
        ((31, 1), (6, 1), (34, 0), (0, 0)): -2.0,  # c_35 is orbital 15 down; two transpositions, then one
        ((21, 1), (10, 1), (21, 0), (10, 0)): -1.0,
        ((14, 0), (8, 0)): -1j,
        ((24, 0),): -1.0,
    }
    assert to_openfermion(operator).terms == pytest.approx(expected)


def test_couplings_go_in_with_their_values():
    operator = FermionOperator(Fermion(2), ["0^ 1", "1^ 0"], couplings=[2.0, 3.0])
    assert to_openfermion(operator).terms == {((0, 1), (1, 0)): 2.0, ((1, 1), (0, 0)): 3.0}
    assert to_openfermion(operator - operator).terms == {}
    assert from_openfermion(openfermion.FermionOperator(), Fermion(2)).to_dense().tolist() == np.zeros((4, 4)).tolist()


@pytest.mark.parametrize("spinful", [True, False])
def test_hubbard_model(spinful):
    space = Fermion(4, n_components=2) if spinful else Fermion(4)
    theirs = openfermion.fermi_hubbard(2, 2, 1.0, 4.0, chemical_potential=0.3, spinless=not spinful)
    ours = from_openfermion(theirs, space)
    expected = np.linalg.eigvalsh(their_matrix(theirs, space.size))
    np.testing.assert_allclose(mb.exact.spectrum(ours).energies, expected, atol=1e-12)
    assert ours.is_hermitian
    assert ours.is_real
    if spinful:
        model = mb.hamiltonian.hubbard(space, mb.lattice.square(2), t=1.0, U=4.0)
        number = sum(mb.operator.fermion.number(space, i, c) for i in range(4) for c in range(2))
        np.testing.assert_allclose(ours.to_dense(), (model - 0.3 * number).to_dense(), atol=1e-12)


def test_sectors():
    space = Fermion(3, n_per_component=(2, 1), n_components=2)
    theirs = openfermion.fermi_hubbard(3, 1, 1.0, 2.0)
    ours, free = from_openfermion(theirs, space), from_openfermion(theirs, Fermion(3, n_components=2))
    keep = free.space.states_to_index(space.all_states())
    np.testing.assert_allclose(ours.to_dense(), free.to_dense()[np.ix_(keep, keep)], atol=1e-12)
    number = [openfermion.get_sparse_operator(openfermion.FermionOperator(f"{m}^ {m}"), 6).diagonal() for m in range(6)]
    chosen = (sum(number[0::2]) == 2) & (sum(number[1::2]) == 1)
    theirs_there = np.linalg.eigvalsh(their_matrix(theirs, 6)[np.ix_(chosen, chosen)])
    np.testing.assert_allclose(mb.exact.spectrum(ours).energies, theirs_there, atol=1e-12)
    again = from_openfermion(to_openfermion(ours), space)
    np.testing.assert_allclose(again.to_dense(), ours.to_dense(), atol=1e-12)
    with pytest.raises(ValueError, match="stay within the sector"):
        from_openfermion(openfermion.FermionOperator("0^ 1"), space)  # up from down


def test_interaction_operators():
    rng = np.random.default_rng(3)
    one, two = rng.normal(size=(4, 4)), rng.normal(size=(4, 4, 4, 4)) + 1j * rng.normal(size=(4, 4, 4, 4))
    tensors = openfermion.InteractionOperator(0.7, one, two)
    space = Fermion(2, n_components=2)
    expected = from_openfermion(openfermion.get_fermion_operator(tensors), space)
    np.testing.assert_allclose(from_openfermion(tensors, space).to_dense(), expected.to_dense(), rtol=0, atol=1e-12)
    pairs = openfermion.QuadraticHamiltonian(
        np.diag([1.0, 2, 3, 4]), np.array([[0, 1], [-1, 0]]).repeat(2, 0).repeat(2, 1)
    )
    expected = from_openfermion(openfermion.get_fermion_operator(pairs), space)
    np.testing.assert_allclose(from_openfermion(pairs, space).to_dense(), expected.to_dense(), rtol=0, atol=1e-12)


def test_a_molecule_from_both():
    pyscf = pytest.importorskip("pyscf")
    mean_field = pyscf.scf.RHF(pyscf.gto.M(atom="H 0 0 0; H 0 0 0.74; H 0 0.7 0; H 0 0.7 0.9", verbose=0)).run()
    ours = mb.hamiltonian.molecule(mean_field)
    theirs = to_openfermion(mb.hamiltonian.molecule(mean_field, Fermion(4, n_components=2)))
    assert len(theirs.terms) < 1000
    occupied = openfermion.FermionOperator("0^ 0") + openfermion.FermionOperator("1^ 1")
    assert (theirs * occupied).terms  # coefficients are numbers that OpenFermion can work with
    levels = np.linalg.eigvalsh(their_matrix(theirs, 8))
    ground = mb.exact.ground_state(ours).energies[0]
    assert np.min(np.abs(levels - ground)) < 1e-11
    assert levels[0] <= ground + 1e-11
    np.testing.assert_allclose(from_openfermion(theirs, ours.space).to_dense(), ours.to_dense(), atol=1e-12)


def test_constrained_fermions():
    space = Constrained(Fermion(3), Parity(Fermion(3), [(0, 1, 2)]))
    pair = from_openfermion(openfermion.FermionOperator("0 1", 2.0), space)
    keep = Fermion(3).states_to_index(space.all_states())
    expected = 2 * product([(0, False), (1, False)], 3)[np.ix_(keep, keep)]
    np.testing.assert_allclose(pair.to_dense(), expected, atol=1e-14)
    assert to_openfermion(pair).terms == {((1, 0), (0, 0)): -2.0}


# --- qubits and bosons ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [Qubit(4), Spin(4), Product(Spin(2), Qubit(2)), Fock(4, n_max=1)], ids=str)
@three
def test_qubits(space, seed):
    theirs = random_strings(np.random.default_rng(seed), 4)
    ours = from_openfermion(theirs, space)
    np.testing.assert_allclose(ours.to_dense(), their_matrix(theirs, 4), rtol=0, atol=1e-12)
    back = to_openfermion(ours)
    assert max(map(abs, (theirs - back).terms.values()), default=0.0) < 1e-12
    np.testing.assert_allclose(from_openfermion(back, space).to_dense(), ours.to_dense(), rtol=0, atol=1e-12)


def test_spin_models_as_qubits():
    space = Spin(4, total_sz=0)
    ours = mb.hamiltonian.heisenberg(space, mb.lattice.chain(4))
    theirs = to_openfermion(ours)
    assert len(theirs.terms) == 12
    assert set(theirs.terms.values()) == {0.25}
    assert np.linalg.eigvalsh(their_matrix(theirs, 4))[0] == pytest.approx(-2.0)
    np.testing.assert_allclose(from_openfermion(theirs, space).to_dense(), ours.to_dense(), atol=1e-14)


def test_strings_longer_than_a_word():
    operator = PauliStrings(Qubit(70), {"X0 Y31 Z32 Y69": 2.0, "Z63 X64": 1j})
    expected = {((0, "X"), (31, "Y"), (32, "Z"), (69, "Y")): 2.0, ((63, "Z"), (64, "X")): 1j}
    assert to_openfermion(operator).terms == expected
    assert from_openfermion(to_openfermion(operator), Qubit(70)) == operator


@three
def test_bosons(seed):
    rng = np.random.default_rng(seed)
    theirs = openfermion.BosonOperator((), 0.5 - 1j)
    for _ in range(6):
        factors = [(int(rng.integers(3)), int(rng.integers(2))) for _ in range(rng.integers(1, 6))]
        theirs += openfermion.BosonOperator(tuple(factors), complex(*rng.normal(size=2)))
    theirs += openfermion.BosonOperator("2^ 2", 1.0)  # so that they count three modes
    expected = openfermion.linalg.boson_operator_sparse(theirs, 3).toarray()
    ours = from_openfermion(theirs, Fock(3, n_max=2))
    np.testing.assert_allclose(ours.to_dense(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "space",
    [
        Fock(3, n_max=2),
        *(pytest.param(space, marks=pytest.mark.slow) for space in (Fock(2, n_max=4), Fock(3, n_max=3, n_particles=4))),
    ],
    ids=str,
)
def test_bosons_there_and_back(space):
    """Any matrices on sites: what OpenFermion has, on more levels than ours, agrees with them on ours."""
    rng, full = np.random.default_rng(5), Fock(space.size, space.local_dimensions[0] - 1)
    d = full.local_dimensions[0]
    local = [
        ((i, i + 1), rng.normal(size=(d**2, d**2)) + 1j * rng.normal(size=(d**2, d**2))) for i in range(full.size - 1)
    ]
    local.append(((0,), np.diag(rng.normal(size=d))))
    operator = mb.operator.LocalOperator(full, local) + 0.3
    theirs = to_openfermion(operator)
    assert isinstance(theirs, openfermion.BosonOperator)
    np.testing.assert_allclose(from_openfermion(theirs, full).to_dense(), operator.to_dense(), rtol=0, atol=1e-12)
    higher = openfermion.linalg.boson_operator_sparse(theirs, d + 3).toarray().reshape(2 * full.size * (d + 3,))
    kept = higher[(slice(d),) * (2 * full.size)].reshape(2 * (d**full.size,))
    np.testing.assert_allclose(kept, operator.to_dense(), rtol=0, atol=1e-11)
    model = mb.hamiltonian.bose_hubbard(space, mb.lattice.chain(space.size, periodic=False), t=0.7, U=2.5, mu=0.2)
    back = from_openfermion(to_openfermion(model), space)
    np.testing.assert_allclose(back.to_dense(), model.to_dense(), rtol=0, atol=1e-12)
    assert len(to_openfermion(model).terms) == 2 * (space.size - 1) + 2 * space.size  # hops, n and n^2


def test_bose_hubbard_model():
    theirs = openfermion.bose_hubbard(3, 1, 1.0, 2.0, periodic=False)
    space = Fock(3, n_max=3, n_particles=3)
    model = mb.hamiltonian.bose_hubbard(space, mb.lattice.chain(3, periodic=False), t=1.0, U=2.0)
    np.testing.assert_allclose(from_openfermion(theirs, space).to_dense(), model.to_dense(), atol=1e-12)


# --- bad input --------------------------------------------------------------------------------------------------------

LADDERS = openfermion.FermionOperator
TWO = Fermion(2, n_components=2)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: from_openfermion(LADDERS("4^ 0"), TWO), ValueError, "modes below 4, as many as the space has, got 4"),
        (lambda: from_openfermion(LADDERS("0^ 0"), Qubit(4)), TypeError, "`space` must be a Fermion for this"),
        (lambda: from_openfermion(LADDERS("0^ 0"), Product(TWO, Qubit(1))), TypeError, "be a Fermion for this"),
        (lambda: from_openfermion(LADDERS("0^", 1.0), Fermion(4, n_fermions=2)), ValueError, "stay within the sector"),
        (lambda: from_openfermion(LADDERS("0^ 0", np.nan), TWO), ValueError, "have finite coefficients"),
        (lambda: from_openfermion(openfermion.QubitOperator("X2"), Qubit(2)), ValueError, "below 2, .* got 2"),
        (lambda: from_openfermion(openfermion.QubitOperator("X0"), TWO), TypeError, "be of qubits, got Fermion"),
        (lambda: from_openfermion(openfermion.QubitOperator("X0"), Spin(2, s=1)), TypeError, "be of qubits"),
        (lambda: from_openfermion(openfermion.QubitOperator("X0"), Spin(2, total_sz=0)), ValueError, "stay within"),
        (lambda: from_openfermion(openfermion.BosonOperator("3"), Fock(3, n_max=2)), ValueError, "modes below 3"),
        (lambda: from_openfermion(openfermion.BosonOperator("0"), Qubit(3)), TypeError, "be a Fock for this"),
        (
            lambda: from_openfermion(openfermion.BosonOperator("0 1 2 3"), Fock(4, n_max=9)),
            ValueError,
            "at most 4096 joint levels of sites, got 10000",
        ),
        (
            lambda: from_openfermion(openfermion.InteractionOperator(0, np.eye(6), np.zeros((6,) * 4)), TWO),
            ValueError,
            "modes below 4, .* got 5",
        ),
        (lambda: from_openfermion("0^ 1", TWO), TypeError, "be a FermionOperator, InteractionOperator, .* got str"),
        (lambda: to_openfermion(np.eye(4)), TypeError, "`operator` must be a DiscreteOperator"),
        (lambda: to_openfermion(identity(Spin(2, s=1))), TypeError, "have two levels on each site"),
        (lambda: to_openfermion(identity(Product(TWO, Qubit(1)))), TypeError, "no fermions next to others"),
        (lambda: to_openfermion(identity(Doubled(TWO))), TypeError, "no fermions next to others"),
        (lambda: to_openfermion(PauliStrings(Fermion(20), ["X19"])), ValueError, r"sum of 2\^16 of them, got .* 2\^20"),
    ],
)  # fmt: skip
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_symbols_are_refused():
    sympy = pytest.importorskip("sympy")
    with pytest.raises(TypeError, match="have numbers as coefficients"):
        from_openfermion(LADDERS("0^ 0", sympy.Symbol("t")), TWO)


def test_projected_operators_are_refused():
    space = Constrained(Qubit(3), Parity(Qubit(3), [(0, 1)]))
    with pytest.raises(ValueError, match="not be projected on a constrained space"):
        to_openfermion(PauliStrings(Qubit(3), ["X0"]).on(space, project=True))


def test_without_openfermion(monkeypatch):
    monkeypatch.setitem(sys.modules, "openfermion", None)
    for call in (lambda: to_openfermion(identity(TWO)), lambda: from_openfermion(None, TWO)):
        with pytest.raises(ImportError, match=r'needs openfermion: pip install "manybody\[interop\]"'):
            call()
