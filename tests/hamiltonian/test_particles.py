# SPDX-License-Identifier: Apache-2.0
"""Hamiltonians of particles against Kronecker products, closed forms and literature."""

import functools
import math

import jax
import numpy as np
import pytest

import manybody as mb
from manybody.hamiltonian import bose_hubbard, holstein, hubbard, ssh, t_j, t_v
from manybody.hilbert import Constrained, Fermion, Fock, NoDoubleOccupation, Product, Spin
from tests.operator.jordan_wigner import annihilation

C = functools.cache(annihilation)
LATTICES = {
    "chain": mb.lattice.chain(4),
    "open": mb.lattice.chain(4, periodic=False),
    "twisted": mb.lattice.chain(3, twist=0.7),
    "antiperiodic": mb.lattice.chain(3, twist=math.pi),
    "triangle": mb.lattice.triangular(2, 2),
}


def hops(lattice, n_modes, shift=0, order=1, images=False) -> np.ndarray:
    """sum of phase c_j^dag c_i + h.c., bond by bond."""
    table = lattice.bond_table(order, images=images)
    total = np.zeros((2**n_modes,) * 2, complex)
    for (i, j), phase in zip(table.sites, table.phases, strict=True):
        hop = phase * C(j + shift, n_modes).T @ C(i + shift, n_modes)
        total += hop + hop.conj().T
    return total


def n(mode, n_modes) -> np.ndarray:
    return C(mode, n_modes).T @ C(mode, n_modes)


# --- Hubbard ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LATTICES)
def test_hubbard(name):
    lattice = LATTICES[name]
    sites = lattice.n_sites
    modes = 2 * sites
    operator = hubbard(Fermion(sites, n_components=2), lattice, t=1.3, U=2.5, mu=0.4)
    expected = -1.3 * (hops(lattice, modes) + hops(lattice, modes, sites))
    for i in range(sites):
        expected += 2.5 * n(i, modes) @ n(i + sites, modes) - 0.4 * (n(i, modes) + n(i + sites, modes))
    np.testing.assert_allclose(operator.to_dense(), expected, atol=1e-13)
    assert operator.is_hermitian
    assert operator.is_real == (name != "twisted")


def test_hubbard_couplings_of_bonds_sites_and_orders():
    lattice = mb.lattice.chain(4)
    t, u = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.5, -1.0, 2.0, 0.0])
    operator = hubbard(Fermion(4, n_components=2), lattice, t=t, U=u, mu=u + 1)
    expected = np.zeros((256, 256))
    for (i, j), amplitude in zip(lattice.bonds(), t, strict=True):
        for shift in (0, 4):
            hop = C(i + shift, 8).T @ C(j + shift, 8)
            expected -= amplitude * (hop + hop.T)
    for i in range(4):
        expected += u[i] * n(i, 8) @ n(i + 4, 8) - (u[i] + 1) * (n(i, 8) + n(i + 4, 8))
    np.testing.assert_allclose(operator.to_dense(), expected, atol=1e-13)
    orders = hubbard(Fermion(4, n_components=2), lattice, t=[1.0, -0.3], U=0.0)
    expected = sum(-t * (hops(lattice, 8, order=o) + hops(lattice, 8, 4, order=o)) for o, t in ((1, 1.0), (2, -0.3)))
    np.testing.assert_allclose(orders.to_dense(), expected, atol=1e-13)


def test_hubbard_energies():
    # A ring of four sites at half filling, U = 4 (single bonds), and two sites: (U - sqrt(U^2 + 16 t^2)) / 2.
    space = Fermion(4, n_per_component=(2, 2), n_components=2)
    ring = mb.exact.ground_state(hubbard(space, mb.lattice.square(2), U=4.0)).energies[0]
    assert ring == pytest.approx(-2.1027484835, abs=1e-9)
    two = Fermion(2, n_per_component=(1, 1), n_components=2)
    pair = mb.exact.ground_state(hubbard(two, mb.lattice.chain(2, periodic=False), U=3.0)).energies[0]
    assert pair == pytest.approx((3 - 5) / 2)


def test_free_fermions_with_a_twist():
    twist, sites = 0.9, 6
    energies = np.sort(-2 * np.cos((2 * np.pi * np.arange(sites) + twist) / sites))
    space = Fermion(sites, n_per_component=(3, 2), n_components=2)
    ground = mb.exact.ground_state(hubbard(space, mb.lattice.chain(sites, twist=twist), U=0.0)).energies[0]
    assert ground == pytest.approx(energies[:3].sum() + energies[:2].sum())


# --- t-V and t-J ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LATTICES)
def test_t_v(name):
    lattice = LATTICES[name]
    sites = lattice.n_sites
    operator = t_v(Fermion(sites), lattice, t=0.7, V=1.9)
    expected = -0.7 * hops(lattice, sites)
    for i, j in lattice.bonds():
        expected += 1.9 * n(i, sites) @ n(j, sites)
    np.testing.assert_allclose(operator.to_dense(), expected, atol=1e-13)


def test_t_v_is_xxz():
    # S^z S^z is (n_i - 1/2) (n_j - 1/2): the ends of an open chain, with one neighbour, feel another field.
    lattice, space = mb.lattice.chain(8, periodic=False), Fermion(8, 4)
    ends = mb.operator.FermionOperator(space, {"0^ 0": 0.5, "7^ 7": 0.5})
    fermions = mb.exact.ground_state(t_v(space, lattice, t=0.5, V=1.0) + ends).energies[0]
    spins = mb.exact.ground_state(mb.hamiltonian.heisenberg(Spin(8, total_sz=0), lattice)).energies[0]
    assert fermions - 4 + 7 / 4 == pytest.approx(spins)


@pytest.mark.parametrize("name", ["chain", "open", pytest.param("triangle", marks=pytest.mark.slow)])
def test_t_j(name):
    lattice = LATTICES[name]
    free = Fermion(4, n_components=2)
    space = Constrained(free, NoDoubleOccupation(4))
    operator = t_j(space, lattice, t=1.1, J=0.6)
    expected = -1.1 * (hops(lattice, 8) + hops(lattice, 8, 4))
    for i, j in lattice.bonds():
        for a, b in ((i, j), (j, i)):
            expected += 0.3 * C(a, 8).T @ C(a + 4, 8) @ C(b + 4, 8).T @ C(b, 8)
        z = [(n(a, 8) - n(a + 4, 8)) / 2 for a in (i, j)]
        total = [n(a, 8) + n(a + 4, 8) for a in (i, j)]
        expected += 0.6 * (z[0] @ z[1] - total[0] @ total[1] / 4)
    keep = free.states_to_index(space.all_states())
    np.testing.assert_allclose(operator.to_dense(), expected[np.ix_(keep, keep)], atol=1e-13)


def test_half_filled_t_j_is_heisenberg():
    lattice = mb.lattice.chain(4)
    space = Constrained(Fermion(4, n_per_component=(2, 2), n_components=2), NoDoubleOccupation(4))
    ground = mb.exact.ground_state(t_j(space, lattice, J=1.0)).energies[0]
    spins = mb.exact.ground_state(mb.hamiltonian.heisenberg(Spin(4, total_sz=0), lattice)).energies[0]
    assert ground == pytest.approx(spins - 1.0)


# --- bosons and phonons -----------------------------------------------------------------------------------------------


def lower(d) -> np.ndarray:
    return np.diag(np.sqrt(np.arange(1.0, d)), 1)


def on_site(matrix, site, dimensions) -> np.ndarray:
    return functools.reduce(np.kron, [matrix if s == site else np.eye(d) for s, d in enumerate(dimensions)])


@pytest.mark.parametrize("name", ["chain", "twisted"])
def test_bose_hubbard(name):
    lattice = LATTICES[name]
    dimensions = (3,) * lattice.n_sites
    operator = bose_hubbard(Fock(lattice.n_sites, n_max=2), lattice, t=0.8, U=1.7, mu=0.3)
    b = [on_site(lower(3), i, dimensions) for i in range(lattice.n_sites)]
    table = lattice.bond_table()
    expected = np.zeros((3**lattice.n_sites,) * 2, complex)
    for (i, j), phase in zip(table.sites, table.phases, strict=True):
        hop = phase * b[j].T @ b[i]
        expected -= 0.8 * (hop + hop.conj().T)
    for each in b:
        number = each.T @ each
        expected += 1.7 / 2 * number @ (number - np.eye(len(number))) - 0.3 * number
    np.testing.assert_allclose(operator.to_dense(), expected, atol=1e-13)


def test_hard_core_bosons_are_spins():
    lattice = mb.lattice.chain(6)
    bosons = mb.exact.ground_state(bose_hubbard(Fock(6, n_max=1, n_particles=3), lattice, t=0.5, U=99.0)).energies[0]
    spins = mb.exact.ground_state(mb.hamiltonian.xxz(Spin(6, total_sz=0), lattice, Delta=0.0, marshall=True)).energies[
        0
    ]
    assert bosons == pytest.approx(spins)


def phonon_problem(n_max=2):
    lattice = mb.lattice.chain(2, periodic=False)
    space = Product(Fermion(2), Fock(2, n_max=n_max))
    dimensions = (4, n_max + 1, n_max + 1)
    x = [on_site(lower(n_max + 1) + lower(n_max + 1).T, 1 + i, dimensions) for i in range(2)]
    quanta = sum(on_site(np.diag(np.arange(n_max + 1.0)), 1 + i, dimensions) for i in range(2))
    hop = on_site(C(0, 2).T @ C(1, 2) + C(1, 2).T @ C(0, 2), 0, dimensions)
    density = [on_site(n(i, 2), 0, dimensions) for i in range(2)]
    return lattice, space, x, quanta, hop, density


def test_holstein():
    lattice, space, x, quanta, hop, density = phonon_problem()
    expected = -1.2 * hop + 0.9 * quanta + 0.4 * sum(d @ q for d, q in zip(density, x, strict=True))
    np.testing.assert_allclose(holstein(space, lattice, t=1.2, omega=0.9, g=0.4).to_dense(), expected, atol=1e-13)


def test_ssh():
    lattice, space, x, quanta, hop, _ = phonon_problem()
    expected = -1.2 * hop + 0.9 * quanta + 0.3 * hop @ (x[1] - x[0])
    np.testing.assert_allclose(ssh(space, lattice, t=1.2, omega=0.9, alpha=0.3).to_dense(), expected, atol=1e-13)


def test_a_localised_electron_is_a_shifted_oscillator():
    # t = 0: the energy is -g^2 / omega, up to the cut-off.
    lattice = mb.lattice.chain(2, periodic=False)
    space = Product(Fermion(2, 1), Fock(2, n_max=12))
    energy = mb.exact.ground_state(holstein(space, lattice, t=0.0, omega=2.0, g=1.0)).energies[0]
    assert energy == pytest.approx(-0.5, abs=1e-6)


def test_spinful_electrons_with_phonons():
    space = Product(Fermion(2, n_per_component=(1, 1), n_components=2), Fock(2, n_max=1))
    operator = holstein(space, mb.lattice.chain(2, periodic=False), omega=1.0, g=0.5)
    assert operator.is_hermitian
    assert operator.space.n_states == 16


# --- everything else --------------------------------------------------------------------------------------------------


def test_couplings_are_leaves_under_jit():
    space, lattice = Fermion(4, n_per_component=(2, 2), n_components=2), mb.lattice.chain(4)
    sigma = space.all_states()

    @jax.jit
    def diagonal(u):
        return hubbard(space, lattice, t=1.0, U=u).diagonal(sigma)

    expected = 3.0 * (sigma[:, :4] * sigma[:, 4:]).sum(axis=1)
    np.testing.assert_allclose(diagonal(3.0), expected)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda lattice: hubbard(Spin(4), lattice), TypeError, "be a space of fermions"),
        (lambda lattice: hubbard(Fermion(4), lattice), ValueError, "n_components = 2, got 1"),
        (lambda lattice: hubbard(Fermion(3, n_components=2), lattice), ValueError, "n_orbitals = 4"),
        (
            lambda lattice: hubbard(Fermion(4, n_components=2), lattice, t=np.ones(3)),
            ValueError,
            "one number, or 4 for the bonds",
        ),
        (
            lambda lattice: hubbard(Fermion(4, n_components=2), lattice, U=np.ones(3)),
            ValueError,
            "one number, or 4 for the sites",
        ),
        (lambda lattice: t_v(Fermion(4, n_components=2), lattice), ValueError, "n_components = 1"),
        (lambda lattice: bose_hubbard(Spin(4), lattice), TypeError, "be a Fock"),
        (lambda lattice: bose_hubbard(Fock(3, n_max=1), lattice), ValueError, "have 4 sites like the lattice"),
        (lambda lattice: holstein(Fermion(4), lattice), TypeError, "be a Product"),
        (lambda lattice: holstein(Product(Fermion(4), Spin(4)), lattice), TypeError, "be a Fock"),
    ],
)
def test_what_does_not_fit(make, error, message):
    with pytest.raises(error, match=message):
        make(mb.lattice.chain(4))
