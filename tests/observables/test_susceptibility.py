# SPDX-License-Identifier: Apache-2.0
"""The fidelity susceptibility against overlaps of states, a closed form, and its own scatter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody import VariationalState
from manybody.ansatz import RBM, Conditioned, MeanField
from manybody.hilbert import Spin
from manybody.observables import fidelity_susceptibility
from manybody.sampler import Exact, LocalFlip, Metropolis

SPACE = Spin(5)


def state_at(ansatz, params, g):
    return VariationalState(ansatz.ansatz, Exact(SPACE), params=ansatz.at(params, g), chunk_size=7)


def overlap_matrix(ansatz, params, g, step=1e-3):
    """-2 ln |<psi(g - s)|psi(g + s)>| / (2 s)^2 along the axes, and by polarisation between them."""

    def along(direction):
        after, before = (state_at(ansatz, params, g + sign * step * direction).to_array() for sign in (1, -1))
        return -2 * np.log(abs(np.vdot(before, after))) / (2 * step) ** 2

    axes = np.eye(len(g))
    chi = np.diag([along(axis) for axis in axes])
    for a, b in zip(*np.triu_indices(len(g), 1), strict=True):
        chi[a, b] = chi[b, a] = (along(axes[a] + axes[b]) - along(axes[a] - axes[b])) / 4
    return chi


@pytest.mark.parametrize("dtype", [float, pytest.param(complex, marks=pytest.mark.slow)])
def test_overlaps_fall_off_by_it(dtype):
    ansatz = Conditioned(RBM(param_dtype=dtype), (0.0, 1.0), (1.0, 3.0), 2)
    start = jax.device_get(ansatz.init(jax.random.key(1), SPACE.all_states(), (0.5, 2.0))["params"])
    rng = np.random.default_rng(3)
    phase = 1j if dtype is complex else 0
    params = jax.tree.map(lambda x: x + 0.2 * (rng.normal(size=x.shape) + phase * rng.normal(size=x.shape)), start)
    g = np.array([0.3, 2.2])
    state = state_at(ansatz, params, g).sample()
    found = fidelity_susceptibility(state, ansatz.slopes(params, g))
    np.testing.assert_allclose(found.mean, overlap_matrix(ansatz, params, g), rtol=1e-4, atol=1e-5)
    assert abs(found.mean[0, 1]) > 1e-2
    assert np.all(found.error == 0)
    first = jax.tree.map(lambda x: x[0], ansatz.slopes(params, g))
    assert fidelity_susceptibility(state, first).mean == pytest.approx(float(found.mean[0, 0]), rel=1e-12)


def spins_in_a_field(sampler, n_samples, g):
    """log psi = g sum sigma, whose susceptibility is n (1 - tanh(2 g)^2)."""
    state = VariationalState(MeanField(), sampler, n_samples, seed=3)
    state = state.replace(params=jax.tree.map(lambda x: jnp.full_like(x, g), state.params))
    return state, jax.tree.map(jnp.ones_like, state.params), SPACE.size * (1 - np.tanh(2 * g) ** 2)


def test_error_bars_are_those_of_repetitions():
    state, slopes, exact = spins_in_a_field(Metropolis(SPACE, LocalFlip(), 64, n_burn_in=20), 1024, 0.3)
    found = []
    for _ in range(60):
        state = state.sample()
        found.append(fidelity_susceptibility(state, slopes))
    means, errors = (np.array([getattr(x, name) for x in found]) for name in ("mean", "error"))
    assert abs(means.mean() - exact) < 4 * means.std() / np.sqrt(60)  # four sigma
    assert errors.mean() == pytest.approx(means.std(), rel=0.3)  # the scatter of 60 is known to 9 %


def test_without_noise_it_is_the_closed_form():
    for g in (0.0, 0.5):
        state, slopes, exact = spins_in_a_field(Exact(SPACE), None, g)
        assert fidelity_susceptibility(state.sample(), slopes).mean == pytest.approx(exact, rel=1e-12)


def test_what_is_refused():
    state, slopes, _ = spins_in_a_field(Exact(SPACE), None, 0.1)
    with pytest.raises(ValueError, match="`state` must have samples"):
        fidelity_susceptibility(state, slopes)
    for wrong in ({"other": slopes}, jax.tree.map(lambda x: x[None, None], slopes)):
        with pytest.raises(ValueError, match="`slopes` must have the shapes of the parameters"):
            fidelity_susceptibility(state.sample(), wrong)
