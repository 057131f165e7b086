# SPDX-License-Identifier: Apache-2.0
"""Functions and initialisers that several ansatzes share."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from manybody import _checks
from manybody._precision import widen
from manybody._types import Array, Inexact
from manybody.ansatz._scaled_product import log_product

Initializer = Callable[[Any, tuple[int, ...], Any], Array]
"""(key, shape, dtype) -> array, as in `jax.nn.initializers`."""


@jax.custom_jvp
def log_cosh(x: Inexact[Array, "*shape"]) -> Inexact[Array, "*shape"]:
    """log cosh(x) without overflow: |x| + log(1 + exp(-2 |x|)) - log 2, with -x for x where Re x < 0."""
    y = _right_half(x)
    return y + jnp.log1p(jnp.exp(-2 * y)) - math.log(2.0)


@log_cosh.defjvp
def _log_cosh_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # The derivative of the formula above is as good in first order, but at x = 0 it has no second one.
    (x,), (dx,) = primals, tangents
    return log_cosh(x), jnp.tanh(x) * dx


@jax.custom_jvp
def sum_log_cosh(x: Inexact[Array, "*shape n"]) -> Inexact[Array, "*shape"]:
    """The sum of log cosh(x) along the last axis, with one logarithm for many terms; imaginary part modulo 2 pi."""
    y, n = _right_half(x), x.shape[-1]
    factors = 1 + widen(jnp.exp(-2 * y))
    logs = log_product(factors.reshape(math.prod(x.shape[:-1]), n)).reshape(x.shape[:-1])
    return jnp.sum(y, axis=-1) + (logs - n * math.log(2.0)).astype(x.dtype)


@sum_log_cosh.defjvp
def _sum_log_cosh_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    return sum_log_cosh(x), jnp.sum(jnp.tanh(x) * dx, axis=-1)


def _right_half(x: Inexact[Array, "*shape"]) -> Inexact[Array, "*shape"]:
    """x or -x, whichever has no negative real part."""
    return jnp.where(x.real < 0, -x, x)


@functools.cache  # the same function for the same scale, so that ansatzes compare equal
def scaled_normal(scale: float = 1.0) -> Initializer:
    """Normal numbers whose sum of squares is about `scale`^2, however many there are.

    A sum of these parameters with signs, and a sum of log cosh of such sums, is then of order one at any size.
    """

    def init(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float64) -> Array:
        stddev = scale / math.sqrt(max(1, math.prod(shape)))
        return jax.nn.initializers.normal(stddev)(key, shape, dtype)

    return init


def at_all_places(
    matrix: Inexact[Array, "n_out n_in"], x: Inexact[Array, "places n_in batch"]
) -> Inexact[Array, "places n_out batch"]:
    """A matrix applied to the features of each place, as they lie in memory.

    Of a single configuration, for which the places are the rows of one product, derivatives are smaller in between.
    """
    if x.shape[2] == 1:
        return (x[:, :, 0] @ matrix.T)[:, :, None]
    return jnp.broadcast_to(matrix[None], (len(x), *matrix.shape)) @ x


def working_dtype(param_dtype: Any) -> jnp.dtype:
    """The type that parameters have and computations are made in (single precision where 64-bit mode is off)."""
    return jax.dtypes.canonicalize_dtype(param_dtype)


def check_dtype(param_dtype: Any) -> None:
    """Raise `TypeError` unless `param_dtype` is a real or complex floating-point type."""
    if not jnp.issubdtype(param_dtype, jnp.inexact):
        raise TypeError(_checks.requirement("param_dtype", "be a floating-point type, real or complex", param_dtype))


def check_real_dtype(param_dtype: Any) -> None:
    """Raise `TypeError` unless `param_dtype` is a real floating-point type."""
    if not jnp.issubdtype(param_dtype, jnp.floating):
        raise TypeError(_checks.requirement("param_dtype", "be a real floating-point type", param_dtype))
