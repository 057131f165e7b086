# SPDX-License-Identifier: Apache-2.0
"""Density matrices measured on their diagonal: traces with matrices, chains within their errors, what is refused."""

from __future__ import annotations

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest
import scipy.stats

from manybody import VariationalState, hamiltonian, lattice, observables
from manybody.ansatz import RBM, ARDense, DensityRBM, PurifiedDensity
from manybody.driver import VMC
from manybody.hilbert import Doubled, Fock, Spin
from manybody.operator import boson, spin
from manybody.operator.lindblad import left
from manybody.sampler import Diagonal, Direct, Exact, Exchange, LocalFlip, Metropolis

NETWORK = nn.Sequential((nn.Dense(6, param_dtype=float), nn.tanh))
SPINS, BOSONS = Spin(3), Fock(2, n_max=2)
STATES = {
    "followed": lambda: density(DensityRBM(beta=2), SPINS),
    "evaluated": lambda: density(PurifiedDensity(NETWORK, 4), SPINS),
    "bosons": lambda: density(DensityRBM(), BOSONS),
}


def density(ansatz, space, scale=1.5):
    """A state that is far from pure and from diagonal."""
    state = VariationalState(ansatz, Exact(Doubled(space)), seed=3)
    return state.replace(params=jax.tree.map(lambda x: scale * x, state.params))


def matrix(state):
    """rho, of trace 1, from all elements."""
    space = state.space
    rho = np.exp(np.asarray(state.log_psi(space.all_states()))).reshape(2 * (space.space.n_states,))
    return rho / np.trace(rho)


def operators(space):
    """One that is Hermitian, and one that is not."""
    if space == SPINS:
        hermitian = spin.sigmay(space, 1) @ spin.sigmaz(space, 2) + 0.3 * spin.sigmax(space, 0)
        return hermitian, spin.sp(space, 1) @ spin.sm(space, 0) + spin.sigmaz(space, 2)
    hop = boson.create(space, 0) @ boson.destroy(space, 1)
    return hop + hop.adjoint() + boson.number(space, 1), 1j * boson.create(space, 0)


def trace(rho, operator):
    return complex(np.trace(rho @ operator.to_dense()))


def mean(estimate):
    return complex(np.asarray(estimate.mean))


def test_sums_over_the_diagonal_are_traces():
    """To 1e-12, Hermitian or not."""
    state = STATES["bosons"]()
    copy = state.space.space
    rho = matrix(state)
    measured = state.diagonal(Exact(copy)).sample()
    assert measured.observed == copy
    for operator in operators(copy):
        found = measured.expect(operator)
        assert mean(found) == pytest.approx(trace(rho, operator), abs=1e-12)
        assert found.error == 0
        assert np.iscomplexobj(found.mean) != operator.is_hermitian
        assert abs(trace(rho, operator)) > 1e-3


def test_chains_are_distributed_as_the_diagonal():
    """Chi-square of 4,000 independent draws, p > 1e-4; an expectation value within 4 sigma."""
    state = STATES["followed"]()
    copy, rho = state.space.space, matrix(state)
    measured = state.diagonal(Metropolis(copy, LocalFlip(), 4000, n_burn_in=30), seed=1).sample()
    sigma = np.asarray(measured.samples.flat_sigma)
    np.testing.assert_array_equal(sigma[:, : copy.size], sigma[:, copy.size :])
    count = np.bincount(copy.states_to_index(sigma[:, : copy.size]), minlength=copy.n_states)
    p = np.diag(rho).real
    assert scipy.stats.chisquare(count, len(sigma) * p).pvalue > 1e-4
    assert scipy.stats.chisquare(count, len(sigma) * p**2 / np.sum(p**2)).pvalue < 1e-20  # |rho|^2 instead
    log_rho = np.log(p)[copy.states_to_index(sigma[:, : copy.size])]
    gap = np.asarray(measured.samples.log_psi[:, 0]) - log_rho
    np.testing.assert_allclose(gap, gap[0], atol=1e-12)
    operator = operators(copy)[0]
    found = measured.expect(operator)
    assert 1e-4 < found.error < 0.1
    assert abs(mean(found) - trace(rho, operator)) < 4 * found.error


def test_long_chains_know_their_errors():
    """tau and error of 16 chains, of an ansatz without incremental methods; fresh ones for each seed."""
    state = STATES["evaluated"]()
    rho, x = matrix(state), spin.sigmax(SPINS, 0) + spin.sigmaz(SPINS, 1)
    found = []
    for seed in range(2):
        measured = state.diagonal(Metropolis(SPINS, LocalFlip(), 16), 3200, seed=seed).sample()
        found.append(measured.expect(x))
        assert found[-1].tau > 0.5
        assert found[-1].r_hat < 1.1
        assert abs(mean(found[-1]) - trace(rho, x)) < 4 * found[-1].error
    assert found[0].mean != found[1].mean


def test_observables_of_lattices():
    state = STATES["followed"]()
    chain, rho = lattice.chain(3), matrix(state)
    measured = state.diagonal(Exact(SPINS)).sample()
    found = observables.structure_factor(measured, chain)
    z = [spin.sz(SPINS, i).to_dense() for i in range(3)]
    for k, value in zip(found.momenta, found.estimate.mean, strict=True):
        expected = (
            sum(np.exp(1j * k[0] * (i - j)) * np.trace(rho @ z[i] @ z[j]) for i in range(3) for j in range(3)) / 3
        )
        assert value == pytest.approx(expected.real, abs=1e-12)
    assert observables.total_spin(measured).mean == pytest.approx(
        np.trace(rho @ observables.total_spin_squared(SPINS).to_dense()).real, abs=1e-12
    )


# --- what is refused -------------------------------------------------------------------------------------------------


def test_refused_samplers():
    state = STATES["followed"]()
    with pytest.raises(ValueError, match="`inner` must sample one copy"):
        state.diagonal(Exact(Spin(2)))
    with pytest.raises(TypeError, match="`inner` must sample the space of one copy"):
        state.diagonal(Exact(Doubled(SPINS)))
    with pytest.raises(TypeError, match="`inner` must be a Sampler"):
        Diagonal(SPINS)
    with pytest.raises(TypeError, match="autoregressive"):
        state.diagonal(Direct(SPINS), 16)
    with pytest.raises(ValueError, match="multiple of n_chains"):
        state.diagonal(Metropolis(SPINS, LocalFlip()), 17)
    with pytest.raises(ValueError, match="move"):
        Diagonal(Metropolis(SPINS, Exchange("all")))
    with pytest.raises(ValueError, match="one copy of"):
        VariationalState(ARDense(SPINS), Direct(SPINS), 16).diagonal(Exact(SPINS))


def test_a_diagonal_that_is_not_positive():
    """Of any wave function on pairs, and of one that is given the sampler at once."""
    pairs = VariationalState(RBM(param_dtype=complex), Exact(Doubled(SPINS)))
    with pytest.raises(ValueError, match=r"positive diagonal.*positive by construction"):
        pairs.diagonal(Exact(SPINS))
    with pytest.raises(ValueError, match="positive diagonal"):
        VariationalState(RBM(param_dtype=complex), Diagonal(Exact(SPINS)))
    VariationalState(RBM(), Diagonal(Exact(SPINS)))


def test_nothing_is_optimised_on_the_diagonal():
    measured = STATES["followed"]().diagonal(Exact(SPINS)).sample()
    ising = hamiltonian.ising(SPINS, lattice.chain(3))
    with pytest.raises(ValueError, match=r"`operator` must act on Spin\(n_sites=3"):
        measured.expect(left(ising))
    with pytest.raises(ValueError, match="be sampled by"):
        measured.expect_and_force(ising)
    with pytest.raises(ValueError, match="be sampled by"):
        VMC(left(ising), measured, optimizer=optax.sgd(0.1))
