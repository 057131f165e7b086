# SPDX-License-Identifier: Apache-2.0
r"""From the features of a deep network to log psi.

The features y of all places (cells, patches, sites) are added up, z = sum_i y_i, so that permutations of the places
leave psi as it is, and log psi grows with the system as it should. With n places and F features, by `output`:

* ``"real"``: log psi = w.z, positive psi.
* ``"phase"``: log psi = w.z + i v.z.
* ``"signed"``: real psi of either sign, a difference of two sums of exponentials,
  psi = 1/F sum_f exp(W z)_f - 1/(e F) sum_f exp(V z)_f. At first it is positive mostly. The imaginary part of
  log psi is 0 or pi; log psi is -inf where the sums agree to the last digit.
* ``"log_cosh"``: log psi = sum_f log cosh(W z + b)_f, with complex W and b, also on top of a real network. (Viteritti,
  Rende, Becca (2023), arXiv:2211.05504.) The only one that is holomorphic.
"""

from __future__ import annotations

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from manybody import _checks
from manybody._types import Array, Inexact
from manybody.ansatz._numerics import Initializer, sum_log_cosh, working_dtype

OUTPUTS = ("real", "phase", "signed", "log_cosh")

GELU_SLOPE = math.sqrt(2 / math.pi)


def reim_gelu(x: Inexact[Array, "*shape"]) -> Inexact[Array, "*shape"]:
    """GELU (Hendrycks, Gimpel (2016), arXiv:1606.08415), of real and imaginary part apart."""
    return jax.lax.complex(_gelu(x.real), _gelu(x.imag)) if jnp.iscomplexobj(x) else _gelu(x)


def _gelu(x: Array) -> Array:
    # As jax.nn.gelu, with fewer operations: of all functions of this kind tanh is the fastest on processors.
    half = 0.5 * x
    return half + half * jnp.tanh(x * (GELU_SLOPE + GELU_SLOPE * 0.044715 * (x * x)))


def check_output(output: str, param_dtype: Any) -> None:
    """Raise `ValueError` unless there is such an output for parameters of this type."""
    _checks.choice(output, OUTPUTS, "output")
    fits = output == "log_cosh" or not jnp.issubdtype(param_dtype, jnp.complexfloating)
    _checks.require(fits, "output", "be 'log_cosh' for complex weights", repr(output))


class Head(nn.Module):
    """log psi of the features of all places (see the module).

    Args:
        output: one of `OUTPUTS`.
        param_dtype: type of the parameters.
        kernel_init: initialiser of the weights, which are then made smaller: as the root of the number of places, and
            for "log_cosh" as that of the number of features as well, so that log psi is of order one.
        bias_init: initialiser of b, real and imaginary parts in a row.
    """

    output: str
    param_dtype: Any
    kernel_init: Initializer
    bias_init: Initializer

    @nn.compact
    def __call__(self, z: Inexact[Array, "batch features"], n_places: int) -> Inexact[Array, " batch"]:
        n_features = z.shape[1]
        dtype = working_dtype(self.param_dtype)
        spread = math.sqrt(n_places * (2 * n_features if self.output == "log_cosh" else 4))
        shape = n_features, self._n_numbers(n_features)
        u = z @ self.param("kernel", lambda *args: self.kernel_init(*args) / spread, shape, dtype)  # (batch, numbers)
        if self.output == "real":
            return u[:, 0]
        if self.output == "phase":
            return _in_pairs(u)[:, 0]
        if self.output == "signed":
            plus, minus = jnp.split(u, 2, axis=1)
            return log_difference(plus, minus - 1)
        theta = u + self.param("bias", self.bias_init, shape[1:], dtype)[None]
        return sum_log_cosh(theta if jnp.iscomplexobj(theta) else _in_pairs(theta))

    def _n_numbers(self, n_features: int) -> int:
        """How many numbers the output is made of."""
        both = 1 if jnp.issubdtype(self.param_dtype, jnp.complexfloating) else 2  # real and imaginary parts
        return {"real": 1, "phase": 2, "signed": 2 * n_features, "log_cosh": both * n_features}[self.output]


def _in_pairs(u: Inexact[Array, "batch numbers"]) -> Inexact[Array, "batch pairs"]:
    """Complex numbers, of which the first half are the real parts."""
    return jax.lax.complex(*jnp.split(u, 2, axis=1))


def log_difference(
    plus: Inexact[Array, "batch terms"], minus: Inexact[Array, "batch terms"]
) -> Inexact[Array, " batch"]:
    """log of the mean of exp(plus) - exp(minus), with imaginary part pi where it is negative."""
    top = jax.lax.stop_gradient(jnp.maximum(jnp.max(plus, axis=1), jnp.max(minus, axis=1)))
    rest = jnp.mean(jnp.exp(plus - top[:, None]) - jnp.exp(minus - top[:, None]), axis=1)
    modulus = jnp.log(jnp.abs(rest)) + top
    return jax.lax.complex(modulus, jnp.where(rest < 0, jnp.asarray(math.pi, rest.dtype), jnp.zeros_like(rest)))
