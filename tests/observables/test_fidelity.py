# SPDX-License-Identifier: Apache-2.0
"""Fidelities and overlaps against vectors, and their error bars against repetitions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import manybody as mb
from manybody.hilbert import Doubled, Fermion, Spin
from manybody.observables import fidelity, overlap
from manybody.parallel import mesh_comm
from manybody.sampler import Exact, LocalFlip, Metropolis
from tests.observables.systems import with_table

SPACE = Spin(4)
SPACES = [Spin(3, s=1), Fermion(3, n_per_component=(2, 1), n_components=2)]
N_RUNS = 150


def amplitudes(space, seed, spread=0.5):
    rng = np.random.default_rng(seed)
    return np.exp(spread * rng.normal(size=space.n_states) + 1j * rng.normal(size=space.n_states))


def vector_overlap(a, b):
    return np.vdot(a.to_array(), b.to_array())


@functools.cache
def network(change):
    """A state, changed by some part of another one."""
    psi = amplitudes(SPACE, 0) * (1 + 0.3 * change * amplitudes(SPACE, 1))
    return (lambda key, sigma: {}, lambda params, sigma: jnp.asarray(np.log(psi))[SPACE.states_to_index(sigma)])


def chains(change, n_chains=64, n_samples=512, seed=0, comm=None):
    sampler = Metropolis(SPACE, LocalFlip(), n_chains)
    return mb.VariationalState(network(change), sampler, n_samples, seed=seed, comm=comm)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_sums_over_all_states(space):
    a, b = (with_table(space, amplitudes(space, seed)) for seed in (1, 2))
    exact = vector_overlap(a, b)
    assert overlap(a, b).mean == pytest.approx(exact, rel=0, abs=1e-12)
    found = fidelity(a.replace(chunk_size=7), b)
    assert found.mean == pytest.approx(abs(exact) ** 2, rel=0, abs=1e-12)
    assert found.error == 0
    assert jnp.isrealobj(found.mean)


def test_norms_are_free():
    """Amplitudes of e^2000 and of e^-2000."""
    a, b = (with_table(SPACE, amplitudes(SPACE, seed)) for seed in (1, 2))
    exact = vector_overlap(a, b)
    a, b = (s.replace(params={"table": s.params["table"] + shift}).sample() for s, shift in ((a, 2000), (b, -2000)))
    assert fidelity(a, b).mean == pytest.approx(abs(exact) ** 2, rel=1e-11)
    assert overlap(a, b).mean == pytest.approx(exact, rel=1e-11)


def test_states_that_vanish_in_places():
    """Where one of them is not sampled the other one may be anything."""
    first, second = (amplitudes(SPACE, seed) for seed in (1, 2))
    first[:5], second[3:8] = 0.0, 0.0
    with np.errstate(divide="ignore"):
        a, b = with_table(SPACE, first), with_table(SPACE, second)
    assert fidelity(a, b).mean == pytest.approx(abs(vector_overlap(a, b)) ** 2, rel=0, abs=1e-12)


def test_equal_states_have_no_noise():
    a = chains(0).sample()
    found = fidelity(a, chains(0, seed=4).sample())
    assert found.mean == pytest.approx(1, rel=0, abs=1e-12)
    assert found.error < 1e-12
    turned = with_table(SPACE, 1j * amplitudes(SPACE, 1))
    assert overlap(with_table(SPACE, amplitudes(SPACE, 1)), turned).mean == pytest.approx(1j, rel=0, abs=1e-12)


@pytest.mark.parametrize(
    "seed", [0, pytest.param(1, marks=pytest.mark.slow)], ids=["common random numbers", "independent"]
)
def test_error_bars_are_those_of_repetitions(seed):
    """Of 150 runs 68 % and 95 % lie within one and two sigma, to three standard deviations of these shares."""
    a, b, found = chains(0), chains(1 if seed else 0.2, seed=seed), []
    for _ in range(N_RUNS):
        a, b = a.sample(), b.sample()
        found.append(jax.device_get((fidelity(a, b), overlap(a, b))))
    exact = vector_overlap(a, b)
    distance = np.array([abs(x.mean - abs(exact) ** 2) / x.error for x, _ in found])
    assert np.mean(distance < 1) == pytest.approx(0.683, abs=0.115)
    assert np.mean(distance < 2) == pytest.approx(0.954, abs=0.052)
    # Of complex numbers, the mean square of the distance.
    scatter = np.mean([abs(x.mean - exact) ** 2 / x.error**2 for _, x in found])
    assert scatter == pytest.approx(1, abs=0.35)


def test_unequal_numbers_of_samples():
    """Their errors add up in squares; that of a sum over all states is 0."""
    a, b = chains(0).sample(), chains(1, 32, 1024, seed=5).sample()
    exact = abs(vector_overlap(a, b)) ** 2
    found = fidelity(a, b)
    assert abs(found.mean - exact) < 3 * found.error
    exact_one = mb.VariationalState(network(1), Exact(SPACE)).sample()
    half, other = fidelity(a, exact_one), fidelity(mb.VariationalState(network(0), Exact(SPACE)).sample(), b)
    assert abs(half.mean - exact) < 3 * half.error
    assert found.error == pytest.approx(np.hypot(half.error, other.error), rel=0.1)
    assert found.n_effective == pytest.approx(float(min(half.n_effective, other.n_effective)), rel=0.05)


def test_workers():
    comm = mesh_comm(jax.devices()[:2])
    alone = [chains(i, 8, 32).sample() for i in (0, 1)]
    together = [chains(i, 8, 32, comm=comm).replace(samples=comm.scatter(x.samples)) for i, x in enumerate(alone)]
    for x, y in zip(*(jax.tree.leaves(fidelity(*states)) for states in (alone, together)), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="`b` must have the workers of `a`"):
        fidelity(alone[0], together[1])


@pytest.mark.slow
def test_all_states_on_several_workers():
    comm = mesh_comm(jax.devices()[:3])
    a, b = (mb.VariationalState(network(i), Exact(SPACE), comm=comm).sample() for i in (0, 1))
    assert overlap(a, b).mean == pytest.approx(vector_overlap(a, b), rel=0, abs=1e-12)


def test_what_is_refused():
    a = chains(0).sample()
    with pytest.raises(TypeError, match="be a VariationalState"):
        fidelity(a, a.to_array())
    with pytest.raises(ValueError, match="have samples"):
        overlap(a, chains(1))
    flat = (lambda key, sigma: {}, lambda params, sigma: jnp.zeros(len(sigma)))
    other = mb.VariationalState(flat, Exact(Spin(4, total_sz=0))).sample()
    with pytest.raises(ValueError, match="`b` must be a state on"):
        fidelity(a, other)
    mixed = mb.VariationalState(flat, Exact(Doubled(Spin(1)))).sample()
    with pytest.raises(ValueError, match="be a wave function"):
        fidelity(mixed, mixed)
