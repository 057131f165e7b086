# SPDX-License-Identifier: Apache-2.0
"""Samplers that draw from autoregressive wave functions: distributions, weights and error bars."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from manybody import VariationalState, ansatz, driver, hamiltonian, lattice, sr
from manybody._struct import dataclass as pytree
from manybody.exact import ground_state
from manybody.hilbert import Constrained, Fermion, Parity, Qubit, Spin
from manybody.parallel import REPLICATED, Comm, mesh_comm
from manybody.sampler import Counted, Direct, Distinct
from manybody.sampler.base import samples_spec
from manybody.sampler.counted import _select
from manybody.stats import estimate
from tests.cases import some_slow
from tests.contract.test_moves import MIXED, MIXED_SUM
from tests.exact_formulas import QUICK
from tests.sampler.amplitudes import DrawnTable, draw, drawn_table, probabilities, random_log_psi, table

SPACE = Spin(6, total_sz=0)
LOG_PSI = random_log_psi(SPACE)
AMPLITUDE = drawn_table(SPACE, LOG_PSI)
P = probabilities(LOG_PSI)
VALUES = np.random.default_rng(2).normal(size=SPACE.n_states)
"""An observable, state by state."""
TRUTH = P @ VALUES


def runs(sampler, n_draws, n_runs=400, amplitude=AMPLITUDE):
    """Samples of many calls from new states, with one more axis at the front."""

    def run(key):
        return sampler.sample(Comm(), amplitude, sampler.init(Comm(), key), n_draws)[1]

    return jax.jit(jax.vmap(run), compiler_options=QUICK)(jax.random.split(jax.random.key(5), n_runs))


def estimates(samples):
    def one(samples):
        values = jnp.asarray(VALUES)[SPACE.states_to_index(samples.sigma)]
        return estimate(Comm(), values, samples.weight, samples.kind, samples.noise)

    return jax.jit(jax.vmap(one))(samples)


# --- independent draws -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "space",
    [SPACE, MIXED_SUM, *(pytest.param(x, marks=pytest.mark.slow) for x in (Qubit(3), MIXED, Fermion(4, n_fermions=2)))],
    ids=repr,
)
def test_direct_draws_are_distributed_as_they_should(space):
    """4,000 independent draws, chi-square against |psi|^2, p > 1e-4."""
    log_psi = random_log_psi(space)
    amplitude = drawn_table(space, log_psi)
    samples, info = draw(Direct(space), amplitude, 4000)
    assert samples.sigma.shape == (1, 4000, space.size)
    index = space.states_to_index(samples.flat_sigma)
    count = np.bincount(index, minlength=space.n_states)
    assert scipy.stats.chisquare(count, 4000 * probabilities(log_psi)).pvalue > 1e-4
    assert scipy.stats.chisquare(count, 4000 * probabilities(random_log_psi(space, seed=1))).pvalue < 1e-20
    np.testing.assert_allclose(samples.log_psi[0], amplitude.log_psi(space.all_states())[index], rtol=1e-14)
    np.testing.assert_allclose(samples.weight, 1 / 4000)
    assert samples.kind == "independent"
    assert info == {}


@pytree
class WrongLogPsi(DrawnTable):
    """One that draws from a table and says another log psi of the same type."""

    drawn: DrawnTable

    def init_draw(self, n_draws):
        return self.drawn.init_draw(n_draws)

    def draw_step(self, cache, position, levels):
        return self.drawn.draw_step(cache, position, levels)

    def log_psi(self, sigma):
        return jnp.full(len(sigma), 9.0)


@pytest.mark.parametrize("sampler", [Direct(SPACE), Distinct(SPACE)])
def test_positive_amplitudes_are_known_from_the_draws(sampler):
    """Half of log p; the network is not evaluated once more."""
    inner = drawn_table(SPACE, LOG_PSI.real)
    samples, _ = draw(sampler, WrongLogPsi(inner.apply, inner.params, SPACE, inner), 7)
    wanted = np.asarray(inner.log_psi(SPACE.all_states()))
    np.testing.assert_allclose(samples.log_psi[0], wanted[SPACE.states_to_index(samples.flat_sigma)], rtol=1e-13)


def test_every_call_draws_anew():
    once, _ = draw(Direct(SPACE), AMPLITUDE, 50)
    twice, _ = draw(Direct(SPACE), AMPLITUDE, 50, n_calls=2)
    assert np.any(once.sigma != twice.sigma)


# --- weights and errors ----------------------------------------------------------------------------------------------

TREES = {
    "distinct": (Distinct(SPACE), 8),
    "distinct-two-trees": (Distinct(SPACE, n_trees=2), 5),
    "counted": (Counted(SPACE, population=100), 20),
    "counted-overflow": (Counted(SPACE, population=1000), 7),
    "counted-two-trees": (Counted(SPACE, population=60, n_trees=2), 12),
}


@pytest.mark.parametrize(("sampler", "n_draws"), some_slow(TREES, ["distinct-two-trees", "counted"]))
def test_weighted_means_and_their_errors(sampler, n_draws):
    """400 runs: the mean within 4 sigma (and a bias of order 1/n), the error bar within 25 % of the scatter."""
    samples = runs(sampler, n_draws)
    np.testing.assert_allclose(samples.weight.sum(axis=(1, 2)), 1, rtol=1e-12)
    assert np.all(np.isfinite(samples.log_psi))
    assert np.all(SPACE.contains(np.asarray(samples.sigma)))
    found = estimates(samples)
    scatter = np.std(found.mean)
    bias = 0.15 * scatter  # of a ratio
    assert abs(np.mean(found.mean) - TRUTH) < 4 * scatter / 20 + bias
    assert np.sqrt(np.mean(np.square(found.error))) == pytest.approx(scatter, rel=0.25)


def test_raw_weights_have_no_bias():
    """The sum of p / q over what was taken has the mean 1, and that with values their expectation: 4 sigma of 4,000."""
    from manybody.sampler.distinct import _log_weights

    rng = np.random.default_rng(3)
    log_p = np.log(P)
    perturbed = log_p + rng.gumbel(size=(4000, len(P)))
    order = np.argsort(-perturbed, axis=1)[:, :9]
    taken, threshold = order[:, :8], np.take_along_axis(perturbed, order[:, 8:], axis=1)
    log_weight, missed = _log_weights(log_p[taken], threshold)
    np.testing.assert_allclose(missed, np.exp(-np.exp(log_p[taken] - threshold)), rtol=1e-12)
    sums = np.exp(log_weight).sum(axis=1), np.sum(np.exp(log_weight) * VALUES[taken], axis=1)
    for column, truth in zip(sums, (1, TRUTH), strict=True):
        assert abs(column.mean() - truth) < 4 * column.std() / np.sqrt(len(column))


@pytest.mark.parametrize(
    "sampler",
    [
        pytest.param(Distinct(SPACE), marks=pytest.mark.slow),
        Distinct(SPACE, n_trees=2),
        Counted(SPACE, 100, n_trees=2),
    ],
)
def test_no_configuration_twice(sampler):
    samples = runs(sampler, 8, n_runs=20)
    index = SPACE.states_to_index(samples.sigma)
    for row, weight in zip(index.reshape(-1, 8), samples.weight.reshape(-1, 8), strict=True):
        assert len(set(row[weight > 0].tolist())) == np.sum(weight > 0)


def test_inclusion_is_that_of_the_largest_perturbed_probabilities():
    """How often each configuration is taken, as if Gumbel noise were added to all of them: 5 sigma of 4,000 runs."""
    taken = SPACE.states_to_index(runs(Distinct(SPACE), 5, n_runs=4000).sigma)
    found = np.bincount(taken.ravel(), minlength=len(P)) / 4000
    noise = np.random.default_rng(7).gumbel(size=(40000, len(P)))
    largest = np.argsort(-(np.log(P) + noise), axis=1)[:, :5]
    expected = np.bincount(largest.ravel(), minlength=len(P)) / 40000
    assert np.abs(found - expected).max() < 5 * np.sqrt(0.25 / 4000)
    assert np.ptp(expected) > 0.2


def test_all_configurations_give_the_exact_sum():
    samples, _ = draw(Distinct(SPACE), AMPLITUDE, SPACE.n_states)
    order = np.argsort(SPACE.states_to_index(samples.flat_sigma))
    np.testing.assert_allclose(samples.flat_weight[order], P, rtol=1e-12)
    found = jax.tree.map(lambda x: x[0], estimates(jax.tree.map(lambda x: x[None], samples)))
    assert found.mean == pytest.approx(TRUTH, rel=1e-12)
    assert found.error == 0


def test_counts_add_up_to_the_population():
    samples, _ = draw(Counted(SPACE, population=1000), AMPLITUDE, 20)
    counts = np.asarray(samples.weight * 1000)
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-9)
    assert counts.sum() == pytest.approx(1000)
    np.testing.assert_allclose(np.where(counts > 0, samples.noise * counts, 1), 1)


def test_where_fewer_are_possible_than_places():
    """Three of twenty configurations; the others of the rows repeat one of these, with weight zero."""
    log_psi = np.where(np.isin(np.arange(20), [3, 8, 17]), 0.3 * np.arange(20), -np.inf)
    amplitude = drawn_table(SPACE, log_psi)
    for sampler in (Distinct(SPACE), Counted(SPACE, population=10_000)):
        samples, _ = draw(sampler, amplitude, 6)
        index = SPACE.states_to_index(samples.flat_sigma)
        assert set(index.tolist()) == {3, 8, 17}
        assert np.all(np.isfinite(samples.log_psi))
        total = np.bincount(index, samples.flat_weight, minlength=20)
        np.testing.assert_allclose(total, probabilities(log_psi), atol=0 if isinstance(sampler, Distinct) else 0.02)


def test_places_are_given_without_bias():
    """Of eleven children for five places: each expected weight stays (5 sigma of 20,000), the two largest for sure."""
    counts = jnp.array([500.0, 3, 40, 0, 7, 300, 1, 20, 60, 9, 60])
    factor = jnp.array([1.0, 2, 1, 1, 1, 1, 4, 1, 1, 1, 1])
    keys = jax.random.split(jax.random.key(1), 20000)
    place, stays, new = jax.vmap(lambda key: _select(key, counts, factor, 5))(keys)
    weight = np.zeros((20000, 11))
    np.put_along_axis(weight, np.asarray(place), np.asarray(jnp.where(stays, counts[place] * new, 0.0)), axis=1)
    np.testing.assert_array_equal((weight > 0).sum(axis=1), 5)
    np.testing.assert_allclose(weight[:, [0, 5]], [[500, 300]] * 20000)
    gap = np.abs(weight.mean(axis=0) - counts * factor)
    assert np.all(gap <= 5 * weight.std(axis=0) / np.sqrt(20000) + 1e-9)


# --- workers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sampler",
    [
        Direct(SPACE),
        pytest.param(Distinct(SPACE, n_trees=4), marks=pytest.mark.slow),
        Counted(SPACE, 1000, n_trees=4),
    ],
)
def test_same_samples_on_any_number_of_workers(sampler):
    def on(comm):
        def run(key):
            state = sampler.init(comm, key)
            return sampler.sample(comm, AMPLITUDE, state, sampler.n_draws(40, comm))[1]

        return comm.spmd(run, (REPLICATED,), samples_spec(sampler.kind), compiler_options=QUICK)(jax.random.key(3))

    one, four = on(Comm()), on(mesh_comm(jax.devices()[:4]))
    np.testing.assert_array_equal(one.flat_sigma, four.flat_sigma)
    np.testing.assert_allclose(one.flat_weight, four.flat_weight, rtol=1e-12)
    if one.noise is not None:
        np.testing.assert_allclose(one.noise, four.noise.reshape(one.noise.shape), rtol=1e-12)


# --- in a run --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "n_samples"),
    [(Direct(SPACE), 64), (Distinct(SPACE), 12), (Counted(SPACE, population=10_000), 16)],
)
def test_ground_state(sampler, n_samples):
    """Of a ring of six spins: 60 steps reach the energy to 1 %, with an error bar that agrees with that (4 sigma)."""
    operator = hamiltonian.heisenberg(SPACE, lattice.chain(6), marshall=True)
    state = VariationalState(ansatz.ARDense(SPACE, features=(4,)), sampler, n_samples, seed=1)
    run = driver.VMC(operator, state, optimizer=optax.sgd(0.1), preconditioner=sr.SR(diag_shift=1e-3))
    energy = run.run(60, progress=False).expect(operator)
    exact = ground_state(operator).energies[0]
    assert abs(energy.mean - exact) < 0.01 * abs(exact) + 4 * energy.error
    assert energy.error < 0.02 * abs(exact)


# --- spaces ----------------------------------------------------------------------------------------------------------


class Even(nn.Module):
    """All levels are equally likely on every one of four sites; it does not say which space it is for."""

    order = (0, 1, 2, 3)

    def __call__(self, sigma):
        return jnp.full(sigma.shape[:-1], -2 * np.log(2.0))

    def init_draw(self, n_draws):
        return jnp.zeros((n_draws, 1))

    def draw_step(self, cache, position, levels):
        return jnp.full((len(cache), 2), -np.log(2.0)), cache


EVEN_NUMBER = Constrained(Spin(4), Parity(Spin(4), [range(4)]))


@pytest.mark.parametrize("make", [Direct, Distinct, lambda space: Counted(space, 100)])
@pytest.mark.parametrize(
    ("model", "space"),
    [
        (ansatz.ARDense(Spin(4)), Spin(4, total_sz=0)),
        (ansatz.ARDense(Spin(4, total_sz=1)), Spin(4, total_sz=0)),
        (ansatz.ARDense(Qubit(4)), Spin(4)),
        (ansatz.MPS(Spin(4)), EVEN_NUMBER),
        (Even(), Spin(4, total_sz=0)),
    ],
)
def test_an_ansatz_that_leaves_the_space_is_refused(make, model, space):
    with pytest.raises(ValueError, match=r"`ansatz` must draw configurations of .* only, got .* Make it for the sp"):
        VariationalState(model, make(space), 4)


def test_so_is_one_whose_sampler_is_replaced():
    state = VariationalState(ansatz.ARDense(Spin(4)), Direct(Spin(4)), 4)
    with pytest.raises(ValueError, match="`ansatz` must draw"):
        state.replace(sampler=Direct(Spin(4, total_sz=0))).sample()


@pytest.mark.parametrize(
    ("model", "space"),
    [
        (ansatz.ARDense(Spin(4, total_sz=0)), Spin(4)),
        (ansatz.ARDense(Spin(4, total_sz=0)), EVEN_NUMBER),
        (ansatz.ARDense(Fermion(4, n_fermions=2)), Qubit(4)),
        (Even(), Qubit(4)),
    ],
)
def test_an_ansatz_may_keep_more_than_the_space_does(model, space):
    state = VariationalState(model, Direct(space), 32).sample()
    assert space.contains(np.asarray(state.samples.flat_sigma)).all()


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Direct(3), TypeError, "`space` must be a DiscreteSpace"),
        (lambda: Distinct(SPACE, n_trees=0), ValueError, "`n_trees` must satisfy 1"),
        (lambda: Counted(SPACE, population=0), ValueError, "`population` must satisfy 1"),
        (lambda: Counted(SPACE, population=10, n_trees=3), ValueError, r"`population` must be a multiple of n_trees"),
        (lambda: Direct(SPACE).n_draws(None, Comm()), TypeError, "`n_samples` must be an integer"),
        (lambda: Direct(SPACE).n_draws(10, mesh_comm(jax.devices()[:4])), ValueError, "multiple of the number of work"),
        (lambda: Distinct(SPACE, 2).n_draws(9, Comm()), ValueError, r"`n_samples` must be a multiple of n_trees \(2\)"),
        (
            lambda: Distinct(SPACE, 2).n_draws(42, Comm()),
            ValueError,
            "must be at most n_trees times the 20 conf",
        ),
        (lambda: Distinct(SPACE, 2).n_local(mesh_comm(jax.devices()[:4])), ValueError, "`n_trees` must be a multiple"),
        (lambda: VariationalState(ansatz.RBM(), Direct(SPACE), 8), TypeError, "`ansatz` must be autoregressive"),
        (lambda: draw(Direct(SPACE), table(SPACE, LOG_PSI), 3), TypeError, "Sample it with `Metropolis`"),
        (lambda: draw(Direct(Spin(4)), AMPLITUDE, 3), ValueError, "`ansatz` must have 4 sites, got 6"),
        (lambda: draw(Direct(Spin(6, s=1)), AMPLITUDE, 3), ValueError, "`ansatz` must have 3 levels"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
