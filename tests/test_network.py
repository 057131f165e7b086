# SPDX-License-Identifier: Apache-2.0
"""Every way to write an ansatz is one `Network`."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from manybody.amplitude import Amplitude, FullEvaluation
from manybody.network import IncrementalAmplitude, as_network
from tests.estimator.ansatzes import NnxNet, pair_apply, pair_init
from tests.sampler.amplitudes import Counting, CountingIncremental

SIGMA = jnp.array([[1, -1, 1, 1], [-1, -1, 1, -1]], jnp.int8)


class WithConstants(nn.Module):
    """A parameter, and an array that is not to be optimised."""

    @nn.compact
    def __call__(self, sigma):
        fixed = self.variable("fixed", "signs", lambda: jnp.array([1.0, -1.0, 1.0, -1.0]))
        return sigma.astype(float) @ (self.param("a", nn.initializers.ones, (4,), float) * fixed.value)


def test_linen():
    network = as_network(WithConstants())
    params, constants = network.init(jax.random.key(0), SIGMA)
    assert jax.tree.map(jnp.shape, params) == {"a": (4,)}
    np.testing.assert_array_equal(constants["fixed"]["signs"], [1, -1, 1, -1])
    np.testing.assert_array_equal(network.log_psi({"a": 2 * params["a"]}, constants, SIGMA), [4, 4])
    assert network == as_network(WithConstants())
    assert hash(network) == hash(as_network(WithConstants()))
    assert isinstance(network.bind(params, constants), FullEvaluation)


def test_nnx():
    module = NnxNet(4)
    network = as_network(module)
    params, constants = network.init(jax.random.key(0), SIGMA)
    assert sum(x.size for x in jax.tree.leaves(params)) == 4 * 6 + 6 + 6 * 2 + 2
    np.testing.assert_array_equal(jax.tree.leaves(constants)[0], [[0.7, 0.7]])
    np.testing.assert_allclose(network.log_psi(params, constants, SIGMA), module(SIGMA), rtol=1e-14)
    half = network.log_psi(params, jax.tree.map(lambda x: x / 2, constants), SIGMA)
    np.testing.assert_allclose(half, module(SIGMA) / 2, rtol=1e-14)
    assert network == as_network(network)
    assert network != as_network(NnxNet(4)), "another module may have other values"
    hash(network)


def test_pair():
    network = as_network((pair_init, pair_apply))
    params, constants = network.init(jax.random.key(0), SIGMA)
    assert constants == {}
    np.testing.assert_array_equal(network.log_psi(params, constants, SIGMA), pair_apply(params, SIGMA))
    assert not network.is_incremental
    with pytest.raises(TypeError, match="has no method 'init_cache'"):
        network.apply((params, constants), SIGMA, method="init_cache")


class IncrementalNnx(nnx.Module):
    """A product state whose cache is the configuration."""

    def __init__(self):
        self.field = nnx.Param(jnp.array([0.1, 0.2, 0.3, 0.4]))

    def __call__(self, sigma):
        return sigma.astype(float) @ self.field[...]

    def init_cache(self, sigma):
        return sigma

    def log_ratio(self, cache, sites, values):
        old = jnp.take_along_axis(cache, sites, axis=-1)
        return jnp.sum((values - old).astype(float) * self.field[...][sites], axis=-1)

    def update_cache(self, cache, sites, values, accepted):
        changed = jnp.put_along_axis(cache, sites, values, axis=-1, inplace=False)
        return jnp.where(accepted[:, None], changed, cache)


@pytest.mark.parametrize("ansatz", [CountingIncremental(), IncrementalNnx()], ids=["linen", "nnx"])
def test_modules_with_incremental_methods(ansatz):
    network = as_network(ansatz)
    assert network.is_incremental
    amplitude = network.bind(*network.init(jax.random.key(0), SIGMA))
    assert isinstance(amplitude, IncrementalAmplitude)
    assert isinstance(amplitude, Amplitude)
    sites, values = jnp.array([[0], [2]]), jnp.array([[-1], [-1]], jnp.int8)
    cache = amplitude.init_cache(SIGMA)
    changed = jnp.put_along_axis(SIGMA, sites, values, axis=-1, inplace=False)
    ratio = amplitude.log_ratio(cache, sites, values)
    np.testing.assert_allclose(ratio, amplitude.log_psi(changed) - amplitude.log_psi(SIGMA), rtol=1e-12)
    after = amplitude.update_cache(cache, sites, values, jnp.array([True, False]))
    np.testing.assert_array_equal(jax.tree.leaves(after)[0], jnp.where(jnp.array([[True], [False]]), changed, SIGMA))
    assert not as_network(Counting()).is_incremental


def test_narrow_networks_are_widened():
    """Log psi in single precision comes out in double, its parameters stay what they are."""

    def init(key, sigma):
        return jnp.ones(4, jnp.float32)

    network = as_network((init, lambda p, s: s.astype(jnp.float32) @ p))
    params, constants = network.init(jax.random.key(0), SIGMA)
    amplitude = network.bind(params, constants)
    assert amplitude.log_psi(SIGMA).dtype == jnp.float64
    assert amplitude.log_ratio(amplitude.init_cache(SIGMA), jnp.array([[0], [0]]), SIGMA[:, :1]).dtype == jnp.float64
    assert params.dtype == jnp.float32


@pytest.mark.parametrize("thing", [3, "RBM", (1, 2), lambda sigma: sigma, (pair_init,), nn.Dense])
def test_what_is_no_ansatz(thing):
    with pytest.raises(TypeError, match=r"`ansatz` must be a flax.linen module, a flax.nnx module or a pair"):
        as_network(thing)
