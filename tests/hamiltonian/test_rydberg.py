# SPDX-License-Identifier: Apache-2.0
"""Rydberg atoms against Kronecker products, on full and on blockaded spaces."""

from __future__ import annotations

import functools
import itertools

import jax
import numpy as np
import pytest

import manybody as mb
from manybody.hamiltonian import rydberg
from manybody.hilbert import Blockade, Constrained, Fock, Qubit, Spin
from manybody.lattice import chain, kagome, square

EXCITED = {Qubit: np.diag([0.0, 1.0]), Spin: np.diag([1.0, 0.0])}
"""Bit 1 is level 1, but spin up, the positive value, is level 0."""


def at(matrices: dict[int, np.ndarray], n: int) -> np.ndarray:
    return functools.reduce(np.kron, [matrices.get(site, np.eye(2)) for site in range(n)])


def textbook(make, lattice, omega, delta, v, power=6.0, reach=np.inf) -> np.ndarray:
    n, excited = lattice.n_sites, EXCITED[make]
    distance = lattice.distances() / np.min(lattice.distances() + 1e9 * np.eye(lattice.n_sites))
    total = sum(omega / 2 * at({i: np.array([[0, 1], [1, 0]])}, n) - delta[i] * at({i: excited}, n) for i in range(n))
    for i, j in itertools.combinations(range(n), 2):
        if distance[i, j] < reach + 1e-6:
            total = total + v / distance[i, j] ** power * at({i: excited, j: excited}, n)
    return total


@pytest.mark.parametrize("make", [Qubit, Spin])
@pytest.mark.parametrize("lattice", [chain(6), chain(5, periodic=False), square(2, 3), kagome(1)], ids=repr)
def test_all_atoms_interact(make, lattice) -> None:
    n = lattice.n_sites
    space, deltas = make(n), np.linspace(0.2, 1.7, n)
    operator = rydberg(space, lattice, Omega=1.3, Delta=0.7, V=2.1)
    np.testing.assert_allclose(operator.to_dense(), textbook(make, lattice, 1.3, [0.7] * n, 2.1), atol=1e-12)
    options = {"power": 3.0, "reach": 3**0.5}
    near = rydberg(space, lattice, Omega=-0.4, Delta=deltas, V=0.9, **options)
    np.testing.assert_allclose(near.to_dense(), textbook(make, lattice, -0.4, deltas, 0.9, **options), atol=1e-12)
    assert operator.is_hermitian
    assert operator.is_real


@pytest.mark.parametrize("make", [Qubit, Spin])
def test_a_blockade_projects_onto_what_it_allows(make) -> None:
    """The same levels are excited for the Hamiltonian and for the constraint: it is a part of the full matrix."""
    lattice = square(2, 3)
    free = make(6)
    space = Constrained(free, Blockade(lattice.bonds()))
    keep = free.states_to_index(space.all_states())
    assert all(not (sigma[i] > 0 and sigma[j] > 0) for sigma in space.all_states() for i, j in lattice.bonds())
    full = textbook(make, lattice, 1.3, [0.7] * 6, 2.1)
    operator = rydberg(space, lattice, Omega=1.3, Delta=0.7, V=2.1)
    np.testing.assert_allclose(operator.to_dense(), full[np.ix_(keep, keep)], atol=1e-12)
    alone = np.diag(operator.to_dense())[(space.all_states() > 0).sum(axis=1) == 1]
    np.testing.assert_allclose(alone, -0.7)


def test_pxp_model() -> None:
    """sum P X P on a ring: chiral, and the number of zero modes of eight sites, which an index theorem bounds below.

    C. J. Turner et al., Nature Physics 14, 745 (2018): under (-1)^n the energies change sign.
    """
    n = 8
    space = Constrained(Qubit(n), Blockade(chain(n).bonds()))
    matrix = rydberg(space, chain(n), Omega=2.0, Delta=0.0, V=0.0).to_dense()
    states = {tuple(sigma): number for number, sigma in enumerate(space.all_states().tolist())}
    expected = np.zeros_like(matrix)
    for sigma, number in states.items():
        for site in range(n):
            if sigma[site - 1] == sigma[(site + 1) % n] == 0:
                flipped = (*sigma[:site], 1 - sigma[site], *sigma[site + 1 :])
                expected[states[flipped], number] = 1.0
    np.testing.assert_allclose(matrix, expected, atol=1e-14)
    energies = np.linalg.eigvalsh(matrix)
    np.testing.assert_allclose(energies, -energies[::-1], atol=1e-12)


@pytest.mark.parametrize("make", [Qubit, Spin, lambda n: Fock(n, n_max=1)])
def test_detuning_fills_every_second_site(make) -> None:
    """Without flips, with neighbours alone: -Delta N/2 for Delta < V, all N excited for Delta > 2 V."""
    for delta, energy in ((0.9, -0.9 * 3), (2.5, 6 * (1.0 - 2.5))):
        operator = rydberg(make(6), chain(6), Omega=0.0, Delta=delta, V=1.0, reach=1)
        assert operator.to_dense().diagonal().min() == pytest.approx(energy)


def test_couplings_are_leaves() -> None:
    sigma, traces = Qubit(4).all_states(), []

    @jax.jit
    def sums(operator):
        traces.append(None)
        return operator.diagonal(sigma).sum(), operator.elements(sigma).sum()

    for omega, delta, v in ((1.0, 2.0, 3.0), (-1.0, np.array([1.0, 2.0, 3.0, 4.0]), 0.5)):
        operator = rydberg(Qubit(4), chain(4), Omega=omega, Delta=delta, V=v)
        expected = -8 * np.sum(delta * np.ones(4)) + 4 * v * (4 + 2 / 64)
        np.testing.assert_allclose(sums(operator.compile()), (expected, 64 * omega / 2))
    assert len(traces) == 1
    traced = jax.jit(lambda x: rydberg(Qubit(4), chain(4), Omega=x, Delta=x, V=x).diagonal(sigma).sum())
    assert traced(2.0) == pytest.approx(2.0 * (4 * (4 + 2 / 64) - 32))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: rydberg(Spin(4, s=1), chain(4)), ValueError, "`space` must have two levels on each site"),
        (lambda: rydberg(Spin(4, total_sz=0), chain(4)), ValueError, "leave the number of excited atoms free"),
        (lambda: rydberg(Qubit(4), chain(5)), ValueError, "`space` must have 5 sites like the lattice"),
        (lambda: rydberg(Qubit(4), chain(4), Delta=[1.0, 2.0]), ValueError, "`Delta` must be one number, or 4 for the"),
        (lambda: rydberg(Qubit(4), chain(4), Delta=1j), TypeError, "`Delta` must be real"),
    ],
)
def test_what_does_not_fit(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()


def test_ground_state_of_a_blockaded_ring_is_that_of_strong_repulsion() -> None:
    """Spins and qubits alike; the blockade is the limit V -> inf, from which the energy differs by less than 1 / V."""
    lattice = chain(8)
    energies = []
    for make in (Qubit, Spin):
        space = Constrained(make(8), Blockade(lattice.bonds()))
        energies.append(mb.exact.ground_state(rydberg(space, lattice, Delta=0.6, V=0.0)).energies[0])
    strong = mb.exact.ground_state(rydberg(Qubit(8), lattice, Delta=0.6, V=1e5, reach=1)).energies[0]
    np.testing.assert_allclose(energies, strong, atol=8e-5)
    assert energies[0] == pytest.approx(energies[1], abs=1e-12)
