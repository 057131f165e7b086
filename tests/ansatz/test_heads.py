# SPDX-License-Identifier: Apache-2.0
"""From features to log psi: the formulas, their limits, and what they start from."""

import cmath
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody.ansatz._heads import Head, check_output, log_difference, reim_gelu

PLACES, BATCH, FEATURES = 5, 6, 3


def evaluate(output, param_dtype=jnp.float64, bias_init=nn.initializers.normal(0.3)):
    """Random features of places, the parameters, and log psi."""
    rng = np.random.default_rng(0)
    dtype = jnp.dtype(param_dtype)
    y = rng.normal(size=(PLACES, BATCH, FEATURES)).astype(dtype)
    if dtype.kind == "c":
        y = y + 1j * rng.normal(size=y.shape).astype(dtype)
    head = Head(output, param_dtype, nn.initializers.normal(1.0), bias_init)
    z = y.sum(axis=0)
    variables = head.init(jax.random.key(1), z, PLACES)
    return z, jax.device_get(variables["params"]), np.asarray(head.apply(variables, z, PLACES))


def test_real_and_phase():
    z, params, log_psi = evaluate("real")
    assert log_psi.dtype == np.float64
    np.testing.assert_allclose(log_psi, z @ params["kernel"][:, 0], rtol=1e-12)
    z, params, log_psi = evaluate("phase")
    np.testing.assert_allclose(log_psi, z @ (params["kernel"][:, 0] + 1j * params["kernel"][:, 1]), rtol=1e-12)
    assert params.keys() == {"kernel"}


@pytest.mark.parametrize("param_dtype", [jnp.float64, jnp.complex128])
def test_log_cosh(param_dtype):
    z, params, log_psi = evaluate("log_cosh", param_dtype)
    weights, bias = params["kernel"], params["bias"]
    if param_dtype == jnp.float64:
        weights, bias = weights[:, :FEATURES] + 1j * weights[:, FEATURES:], bias[:FEATURES] + 1j * bias[FEATURES:]
    expected = [sum(cmath.log(cmath.cosh(t)) for t in row) for row in z @ weights + bias]
    np.testing.assert_allclose(np.exp(log_psi), np.exp(expected), rtol=1e-12)
    assert np.abs(bias).min() > 0
    assert log_psi.dtype == np.complex128


def test_signed():
    """A real number of either sign."""
    z, params, log_psi = evaluate("signed")
    exponentials = np.exp(z @ params["kernel"])
    psi = exponentials[:, :FEATURES].mean(axis=1) - np.exp(-1) * exponentials[:, FEATURES:].mean(axis=1)
    assert 0 < np.sum(psi < 0) < BATCH
    np.testing.assert_array_equal(log_psi.imag, np.where(psi < 0, math.pi, 0))
    np.testing.assert_allclose(log_psi.real, np.log(np.abs(psi)), rtol=1e-12)


def test_difference_is_finite_and_differentiable_where_it_is_not_zero():
    plus = np.array([[900.0, 2.0], [-900.0, -950.0], [0.3, -0.2], [1.0, 2.0]])
    minus = np.array([[-5.0, 880.0], [-899.0, -1000.0], [900.0, 900.0], [2.0, 1.0]])
    found = np.asarray(jax.jit(log_difference)(plus, minus))
    half = math.log(0.5)
    expected = [900 + math.log(1 - math.exp(-20)) + half, -899 + math.log(1 - math.exp(-1)) + half, 900]
    np.testing.assert_allclose(found.real[:3], expected, rtol=1e-12)
    np.testing.assert_array_equal(found.imag[:3], [0, math.pi, math.pi])
    assert found.real[3] == -np.inf

    def total(plus, minus):
        return jnp.sum(log_difference(plus, minus).real)

    slopes = jax.jit(jax.grad(total, argnums=(0, 1)))(plus[:3], minus[:3])
    ratio = 1 / (math.exp(-1) - 1)
    np.testing.assert_allclose(slopes[0], [[1, 0], [ratio * math.exp(-1), 0], [0, 0]], atol=1e-15)
    np.testing.assert_allclose(slopes[1], [[0, -math.exp(-20)], [-ratio, 0], [0.5, 0.5]], atol=1e-15)


def test_gelu():
    x = np.concatenate([np.linspace(-6, 6, 101), [-1e3, 1e3, -1e300, 0.0]])
    np.testing.assert_allclose(reim_gelu(jnp.asarray(x)), jax.nn.gelu(x), atol=1e-14)
    z = jnp.asarray(x + 1j * x[::-1])
    np.testing.assert_allclose(reim_gelu(z).real, jax.nn.gelu(x), atol=1e-14)
    np.testing.assert_allclose(reim_gelu(z).imag, jax.nn.gelu(x[::-1]), atol=1e-14)
    slope = jax.vmap(jax.grad(reim_gelu))(jnp.array([-1e3, 0.0, 1e3]))
    np.testing.assert_allclose(slope, [0, 0.5, 1], atol=1e-12)


@pytest.mark.parametrize(
    ("output", "spread"),
    [("real", 4), ("phase", 4), pytest.param("signed", 4, marks=pytest.mark.slow), ("log_cosh", 2 * 50)],
)
def test_weights_are_small_where_there_are_many_places_and_terms(output, spread):
    head = Head(output, jnp.float64, nn.initializers.constant(3.0), nn.initializers.constant(0.25))
    params = head.init(jax.random.key(0), jnp.zeros((2, 50)), 7)["params"]
    assert params["kernel"].shape == (50, {"real": 1, "phase": 2}.get(output, 100))
    np.testing.assert_allclose(params["kernel"], 3 / math.sqrt(7 * spread))
    assert ("bias" in params) == (output == "log_cosh")
    assert output != "log_cosh" or np.all(np.asarray(params["bias"]) == 0.25)


def test_outputs():
    check_output("signed", jnp.float32)
    check_output("log_cosh", complex)
    with pytest.raises(ValueError, match="`output` must be one of 'real', 'phase', 'signed', 'log_cosh'"):
        check_output("sign", float)
    for output in ("real", "phase", "signed"):
        with pytest.raises(ValueError, match="`output` must be 'log_cosh' for complex weights"):
            check_output(output, jnp.complex64)
