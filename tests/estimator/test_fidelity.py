# SPDX-License-Identifier: Apache-2.0
"""Overlaps from samples: exact sums, error bars, and where the control variate is used."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody.estimator import fidelity, fidelity_from_target
from manybody.parallel import Comm
from manybody.sampler import Samples

N_STATES = 40


def pair(distance, seed=0):
    """Two state vectors, logarithms of amplitudes, this far from each other."""
    rng = np.random.default_rng(seed)
    psi = 0.5 * rng.normal(size=N_STATES) + 1j * rng.uniform(0, 6, N_STATES)
    return psi, psi + distance * (rng.normal(size=N_STATES) + 1j * rng.normal(size=N_STATES))


def overlap(psi, phi):
    a, b = (np.exp(x - x.real.max()) for x in (psi, phi))
    return abs(np.vdot(a, b)) ** 2 / np.vdot(a, a).real / np.vdot(b, b).real


def probabilities(log_psi):
    p = np.exp(2 * (log_psi.real - log_psi.real.max()))
    return p / p.sum()


def summed(log_psi):
    """All states, weighted."""
    index = jnp.arange(N_STATES, dtype=jnp.int8)[:, None, None]
    return Samples(index, jnp.asarray(log_psi)[:, None], jnp.asarray(probabilities(log_psi))[:, None], "exact")


def drawn(log_psi, n, rng):
    index = rng.choice(N_STATES, size=n, p=probabilities(log_psi))
    index, weight = jnp.asarray(index, jnp.int8)[None, :, None], jnp.full((1, n), 1 / n)
    return Samples(index, jnp.asarray(log_psi)[index[..., 0]], weight, "independent")


def measured(psi, phi, samples, others):
    def at(values, where):
        return jnp.asarray(values)[where.flat_sigma[:, 0]]

    return fidelity(Comm(), at(phi - psi, samples), samples, at(psi - phi, others), others)


@pytest.mark.parametrize("constants", [(0, 0), (900 + 2j, -900), (-3000, 400j)])
@pytest.mark.parametrize("distance", [1e-6, 0.1, 1.0])
def test_sums_are_exact(distance, constants):
    """Whatever the norms: F = <F_loc> to 1e-12, without an error; also from the target alone."""
    psi, phi = pair(distance)
    psi, phi = psi + constants[0], phi + constants[1]
    found = measured(psi, phi, summed(psi), summed(phi))
    assert found.infidelity.mean == pytest.approx(1 - overlap(psi, phi), abs=1e-12)
    assert found.infidelity.error == 0
    weight = probabilities(psi)
    np.testing.assert_allclose(weight @ np.asarray(found.values), overlap(psi, phi), atol=1e-12)
    own, alone = fidelity_from_target(Comm(), jnp.asarray(psi - phi), jnp.asarray(psi), summed(phi))
    assert alone.infidelity.mean == pytest.approx(1 - overlap(psi, phi), abs=1e-12)
    np.testing.assert_allclose(own.flat_weight, weight, atol=1e-12)
    np.testing.assert_allclose(alone.values, found.values, rtol=1e-9)


def test_states_without_amplitudes():
    """Where one of the two vanishes the other one still counts in its norm."""
    psi, phi = pair(0.3)
    psi[:5], phi[3:9] = -np.inf, -np.inf
    a, b = np.exp(psi), np.exp(phi)
    wanted = 1 - abs(np.vdot(a, b)) ** 2 / np.vdot(a, a).real / np.vdot(b, b).real

    def ratio(one, other):  # log 0 - log 0 does not count: its weight is 0
        return jnp.asarray(
            np.where(np.isfinite(one) | np.isfinite(other), one - np.where(np.isfinite(other), other, 0), 0)
        )

    found = fidelity(Comm(), ratio(phi, psi), summed(psi), ratio(psi, phi), summed(phi))
    assert found.infidelity.mean == pytest.approx(wanted, abs=1e-12)


def test_nan_is_seen():
    psi, phi = pair(0.3)
    phi[7] = np.nan
    found = measured(psi, phi, summed(psi), summed(pair(0.3)[1]))
    assert not np.isfinite(found.infidelity.mean)


@pytest.mark.parametrize(
    ("distance", "controlled"),
    [(0.1, True), (0.6, False), *(pytest.param(*x, marks=pytest.mark.slow) for x in ((0.03, True), (1.5, False)))],
)
def test_errors_and_the_control_variate(distance, controlled):
    """400 runs: the mean within 4 sigma, the scatter what errors say to 15 % (at low fidelity tails cost more: 30 %).

    Near F = 1 the control variate makes errors at least 5 times smaller; far from it, it is never used.
    """
    psi, phi = pair(distance, seed=2)
    rng, wanted = np.random.default_rng(1), 1 - overlap(psi, phi)
    run = jax.jit(lambda samples, others: measured(psi, phi, samples, others))
    runs = [run(drawn(psi, 400, rng), drawn(phi, 300, rng)) for _ in range(400)]
    means = np.array([found.infidelity.mean for found in runs])
    errors = np.array([found.infidelity.error for found in runs])
    assert np.mean([bool(found.controlled) for found in runs]) == (1.0 if controlled else 0.0)
    assert abs(means.mean() - wanted) < 4 * means.std() / 20 + (0 if controlled else 0.02 * wanted)
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(means.std(), rel=0.15 if controlled else 0.3)
    plain = np.std([found.mean.real for found in runs])
    if controlled:
        assert means.std() < 0.2 * plain
    else:
        np.testing.assert_allclose(means, [1 - found.mean.real for found in runs], rtol=1e-12)


@pytest.mark.parametrize("distance", [0.05, pytest.param(0.5, marks=pytest.mark.slow)])
def test_errors_from_the_target_alone(distance):
    psi, phi = pair(distance, seed=2)
    rng, wanted = np.random.default_rng(1), 1 - overlap(psi, phi)
    alone = jax.jit(
        lambda where: (
            fidelity_from_target(
                Comm(), jnp.asarray(psi - phi)[where.flat_sigma[:, 0]], jnp.asarray(psi)[where.flat_sigma[:, 0]], where
            )[1].infidelity
        )
    )
    runs = [alone(drawn(phi, 2000, rng)) for _ in range(200)]
    means, errors = (np.array([getattr(found, name) for found in runs]) for name in ("mean", "error"))
    assert abs(means.mean() - wanted) < 4 * means.std() / np.sqrt(200) + 0.02 * wanted
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(means.std(), rel=0.2)


def test_with_and_without_control_is_the_same_number():
    """The control variate has the mean 0: both estimates agree within their errors."""
    psi, phi = pair(0.1, seed=5)
    rng = np.random.default_rng(3)
    found = measured(psi, phi, drawn(psi, 20000, rng), drawn(phi, 20000, rng))
    assert found.controlled
    assert abs(found.infidelity.mean - (1 - overlap(psi, phi))) < 4 * found.infidelity.error
    assert abs(found.mean.real - overlap(psi, phi)) < 0.01
