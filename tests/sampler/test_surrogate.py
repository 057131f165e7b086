# SPDX-License-Identifier: Apache-2.0
"""Chains that follow a cheap wave function between evaluations of the full one: exact, whatever the cheap one is."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from manybody import VariationalState, ansatz, driver, hamiltonian, lattice
from manybody.amplitude import FullEvaluation
from manybody.hilbert import Blockade, Constrained, Doubled, Qubit, Spin
from manybody.parallel import mesh_comm
from manybody.sampler import Exact, Exchange, LocalFlip, Metropolis, Mixture, MultiFlip, Surrogate
from manybody.sampler.surrogate import N_EXAMPLES
from tests.cases import some_slow
from tests.contract.test_moves import Raise
from tests.sampler.amplitudes import CALLS, Counting, CountingIncremental, draw, probabilities, random_log_psi, table

N_CHAINS = 4000
SPACE = Spin(6)
RING = Constrained(Qubit(6), Blockade(lattice.chain(6).bonds().tolist()))
EXCHANGE = Exchange(lattice.chain(6))


def bound(state):
    return state.network.bind(state.params, state.constants)


def rbm(space=SPACE, seed=5, factor=3, **options):
    """An amplitude with incremental updates."""
    return bound(louder(VariationalState(ansatz.RBM(alpha=1, **options), Exact(space), seed=seed), factor))


def louder(state, factor=3):
    """With parameters that make a difference."""
    return state.replace(params=jax.tree.map(lambda x: factor * x, state.params))


def near(log_psi):
    """A modulus that is off by a factor of 1.2 or so, and no phase."""
    return log_psi.real + 0.2 * np.random.default_rng(7).normal(size=len(log_psi))


def opposite(log_psi):
    """Small where psi is large."""
    return -0.4 * log_psi.real


def count(space, samples, draw=0):
    return np.bincount(space.states_to_index(np.asarray(samples.sigma[:, draw])), minlength=space.n_states)


def p_value(space, samples, log_psi):
    """Chi-square test of one draw of each chain."""
    return scipy.stats.chisquare(count(space, samples), N_CHAINS * probabilities(log_psi)).pvalue


# --- it is exact -----------------------------------------------------------------------------------------------------

CASES = {
    "one-step": (Spin(4), LocalFlip(), near, 1, None),
    "one-step-bad": (Spin(4), LocalFlip(), opposite, 1, None),
    "bad": (Spin(4), LocalFlip(), opposite, 3, None),
    "rest-of-a-sweep": (Spin(4), LocalFlip(), opposite, 4, 6),
    "longer-than-a-sweep": (Spin(4), LocalFlip(), near, 20, 5),
    "sector": (Spin(6, total_sz=0), EXCHANGE, opposite, 4, None),
    "asymmetric-move": (Spin(3, s=1), Raise(), opposite, 3, None),
    "mixture": (Spin(4), Mixture([LocalFlip(), MultiFlip(4)], [3, 1]), near, 3, None),
    "constrained": (RING, LocalFlip(), opposite, 4, None),
}


SLOW = ("one-step-bad", "bad", "longer-than-a-sweep", "sector", "mixture")


@pytest.mark.parametrize(("space", "move", "make", "n_steps", "sweep_size"), some_slow(CASES, SLOW))
def test_distribution(space, move, make, n_steps, sweep_size):
    """One draw each of 4,000 chains, independent: chi-square against |psi|^2, p > 1e-4; |phi|^2 is far from that."""
    log_psi = random_log_psi(space)
    log_phi = make(log_psi)
    surrogate = Surrogate(table(space, log_phi), n_steps)
    sampler = Metropolis(space, move, N_CHAINS, sweep_size, n_burn_in=60, surrogate=surrogate)
    samples, info = draw(sampler, table(space, log_psi), 1)
    assert p_value(space, samples, log_psi) > 1e-4
    assert p_value(space, samples, log_phi) < 1e-8
    np.testing.assert_array_equal(samples.log_psi, log_psi[space.states_to_index(samples.sigma)])
    assert info["acceptance"].shape == (len(move.names),)
    assert 0.05 < info["full_acceptance"] < 0.98
    assert info["cache_drift"] < 1e-12


def metropolis(proposal, log_ratio):
    """The transition matrix of the rule, of a symmetric proposal (n, n) with log p_j - log p_i (n, n)."""
    moved = proposal * np.exp(np.minimum(0.0, log_ratio))
    np.fill_diagonal(moved, 0.0)
    return moved + np.diag(1 - moved.sum(axis=1))


@pytest.mark.parametrize("n_steps", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_with_incremental_updates(n_steps):
    """Both are updated from step to step: the law after two sweeps of four flips, by matrices; p > 1e-4.

    In it are the caches: that of the surrogate is put back where psi refuses, which is most of the time.
    """
    space = Spin(4)
    psi, phi = rbm(space, seed=1, factor=1.5, param_dtype=complex), rbm(space, factor=1.5)
    start = np.array([1, 1, -1, 1])
    sampler = Metropolis(space, LocalFlip(), N_CHAINS, n_burn_in=1, initial=start, surrogate=Surrogate(phi, n_steps))
    samples, info = draw(sampler, psi, 1)
    assert 0.1 < info["full_acceptance"] < 0.6
    assert 0 < info["cache_drift"] < 1e-12  # of the surrogate: that of psi would be 0
    np.testing.assert_allclose(samples.log_psi[:, 0], psi.log_psi(samples.sigma[:, 0]), rtol=1e-12)

    every = space.all_states()
    log_p, log_q = (2 * np.asarray(x.log_psi(every)).real for x in (psi, phi))
    flips = (np.sum(every[:, None] != every[None], axis=2) == 1) / 4
    step = metropolis(flips, log_q[None] - log_q[:, None])
    law = np.eye(16)[space.states_to_index(start)]
    for length in [n_steps] * (8 // n_steps) + [8 % n_steps] * (8 % n_steps > 0):
        walk = np.linalg.matrix_power(step, length)  # whose own log_q_ratio is that of |phi|^2, as it is reversible
        law = law @ metropolis(walk, (log_p - log_q)[None] - (log_p - log_q)[:, None])
    likely = N_CHAINS * law > 5
    found, expected = (np.append(x[likely], x[~likely].sum()) for x in (count(space, samples), N_CHAINS * law))
    assert scipy.stats.chisquare(found[expected > 0], expected[expected > 0]).pvalue > 1e-4
    assert np.max(np.abs(law - probabilities(log_p / 2))) > 0.05  # far from equilibrium


def test_the_diagonal_of_a_density_matrix():
    """The surrogate of a sampler within another one is a wave function on the space of one copy."""
    space = Spin(3)
    state = louder(VariationalState(ansatz.DensityRBM(), Exact(Doubled(space)), seed=2))
    log_p = np.asarray(state.log_psi(np.tile(space.all_states(), 2))).real
    surrogate = Surrogate(table(space, near(log_p / 2)), 3)
    measured = state.diagonal(Metropolis(space, LocalFlip(), N_CHAINS, n_burn_in=60, surrogate=surrogate)).sample()
    found = np.bincount(space.states_to_index(np.asarray(measured.samples.flat_sigma)[:, :3]), minlength=8)
    assert scipy.stats.chisquare(found, N_CHAINS * probabilities(log_p / 2)).pvalue > 1e-4


# --- where one of them vanishes --------------------------------------------------------------------------------------


def test_where_psi_vanishes_and_the_surrogate_does_not():
    """Half of the space, in which chains start and which they leave for good."""
    space = Spin(4)
    log_psi = np.where(np.arange(16) < 8, -np.inf, random_log_psi(space).real)
    surrogate = Surrogate(table(space, 0.1 * np.arange(16.0)), 3)
    sampler = Metropolis(
        space, LocalFlip(), N_CHAINS, n_burn_in=40, initial=np.array([1, -1, 1, 1]), surrogate=surrogate
    )
    samples, _ = draw(sampler, table(space, log_psi), 1)
    assert count(space, samples)[:8].sum() == 0
    found = count(space, samples)[8:]
    assert scipy.stats.chisquare(found, N_CHAINS * probabilities(log_psi)[8:]).pvalue > 1e-4


@pytest.mark.parametrize("everywhere", [True, False])
def test_chains_leave_where_the_surrogate_vanishes(everywhere):
    """And never come back: psi is sampled in the other half, also if it is large where they started."""
    space = Spin(4)
    log_psi = random_log_psi(space).real
    log_psi[:8] += 5.0 if everywhere else -np.inf
    surrogate = Surrogate(table(space, np.where(np.arange(16) < 8, -np.inf, 0.3 * np.arange(16))), 3)
    sampler = Metropolis(
        space, LocalFlip(), N_CHAINS, n_burn_in=40, initial=np.array([1, -1, 1, 1]), surrogate=surrogate
    )
    samples, info = draw(sampler, table(space, log_psi), 2)
    found = count(space, samples)
    assert found[:8].sum() == 0
    assert scipy.stats.chisquare(found[8:], N_CHAINS * probabilities(log_psi[8:])).pvalue > 1e-4
    assert info["cache_drift"] < 1e-12


def test_a_surrogate_that_misses_a_part_is_refused_with_the_state():
    """By the state, which knows psi; both may vanish at the same places."""
    holes = FullEvaluation(lambda p, sigma: jnp.where(sigma[:, 0] > 0, -jnp.inf, 0.0), {})
    sampler = Metropolis(SPACE, LocalFlip(), 4, surrogate=Surrogate(holes))
    with pytest.raises(ValueError, match=r"`surrogate` must vanish only where psi does.* no samples are drawn"):
        VariationalState(ansatz.RBM(), sampler)
    sampler.check_amplitude(holes)


# --- what it saves ---------------------------------------------------------------------------------------------------


def calls_of(function):
    jax.effects_barrier()
    CALLS.clear()
    result = jax.block_until_ready(function())
    jax.effects_barrier()
    return dict(CALLS), result


@pytest.mark.parametrize(
    ("n_steps", "sweep_size", "n_evaluations"),
    [(4, 6, 2), *(pytest.param(*x, marks=pytest.mark.slow) for x in ((1, 6, 6), (4, 8, 2), (10, 6, 1)))],
)
def test_evaluations_of_psi(n_steps, sweep_size, n_evaluations):
    """In each of 4 sweeps as many as there are walks, and one at the start, also if psi could be updated."""
    surrogate = Surrogate(rbm(), n_steps)
    sampler = Metropolis(SPACE, LocalFlip(), 4, sweep_size, n_burn_in=0, surrogate=surrogate)
    for module in (Counting(), CountingIncremental()):
        state = VariationalState(module, sampler, 16)
        calls, _ = calls_of(state.sample)
        assert calls == {"full": 4 * n_evaluations + 1}


@pytest.mark.parametrize(("sweep_size", "n_burn_in"), [(1, 0), (5, 3), (12, 1)])
@pytest.mark.parametrize("n_steps", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_number_of_steps(sweep_size, n_burn_in, n_steps):
    """Sweeps have the length that they have without a surrogate: after k flips the parity is that of k."""
    constant = FullEvaluation(lambda params, sigma: jnp.zeros(sigma.shape[0]), {})
    sampler = Metropolis(
        SPACE, LocalFlip(), 4, sweep_size, n_burn_in, initial=np.ones(6, int), surrogate=Surrogate(constant, n_steps)
    )
    samples, info = draw(sampler, constant, 3)
    k = sweep_size * (n_burn_in + 1 + np.arange(3))
    np.testing.assert_array_equal(np.sum(np.asarray(samples.sigma) < 0, axis=-1) % 2, np.tile(k % 2, (4, 1)))
    assert info["acceptance"] == 1


def test_psi_is_its_own_surrogate():
    """Then every end point is accepted: nothing is corrected but rounding errors."""
    amplitude = rbm(param_dtype=complex)
    sampler = Metropolis(SPACE, LocalFlip(), 500, surrogate=Surrogate(amplitude, 5))
    _, info = draw(sampler, amplitude, 4)
    assert info["full_acceptance"] == 1
    assert 0.1 < info["acceptance"] < 0.9


def test_end_points_that_are_where_they_began_are_no_moves():
    """Two flips of one spin lead back, one flip never does; psi judges both kinds, and has nothing to refuse."""
    constant = FullEvaluation(lambda params, sigma: jnp.zeros(sigma.shape[0]), {})
    for n_steps, evaluations in ((1, 1.0), (2, np.inf), (3, 1.0)):
        sampler = Metropolis(Spin(1), LocalFlip(), 8, 2 * n_steps, surrogate=Surrogate(constant, n_steps))
        _, info = draw(sampler, constant, 5)
        assert info["evaluations_per_move"] == evaluations
        assert info["full_acceptance"] == float(n_steps != 2)


def test_rates_of_two_levels():
    """One spin, phi constant: a step always flips it, and psi accepts the way up always, down with probability r.

    In equilibrium the spin is up in 1/(1 + r) of the time: 2r/(1 + r) of the ends are accepted; within 5 sigma.
    """
    r = 0.4
    amplitude = FullEvaluation(lambda r, sigma: jnp.where(sigma[:, 0] > 0, 0.0, jnp.log(r) / 2), jnp.float64(r))
    constant = FullEvaluation(lambda params, sigma: jnp.zeros(sigma.shape[0]), {})
    sampler = Metropolis(Spin(1), LocalFlip(), 2000, n_burn_in=20, surrogate=Surrogate(constant, 1))
    _, info = draw(sampler, amplitude, 20, n_calls=2)
    rate = 2 * r / (1 + r)
    assert info["acceptance"] == 1
    assert abs(info["full_acceptance"] - rate) < 5 * np.sqrt(rate * (1 - rate) / 40_000)
    np.testing.assert_allclose(info["evaluations_per_move"], 1 / info["full_acceptance"], rtol=1e-12)


# --- with everything else --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_records_and_any_number_of_workers():
    """A step of VMC on one worker and on two: the same energy, and the rates of both stages in the record."""
    space, chain = Spin(6, total_sz=0), lattice.chain(6)
    sampler = Metropolis(space, Mixture([Exchange(chain), Exchange("all")]), 16, surrogate=Surrogate(rbm(space), 4))
    ham = hamiltonian.heisenberg(space, chain)
    records = []
    for comm in (None, mesh_comm(jax.devices()[:2])):
        state = VariationalState(ansatz.ResNet(chain, features=2, blocks=1), sampler, 64, comm=comm)
        vmc = driver.VMC(ham, state, optimizer=optax.sgd(0.02))
        vmc.advance()
        records.append(vmc.advance())
    one, two = records
    assert set(one["acceptance"]) == {"Exchange 0", "Exchange 1"}
    assert 0 < one["full_acceptance"] < 1 < one["evaluations_per_move"]
    np.testing.assert_allclose(one["energy"].mean, two["energy"].mean, rtol=1e-10)
    for name in ("full_acceptance", "evaluations_per_move"):
        np.testing.assert_allclose(one[name], two[name], rtol=1e-12)


def test_identity():
    """Equal if all of it is; samplers say in words which surrogate they have, and nothing of it if they have none."""

    def sampler(surrogate=None):
        return Metropolis(SPACE, LocalFlip(), 4, surrogate=surrogate)

    one, twin = (sampler(Surrogate(rbm(), 3)) for _ in range(2))
    assert one == twin
    assert hash(one) == hash(twin)
    assert repr(one) == repr(twin)
    assert "RBM" in repr(one)
    assert "n_steps=3" in repr(one)
    others = (sampler(), sampler(Surrogate(rbm(), 4)), sampler(Surrogate(rbm(seed=6), 3)))
    assert all(one != other for other in others)
    assert len({repr(x) for x in (one, *others)}) == 4
    assert "surrogate" not in repr(sampler())


def test_the_amplitude_is_kept():
    sigma = SPACE.random_state(jax.random.key(1), 8)
    np.testing.assert_array_equal(Surrogate(rbm()).amplitude.log_psi(sigma), rbm().log_psi(sigma))


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Surrogate(ansatz.RBM()), TypeError, r"(?s)`amplitude` must be a Amplitude.*state.network.bind"),
        (lambda: Surrogate(rbm(), 0), ValueError, "1 <= n_steps"),
        (lambda: Surrogate(rbm(), 2.0), TypeError, "`n_steps` must be an integer"),
        (
            lambda: Metropolis(SPACE, LocalFlip(), surrogate=rbm()),
            TypeError,
            r"(?s)`surrogate` must be a Surrogate.*Wrap",
        ),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_an_amplitude_that_is_no_tree():
    class Opaque:
        log_psi = init_cache = log_ratio = update_cache = staticmethod(lambda *args: None)

    with pytest.raises(TypeError, match="`amplitude` must be a pytree of arrays, got Opaque"):
        Surrogate(Opaque())


@pytest.mark.parametrize(
    ("amplitude", "message"),
    [
        (rbm(Spin(5)), "`surrogate` must be a wave function on Spin"),
        (FullEvaluation(lambda p, sigma: sigma.astype(float), {}), "`surrogate` must have one log phi for each"),
        (FullEvaluation(lambda p, sigma: jnp.log(sigma[:, 0].astype(float)), {}), "`surrogate` must be finite or 0"),
        (FullEvaluation(lambda p, sigma: jnp.full(N_EXAMPLES, jnp.inf), {}), "`surrogate` must be finite or 0"),
    ],
)
def test_surrogates_of_something_else(amplitude, message):
    with pytest.raises(ValueError, match=message):
        Metropolis(SPACE, LocalFlip(), surrogate=Surrogate(amplitude))
