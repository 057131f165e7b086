# SPDX-License-Identifier: Apache-2.0
"""FamilyVMC: its steps, states between the couplings, files, layouts, and a phase transition (slow)."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import manybody as mb
from manybody import VariationalState
from manybody.ansatz import RBM, ARDense, Conditioned
from manybody.driver import FamilyVMC, Hook, NotFinite
from manybody.exact import ground_state
from manybody.exact.free_fermions import ising_chain_energy
from manybody.hamiltonian import heisenberg, ising
from manybody.hilbert import Spin
from manybody.io import CheckpointError, read_log
from manybody.lattice import chain
from manybody.observables import fidelity_susceptibility
from manybody.operator import spin
from manybody.parallel import mesh_comm
from manybody.sampler import Direct, Exact, LocalFlip, Metropolis
from manybody.sr import SR
from tests.exact_formulas import Dense, from_vector, to_vector

N_SITES = 6
SPACE, CHAIN = Spin(N_SITES), chain(N_SITES)
POINTS = (0.6, 1.0, 1.4)


def hamiltonian(h, space=SPACE, lattice=CHAIN):
    return ising(space, lattice, h=h)


def family(ansatz=None, degree=2):
    return Conditioned(ansatz or RBM(), 0.5, 1.5, degree)


def chains(points=POINTS, degree=2, **options):
    options = {"optimizer": optax.adam(0.02), "preconditioner": SR(1e-2, "samples", momentum=0.5), **options}
    return FamilyVMC(hamiltonian, family(degree=degree), Metropolis(SPACE, LocalFlip(), 8), points, 16, **options)


@pytest.fixture(scope="module")
def five_steps():
    driver = chains()
    driver.run(5, progress=False)
    return driver


def susceptibility(n_sites, h):
    """Of the Ising chain with even parity: each pair (k, -k) turns by an angle whose slope is sin k / (...)."""
    k = (2 * np.arange(n_sites // 2) + 1) * np.pi / n_sites
    return np.sum(np.sin(k) ** 2 / (4 * (1 + h**2 - 2 * h * np.cos(k)) ** 2))


def with_exact_sums(states):
    """The same family, whose members are summed over instead of sampled."""
    return dataclasses.replace(states, plain=VariationalState(states.ansatz.ansatz, Exact(states.plain.space)))


# --- a step ----------------------------------------------------------------------------------------------------------


def test_a_step_is_that_of_the_mean_of_the_members():
    ansatz = family(RBM(param_dtype=complex))
    driver = FamilyVMC(
        hamiltonian, ansatz, Exact(SPACE), POINTS, optimizer=optax.sgd(0.1), preconditioner=SR(1e-3, "parameters")
    )
    start = jax.device_get(driver.progress.params)
    noise = 0.1 * np.random.default_rng(2).normal(size=len(to_vector(start)))
    start = from_vector(to_vector(start) + noise, start)
    driver._progress = dataclasses.replace(driver.progress, params=start)
    record = driver.advance()
    members = [
        Dense(
            lambda c, sigma, h=h: ansatz.apply({"params": c}, sigma, h),
            start,
            SPACE.all_states(),
            hamiltonian(h).to_dense(),
        )
        for h in POINTS
    ]
    np.testing.assert_allclose(record["energies"], [member.energy for member in members], rtol=1e-12)
    assert record["energy"].mean == pytest.approx(np.mean(record["energies"]), rel=1e-14)
    assert record["energy"].variance == pytest.approx(np.mean([member.variance for member in members]), rel=1e-9)
    force, metric = (np.mean([getattr(member, name) for member in members], axis=0) for name in ("force", "metric"))
    direction = np.linalg.solve(metric + 1e-3 * np.eye(len(force)), force)
    change = to_vector(driver.progress.params) - to_vector(start)
    np.testing.assert_allclose(change, -0.1 * direction, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_between_the_couplings():
    """Energies and susceptibilities of states that were not optimised, against free fermions."""
    points = 1 + 0.5 * np.cos(np.pi * (np.arange(6) + 0.5) / 6)
    ansatz = family(RBM(alpha=2, symmetries=CHAIN.translations(), use_visible_bias=False), degree=4)
    driver = FamilyVMC(
        hamiltonian, ansatz, Exact(SPACE), points, optimizer=optax.sgd(0.1), preconditioner=SR(1e-4), seed=1
    )
    states = driver.run(150, progress=False)
    for h in (0.55, 0.87, 1.13, 1.45):
        state, exact = states.at(h), ising_chain_energy(N_SITES, h=h)
        assert isinstance(state.network.module, RBM)
        energy = state.expect(hamiltonian(h)).mean
        assert -1e-12 < (energy - exact) / abs(exact) < 1e-4
        found = fidelity_susceptibility(state, states.slopes(h)).mean
        assert found == pytest.approx(susceptibility(N_SITES, h), rel=0.05)


@pytest.mark.slow
def test_several_couplings_and_direct_draws():
    space = Spin(4)

    def terms(g):
        return ising(space, chain(4), J=g[0], h=g[1]) + g[0] * g[1] * spin.sz(space, 0)

    ansatz = Conditioned(ARDense(space, (6,)), (0.5, 0.5), (1.0, 1.5), 1)
    points = [(0.5, 0.5), (1.0, 0.5), (0.75, 1.5), (1.0, 1.0)]
    driver = FamilyVMC(terms, ansatz, Direct(space), points, 32, optimizer=optax.sgd(0.1))
    first = driver.advance()
    exact = [np.real(terms(np.array(g)).to_dense()) for g in points]
    psi = driver.state.plain.to_array()  # at first all members are the plain state
    expected = np.array([psi @ matrix @ psi for matrix in exact])
    assert np.all(np.abs(first["energies"] - expected) < 5 * first["errors"])
    assert np.ptp(expected) > 5 * np.max(first["errors"])
    driver.run(40, progress=False)
    state = driver.state.at((0.8, 0.9))
    assert state.samples.kind == "independent"
    assert (state.n_samples, driver.state.at((0.8, 0.9), 48).n_samples) == (32, 48)
    below = np.linalg.eigvalsh(terms(np.array((0.8, 0.9))).to_dense())[0]
    assert float(state.expect(terms(np.array((0.8, 0.9)))).mean) < below + 0.2 * abs(below)
    chi = fidelity_susceptibility(state, driver.state.slopes((0.8, 0.9)))
    assert chi.mean.shape == (2, 2)


# --- chains, buffers, layouts ----------------------------------------------------------------------------------------


def test_records_and_chains(five_steps):
    before = five_steps.progress
    record = five_steps.advance()
    five_steps._progress = before
    energy = record["energy"]
    assert energy.mean == pytest.approx(np.mean(record["energies"]))
    assert energy.error == pytest.approx(np.sqrt(np.sum(record["errors"] ** 2)) / 3)
    assert 0 < record["acceptance"]["LocalFlip"] <= 1
    assert 0 <= record["cache_drift"] < 1e-10
    sigma = np.asarray(five_steps.progress.chains.sigma)  # (chains, points, sites)
    assert sigma.shape == (8, 3, N_SITES)
    assert np.any(sigma[:, 0] != sigma[:, 1])
    assert "space of samples" in five_steps.describe()
    assert "structured: visible, hidden" in five_steps.describe()
    assert (five_steps.n_traces, five_steps.n_regrowths) == (1, 0)


def test_what_it_is_made_with():
    driver = chains(chunk_size=3)
    sigma, other = (np.asarray(chains(seed=seed).progress.chains.sigma) for seed in (0, 1))
    assert np.any(sigma != other)
    assert np.any(sigma[:, 0] != sigma[:, 1])
    assert np.any(sigma[:, 0] != driver.state.plain.chains.sigma)
    assert driver.state.plain.chunk_size == 3
    params = [to_vector(chains(seed=seed).progress.params) for seed in (0, jax.random.key(0), 1)]
    np.testing.assert_array_equal(params[0], params[1])
    assert np.any(params[0] != params[2])
    same = FamilyVMC(lambda h: hamiltonian(1.0), family(), Exact(SPACE), POINTS, optimizer=optax.sgd(0.1)).identity()
    moved = FamilyVMC(lambda h: hamiltonian(1.0), family(), Exact(SPACE), (0.5, 1, 1.5), optimizer=optax.sgd(0.1))
    assert {name for name, words in moved.identity().items() if words != same[name]} == {"couplings"}


@pytest.mark.slow
def test_chains_walk_in_the_distributions_of_their_members():
    ansatz = family(RBM(alpha=1))
    sampler = Metropolis(SPACE, LocalFlip(), 64, n_burn_in=20)
    driver = FamilyVMC(hamiltonian, ansatz, sampler, POINTS, 4096, optimizer=optax.sgd(0.05), seed=4)
    driver.run(10, progress=False)
    states = with_exact_sums(driver.state)
    expected = [float(states.at(h).expect(hamiltonian(h)).mean) for h in POINTS]
    record = driver.advance()
    np.testing.assert_array_less(np.abs(record["energies"] - expected), 5 * record["errors"])  # five sigma
    assert np.min(np.abs(np.diff(expected))) > 10 * np.max(record["errors"])


def test_the_buffer_grows_for_the_member_that_needs_most():
    """Chains that start with a single domain have 2 exchangeable bonds; in equilibrium many more."""
    space = Spin(8, total_sz=0)
    sampler = Metropolis(space, mb.sampler.Exchange(chain(8)), 16, initial=np.repeat([1, -1], 4))

    def driver():
        return FamilyVMC(
            lambda j: heisenberg(space, chain(8), J=(1.0, j), marshall=True),
            Conditioned(RBM(), 0.0, 0.4, 1),
            sampler,
            [0.0, 0.3],
            optimizer=optax.sgd(0.01),
            preconditioner=None,
        )

    one, roomy = driver(), driver()
    record = one.advance()
    assert (one.n_traces, one.n_regrowths) == (2, 1)
    roomy._use_buffer(16 * 16)
    other = roomy.advance()
    np.testing.assert_allclose(record["energies"], other["energies"], rtol=1e-13)
    assert record["n_connections"] == other["n_connections"]


@pytest.mark.slow  # tests/distributed does much the same
def test_two_workers_equal_one(five_steps):
    driver = chains(comm=mesh_comm(jax.devices()[:2]))
    driver.run(5, progress=False)
    np.testing.assert_array_equal(driver.progress.chains.sigma, five_steps.progress.chains.sigma)
    for one, two in zip(*map(jax.tree.leaves, (five_steps.progress.params, driver.progress.params)), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-9)
    states = [driver.state.at(0.8), five_steps.state.at(0.8)]
    np.testing.assert_array_equal(*(state.samples.sigma for state in states))
    chi = [fidelity_susceptibility(state, driver.state.slopes(0.8)) for state in states]
    assert chi[0].mean == pytest.approx(float(chi[1].mean), rel=1e-6)
    assert chi[0].error == pytest.approx(float(chi[1].error), rel=1e-6)


def test_not_finite_stops():
    driver = chains()
    broken = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), driver.progress.params)
    driver._progress = dataclasses.replace(driver.progress, params=broken)
    with pytest.raises(NotFinite, match="not finite after step 1"):
        driver.run(1, progress=False)


# --- files -----------------------------------------------------------------------------------------------------------


class _StopAt(Hook):
    def on_step(self, driver, record):
        return record["step"] == 3


@pytest.mark.slow  # so does tests/distributed
def test_taken_up_bit_for_bit(tmp_path, five_steps):
    chains().run(5, out=tmp_path, hooks=[_StopAt()], progress=False, save_every=2)
    again = chains()
    again.run(5, out=tmp_path, progress=False, save_every=2)

    def compare(a, b):
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)

    jax.tree.map(compare, again.progress, five_steps.progress)
    records = list(read_log(tmp_path / "log.jsonl"))
    assert [record["step"] for record in records] == [1, 2, 3, 4, 5]
    assert all(len(record[name]) == 3 for record in records for name in ("energies", "errors"))
    for other, what in ((chains(points=(0.6, 1.0, 1.3)), "hamiltonian"), (chains(degree=1), "ansatz")):
        with pytest.raises(CheckpointError, match=f"`{what}` was"):
            other.run(5, out=tmp_path, progress=False)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_what_is_refused(five_steps):
    for outside in (0.4, 1.6, np.nan):
        with pytest.raises(ValueError, match=r"`couplings` must lie between 0\.5 and 1\.5"):
            five_steps.state.at(outside)
    with pytest.raises(TypeError, match="`chunk_size` must be an integer"):
        chains(chunk_size="auto")
    with pytest.raises(ValueError, match="`couplings` must lie between"):
        chains(points=(0.4, 1.0))
    with pytest.raises(ValueError, match=r"`couplings` must have shape"):
        five_steps.state.at((0.7, 0.8))
    for wrong in (1.0, [], [[0.7]]):
        with pytest.raises(ValueError, match=r"`couplings` must have shape \(points\)"):
            chains(points=wrong)
    sampler, adam = Exact(SPACE), optax.adam(0.1)
    with pytest.raises(TypeError, match="`ansatz` must be a Conditioned"):
        FamilyVMC(hamiltonian, RBM(), sampler, POINTS, optimizer=adam)
    with pytest.raises(ValueError, match="`hamiltonian` must act on"):
        FamilyVMC(lambda h: ising(Spin(4), chain(4), h=h), family(), sampler, POINTS, optimizer=adam)
    with pytest.raises(ValueError, match="`hamiltonian` must have the same terms for all couplings"):
        more = lambda h: hamiltonian(h) + spin.sz(SPACE, 0) if h > 1 else hamiltonian(h)  # noqa: E731
        FamilyVMC(more, family(), sampler, POINTS, optimizer=adam)


# --- a phase transition ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_transition_of_the_ising_chain():
    """Trained with chains at Chebyshev nodes; then energies and the peak of the susceptibility by exact sums."""
    n_sites, n_points = 16, 12
    lattice, space = chain(n_sites), Spin(n_sites)
    points = 1 + 0.5 * np.cos(np.pi * (np.arange(n_points) + 0.5) / n_points)
    rbm = RBM(alpha=2, symmetries=lattice.translations(), use_visible_bias=False, use_hidden_bias=False)
    driver = FamilyVMC(
        lambda h: ising(space, lattice, h=h),
        Conditioned(rbm, 0.5, 1.5, 8),
        Metropolis(space, LocalFlip(), 64, n_burn_in=30),
        points,
        512,
        optimizer=optax.sgd(optax.exponential_decay(0.05, 100, 0.5)),
        seed=1,
    )
    states = with_exact_sums(driver.run(300, progress=False))
    grid = np.linspace(0.5, 1.5, 41)
    assert np.min(np.abs(grid[:, None] - points)) > 1e-3  # none of them was seen
    energies = [float(states.at(h).expect(ising(space, lattice, h=h)).mean) for h in grid]
    exact = np.array([ising_chain_energy(n_sites, h=h) for h in grid])
    assert exact[20] == pytest.approx(ground_state(ising(space, lattice, h=1.0)).energies[0], rel=1e-10)
    errors = (np.array(energies) - exact) / np.abs(exact)
    print("largest relative error of an energy", errors.max())
    assert np.all((errors > -1e-12) & (errors < 1e-3))

    fine = np.linspace(0.7, 1.3, 61)
    chi = np.array([float(fidelity_susceptibility(states.at(h), states.slopes(h)).mean) for h in fine])
    right = np.array([susceptibility(n_sites, h) for h in fine])
    print("peaks at", fine[chi.argmax()], "exactly", fine[right.argmax()], "of height", chi.max(), right.max())
    assert fine[chi.argmax()] == pytest.approx(fine[right.argmax()], rel=0.05)
    assert chi.max() == pytest.approx(right.max(), rel=0.15)
