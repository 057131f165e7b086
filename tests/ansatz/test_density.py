# SPDX-License-Identifier: Apache-2.0
"""Density matrices: Hermitian and positive for all parameters, of any rank, and traces over ancillas."""

from __future__ import annotations

import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody.ansatz import MLP, RBM, DensityRBM, PurifiedDensity, summary
from manybody.hilbert import Doubled, Fock, Spin
from manybody.lattice import chain
from tests.cases import some_slow

SPINS, BOSONS = Doubled(Spin(4)), Doubled(Fock(2, n_max=3))
SHIFTS = np.array([[(i + j) % 4 for i in range(4)] for j in range(4)])


class Correlations(nn.Module):
    """Features at each site that move along with the configuration."""

    @nn.compact
    def __call__(self, x):
        neighbours = jnp.stack([jnp.roll(x, shift, axis=-1) for shift in range(x.shape[-1])], axis=-1)
        return jnp.tanh(nn.Dense(5, param_dtype=x.dtype)(neighbours))


DENSE = nn.Sequential((nn.Dense(6, param_dtype=float), nn.tanh, nn.Dense(5, param_dtype=float), nn.tanh))
CASES = {
    "rbm": (DensityRBM(alpha=0.5, beta=2), SPINS),
    "rbm-bosons": (DensityRBM(), BOSONS),
    "rbm-shared": (DensityRBM(alpha=2, symmetries=SHIFTS), SPINS),
    "deep": (PurifiedDensity(DENSE, n_ancillas=3), SPINS),
    "deep-positions": (PurifiedDensity(Correlations(), n_ancillas=2), SPINS),
}
INDEFINITE = {
    "rbm-on-pairs": (RBM(param_dtype=complex), SPINS),
    "mlp-on-pairs": (MLP((5,), separate_phase=True), SPINS),
}


@functools.cache
def log_rho(ansatz, space):
    return jax.jit(lambda variables: ansatz.apply(variables, space.all_states()))


@functools.cache
def initialise(ansatz, space):
    return jax.jit(lambda key: ansatz.init(key, space.all_states()))


def matrices(ansatz, space):
    """rho of trace 1 at random parameters, small and large ones."""
    n = space.space.n_states
    for seed, scale in enumerate((0.5, 1.0, 2.0, 5.0)):
        variables = initialise(ansatz, space)(jax.random.key(seed))
        logs = np.asarray(log_rho(ansatz, space)(jax.tree.map(lambda x, scale=scale: scale * x, variables)))
        rho = np.exp(logs - logs.real.max()).reshape(n, n)
        yield rho / np.trace(rho)


def is_density(rho):
    return (
        np.abs(rho - rho.conj().T).max() < 1e-12
        and np.linalg.eigvalsh((rho + rho.conj().T) / 2).min() > -1e-12
        and 1 / len(rho) - 1e-12 < np.trace(rho @ rho).real < 1 + 1e-12
    )


@pytest.mark.parametrize("name", some_slow({name: name for name in CASES}, ["rbm", "deep-positions"]))
def test_hermitian_positive_and_mixed(name):
    """To 1e-12; the rank is more than one, and off the diagonal rho is complex."""
    for rho in matrices(*CASES[name]):
        assert is_density(rho)
        assert np.linalg.matrix_rank(rho, tol=1e-9, hermitian=True) > 2
        assert np.abs(rho.imag).max() > 1e-4


@pytest.mark.parametrize("name", INDEFINITE)
def test_wave_functions_on_pairs_are_no_densities(name):
    assert not any(is_density(rho) for rho in matrices(*INDEFINITE[name]))


@pytest.mark.parametrize("ansatz", [DensityRBM(beta=0), PurifiedDensity(DENSE, n_ancillas=0)])
def test_pure_without_ancillas(ansatz):
    for rho in matrices(ansatz, SPINS):
        assert is_density(rho)
        assert np.trace(rho @ rho).real == pytest.approx(1, abs=1e-12)


def test_ancillas_are_traced_out():
    """rho = sum_a psi_a psi_a^dag, with the states of an RBM on sites and ancillas written out."""
    ansatz, space = DensityRBM(alpha=1.5, beta=1.5), Doubled(Spin(2))
    params = jax.tree.map(lambda x: 2 * x, initialise(ansatz, space)(jax.random.key(4))["params"])
    a, w, b, u = (x[0] + 1j * x[1] for x in map(np.asarray, (
        params["visible"], params["hidden_kernel"], params["hidden_bias"], params["ancilla_kernel"]
    )))  # fmt: skip
    d = np.asarray(params["ancilla_bias"])
    sigma = np.asarray(space.space.all_states(), float)
    psi = np.exp(sigma @ a) * np.prod(np.cosh(sigma @ w + b), axis=1)
    rho = np.zeros((4, 4), complex)
    for s in itertools.product((1, -1), repeat=3):
        joint = psi * np.exp((sigma @ u + d / 2) @ np.array(s))
        rho += np.outer(joint, joint.conj()) / 8
    found = np.exp(np.asarray(log_rho(ansatz, space)({"params": params}))).reshape(4, 4)
    np.testing.assert_allclose(found, rho, rtol=1e-12)


@pytest.mark.parametrize("name", ["rbm-shared", "deep-positions"])
def test_translations_of_both_copies(name):
    """rho does not change if both are translated, but if one is."""
    ansatz, space = CASES[name]
    variables = jax.jit(ansatz.init)(jax.random.key(1), space.all_states())
    pairs = space.all_states().reshape(-1, 2, 4)
    moved = np.roll(pairs, 1, axis=2).reshape(-1, 8)
    sigma_only = np.stack([np.roll(pairs[:, 0], 1, axis=1), pairs[:, 1]], axis=1).reshape(-1, 8)
    log = np.asarray(log_rho(ansatz, space)(variables))
    apply = jax.jit(ansatz.apply)
    np.testing.assert_allclose(apply(variables, moved), log, atol=1e-12)
    assert np.abs(np.asarray(apply(variables, sigma_only)) - log).max() > 1e-2


@pytest.mark.parametrize("ansatz", [CASES["rbm-shared"][0], DensityRBM(use_visible_bias=False, use_hidden_bias=False)])
def test_changes_are_followed(ansatz):
    """With shared weights and without biases; the laws of the others are in the contract."""
    space = SPINS
    rng = np.random.default_rng(0)
    sigma = rng.choice(np.int8([1, -1]), (16, 8))
    sites = rng.permuted(np.tile(np.arange(8, dtype=np.int32), (16, 1)), axis=1)[:, :2]
    new = sigma.copy()
    np.put_along_axis(new, sites, -np.take_along_axis(sigma, sites, axis=1), axis=1)

    def gaps(variables):
        cache = ansatz.apply(variables, sigma, method="init_cache")
        found = ansatz.apply(variables, cache, sites, np.take_along_axis(new, sites, axis=1), method="log_ratio")
        return jnp.exp(found - ansatz.apply(variables, new) + ansatz.apply(variables, sigma)) - 1

    np.testing.assert_allclose(jax.jit(gaps)(initialise(ansatz, space)(jax.random.key(2))), 0, atol=1e-12)


def test_features_at_positions_are_of_order_one():
    ansatz, sigma = CASES["deep-positions"][0], np.random.default_rng(0).choice([1, -1], (32, 400))
    log = jax.jit(lambda key: ansatz.init_with_output(key, sigma)[0])(jax.random.key(0))
    assert 0.1 < np.abs(log).max() < 15


def test_summaries():
    assert "changes of one site: followed" in summary(CASES["rbm"][0], SPINS)
    assert "network/layers_0" in summary(CASES["deep"][0], SPINS)


def test_refused():
    odd = np.ones((2, 5), np.int8)
    sigma = np.ones((2, 8), np.int8)
    key = jax.random.key(0)
    with pytest.raises(ValueError, match=r"pairs of configurations, got 5 sites.*Doubled"):
        DensityRBM().init(key, odd)
    with pytest.raises(TypeError, match="`param_dtype` must be a real"):
        DensityRBM(param_dtype=complex)
    with pytest.raises(ValueError, match="`beta` must satisfy beta >= 0"):
        DensityRBM(beta=-1)
    with pytest.raises(ValueError, match="`beta` must make a number of hidden units that is a multiple of 4"):
        DensityRBM(beta=0.5, symmetries=chain(4).translations()).init(key, sigma)
    with pytest.raises(ValueError, match="`symmetries` must permute 3 sites"):
        DensityRBM(symmetries=SHIFTS).init(key, sigma[:, :6])
    with pytest.raises(TypeError, match="`network` must be a Module"):
        PurifiedDensity(jnp.tanh)
    with pytest.raises(TypeError, match="`network` must give real features"):
        PurifiedDensity(nn.Dense(3, param_dtype=complex, dtype=complex)).init(key, sigma)
    with pytest.raises(ValueError, match=r"`network` must give features \(4, features\)"):
        PurifiedDensity(RBM()).init(key, sigma)
