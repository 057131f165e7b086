# SPDX-License-Identifier: Apache-2.0
"""The laws of every sampler: what it draws is distributed as |psi|^2, the same on any number of workers."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from manybody import lattice
from manybody.hilbert import Qubit, Spin
from manybody.parallel import REPLICATED, Comm, mesh_comm
from manybody.sampler import (
    Counted,
    Diagonal,
    Direct,
    Distinct,
    Exact,
    Exchange,
    LocalFlip,
    Metropolis,
    Mixture,
    MultiFlip,
    Surrogate,
)
from manybody.sampler.base import samples_spec
from tests.cases import some_slow
from tests.contract.test_moves import MIXED, MIXED_SUM, TRIPLES, WITHIN, Levels, Raise, UserFlip
from tests.exact_formulas import QUICK
from tests.sampler.amplitudes import draw, probabilities, random_log_psi, table

N_CHAINS = 4000

CASES = {
    "flip": (LocalFlip(), Spin(4)),
    "flip-qubit": (LocalFlip(), Qubit(3)),
    "flip-spin-1": (LocalFlip(), Spin(3, s=1)),
    "flip-any-levels": (LocalFlip(), MIXED),
    "three-flips": (MultiFlip(3), Spin(4)),
    "two-flips-spin-1": (MultiFlip(2), Spin(3, s=1)),
    "exchange-chain": (Exchange(lattice.chain(6)), Spin(6, total_sz=0)),
    "exchange-all": (Exchange("all"), Spin(6, total_sz=1)),
    "exchange-spin-1": (Exchange(lattice.chain(4)), Spin(4, s=1, total_sz=0)),
    "exchange-any-levels": (Exchange([(0, 1), (1, 2), (2, 3)]), MIXED_SUM),
    "exchange-two-components": (Exchange(WITHIN), Levels((2,) * 6, TRIPLES)),
    "mixture": (Mixture([LocalFlip(), MultiFlip(4)], [3, 1]), Spin(4)),
    "mixture-of-bonds": (Mixture([Exchange([(0, 1), (2, 3)]), Exchange([(1, 2)])]), Spin(4, total_sz=0)),
    "user": (UserFlip(), Spin(4)),
    "user-asymmetric": (Raise(), Spin(3, s=1)),
}


def p_value(space, sigma, p):
    """Chi-square test of configurations (n, sites), independent, against probabilities p (n_states,)."""
    count = np.bincount(space.states_to_index(np.asarray(sigma)), minlength=space.n_states)
    return scipy.stats.chisquare(count, len(sigma) * p).pvalue


SLOW = (
    "flip-qubit",
    "flip-spin-1",
    "two-flips-spin-1",
    "exchange-chain",
    "exchange-all",
    "exchange-any-levels",
    "mixture",
    "user",
)


@pytest.mark.parametrize(("move", "space"), some_slow(CASES, SLOW))
def test_distribution(move, space):
    """One draw each of 4,000 chains after 40 sweeps: independent. Chi-square against |psi|^2, p > 1e-4."""
    log_psi = random_log_psi(space)
    samples, info = draw(Metropolis(space, move, n_chains=N_CHAINS, n_burn_in=40), table(space, log_psi), 1)
    assert p_value(space, samples.sigma[:, 0], probabilities(log_psi)) > 1e-4
    assert p_value(space, samples.sigma[:, 0], probabilities(random_log_psi(space, seed=1))) < 1e-20
    assert samples.kind == "chain"
    np.testing.assert_allclose(samples.weight, 1 / N_CHAINS)
    np.testing.assert_array_equal(samples.log_psi, log_psi[space.states_to_index(samples.sigma)])
    assert info["acceptance"].shape == (len(move.names),)
    assert np.all((info["acceptance"] > 0.05) & (info["acceptance"] < 0.95))
    assert info["cache_drift"] < 1e-12


def test_a_wrong_ratio_is_found():
    """The same test on a move that does not say that it prefers a direction."""
    space = Spin(3, s=1)
    log_psi = random_log_psi(space)
    sampler = Metropolis(space, Raise(is_corrected=False), n_chains=N_CHAINS, n_burn_in=40)
    samples, _ = draw(sampler, table(space, log_psi), 1)
    assert p_value(space, samples.sigma[:, 0], probabilities(log_psi)) < 1e-4


def test_all_draws_of_long_chains():
    """Draws far apart are as good as independent: every 20th sweep of 4 sites, p > 1e-4."""
    space = Spin(4)
    log_psi = random_log_psi(space, spread=0.4)
    sampler = Metropolis(space, LocalFlip(), n_chains=16, sweep_size=80)
    samples, _ = draw(sampler, table(space, log_psi), 250)
    assert samples.sigma.shape == (16, 250, 4)
    assert p_value(space, samples.flat_sigma, probabilities(log_psi)) > 1e-4


def exact_samples(comm, space, log_psi):
    sampler, amplitude = Exact(space), table(space, log_psi)

    def run(key):
        return sampler.sample(comm, amplitude, sampler.init(comm, key), 1)[1]

    return comm.spmd(run, (REPLICATED,), samples_spec("exact"), compiler_options=QUICK)(jax.random.key(0))


@pytest.mark.parametrize("space", [Spin(4), Spin(3, s=1, total_sz=0), Qubit(1)])
@pytest.mark.parametrize("n_workers", [1, 3])
def test_exact_weights(space, n_workers):
    comm = Comm() if n_workers == 1 else mesh_comm(jax.devices()[:n_workers])
    log_psi = random_log_psi(space) + 800  # of which the square does not fit into a number
    samples = exact_samples(comm, space, log_psi)
    n_states = space.n_states
    weight = np.asarray(samples.weight)
    assert weight.shape == (-(-n_states // n_workers) * n_workers, 1)
    np.testing.assert_array_equal(weight[n_states:], 0)
    np.testing.assert_allclose(weight[:n_states, 0], probabilities(log_psi - 800), rtol=1e-12)
    np.testing.assert_array_equal(samples.sigma[:n_states, 0], space.all_states())
    np.testing.assert_array_equal(samples.log_psi[:n_states, 0], log_psi)
    assert samples.kind == "exact"


def test_exact_takes_no_number_of_samples():
    assert Exact(Spin(4)).n_draws(None, Comm()) == 1
    with pytest.raises(ValueError, match="`n_samples` must be None for the exact sampler"):
        Exact(Spin(4)).n_draws(16, Comm())
    with pytest.raises(ValueError, match="at most 2\\^24 states"):
        Exact(Spin(25))
    with pytest.raises(TypeError, match="`space` must be a DiscreteSpace"):
        Exact(4)


def test_exact_where_psi_vanishes():
    """Such states have weight zero and stand in as copies of the most likely one, on every worker."""
    space = Spin(3)
    log_psi = jnp.where(jnp.arange(8) < 5, -jnp.inf, jnp.arange(8.0))
    for comm in (Comm(), mesh_comm(jax.devices()[:4])):
        samples = exact_samples(comm, space, log_psi)
        np.testing.assert_allclose(samples.weight[:, 0], probabilities(log_psi), rtol=1e-12)
        np.testing.assert_array_equal(space.states_to_index(samples.sigma[:, 0]), [7, 7, 7, 7, 7, 5, 6, 7])
        np.testing.assert_array_equal(samples.log_psi[:, 0], [7, 7, 7, 7, 7, 5, 6, 7])


SAMPLERS = {
    "mixture": Metropolis(Spin(4, s=1), Mixture([LocalFlip(), MultiFlip(3)]), n_chains=8),
    "exchange": Metropolis(Spin(6, total_sz=0), Exchange(lattice.chain(6)), n_chains=8, n_burn_in=2),
    "surrogate": Metropolis(
        Spin(4),
        LocalFlip(),
        n_chains=8,
        n_burn_in=2,
        surrogate=Surrogate(table(Spin(4), random_log_psi(Spin(4), seed=1).real), 3),
    ),
    "diagonal": Diagonal(Metropolis(Spin(3), LocalFlip(), n_chains=8, n_burn_in=2)),
}


@pytest.mark.parametrize(
    "sampler",
    some_slow(SAMPLERS, ["mixture", "surrogate", "diagonal"]),
)
def test_same_chains_on_any_number_of_workers(sampler):
    """Bit for bit, also in a second call."""
    log_psi = random_log_psi(sampler.space)

    def both(comm):
        amplitude = table(sampler.space, log_psi)

        def run(key):
            state, first, _ = sampler.sample(comm, amplitude, sampler.init(comm, key), 3)
            _, second, info = sampler.sample(comm, amplitude, state, 3)
            return first, second, info

        spec = samples_spec(sampler.kind)
        return comm.spmd(run, (REPLICATED,), (spec, spec, REPLICATED), compiler_options=QUICK)(jax.random.key(3))

    one = both(Comm())
    assert np.any(one[0].sigma != one[1].sigma)
    for n_workers in (2, 4) if sampler is SAMPLERS["exchange"] else (4,):
        several = both(mesh_comm(jax.devices()[:n_workers]))
        for a, b in zip(one[:2], several[:2], strict=True):
            np.testing.assert_array_equal(a.sigma, b.sigma)
            np.testing.assert_array_equal(a.weight, b.weight)
        np.testing.assert_allclose(one[2]["acceptance"], several[2]["acceptance"], rtol=1e-14)


@pytest.mark.parametrize(
    "sampler", [*SAMPLERS.values(), Exact(Spin(3)), Direct(Spin(3)), Distinct(Spin(3), 2), Counted(Spin(3), 100)]
)
def test_samplers_are_static(sampler):
    twin = copy.deepcopy(sampler)
    assert twin is not sampler
    assert twin == sampler
    assert hash(twin) == hash(sampler)
    assert sampler != Metropolis(Spin(4, s=1), SAMPLERS["mixture"].move, n_chains=9)
