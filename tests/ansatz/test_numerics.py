# SPDX-License-Identifier: Apache-2.0
"""log cosh, products of many factors, and the formula with tables, against higher precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody.ansatz import log_cosh
from manybody.ansatz._change import MAX_GATHERED, differences, linear_change
from manybody.ansatz._hyperbolic import hidden_spins, largest_change, log_cosh_ratio
from manybody.ansatz._numerics import log_product, scaled_normal


def precise_log_cosh(x):
    x = np.asarray(x, np.longdouble)
    return np.logaddexp(x, -x) - np.log(np.longdouble(2))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_log_cosh_of_real_numbers(dtype):
    x = np.concatenate([np.linspace(-30, 30, 301), [1e-6, -1e-3, 0.0, 500.0, -1e30]]).astype(dtype)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(log_cosh(jnp.asarray(x)), precise_log_cosh(x), rtol=4 * eps, atol=eps)


def test_log_cosh_of_complex_numbers():
    z = np.random.default_rng(0).normal(size=(2, 200)) * 3
    z = z[0] + 1j * z[1]
    np.testing.assert_allclose(np.exp(log_cosh(jnp.asarray(z))), np.cosh(z), rtol=1e-13)
    large = log_cosh(jnp.asarray([800 + 1j, -800 + 1j]))
    np.testing.assert_allclose(large, [800 - np.log(2) + 1j, 800 - np.log(2) - 1j])


@pytest.mark.parametrize("x", [0.0, 0.3, -2.0, 40.0, 0.5 + 0.7j])
def test_derivatives_of_log_cosh(x):
    """The second one at zero, too: the minimum of log cosh is smooth, which |x| is not."""
    x = jnp.asarray(x)
    holomorphic = jnp.iscomplexobj(x)
    first = jax.grad(log_cosh, holomorphic=holomorphic)
    np.testing.assert_allclose(first(x), np.tanh(x), rtol=1e-14)
    second = jax.grad(first, holomorphic=holomorphic)(x)
    np.testing.assert_allclose(second, 1 - np.tanh(x) ** 2, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 100])
def test_log_product(n):
    factors = np.exp(np.random.default_rng(n).uniform(-20, 20, (3, n)))
    np.testing.assert_allclose(log_product(jnp.asarray(factors)), np.log(factors).sum(axis=1), atol=1e-12)


def test_scaled_normal_has_that_norm():
    for shape in [(400,), (20, 30), (40, 10)]:
        x = scaled_normal(0.5)(jax.random.key(0), shape, jnp.complex128)
        np.testing.assert_allclose(np.sum(np.abs(x) ** 2), 0.25, rtol=0.2)
    assert scaled_normal(0.5)(jax.random.key(0), (0,), jnp.float64).shape == (0,)
    assert scaled_normal(0.5) is scaled_normal(0.5)


def test_differences_do_not_overflow():
    sigma = jnp.asarray([[127, -128, 5]], jnp.int8)
    delta = differences(sigma, jnp.asarray([[1, 0, 2]]), jnp.asarray([[127, -128, 5]], jnp.int8))
    np.testing.assert_array_equal(delta, [[255, -255, 0]])


@pytest.mark.parametrize("n_changed", [1, 3, MAX_GATHERED, MAX_GATHERED + 1, 20])
def test_linear_change(n_changed):
    rng = np.random.default_rng(n_changed)
    kernel, delta = rng.normal(size=(20, 6)), rng.integers(-4, 5, (5, n_changed))
    sites = rng.permuted(np.tile(np.arange(20), (5, 1)), axis=1)[:, :n_changed]
    found = linear_change(jnp.asarray(kernel), jnp.asarray(sites), jnp.asarray(delta, jnp.int32))
    np.testing.assert_allclose(found, np.einsum("bj,bjh->bh", delta, kernel[sites]), atol=1e-13)


# --- the formula with tables -----------------------------------------------------------------------------------------


def ratio(kernel, theta, sites, delta, spacing):
    """One hidden unit, or several equal ones; the result is NaN unless the table is used.

    (If it is not, angles are made again from `sigma` and the bias.)
    """
    kernel, theta = jnp.asarray(kernel), jnp.asarray(theta)
    bias = jnp.full(theta.shape[1], jnp.nan, theta.dtype)
    sigma = jnp.zeros((len(theta), len(kernel)), jnp.int8)
    return jax.jit(log_cosh_ratio, static_argnums=6)(
        kernel, bias, sigma, hidden_spins(theta), jnp.asarray(sites), jnp.asarray(delta), spacing
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_table_is_as_good_as_its_terms(dtype):
    """Up to the largest change, with angles where tanh is one to rounding, and where probabilities underflow."""
    eps, limit = np.finfo(dtype).eps, largest_change(jnp.dtype(dtype))
    kernel = np.asarray([[1e-3], [0.3], [0.99]], dtype) * np.asarray(limit / 2, dtype)
    angles = np.asarray([0, 0.4, -0.4, 3, -3, 20, -20, 300, -300], dtype)
    theta, sites, delta = (x.reshape(-1, 1) for x in np.meshgrid(angles, np.arange(3), np.int32([2, -2])))
    d = delta * np.longdouble(kernel[sites[:, 0]])
    exact = precise_log_cosh(theta + d) - precise_log_cosh(theta)
    found = ratio(kernel, theta, sites, delta, (2,))
    error = np.abs(np.asarray(found) - exact[:, 0]).astype(float)
    np.testing.assert_array_less(error, 8 * eps * np.maximum(1, np.abs(d[:, 0])).astype(float))


@pytest.mark.parametrize("dtype", ["float32", "complex64", "float64", "complex128"])
def test_blocks_stay_within_the_number_range(dtype):
    """All hidden units at the largest change, in the same direction."""
    limit = 0.999 * largest_change(jnp.dtype(dtype))
    angles, delta = (x.reshape(-1, 1) for x in np.meshgrid([-200.0, -1.0, 0.0, 1.0, 200.0], np.int32([2, -2])))
    found = ratio(
        np.full((1, 64), limit / 2, dtype), np.tile(angles, (1, 64)).astype(dtype), np.zeros_like(delta), delta, (2,)
    )
    exact = precise_log_cosh(angles + delta * limit / 2) - precise_log_cosh(angles)
    np.testing.assert_allclose(found, 64 * exact[:, 0].astype(float), rtol=1e-5)


@pytest.mark.parametrize(
    ("delta", "spacing", "scale", "tabulated"),
    [
        ([2], (2,), 0.99, True),
        ([2], (2,), 1.01, False),
        ([-2, 0], (2,), 0.49, True),
        ([-2, 0], (2,), 0.51, False),
        ([-1, 4], (1, 4), 0.24, True),
        ([4], (2,), 0.1, False),
    ],
)
def test_which_formula_is_used(delta, spacing, scale, tabulated):
    kernel = np.full((len(delta), 3), scale * largest_change(jnp.dtype("float64")) / 2)
    sites = np.arange(len(delta))[None]
    found = ratio(kernel, np.full((1, 3), 0.2), sites, np.int32([delta]), spacing)
    assert np.isnan(found[0]) == (not tabulated)


def test_one_change_without_a_table_makes_all_of_them_wait():
    """A branch is for the whole batch; the results are right in both."""
    kernel, theta = np.full((2, 3), 0.3), np.full((2, 3), 0.2)
    found = ratio(kernel, theta, np.int32([[0], [1]]), np.int32([[2], [3]]), (2,))
    assert np.isnan(found).all()
