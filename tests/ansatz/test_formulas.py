# SPDX-License-Identifier: Apache-2.0
"""Each ansatz against its formula, written out with loops over scalars."""

import cmath
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody.ansatz import MLP, RBM, Jastrow, MeanField

SIGMA = np.int8([[1, -1, 1, 1], [-1, -1, 1, -1], [2, 0, -2, 2], [0, 1, 1, 0]])
DTYPES = pytest.mark.parametrize("dtype", [jnp.float64, jnp.complex128])


def initialise(ansatz):
    """Random parameters of order one, whatever the initialisers say; and log psi."""
    leaves, tree = jax.tree.flatten(jax.eval_shape(ansatz.init, jax.random.key(0), SIGMA))
    rng = np.random.default_rng(1)
    leaves = [(rng.normal(size=x.shape) * (1 + 0.5j if x.dtype == complex else 1)).astype(x.dtype) for x in leaves]
    variables = jax.tree.unflatten(tree, leaves)
    return variables["params"], jax.jit(ansatz.apply)(variables, SIGMA)


def mean_field(visible, sigma):
    return sum(visible["kernel"][i, 0] * int(sigma[i]) for i in range(len(sigma)))


def rbm(hidden, visible, sigma):
    total = mean_field(visible, sigma) if visible else 0.0
    for j in range(hidden["kernel"].shape[1]):
        theta = hidden["bias"][j] if "bias" in hidden else 0.0
        for i in range(len(sigma)):
            theta += int(sigma[i]) * hidden["kernel"][i, j]
        total += cmath.log(cmath.cosh(theta))
    return total


def assert_logs(found, expected):
    np.testing.assert_allclose(np.exp(found), np.exp(expected), rtol=1e-12)


@DTYPES
def test_mean_field(dtype):
    params, log_psi = initialise(MeanField(param_dtype=dtype))
    assert_logs(log_psi, [mean_field(params["field"], sigma) for sigma in SIGMA])


@DTYPES
@pytest.mark.parametrize("bias", [True, False])
def test_jastrow(dtype, bias):
    params, log_psi = initialise(Jastrow(param_dtype=dtype, use_visible_bias=bias))
    assert set(params) == ({"couplings", "visible"} if bias else {"couplings"})
    expected = []
    for sigma in SIGMA:
        total, pair = mean_field(params["visible"], sigma) if bias else 0.0, 0
        for i in range(4):
            for j in range(i + 1, 4):
                total += params["couplings"]["kernel"][pair] * int(sigma[i]) * int(sigma[j])
                pair += 1
        assert pair == len(params["couplings"]["kernel"])
        expected.append(total)
    assert_logs(log_psi, expected)


@DTYPES
@pytest.mark.parametrize("visible", [True, False])
@pytest.mark.parametrize("hidden", [True, False])
def test_rbm(dtype, visible, hidden):
    params, log_psi = initialise(RBM(alpha=1.5, use_visible_bias=visible, use_hidden_bias=hidden, param_dtype=dtype))
    assert params["hidden"]["kernel"].shape == (4, 6)
    assert ("bias" in params["hidden"]) == hidden
    assert ("visible" in params) == visible
    assert_logs(log_psi, [rbm(params["hidden"], params.get("visible"), sigma) for sigma in SIGMA])


def test_rbm_of_modulus_and_phase():
    params, log_psi = initialise(RBM(alpha=2, separate_phase=True))
    assert_logs(
        log_psi,
        [
            rbm(params["hidden"], params["visible"], sigma)
            + 1j * rbm(params["phase_hidden"], params["phase_visible"], sigma).real
            for sigma in SIGMA
        ],
    )


@pytest.mark.parametrize("phase", [True, False])
def test_mlp(phase):
    params, log_psi = initialise(MLP(hidden=(5, 3), activation=jnp.tanh, separate_phase=phase))
    expected = []
    for sigma in SIGMA:
        h = [int(s) for s in sigma]
        for layer in ("layers_0", "layers_1"):
            kernel, bias = params[layer]["kernel"], params[layer]["bias"]
            h = [math.tanh(bias[k] + sum(h[i] * kernel[i, k] for i in range(len(h)))) for k in range(len(bias))]
        w = params["output"]["kernel"]
        assert w.shape == (3, 2 if phase else 1)
        total = sum(h[i] * w[i, 0] for i in range(3))
        expected.append(total + 1j * sum(h[i] * w[i, 1] for i in range(3)) if phase else total)
    assert_logs(log_psi, expected)


def test_one_site():
    sigma = np.int8([[1], [-1]])
    for ansatz in (MeanField(), Jastrow(), RBM(alpha=0.1), MLP(hidden=(2,))):
        log_psi, _ = jax.jit(ansatz.init_with_output)(jax.random.key(0), sigma)
        assert log_psi.shape == (2,)
        assert np.isfinite(log_psi).all()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: MeanField(param_dtype=jnp.int32), TypeError, "`param_dtype` must be a floating-point type"),
        (lambda: Jastrow(param_dtype=bool), TypeError, "`param_dtype` must be a floating-point type"),
        (lambda: RBM(alpha=0), ValueError, "`alpha` must satisfy alpha > 0, got 0"),
        (lambda: RBM(spacing=0), ValueError, "`spacing` must satisfy 1 <= spacing, got 0"),
        (lambda: RBM(spacing=[1, 2]), TypeError, "`spacing` must be an integer"),
        (
            lambda: RBM(separate_phase=True, param_dtype=complex),
            ValueError,
            "`separate_phase` must be False for complex",
        ),
        (
            lambda: MLP(separate_phase=True, param_dtype=complex),
            ValueError,
            "`separate_phase` must be False for complex",
        ),
        (lambda: MLP(hidden=()), ValueError, "`hidden` must name at least one width"),
        (lambda: MLP(hidden=(4, 0)), ValueError, "`hidden` must satisfy 1 <= hidden, got 0"),
        (lambda: MLP(hidden=[4]), TypeError, "`hidden` must be a tuple"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
