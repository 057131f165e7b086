# SPDX-License-Identifier: Apache-2.0
"""log cosh, products of many factors, and the formula with tables, against higher precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody.amplitude import apply_change
from manybody.ansatz import log_cosh
from manybody.ansatz._change import MAX_GATHERED, differences, linear_change
from manybody.ansatz._hyperbolic import (
    HiddenLayer,
    commit,
    hidden_spins,
    largest_angle,
    try_change,
    update_hidden_spins,
)
from manybody.ansatz._numerics import scaled_normal, sum_log_cosh
from manybody.ansatz._scaled_product import log_quotient, scaled_product


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


@pytest.mark.parametrize("n", [7, 8, 67, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 1, 9, 20, 100, 5000))])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_scaled_product(n, dtype):
    """A quotient of two, which by themselves are far out of the number range."""
    rng = np.random.default_rng(n)
    logs = rng.uniform(-40, 40, (2, 3, n))
    logs = logs + 1j * rng.uniform(-3, 3, logs.shape) if dtype == "complex128" else logs
    a, b = np.exp(logs).astype(dtype)
    found = np.asarray(log_quotient(scaled_product(jnp.asarray(a)), scaled_product(jnp.asarray(b))))
    assert found.dtype == np.result_type(dtype, np.float64)
    exact = (np.log(a.astype(found.dtype)) - np.log(b.astype(found.dtype))).sum(axis=1)
    np.testing.assert_allclose(np.exp(1j * found.imag), np.exp(1j * exact.imag), atol=1e-10)
    np.testing.assert_allclose(found.real, exact.real, rtol=1e-12, atol=1e-10)


def test_zero_infinity_and_nan_pass_through_a_scaled_product():
    one = scaled_product(jnp.ones((4, 20)))
    other = scaled_product(jnp.ones((4, 20)).at[0, 7].set(0.0).at[1, 7].set(jnp.inf).at[2, 7].set(jnp.nan))
    np.testing.assert_array_equal(log_quotient(other, one), [-np.inf, np.inf, np.nan, 0.0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(0,), (1,), (20,), (3, 67), (2, 3, 400)])
def test_sum_log_cosh(shape, dtype):
    """From the smallest angles to the largest, with derivatives."""
    rng, eps = np.random.default_rng(len(shape)), np.finfo(dtype).eps
    x = (rng.normal(size=shape) * 10.0 ** rng.uniform(-8, 3, shape)).astype(dtype)
    found = sum_log_cosh(jnp.asarray(x))
    assert (found.dtype, found.shape) == (dtype, shape[:-1])
    exact = precise_log_cosh(x).sum(axis=-1).astype(float)
    np.testing.assert_allclose(found, exact, rtol=8 * eps, atol=shape[-1] * eps)
    slopes = jax.grad(lambda x: jnp.sum(sum_log_cosh(x)))(jnp.asarray(x))
    np.testing.assert_allclose(slopes, np.tanh(x), rtol=8 * eps)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_sum_log_cosh_of_complex_numbers(dtype):
    """The imaginary part is modulo 2 pi; angles are far from the zeros of the function, or large."""
    rng, eps = np.random.default_rng(0), np.finfo(dtype).eps
    z = rng.uniform(0.3, 2, (6, 50)) * 10.0 ** rng.uniform(0, 2, (6, 1)) + 1j * rng.normal(size=(6, 50))
    z[0] = 0.3 + 1.2j
    z = jnp.asarray(np.where(rng.random(z.shape) < 0.5, z, -z).astype(dtype))
    found, plain = np.asarray(sum_log_cosh(z)), np.asarray(jnp.sum(log_cosh(z.astype(complex)), axis=-1))
    assert (found.dtype, found.shape) == (dtype, (6,))
    np.testing.assert_allclose(found.real, plain.real, rtol=50 * eps)
    np.testing.assert_allclose(np.exp(1j * found.imag), np.exp(1j * plain.imag), atol=200 * eps)
    assert np.abs(found.imag - plain.imag).max() > 6  # or it would not matter
    slopes = jax.grad(lambda z: jnp.sum(sum_log_cosh(z)), holomorphic=True)(z)
    np.testing.assert_allclose(slopes, np.tanh(z), rtol=20 * eps)


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


@pytest.mark.parametrize(
    "n_changed", [3, MAX_GATHERED, MAX_GATHERED + 1, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 20))]
)
def test_linear_change(n_changed):
    rng = np.random.default_rng(n_changed)
    kernel, delta = rng.normal(size=(20, 6)), rng.integers(-4, 5, (5, n_changed))
    sites = rng.permuted(np.tile(np.arange(20), (5, 1)), axis=1)[:, :n_changed]
    found = linear_change(jnp.asarray(kernel), jnp.asarray(sites), jnp.asarray(delta, jnp.int32))
    np.testing.assert_allclose(found, np.einsum("bj,bjh->bh", delta, kernel[sites]), atol=1e-13)


# --- the formula with tables -----------------------------------------------------------------------------------------


EVALUATED = 0.123
"""The angle of all units where log cosh is evaluated: angles are then made again from `sigma` and the bias."""


def ratio(kernel, theta, sites, delta, spacing):
    """The change of hidden units that are said to have these angles."""
    kernel, theta = jnp.asarray(kernel), jnp.asarray(theta)
    layer = HiddenLayer(kernel, jnp.full(theta.shape[1], EVALUATED, theta.dtype), spacing)
    sigma = jnp.zeros((len(theta), len(kernel)), jnp.int8)
    hidden = hidden_spins(theta)
    values = jnp.asarray(delta).astype(jnp.int8)
    return jax.jit(lambda *x: try_change(layer, *x)[0])(sigma, hidden, jnp.asarray(sites), values)


def exact_ratio(angle, d, n_units=1):
    return n_units * (precise_log_cosh(angle + d) - precise_log_cosh(angle)).astype(float)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_table_is_as_good_as_its_terms(dtype):
    """Up to the largest change and the largest angle, where tanh is one to rounding."""
    eps, limit = np.finfo(dtype).eps, largest_angle(jnp.dtype(dtype))
    kernel = np.asarray([[1e-3], [0.05], [0.3]], dtype) * np.asarray(limit / 2, dtype)
    angles = np.asarray([0, 0.4, -0.4, 3, -3, 20, -20, 0.69 * limit, -0.69 * limit], dtype)
    theta, sites, delta = (x.reshape(-1, 1) for x in np.meshgrid(angles, np.arange(3), np.int32([2, -2])))
    d = delta * np.longdouble(kernel[sites[:, 0]])
    exact = precise_log_cosh(theta + d) - precise_log_cosh(theta)
    found = ratio(kernel, theta, sites, delta, (2,))
    error = np.abs(np.asarray(found) - exact[:, 0]).astype(float)
    np.testing.assert_array_less(error, 8 * eps * np.maximum(1, np.abs(d[:, 0])).astype(float))


@pytest.mark.parametrize("dtype", ["float32", "complex64", "float64", "complex128"])
def test_blocks_stay_within_the_number_range(dtype):
    """All hidden units at the largest angle, or there after the change."""
    limit = largest_angle(jnp.dtype(dtype))
    assert limit > (34 if dtype == "complex64" else 40)
    weight = 0.49 * limit
    angles, delta = np.array([[-0.99], [-0.02], [0.0], [0.02], [0.99]]) * limit, np.int32([[2], [2], [-2], [-2], [-2]])
    found = ratio(np.full((1, 64), weight, dtype), np.tile(angles, (1, 64)).astype(dtype), 0 * delta, delta, (2,))
    np.testing.assert_allclose(found, exact_ratio(angles[:, 0], delta[:, 0] * weight, 64), rtol=1e-5)


@pytest.mark.parametrize(
    ("delta", "spacing", "scale", "tabulated"),
    [
        ([2], (2,), 0.99, True),
        ([2], (2,), 1.01, False),
        ([-2, 0], (2,), 0.99, True),
        ([-2, 0], (2,), 1.01, False),
        ([-1, 4], (1, 4), 0.49, True),
        ([-1, 4], (1, 4), 0.51, False),
        ([4], (2,), 0.01, False),
    ],
)
def test_which_formula_is_used(delta, spacing, scale, tabulated):
    """That with tables if these have the change, and no part of it is too large."""
    weight = scale * (largest_angle(jnp.dtype("float64")) - EVALUATED) / 2
    kernel, theta = np.full((len(delta), 3), weight), 0.2
    found = ratio(kernel, np.full((1, 3), theta), np.arange(len(delta))[None], np.int32([delta]), spacing)
    angle = theta if tabulated else EVALUATED
    np.testing.assert_allclose(found, exact_ratio(angle, weight * sum(delta), 3), rtol=1e-12)


EACH_TYPE = pytest.mark.parametrize("dtype", ["float32", "complex64", "float64", "complex128"])


def complex_log_cosh(angle):
    """For complex angles of any size, in double precision."""
    angle = np.asarray(angle, complex)
    angle = np.where(angle.real < 0, -angle, angle)
    return angle + np.log1p(np.exp(-2 * angle)) - np.log(2)


def assert_same(found, exact, tolerance):
    """Logarithms, whose imaginary part is modulo 2 pi."""
    gap = np.asarray(found, complex) - exact
    np.testing.assert_allclose(gap.real, 0, atol=tolerance * max(1, np.abs(exact).max()))
    np.testing.assert_allclose(np.exp(1j * gap.imag), 1, atol=tolerance)


@EACH_TYPE
@pytest.mark.parametrize("sign", [pytest.param(1, marks=pytest.mark.slow), -1])
def test_angles_that_leave_the_number_range_and_come_back(dtype, sign):
    """Between the sites of a change: what was too small for the number range in between must not be taken for zero."""
    start = np.dtype(dtype).type(EVALUATED)
    steps = sign * largest_angle(jnp.dtype(dtype)) * np.array([0.9, 0.9, -0.9, -0.8])
    steps = steps + 0.03j if "complex" in dtype else steps
    kernel = np.repeat((steps / 2).astype(dtype)[:, None], 3, axis=1)
    found = ratio(kernel, np.full((1, 3), start), np.arange(4)[None], np.full((1, 4), 2, np.int32), (2,))
    end = complex(start) + complex(2 * kernel[:, 0].astype(complex).sum())
    assert_same(found, 3 * (complex_log_cosh(end) - complex_log_cosh(start)), 1e-5)


@pytest.mark.parametrize(
    "dtype", ["float32", "complex128", *(pytest.param(x, marks=pytest.mark.slow) for x in ("complex64", "float64"))]
)
@pytest.mark.parametrize("scale", [pytest.param(0.7, marks=pytest.mark.slow), 0.98, 1.2])
def test_large_angles_are_followed(dtype, scale):
    """Accepted changes to angles that are too large, or nearly so, and back from there."""
    weight = scale * largest_angle(jnp.dtype(dtype)) / 2
    weight = np.asarray(weight + 0.03j if "complex" in dtype else weight, dtype)
    bias = np.asarray(0.2 + 0.1j if "complex" in dtype else 0.2, dtype)
    layer = HiddenLayer(jnp.full((4, 1), weight), jnp.full(1, bias), (2,))
    sigma, yes = jnp.asarray([[0, 0, 0, 0]], jnp.int8), jnp.asarray([True])
    hidden = hidden_spins(layer.angles(sigma))

    def exact(sigma):
        return complex_log_cosh(complex(bias) + complex(weight) * int(sigma.sum()))

    for site, value in ((0, 2), (0, 0), (1, -2), (2, -2), (2, 0), (1, 0)):
        sites, values = jnp.asarray([[site]]), jnp.asarray([[value]], jnp.int8)
        found, trial = try_change(layer, sigma, hidden, sites, values)
        after = apply_change(sigma, sites, values)
        assert_same(found, exact(after) - exact(sigma), 1e-5)
        sigma, hidden = after, commit(layer, hidden, trial, yes)


def test_a_configuration_does_not_depend_on_the_others():
    """One of a batch is out of range, another has a change that is in no table: only these are evaluated."""
    kernel, theta = np.full((3, 3), 0.3), np.array([[0.2], [200.0], [0.2], [0.2]]) * np.ones((1, 3))
    sites, delta = np.int32([[0], [1], [2], [0]]), np.int32([[2], [2], [3], [-2]])
    found = ratio(kernel, theta, sites, delta, (2,))
    np.testing.assert_array_equal(found[::3], ratio(kernel, theta[::3], sites[::3], delta[::3], (2,)))
    np.testing.assert_allclose(found[1:3], exact_ratio(EVALUATED, 0.3 * delta[1:3, 0], 3), rtol=1e-12)


def test_a_change_that_is_in_no_table_is_followed():
    """After one that was accepted, and one that was not, changes that are in the table have the right ratios."""
    rng = np.random.default_rng(0)
    layer = HiddenLayer(jnp.asarray(rng.normal(0, 0.3, (4, 9))), None, (2,))
    sigma = jnp.asarray([[0, 1, 2, 3], [3, 0, 1, 2]], jnp.int8)
    sites, values = jnp.asarray([[1], [2]]), jnp.asarray([[4], [0]], jnp.int8)  # by 3, and by -1
    hidden = hidden_spins(layer.angles(sigma))
    _, trial = try_change(layer, sigma, hidden, sites, values)
    for accepted in ([True, True], [True, False], [False, False]):
        after = apply_change(sigma, sites, values, jnp.asarray(accepted))
        known = jnp.asarray([[0], [0]]), after[:, :1] + jnp.asarray([[2], [-2]], jnp.int8)
        updated = update_hidden_spins(layer, sigma, hidden, sites, values, jnp.asarray(accepted))
        both = commit(layer, hidden, trial, jnp.asarray(accepted)), updated
        found = jnp.stack([try_change(layer, after, one, *known)[0] for one in both])
        fresh = precise_log_cosh(layer.angles(apply_change(after, *known))) - precise_log_cosh(layer.angles(after))
        np.testing.assert_allclose(found, np.tile(fresh.sum(axis=1).astype(float), (2, 1)), rtol=1e-10)


@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "complex64"])
@pytest.mark.parametrize("size", [pytest.param(0.3, marks=pytest.mark.slow), 3.0, 9.0])
def test_where_there_is_no_double_precision(dtype, size):
    """Blocks of factors are smaller numbers then, and angles that are too large for them are evaluated."""
    rng = np.random.default_rng(1)
    with jax.enable_x64(False):
        assert largest_angle(jnp.dtype(dtype)) < 6
        kernel, bias = size * rng.normal(size=(4, 11)), rng.normal(size=11)
        if dtype == "complex64":
            kernel = kernel + 0.1j * rng.normal(size=kernel.shape)
        layer = HiddenLayer(jnp.asarray(kernel, dtype), jnp.asarray(bias, dtype), (2,))
        sigma = jnp.asarray(rng.choice([-1, 1], (5, 4)), jnp.int8)
        hidden, yes = hidden_spins(layer.angles(sigma)), jnp.ones(5, bool)
        for site in (0, 2, 0, 3):
            sites = jnp.full((5, 1), site)
            found, trial = try_change(layer, sigma, hidden, sites, -sigma[:, site : site + 1])
            before = complex_log_cosh(np.asarray(sigma) @ np.asarray(layer.kernel, complex) + np.asarray(layer.bias))
            sigma, hidden = sigma.at[:, site].multiply(-1), commit(layer, hidden, trial, yes)
            after = complex_log_cosh(np.asarray(sigma) @ np.asarray(layer.kernel, complex) + np.asarray(layer.bias))
            assert found.dtype == dtype
            assert_same(found, (after - before).sum(axis=1), 2e-5)
