# SPDX-License-Identifier: Apache-2.0
"""What each argument of `Metropolis` does, and what it reports."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody import VariationalState, ansatz, lattice
from manybody.amplitude import FullEvaluation
from manybody.hilbert import Spin
from manybody.parallel import Comm, mesh_comm
from manybody.sampler import Exchange, LocalFlip, Metropolis, Mixture, MultiFlip, metropolis
from tests.sampler.amplitudes import draw, random_log_psi, table

SPACE = Spin(6)
CONSTANT = FullEvaluation(lambda params, sigma: jnp.zeros(sigma.shape[0]), {})
"""Every proposal is accepted, so after k flips the parity of a configuration is that of k."""


def parity(sigma):
    return np.sum(np.asarray(sigma) < 0, axis=-1) % 2


@pytest.mark.parametrize(("sweep_size", "n_burn_in"), [(1, 0), (None, 0), (5, 3)])
def test_number_of_steps(sweep_size, n_burn_in):
    """n_burn_in sweeps and one before the first draw of new chains, one before every other draw and in later calls."""
    sampler = Metropolis(
        SPACE, LocalFlip(), n_chains=4, sweep_size=sweep_size, n_burn_in=n_burn_in, initial=np.ones(6, int)
    )
    steps = 6 if sweep_size is None else sweep_size
    n_steps = steps * (n_burn_in + 1 + np.arange(3))
    samples, info = draw(sampler, CONSTANT, 3)
    np.testing.assert_array_equal(parity(samples.sigma), np.tile(n_steps % 2, (4, 1)))
    assert info["acceptance"] == 1
    samples, _ = draw(sampler, CONSTANT, 3, n_calls=2)
    np.testing.assert_array_equal(parity(samples.sigma), np.tile((n_steps[-1] + steps * np.arange(1, 4)) % 2, (4, 1)))
    if (steps, n_burn_in) == (1, 0):  # and not, say, two more
        first, _ = draw(sampler, CONSTANT, 3)
        np.testing.assert_array_equal(np.sum(first.sigma[:, 0] < 0, axis=-1), 1)


def test_chains_go_on_in_the_next_call():
    """The second call starts where the first one ended, with other random numbers."""
    sampler = Metropolis(SPACE, LocalFlip(), n_chains=8, sweep_size=1, n_burn_in=0)
    first, _ = draw(sampler, CONSTANT, 4)
    second, _ = draw(sampler, CONSTANT, 4, n_calls=2)
    np.testing.assert_array_equal(np.sum(first.sigma[:, -1] != second.sigma[:, 0], axis=-1), 1)
    flips = [np.diff(np.asarray(s.sigma), axis=1) != 0 for s in (first, second)]
    assert np.any(flips[0] != flips[1])


def test_chains_do_not_depend_on_their_number(n_chains=3):
    few, many = (Metropolis(SPACE, LocalFlip(), n_chains=n) for n in (n_chains, 8))
    a, _ = draw(few, CONSTANT, 2)
    b, _ = draw(many, CONSTANT, 2)
    np.testing.assert_array_equal(a.sigma, b.sigma[:n_chains])


@pytest.mark.parametrize("sweep_size", [8, 10])
def test_steps_do_not_depend_on_how_many_are_prepared_at_once(monkeypatch, sweep_size):
    """Two whole blocks of four in a sweep, or three of which the last is shorter, also after two sweeps of burn-in."""
    sampler = Metropolis(SPACE, LocalFlip(), n_chains=8, sweep_size=sweep_size, n_burn_in=2)
    amplitude = table(SPACE, random_log_psi(SPACE).real)
    right, _ = draw(sampler, amplitude, 2)
    monkeypatch.setattr(metropolis, "MOST_AT_ONCE", 4)
    found, _ = draw(sampler, amplitude, 2)
    np.testing.assert_array_equal(found.sigma, right.sigma)


def test_seeds_and_chains_differ():
    sampler = Metropolis(Spin(30), LocalFlip(), n_chains=8)
    a, b = (draw(sampler, CONSTANT, 1, seed=seed)[0].sigma[:, 0] for seed in (0, 1))
    rows = np.concatenate([a, b])
    assert len(np.unique(rows, axis=0)) == 16


def test_initial():
    """Configurations of all chains, one for all, or a function; the chains that start where others do go elsewhere."""
    key = jax.random.key(0)
    states = SPACE.all_states()[::9][:4]

    def start(initial, n_chains=4):
        return Metropolis(SPACE, LocalFlip(), n_chains=n_chains, initial=initial).init(Comm(), key).sigma

    np.testing.assert_array_equal(start(states), states)
    np.testing.assert_array_equal(start(states[1]), np.tile(states[1], (4, 1)))
    assert start(states).dtype == jnp.int8
    up_down = jnp.array([1, -1] * 3, jnp.int8)
    made = start(lambda k, n: up_down[None] * jax.random.choice(k, jnp.array([1, -1], jnp.int8), (n, 1)), 32)
    assert {tuple(row) for row in np.asarray(made).tolist()} == {(1, -1) * 3, (-1, 1) * 3}
    assert len(np.unique(start(None, 32), axis=0)) > 10
    samples, _ = draw(Metropolis(SPACE, LocalFlip(), n_chains=32, initial=np.ones(6, int)), CONSTANT, 1)
    assert len(np.unique(samples.sigma[:, 0], axis=0)) > 10


@pytest.mark.parametrize(
    ("initial", "message"),
    [
        (np.ones(5), r"`initial` must have shape \(6,\) or \(4, 6\), got \(5,\)"),
        (np.ones((3, 6)), r"got \(3, 6\)"),
        (np.zeros(6, int), r"`initial` must hold configurations of Spin.*got \[0, 0"),
        (lambda key, n: jnp.ones((n, 5), jnp.int8), r"`initial` must have shape \(4, 6\), got \(4, 5\)"),
        (lambda key, n: jnp.zeros((n, 6), jnp.int8), r"`initial` must hold configurations"),
    ],
)
def test_bad_initial(initial, message):
    with pytest.raises(ValueError, match=message):
        Metropolis(SPACE, LocalFlip(), n_chains=4, initial=initial)


def test_initial_with_a_fraction():
    with pytest.raises(TypeError, match="`initial` must have an integer dtype, got float64"):
        Metropolis(SPACE, LocalFlip(), initial=np.ones(6))


def test_initial_outside_of_the_sector():
    with pytest.raises(ValueError, match="`initial` must hold configurations of"):
        Metropolis(Spin(4, total_sz=0), Exchange("all"), initial=np.ones(4, int))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_chains": 0}, ValueError, "1 <= n_chains"),
        ({"n_chains": 2.0}, TypeError, "`n_chains` must be an integer"),
        ({"sweep_size": 0}, ValueError, "1 <= sweep_size"),
        ({"n_burn_in": -1}, ValueError, "0 <= n_burn_in"),
        ({"move": LocalFlip}, TypeError, "`move` must be a Move"),
        ({"space": 6}, TypeError, "`space` must be a DiscreteSpace"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        Metropolis(**{"space": SPACE, "move": LocalFlip(), **arguments})


def test_numbers_that_do_not_divide():
    sampler = Metropolis(SPACE, LocalFlip(), n_chains=12)
    assert sampler.n_draws(48, Comm()) == 4
    assert sampler.n_draws(None, Comm()) == 1
    with pytest.raises(
        ValueError, match=r"`n_samples` must be a multiple of n_chains \(12\), got 50. Nearest: 48 or 60"
    ):
        sampler.n_draws(50, Comm())
    with pytest.raises(ValueError, match=r"got 5. Nearest: 12\."):
        sampler.n_draws(5, Comm())
    assert sampler.n_local(mesh_comm(jax.devices()[:4])) == 3
    with pytest.raises(ValueError, match=r"`n_chains` must be a multiple of the number of workers \(4\), got 10"):
        Metropolis(SPACE, LocalFlip(), n_chains=10).n_local(mesh_comm(jax.devices()[:4]))


def test_acceptance_of_every_kind_of_move():
    """psi lives on two mirror images: a single flip is never accepted, a global one always."""
    log_psi = np.full(SPACE.n_states, -np.inf)
    log_psi[[0, -1]] = 0.0
    move = Mixture([LocalFlip(), MultiFlip(6), LocalFlip()], [2, 1, 1])
    sampler = Metropolis(SPACE, move, n_chains=8, initial=np.ones(6, int))
    samples, info = draw(sampler, table(SPACE, log_psi), 20)
    np.testing.assert_array_equal(info["acceptance"], [0, 1, 0])
    magnetisation = np.asarray(samples.sigma).sum(axis=-1)
    assert set(np.unique(magnetisation)) == {-6, 6}


def test_acceptance_of_a_product_state():
    """A spin that is up with probability p is flipped at the rate 2 min(p, 1 - p); within 5 sigma of 64,000 steps."""
    field = 0.3
    amplitude = FullEvaluation(lambda a, sigma: a * sigma.astype(float).sum(axis=-1), jnp.float64(field))
    sampler = Metropolis(SPACE, LocalFlip(), n_chains=400, n_burn_in=20)
    _, info = draw(sampler, amplitude, 20, n_calls=2)
    rate = 2 / (1 + np.exp(4 * field))
    assert abs(info["acceptance"][0] - rate) < 5 * np.sqrt(rate * (1 - rate) / 64_000)


@pytest.mark.parametrize("sweep_size", [1, 2])
def test_correlation_of_draws(sweep_size):
    """One spin that goes up to down at rate r and back at rate 1: correlation (-r)^sweep_size; within 5 sigma."""
    r = 0.6
    amplitude = FullEvaluation(lambda r, sigma: jnp.where(sigma[:, 0] > 0, 0.0, jnp.log(r) / 2), jnp.float64(r))
    sampler = Metropolis(Spin(1), LocalFlip(), n_chains=2000, sweep_size=sweep_size, n_burn_in=50)
    samples, _ = draw(sampler, amplitude, 10)
    x = np.asarray(samples.sigma[:, :, 0], float)
    x -= (1 - r) / (1 + r)
    correlation = np.mean(x[:, :-1] * x[:, 1:]) / (1 - ((1 - r) / (1 + r)) ** 2)
    assert abs(correlation - (-r) ** sweep_size) < 5 / np.sqrt(2000)


def test_chains_leave_where_psi_vanishes():
    """A chain that starts at psi = 0 takes the first way out, and samples as if nothing had been."""
    log_psi = np.where(np.arange(16) < 8, -np.inf, np.random.default_rng(0).normal(size=16))
    space = Spin(4)
    sampler = Metropolis(space, LocalFlip(), n_chains=2000, n_burn_in=20, initial=np.array([1, -1, 1, 1]))
    samples, info = draw(sampler, table(space, log_psi), 1)
    count = np.bincount(space.states_to_index(samples.sigma[:, 0]), minlength=16)
    assert count[:8].sum() == 0
    p = np.exp(2 * log_psi)
    assert np.all(np.abs(count / 2000 - p / p.sum()) < 5 * np.sqrt(0.25 / 2000))
    assert info["cache_drift"] < 1e-12


def test_drift_of_the_cache():
    """Reported, and small: not zero, or it would not be measured."""
    sampler = Metropolis(Spin(10), LocalFlip(), n_chains=8, sweep_size=500)
    state = VariationalState(ansatz.RBM(alpha=4), sampler, 16)
    amplitude = state.network.bind(state.params, state.constants)
    samples, info = draw(sampler, amplitude, 2)
    assert 0 < info["cache_drift"] < 1e-11
    np.testing.assert_allclose(samples.log_psi[:, 0], state.log_psi(samples.sigma[:, 0]), rtol=1e-13)


def test_exchange_keeps_the_sector_in_long_runs():
    space = Spin(12, total_sz=1)
    samples, _ = draw(Metropolis(space, Exchange(lattice.chain(12)), n_chains=16), CONSTANT, 50)
    assert np.all(space.contains(np.asarray(samples.flat_sigma)))
    assert len(np.unique(samples.flat_sigma, axis=0)) > 300
