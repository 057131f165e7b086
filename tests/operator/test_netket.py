# SPDX-License-Identifier: Apache-2.0
"""NetKet's operators read as ours: the same matrices and the same connections. Needs an environment with NetKet."""

import jax
import numpy as np
import pytest

import manybody as mb
from manybody.hilbert import Fermion, Fock, Product, Qubit, Spin
from manybody.operator import DiscreteOperator, FermionOperator, LocalOperator, PauliStrings
from tests.operator.kronecker import conserving, random_matrix

netket = pytest.importorskip("netket")


@pytest.fixture(autouse=True)
def usual_promotion():
    """Our tests forbid what NetKet does."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def read(theirs, space) -> DiscreteOperator:
    """An operator of NetKet: its modes, sites and local bases are in our order."""
    if isinstance(theirs, netket.operator.LocalOperator):
        matrices = [m.toarray() if hasattr(m, "toarray") else np.asarray(m) for m in theirs.operators]
        terms = [(list(map(int, sites)), m) for sites, m in zip(theirs.acting_on, matrices, strict=True)]
        return LocalOperator(space, terms) + complex(theirs.constant)
    if isinstance(theirs, netket.operator.PauliStrings):
        return PauliStrings(space, list(map(str, theirs.operators)), np.asarray(theirs.weights))
    assert isinstance(theirs, netket.operator.FermionOperator2nd)
    products = [[(int(mode), bool(creates)) for mode, creates in term] for term in theirs.terms]
    return FermionOperator(space, products, np.asarray(theirs.weights))


def assert_same(ours: DiscreteOperator, theirs) -> None:
    """Configurations are the same, but those of a sector are numbered in another order.

    Their matrix is made from their connections: their own `to_dense` takes ten seconds to compile.
    """
    space, states = ours.space, np.asarray(theirs.hilbert.all_states()).astype(np.int8)
    index = space.states_to_index(states)
    np.testing.assert_array_equal(np.sort(index), np.arange(space.n_states))
    expected = np.zeros((space.n_states,) * 2, complex)
    targets, elements = map(np.asarray, theirs.get_conn_padded(states))  # (states, conn, sites), (states, conn)
    for row, reached, values in zip(index, targets, elements, strict=True):
        used = values != 0
        np.add.at(expected[row], space.states_to_index(reached[used].astype(np.int8)), values[used])
    np.testing.assert_allclose(ours.to_dense(), expected, rtol=0, atol=1e-12)
    found = np.diag(ours.diagonal(states)[np.argsort(index)].astype(complex))
    for row, sigma, where, what, values in zip(index, states, *map(np.asarray, ours.connections(states)), strict=True):
        changed = np.repeat(sigma[None], len(where), axis=0)
        np.put_along_axis(changed, where.astype(np.int64), what, axis=1)
        used = values != 0
        columns = space.states_to_index(changed[used])
        assert len(set(columns.tolist()) - {row}) == len(columns)
        found[row, columns] = values[used]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


# --- matrices on sites ------------------------------------------------------------------------------------------------

HILBERT = {
    "spin 1/2": lambda: (netket.hilbert.Spin(0.5, 4), Spin(4)),
    "spin 1": lambda: (netket.hilbert.Spin(1, 3), Spin(3, s=1)),
    "spin 3/2 in a sector": lambda: (netket.hilbert.Spin(1.5, 3, total_sz=0.5), Spin(3, s=1.5, total_sz=0.5)),
    "spin 1/2 in a sector": lambda: (netket.hilbert.Spin(0.5, 5, total_sz=-0.5), Spin(5, total_sz=-0.5)),
    "qubits": lambda: (netket.hilbert.Qubit(4), Qubit(4)),
    "bosons": lambda: (netket.hilbert.Fock(2, 3), Fock(3, n_max=2)),
    "bosons in a sector": lambda: (netket.hilbert.Fock(2, 4, n_particles=3), Fock(4, n_max=2, n_particles=3)),
    "product": lambda: (
        netket.hilbert.Spin(1, 2) * netket.hilbert.Fock(3, 2),
        Product(Spin(2, s=1), Fock(2, n_max=3)),
    ),
}


@pytest.mark.parametrize("name", HILBERT)
@pytest.mark.parametrize("kind", ["complex", "few"])
def test_local_operators(name, kind):
    hilbert, space = HILBERT[name]()
    rng, dimensions = np.random.default_rng(len(name)), space.local_dimensions
    theirs = netket.operator.LocalOperator(hilbert, constant=0.5 + 1j, dtype=complex)
    for k in (1, 2, 2, 3):
        sites = tuple(map(int, rng.permutation(space.size)[:k]))
        matrix = random_matrix(rng, int(np.prod([dimensions[s] for s in sites])), kind)
        matrix = conserving(dimensions, sites, matrix) if space.sectors else matrix
        theirs = theirs + netket.operator.LocalOperator(hilbert, matrix, list(sites), dtype=complex)
    assert_same(read(theirs, space), theirs)


@pytest.mark.parametrize("name", ["spin 1/2", "spin 1"])
def test_products_of_single_site_operators(name):
    hilbert, space = HILBERT[name]()
    their, our = netket.operator.spin, mb.operator.spin
    theirs = their.sigmap(hilbert, 0) @ their.sigmam(hilbert, 1) + 2.0 * their.sigmay(hilbert, 2)
    assert_same(read(theirs, space), theirs)
    assert_same(our.sp(space, 0) @ our.sm(space, 1) + 4.0 * our.sy(space, 2), theirs)


@pytest.mark.parametrize("total_sz", [None, 0])
def test_models(total_sz):
    hilbert, space = netket.hilbert.Spin(0.5, 6, total_sz=total_sz), Spin(6, total_sz=total_sz)
    graph, lattice = netket.graph.Chain(6), mb.lattice.chain(6)
    for rotated in (False, True):
        theirs = netket.operator.Heisenberg(hilbert, graph, sign_rule=rotated)
        assert_same(4.0 * mb.hamiltonian.heisenberg(space, lattice, marshall=rotated), theirs)
    assert_same(read(theirs, space), theirs)
    if total_sz is None:
        ising = netket.operator.Ising(hilbert, graph, h=0.7, J=-1.3)
        assert_same(mb.hamiltonian.ising(space, lattice, J=1.3, h=0.7), ising)


def test_bose_hubbard():
    hilbert, space = netket.hilbert.Fock(3, 4, n_particles=4), Fock(4, n_max=3, n_particles=4)
    theirs = netket.operator.BoseHubbard(hilbert, netket.graph.Chain(4), U=2.0, J=0.5)
    assert_same(mb.hamiltonian.bose_hubbard(space, mb.lattice.chain(4), t=0.5, U=2.0), theirs)


# --- Pauli strings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["spin 1/2", "qubits"])
def test_pauli_strings(name):
    hilbert, space = HILBERT[name]()
    rng = np.random.default_rng(1)
    strings = ["".join(rng.choice(list("IXYZ"), 4)) for _ in range(12)] + ["IIII"]
    theirs = netket.operator.PauliStrings(hilbert, strings, rng.normal(size=13) + 1j * rng.normal(size=13))
    assert_same(read(theirs, space), theirs)


# --- fermions ---------------------------------------------------------------------------------------------------------

FERMIONS = {
    "spinless": lambda: (netket.hilbert.SpinOrbitalFermions(4), Fermion(4)),
    "spinless in a sector": lambda: (netket.hilbert.SpinOrbitalFermions(5, n_fermions=2), Fermion(5, n_fermions=2)),
    "spins": lambda: (netket.hilbert.SpinOrbitalFermions(2, s=1 / 2), Fermion(2, n_components=2)),
    "spins in sectors": lambda: (
        netket.hilbert.SpinOrbitalFermions(3, s=1 / 2, n_fermions_per_spin=(2, 1)),
        Fermion(3, n_per_component=(2, 1), n_components=2),
    ),
}


@pytest.mark.parametrize("name", FERMIONS)
def test_fermions(name):
    hilbert, space = FERMIONS[name]()
    rng = np.random.default_rng(len(name))
    terms = [""]
    for _ in range(8):
        modes = rng.integers(space.size, size=4)
        if space.sectors:  # as many of each component created as destroyed
            same = space.n_orbitals * (modes[:2] // space.n_orbitals)
            modes[2:] = same + rng.integers(space.n_orbitals, size=2)
            terms.append("{}^ {}^ {} {}".format(*modes))
        else:
            terms.append(" ".join(f"{mode}{'^' * int(rng.integers(2))}" for mode in modes[: rng.integers(1, 5)]))
    weights = rng.normal(size=9) + 1j * rng.normal(size=9)
    theirs = netket.operator.FermionOperator2nd(hilbert, terms, list(weights))
    assert_same(read(theirs, space), theirs)


def test_components():
    """Their spin projection -1 comes first, as our component 0."""
    hilbert, space = FERMIONS["spins"]()
    for component, sz in enumerate((-1, 1)):
        theirs = netket.operator.fermion.create(hilbert, 1, sz=sz)
        assert_same(mb.operator.fermion.create(space, 1, component), theirs)
        np.testing.assert_allclose(read(theirs, space).to_dense(), theirs.to_dense(), rtol=0, atol=1e-12)
