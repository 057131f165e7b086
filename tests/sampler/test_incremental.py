# SPDX-License-Identifier: Apache-2.0
"""Ansatzes with the incremental methods are updated and not re-evaluated; others are evaluated once a proposal."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from manybody import VariationalState, _flops, driver, exact, hamiltonian, lattice
from manybody._struct import dataclass as pytree
from manybody._struct import static
from manybody.amplitude import apply_change, try_change
from manybody.ansatz import RBM, Jastrow
from manybody.hilbert import Spin
from manybody.network import as_network
from manybody.sampler import Exchange, LocalFlip, Metropolis, MultiFlip, Surrogate
from manybody.sampler.metropolis import Walk
from manybody.testing.amplitudes import check_ansatz
from tests.sampler.amplitudes import CALLS, Counting, CountingIncremental, draw, random_log_psi, table

SPACE = Spin(6)
MOVES = ("init_cache", "log_ratio", "update_cache", "full")


def calls_of(function):
    jax.effects_barrier()
    CALLS.clear()
    result = jax.block_until_ready(function())
    jax.effects_barrier()
    return {name: CALLS[name] for name in MOVES}, result


@pytest.mark.parametrize(("sweep_size", "n_burn_in"), [(5, 3), (12, 0)])
def test_evaluations_while_sampling(sweep_size, n_burn_in):
    """Over 4 draws: full evaluations at the start and at every draw, in between only the incremental methods."""
    sampler = Metropolis(SPACE, LocalFlip(), n_chains=4, sweep_size=sweep_size, n_burn_in=n_burn_in)
    n_steps = sweep_size * (4 + n_burn_in)
    state = VariationalState(CountingIncremental(), sampler, 16)
    calls, sampled = calls_of(state.sample)
    assert calls == {"init_cache": 5, "log_ratio": n_steps, "update_cache": n_steps, "full": 5}
    plain = VariationalState(Counting(), sampler, 16, params=state.params)
    calls, other = calls_of(plain.sample)
    # The cache of a full evaluation is log psi: twice at each refresh (made one by XLA, where nobody counts).
    assert calls == {"init_cache": 0, "log_ratio": 0, "update_cache": 0, "full": n_steps + 10}
    np.testing.assert_array_equal(sampled.samples.sigma, other.samples.sigma)


@pytest.mark.parametrize("ansatz", [RBM(alpha=2), Jastrow()])
def test_operations_of_a_flip_grow_with_the_sites_and_not_with_their_square(ansatz):
    """So those of a sweep grow with the square. What is made of the weights alone is made once."""

    def of_one_chain(n_sites):
        flips, evaluations = zip(*(operations(ansatz, n_sites, n_chains) for n_chains in (3, 4)), strict=True)
        return flips[1] - flips[0], evaluations[1] - evaluations[0]

    (flip, evaluation), (longer_flip, longer_evaluation) = of_one_chain(128), of_one_chain(1024)
    assert 0 < longer_flip <= 8.1 * flip
    assert longer_evaluation > 50 * evaluation


def operations(ansatz, n_sites, n_chains):
    """Of a flip of all chains, and of log psi."""
    network = as_network(ansatz)
    sigma, sites = (jax.ShapeDtypeStruct((n_chains, n), t) for n, t in ((n_sites, jnp.int8), (1, jnp.int32)))
    values, accepted = jax.ShapeDtypeStruct((n_chains, 1), jnp.int8), jax.ShapeDtypeStruct((n_chains,), bool)
    params = jax.eval_shape(lambda s: network.init(jax.random.key(0), s)[0], sigma)
    cache = jax.eval_shape(lambda p, s: network.bind(p, {}).init_cache(s), params, sigma)

    def flip(params, cache, sites, values, accepted):
        return try_change(network.bind(params, {}), cache, sites, values)[1](accepted)

    def evaluate(params, sigma):
        return network.bind(params, {}).log_psi(sigma)

    flips = _flops.count(flip, params, cache, sites, values, accepted)
    return flips.total(), _flops.count(evaluate, params, sigma).total()


def test_evaluations_for_local_energies():
    """Ratios for the connections, in one chunk here; log psi itself is not evaluated."""
    ham = hamiltonian.ising(SPACE, lattice.chain(6))
    state = VariationalState(CountingIncremental(), Metropolis(SPACE, LocalFlip(), n_chains=4), 16).sample()
    calls, values = calls_of(lambda: state.local_values(ham))
    assert calls == {"init_cache": 1, "log_ratio": 1, "update_cache": 0, "full": 0}
    plain = VariationalState(Counting(), state.sampler, 16, params=state.params).replace(samples=state.samples)
    calls, other = calls_of(lambda: plain.local_values(ham))
    assert calls == {"init_cache": 0, "log_ratio": 0, "update_cache": 0, "full": 2}
    np.testing.assert_allclose(values, other, rtol=1e-12)


@pytest.mark.parametrize("held", ["int8", pytest.param("float64", marks=pytest.mark.slow), "elsewhere"])
@pytest.mark.parametrize("surrogate", [pytest.param(False, marks=pytest.mark.slow), True])
def test_configurations_are_kept_once(held, surrogate):
    """By the cache if its field `sigma` has them as they are, else by the sampler; the chains are the same."""
    space = Spin(4)
    log_psi = jnp.asarray(random_log_psi(space))
    plain, other = table(space, log_psi), Keeping(space, held, log_psi)
    guides = (Surrogate(plain, 3), Surrogate(other, 3)) if surrogate else (None, None)
    chains = [
        draw(Metropolis(space, LocalFlip(), n_chains=8, surrogate=guide), plain if surrogate else amplitude, 5)[0]
        for amplitude, guide in zip((plain, other), guides, strict=True)
    ]
    np.testing.assert_array_equal(*(samples.sigma for samples in chains))
    sizes = [x.shape[-1:] for x in jax.tree.leaves(_carried(other, space)) if x.dtype == jnp.int8]
    assert len(sizes) == 1


def _carried(amplitude, space):
    sigma = jnp.asarray(space.all_states())
    return Walk.at(sigma, amplitude.init_cache(sigma), amplitude.log_psi(sigma), jnp.zeros((2, 1)))


@pytree
class KeptCache:
    sigma: jax.Array


@pytree
class KeptElsewhere:
    spins: jax.Array


@pytree
class Keeping:
    """A table whose cache holds nothing but the configurations: as they are, as numbers, or by another name."""

    space: object = static()
    held: str = static()
    values: jax.Array

    def log_psi(self, sigma):
        return self.values[self.space.states_to_index(sigma)]

    def init_cache(self, sigma):
        return (
            KeptElsewhere(sigma.astype(jnp.float64)) if self.held == "elsewhere" else KeptCache(sigma.astype(self.held))
        )

    def _sigma(self, cache):
        return (cache.spins if self.held == "elsewhere" else cache.sigma).astype(jnp.int8)

    def log_ratio(self, cache, sites, values):
        sigma = self._sigma(cache)
        return self.log_psi(apply_change(sigma, sites, values)) - self.log_psi(sigma)

    def update_cache(self, cache, sites, values, accepted):
        return self.init_cache(apply_change(self._sigma(cache), sites, values, accepted))


def test_trains():
    """To the best Jastrow state of the transverse-field chain, which is within 1 % of the ground state."""
    ham = hamiltonian.ising(SPACE, lattice.chain(6), h=1.5)
    sampler = Metropolis(SPACE, LocalFlip(), n_chains=32)
    vmc = driver.VMC(ham, VariationalState(CountingIncremental(), sampler, 256), optimizer=optax.sgd(0.05))
    calls, _ = calls_of(lambda: vmc.run(60, progress=False).params)
    assert calls["log_ratio"] > calls["full"] * 3
    energy = vmc.state.expect(ham)
    ground = exact.ground_state(ham).energies[0]
    assert ground - 4 * energy.error < energy.mean < ground * 0.99


@pytest.mark.parametrize(
    ("ansatz", "space"),
    [
        pytest.param(Counting(), SPACE, marks=pytest.mark.slow),
        pytest.param(CountingIncremental(), Spin(6, s=1), marks=pytest.mark.slow),
        (CountingIncremental(), Spin(6, total_sz=0)),
    ],
)
def test_it_keeps_the_laws_of_an_ansatz(ansatz, space):
    check_ansatz(ansatz, space)


@pytest.mark.slow  # tests/contract has large parameters, too
def test_lost_odds_are_no_mistake():
    """Weights so large that the cache of an RBM has nan in the place of odds."""
    ansatz = RBM()
    params = ansatz.init(jax.random.key(0), SPACE.all_states())["params"]
    check_ansatz(ansatz, SPACE, params=jax.tree.map(lambda x: 100 * x, params), tolerance=1e-8)


class Misnamed(nn.Module):
    """log psi = sum_i a_i sigma_i, with a cache whose field `sigma` are other numbers of the same form."""

    @nn.compact
    def __call__(self, sigma):
        return sigma @ self.param("a", nn.initializers.normal(), sigma.shape[-1:]).astype(float)

    def init_cache(self, sigma):
        return KeptCache(-sigma)

    def log_ratio(self, cache, sites, values):
        return self(apply_change(-cache.sigma, sites, values)) - self(-cache.sigma)

    def update_cache(self, cache, sites, values, accepted):
        return self.init_cache(apply_change(-cache.sigma, sites, values, accepted))


def test_a_field_named_sigma_is_the_configurations():
    with jax.numpy_dtype_promotion("standard"), pytest.raises(AssertionError, match="the field `sigma` of the cache"):
        check_ansatz(Misnamed(), SPACE)


@pytest.mark.parametrize(
    ("mistake", "complaint"),
    [
        ("mutual", "log_ratio is not the difference of log psi"),
        ("accepted", "update_cache changes rows that are not accepted"),
        ("stale", "update_cache does not give the cache"),
    ],
)
def test_mistakes_are_found(mistake, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_ansatz(CountingIncremental(mistake=mistake), SPACE)
    if mistake == "stale":  # a user who does not check sees it in the log
        sampler = Metropolis(SPACE, LocalFlip(), n_chains=8)
        state = VariationalState(CountingIncremental(mistake=mistake), sampler, 16)
        amplitude = state.network.bind(state.params, state.constants)
        *_, info = sampler.sample(state.comm, amplitude, state.chains, 2)
        assert info["cache_drift"] > 1e-2


@pytest.mark.parametrize(
    ("ansatz", "complaint"),
    [
        ((lambda key, s: {}, lambda p, s: s.astype(float)), "has shape"),
        ((lambda key, s: {}, lambda p, s: s.astype(float).mean(axis=-1) / 0.0), "not finite"),
        ((lambda key, s: {}, lambda p, s: s.astype(float).sum(axis=-1) - s.astype(float).mean()), "other config"),
    ],
)
def test_ansatzes_that_are_none(ansatz, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_ansatz(ansatz, SPACE)


@pytest.mark.slow
def test_moves_of_many_sites():
    check_ansatz(CountingIncremental(), SPACE, moves=(MultiFlip(5),))
    check_ansatz(CountingIncremental(), Spin(6, total_sz=0), moves=(Exchange(lattice.chain(6)),))
