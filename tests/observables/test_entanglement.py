# SPDX-License-Identifier: Apache-2.0
"""The Renyi entropy from swapped samples against reduced density matrices, and its error bars against repetitions."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import manybody as mb
from manybody.hilbert import Blockade, Constrained, Doubled, Fock, Spin
from manybody.observables import renyi2
from manybody.parallel import mesh_comm
from manybody.sampler import Direct, Exact, LocalFlip, Metropolis, Samples
from tests.observables.systems import exact_state, with_table

SPACE = Spin(4)
PART = [0, 3]


def exact_entropy(state, sites):
    return mb.exact.entanglement_entropy(state.space, state.to_array(), sites, alpha=2)


@functools.cache
def psi():
    """Amplitudes without symmetry, none of which is so small that chains would miss it."""
    rng = np.random.default_rng(2)
    return np.exp(0.4 * rng.normal(size=16) + 1.5j * rng.normal(size=16))


def chains(n_chains=64, n_samples=512, comm=None):
    log_psi = jnp.asarray(np.log(psi()))
    ansatz = (lambda key, sigma: {}, lambda params, sigma: log_psi[SPACE.states_to_index(sigma)])
    return mb.VariationalState(ansatz, Metropolis(SPACE, LocalFlip(), n_chains), n_samples, comm=comm)


@pytest.mark.parametrize(("name", "sites"), [("spin 1", [2, 1]), ("open", [1, 2, 4])])
def test_all_pairs(name, sites):
    state = exact_state(name).replace(chunk_size=7)
    found = renyi2(state, sites)
    assert found.mean == pytest.approx(exact_entropy(state, sites), rel=0, abs=1e-12)
    assert found.error == 0
    assert found.mean > 0.3


def test_fermions():
    """With the signs of modes that pass each other."""
    state, sites = exact_state("hubbard"), [0, 2, 5]
    assert renyi2(state, sites).mean == pytest.approx(exact_entropy(state, sites), rel=0, abs=1e-12)


def test_variance_is_that_of_the_swap():
    """In units of its squared mean, from all pairs of a state of three spins."""
    rng = np.random.default_rng(5)
    amplitudes = rng.normal(size=8) + 1j * rng.normal(size=8)
    found = renyi2(with_table(Spin(3), amplitudes), [0])
    table = (amplitudes / np.linalg.norm(amplitudes)).reshape(2, 4)  # (part, rest)
    swapped = np.einsum("cb,ad->abcd", table, table) / np.einsum("ab,cd->abcd", table, table)
    p = np.einsum("ab,cd->abcd", abs(table) ** 2, abs(table) ** 2)
    mean = np.sum(p * swapped).real
    assert found.mean == pytest.approx(-np.log(mean))
    assert found.variance == pytest.approx(np.sum(p * abs(swapped - mean) ** 2) / mean**2)


@pytest.mark.parametrize("n_partners", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_error_bars_are_those_of_repetitions(n_partners):
    """Of 150 runs 68 % and 95 % lie within one and two sigma, to three standard deviations of these shares."""
    state, found = chains(), []
    for _ in range(150):
        state = state.sample()
        found.append(renyi2(state, PART, n_partners=n_partners))
    distance = np.array([abs(x.mean - exact_entropy(state, PART)) / x.error for x in found])
    assert np.mean(distance < 1) == pytest.approx(0.683, abs=0.115)
    assert np.mean(distance < 2) == pytest.approx(0.954, abs=0.052)
    means = np.array([x.mean for x in found])
    assert means.mean() == pytest.approx(exact_entropy(state, PART), abs=4 * means.std() / np.sqrt(150))


@pytest.mark.slow
def test_more_partners_make_less_noise():
    state = chains(n_samples=4096).sample()
    errors = [float(renyi2(state, PART, n_partners=n).error) for n in (1, 7)]
    assert errors[1] < 0.85 * errors[0]


@pytest.mark.slow
def test_few_long_chains():
    """By the autocorrelations of pairs of chains."""
    found = renyi2(chains(n_chains=4, n_samples=8000).sample(), PART)
    assert abs(found.mean - exact_entropy(chains(), PART)) < 3 * found.error
    assert 1 < found.tau < 10
    assert found.r_hat == pytest.approx(1, abs=0.02)


@pytest.mark.slow
def test_independent_draws():
    space = Spin(4, total_sz=0)
    ansatz = mb.ansatz.ARDense(space, features=(4,))
    state = mb.VariationalState(ansatz, Direct(space), 1024, seed=1)
    state = state.replace(params=jax.tree.map(lambda x: 4 * x, state.params)).sample()
    found = renyi2(state, PART, n_partners=3)
    assert abs(found.mean - exact_entropy(state, PART)) < 3 * found.error
    assert 0 < found.error < 0.2
    assert np.isnan(found.r_hat)


def test_weighted_samples():
    """Of samples of another distribution, here a flat one, the weights multiply in a pair."""
    state, n = chains(), 4096
    sigma = SPACE.random_state(jax.random.key(4), n)
    log_psi = state.log_psi(sigma)
    weight = np.exp(2 * np.asarray(log_psi.real))
    weight = weight / weight.sum()
    samples = Samples(sigma[None], log_psi[None], jnp.asarray(weight)[None], "independent")
    found = renyi2(state.replace(samples=samples), PART)
    assert abs(found.mean - exact_entropy(state, PART)) < 3 * found.error < 0.3
    # The sum over neighbours, by amplitudes from the table (sites 0, 1, 2, 3).
    table, bits = psi().reshape(2, 2, 2, 2), (1 - np.asarray(sigma)) // 2
    a, b = bits[::2], bits[1::2]
    one, other = (np.where(np.isin(np.arange(4), PART), x, y) for x, y in ((b, a), (a, b)))
    after_and_before = [table[tuple(x.T)] for x in (one, other, a, b)]
    ratio = after_and_before[0] * after_and_before[1] / after_and_before[2] / after_and_before[3]
    both = weight[::2] * weight[1::2]
    assert found.mean == pytest.approx(-np.log(np.sum(both * ratio.real) / both.sum()), rel=0, abs=1e-12)


@pytest.mark.parametrize(
    "space", [Spin(4, total_sz=0), Constrained(Fock(4, n_max=2), Blockade([(0, 1), (1, 2), (2, 3)]))], ids=str
)
def test_what_the_network_says_outside_of_the_sector_does_not_count(space):
    rng = np.random.default_rng(1)
    log_psi = jnp.asarray(rng.normal(size=space.n_states))
    table = jnp.full(4**4, jnp.nan)

    def code(sigma):
        return (sigma.astype(int) + 1) @ 4 ** np.arange(4)

    table = table.at[code(space.all_states())].set(log_psi)
    state = mb.VariationalState((lambda key, sigma: {}, lambda params, sigma: table[code(sigma)]), Exact(space))
    found = renyi2(state.sample(), PART)
    assert found.mean == pytest.approx(exact_entropy(state, PART), rel=0, abs=1e-12)


def test_ratios_may_be_tiny_and_amplitudes_anything():
    """Two spins that are equal up to e^-800, in pairs of opposite chains: their swap is e^-1600."""
    space = Spin(2)
    ansatz = (lambda key, sigma: {}, lambda params, sigma: 900.0 - 800.0 * (sigma[:, 0] != sigma[:, 1]).astype(float))
    state = mb.VariationalState(ansatz, Metropolis(space, LocalFlip(), 4), 8).sample()
    sigma = jnp.asarray([[1, 1], [-1, -1]] * 2, jnp.int8)[:, None].repeat(2, axis=1)
    samples = Samples(sigma, state.log_psi(sigma), jnp.full((4, 2), 1 / 8), "chain")
    assert renyi2(state.replace(samples=samples), [0]).mean == pytest.approx(1600)
    exact = mb.VariationalState(ansatz, Exact(space)).sample()
    assert renyi2(exact, [0]).mean == pytest.approx(np.log(2), rel=0, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [2, 4])
def test_workers(n_workers):
    """The same samples in one process and on several devices."""
    comm = mesh_comm(jax.devices()[:n_workers])
    one = chains(16, 64).sample()
    several = chains(16, 64, comm).replace(samples=comm.scatter(one.samples))
    found = [renyi2(state, PART, n_partners=3) for state in (one, several)]
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_all_pairs_on_several_workers():
    state = mb.VariationalState(chains().network, Exact(SPACE), comm=mesh_comm(jax.devices()[:3])).sample()
    assert renyi2(state, PART).mean == pytest.approx(exact_entropy(state, PART), rel=0, abs=1e-12)


def test_what_is_refused():
    state = chains(n_chains=6, n_samples=12).sample()
    with pytest.raises(TypeError, match="`state` must be a VariationalState"):
        renyi2(SPACE, [0])
    with pytest.raises(ValueError, match="`state` must have samples"):
        renyi2(chains(), [0])
    for sites, words in (([0, 0], "be distinct"), ([4], "0 <= site <= 3"), ([], "be some"), (range(4), "be some")):
        with pytest.raises(ValueError, match=words):
            renyi2(state, sites)
    with pytest.raises(ValueError, match=r"`n_partners` must fit the chains of each worker \(6\).*got 3"):
        renyi2(state, [0], n_partners=3)
    with pytest.raises(ValueError, match="1 <= n_partners"):
        renyi2(state, [0], n_partners=0)
    without_replacement = dataclasses.replace(state.samples, noise=jnp.ones((6, 2)), kind="independent")
    with pytest.raises(ValueError, match="drawn independently"):
        renyi2(state.replace(samples=without_replacement), [0])
    flat = (lambda key, sigma: {}, lambda params, sigma: jnp.zeros(len(sigma)))
    mixed = mb.VariationalState(flat, Exact(Doubled(Spin(1)))).sample()
    with pytest.raises(ValueError, match="`state` must be a wave function"):
        renyi2(mixed, [0])
