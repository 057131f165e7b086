# SPDX-License-Identifier: Apache-2.0
"""Operators from matrices: they have the elements that they were made of."""

import time

import numpy as np
import pytest
import scipy.sparse

import manybody as mb
from manybody.hilbert import Blockade, Constrained, Doubled, Fermion, Fock, Product, Qubit, Spin
from manybody.operator import LocalOperator, PauliStrings, from_sparse, spin
from manybody.operator.bits import BitTerms
from tests.operator.kronecker import dense, random_matrix

SPACES = {
    "spins": Spin(4),
    "one qubit": Qubit(1),
    "spins in a sector": Spin(6, total_sz=1),
    "fermions": Fermion(2, n_components=2),
    "fermions in a sector": Fermion(3, n_per_component=(1, 2), n_components=2),
    "spins 1": Spin(3, s=1),
    "spins 1 in a sector": Spin(4, s=1, total_sz=-1),
    "bosons": Fock(3, n_max=(1, 2, 3)),
    "bosons in a sector": Fock(4, n_max=2, n_particles=3),
    "product": Product(Spin(2), Fock(2, n_max=2)),
    "product in sectors": Product(Spin(2, total_sz=0), Fock(2, n_max=2, n_particles=2), Qubit(1)),
    "doubled": Doubled(Fermion(3, n_fermions=1)),
    "constrained": Constrained(Qubit(5), Blockade([(i, i + 1) for i in range(4)])),
    "constrained bosons": Constrained(Fock(3, n_max=2), Blockade([(0, 1), (1, 2)])),
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize(
    "kind", ["complex", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("real", "few", "diagonal"))]
)
def test_elements(space, kind):
    rng = np.random.default_rng(len(kind))
    matrix = random_matrix(rng, space.n_states, kind)
    operator = from_sparse(space, matrix)
    assert operator.space == space
    found = operator.to_dense()
    np.testing.assert_allclose(found, matrix, rtol=0, atol=1e-12)
    if kind == "few" and space.sectors:
        assert np.count_nonzero(found) == np.count_nonzero(matrix)
    assert operator.is_real == (not np.any(matrix.imag))
    assert operator.is_diagonal == (kind == "diagonal")
    assert operator.is_hermitian == (kind == "diagonal")
    assert from_sparse(space, matrix + matrix.conj().T).is_hermitian
    np.testing.assert_allclose(operator.adjoint().to_dense(), matrix.conj().T, rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", ["csr_array", "csc_matrix", "coo_array", "bsr_array", "lil_matrix", "dia_array"])
def test_formats(form):
    matrix = random_matrix(np.random.default_rng(0), 8, "few")
    np.testing.assert_allclose(from_sparse(Spin(3), getattr(scipy.sparse, form)(matrix)).to_dense(), matrix, atol=1e-14)


def test_kinds_of_numbers():
    whole = np.arange(16).reshape(4, 4)
    for matrix in (whole, whole.astype(np.float32), whole.astype(np.complex64), whole.tolist()):
        operator = from_sparse(Qubit(2), matrix)
        np.testing.assert_allclose(operator.to_dense(), whole, atol=1e-14)
        assert operator.to_dense().dtype == np.float64
    twice = scipy.sparse.coo_array(([1.0, 2.0, 0.0], ([0, 0, 1], [1, 1, 0])), shape=(4, 4))
    assert from_sparse(Fermion(2, n_fermions=1), twice.tocsr()[:2, :2]).to_sparse().nnz == 1


@pytest.mark.parametrize(
    "space", [Spin(6), Product(Spin(3), Fock(3, n_max=1)), Spin(4, s=1), Product(Spin(2), Fock(2, n_max=3))], ids=str
)
def test_sums_of_local_terms_are_recognised(space):
    rng, dimensions = np.random.default_rng(1), space.local_dimensions
    bonds = [(i, i + 1) for i in range(len(dimensions) - 1)]
    terms = [((i, j), random_matrix(rng, dimensions[i] * dimensions[j], "complex")) for i, j in bonds]
    local, found = LocalOperator(space, terms), from_sparse(space, dense(dimensions, terms))
    assert found.max_connections == local.max_connections
    np.testing.assert_allclose(found.to_dense(), local.to_dense(), rtol=0, atol=1e-12)
    if isinstance(found.terms, BitTerms):
        assert not np.any(found.terms.need)
        assert len(found.terms.weight) == len(local.terms.as_pauli_strings().weight)
    else:
        assert max(len(place.sites) for place in found.terms.terms) == 2


def test_models_come_back_as_they_were():
    space = Spin(8)
    ising = mb.hamiltonian.ising(space, mb.lattice.chain(8), h=0.7)
    again = from_sparse(space, ising.to_sparse())
    np.testing.assert_allclose(again.terms.weight, ising.fold().terms.weight, atol=1e-14)
    np.testing.assert_array_equal(again.terms.masks, ising.fold().terms.masks)
    assert from_sparse(space, spin.sigmay(space, 5).to_sparse()) == spin.sigmay(space, 5)


def test_few_elements_stay_elements():
    space = Qubit(6)
    matrix = np.zeros((64, 64))
    matrix[3, 17] = 2.0
    assert len(from_sparse(space, matrix).terms.weight) == 1
    bell = np.zeros((64, 64))
    bell[[0, 0, 63, 63], [0, 63, 0, 63]] = 0.5
    assert len(from_sparse(space, bell).terms.weight) == 4
    some = np.diag(np.arange(64.0) * (np.arange(64) % 7 == 3))
    assert len(from_sparse(space, some).terms.weight) == np.count_nonzero(some)
    assert np.all(from_sparse(Spin(2, total_sz=0), np.eye(2)).terms.need == 3)  # not 1 - ZZ, which leads out


def test_algebra_with_other_operators():
    sector = Spin(6, total_sz=0)
    matrix = random_matrix(np.random.default_rng(2), sector.n_states, "few")
    model = mb.hamiltonian.heisenberg(sector, mb.lattice.chain(6))
    one, other = from_sparse(sector, matrix), model.to_dense()
    np.testing.assert_allclose((one + model).to_dense(), matrix + other, atol=1e-12)
    np.testing.assert_allclose((one @ model).to_dense(), matrix @ other, atol=1e-12)
    assert (one + one.adjoint() + model).is_hermitian
    assert not (one + model).is_hermitian
    assert mb.exact.ground_state(model + one.adjoint() @ one).energies[0] == pytest.approx(
        np.linalg.eigvalsh(other + matrix.conj().T @ matrix)[0]
    )


def test_a_sector_of_a_large_space():
    """Properties do not take all configurations of the free space into account: there are 2^24 of them."""
    space = Fermion(24, n_fermions=2)
    matrix = scipy.sparse.random_array((276, 276), density=0.02, rng=np.random.default_rng(3))
    start = time.monotonic()
    operator = from_sparse(space, matrix)
    assert not operator.is_hermitian
    assert from_sparse(space, matrix + matrix.T).is_hermitian
    assert time.monotonic() - start < 10
    np.testing.assert_allclose(operator.to_dense(), matrix.toarray(), atol=1e-14)


@pytest.mark.parametrize(
    ("space", "matrix", "error", "message"),
    [
        (Spin(3), np.eye(4), ValueError, r"`matrix` must have shape \(8, 8\), got \(4, 4\)"),
        (Spin(4, total_sz=0), np.eye(16), ValueError, r"shape \(6, 6\), got \(16, 16\)"),
        (Qubit(1), np.ones(4), ValueError, r"shape \(2, 2\), got \(4,\)"),
        (Qubit(1), np.array([[1, np.nan], [0, 1]]), ValueError, "`matrix` must be finite"),
        (Qubit(1), np.array([[1, 1j * np.inf], [0, 1]]), ValueError, "`matrix` must be finite"),
        (Qubit(1), np.array([["a", "b"], ["c", "d"]]), TypeError, "hold real or complex numbers"),
        (Fock(4, n_max=6), scipy.sparse.eye_array(7**4), ValueError, "at most 1024 joint levels .* got 2401"),
        (Spin(12), np.ones((2**12, 2**12)), ValueError, "at most 4194304 elements, got 16777216"),
        (2, np.eye(2), TypeError, "`space` must be a DiscreteSpace"),
    ],
)
def test_bad_input(space, matrix, error, message):
    with pytest.raises(error, match=message):
        from_sparse(space, matrix)


def test_rows_with_other_conditions_are_compared():
    """n = 1 - (1 - n), and two Hermitian operators in different forms."""
    space = Qubit(3)
    occupied = from_sparse(space, np.diag(np.arange(8) % 2).astype(float))
    other = PauliStrings(space, {"": 0.5, "Z2": -0.5})
    np.testing.assert_allclose(occupied.to_dense(), other.to_dense())
    raise_one = LocalOperator(space, [((0,), np.eye(2, k=-1))])
    split = LocalOperator(space, [((0, 1), np.kron(np.eye(2, k=1), p)) for p in (np.diag([1.0, 0]), np.diag([0, 1.0]))])
    assert (raise_one + split).is_hermitian
    assert not (raise_one + 2.0 * split).is_hermitian
    apart = LocalOperator(space, [((0,), np.eye(2, k=-1)), ((0,), np.eye(2, k=1))], couplings=[1.0, 2.0])
    assert not apart.is_hermitian
