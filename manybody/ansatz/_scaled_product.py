# SPDX-License-Identifier: Apache-2.0
"""Products of many factors as a mantissa and an exponent: no overflow, and one logarithm in the place of hundreds.

Factors are multiplied by blocks in double precision, and of each block the power of two is split off.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable

import jax
import jax.numpy as jnp

from manybody._precision import widen
from manybody._struct import dataclass
from manybody._types import Array, Float, Inexact, Int, Num

BLOCK = 8
"""Factors multiplied before the power of two is split off."""


@dataclass
class ScaledProduct:
    """A product: that of the mantissas, times 2^exponent.

    Attributes:
        mantissa: of groups of factors, in double precision.
        exponent: of all of them.
    """

    mantissa: Inexact[Array, "batch groups"]
    exponent: Int[Array, "batch"]


def scaled_product(factors: Inexact[Array, "batch n"]) -> ScaledProduct:
    """The product along the last axis, of factors within the eighth root of the range of double precision.

    If a factor is zero, infinite or nan, so is a mantissa.
    """
    blocks = _blocks(widen(factors))  # (batch, about n / 8)
    size = larger_part(blocks)
    exponent, scale = _power_of_two(size)
    mantissa = blocks * scale.astype(blocks.dtype)
    in_group = jnp.finfo(size.dtype).maxexp // 3  # mantissas lie between 1 and 2 sqrt(2)
    groups = _reduced(jnp.prod, operator.mul, _grouped(mantissa, in_group))
    return ScaledProduct(groups, _reduced(jnp.sum, operator.add, exponent))


def larger_part(x: Inexact[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The size of a positive number, or of a complex one to a factor of sqrt(2), and without its square root."""
    return jnp.maximum(jnp.abs(x.real), jnp.abs(x.imag)) if jnp.iscomplexobj(x) else x


def log_quotient(a: ScaledProduct, b: ScaledProduct) -> Inexact[Array, "batch"]:
    """log(a / b), the imaginary part modulo 2 pi; the powers of two cancel exactly."""
    return _log(a.mantissa / b.mantissa, a.exponent - b.exponent)


def log_product(factors: Inexact[Array, "batch n"]) -> Inexact[Array, "batch"]:
    """The logarithm of the product along the last axis, as `scaled_product` makes it; imaginary part modulo 2 pi."""
    product = scaled_product(factors)
    return _log(product.mantissa, product.exponent)


def _log(mantissa: Inexact[Array, "batch groups"], exponent: Int[Array, "batch"]) -> Inexact[Array, "batch"]:
    logs = _reduced(jnp.sum, operator.add, jnp.log(mantissa))
    return logs + exponent.astype(logs.dtype) * math.log(2.0)


def _blocks(x: Inexact[Array, "batch n"]) -> Inexact[Array, "batch blocks"]:
    """Products of at most `BLOCK` factors; of equally many if possible, since XLA is slow to fill up with ones."""
    n = x.shape[1]
    even = next((size for size in range(BLOCK, BLOCK // 2 - 1, -1) if n % size == 0), None)
    size = even or BLOCK
    whole = n - n % size
    blocks = jnp.prod(x[:, :whole].reshape(x.shape[0], size, whole // size), axis=1)
    return blocks if whole == n else jnp.concatenate([blocks, jnp.prod(x[:, whole:], axis=1, keepdims=True)], axis=1)


def _reduced(many: Callable, two: Callable, x: Num[Array, "batch n *groups"]) -> Num[Array, "batch *groups"]:
    """The sum or product along the second axis; of a few terms one by one, which XLA fuses with what comes next."""
    if 0 < x.shape[1] <= BLOCK:
        return functools.reduce(two, [x[:, i] for i in range(x.shape[1])])
    return many(x, axis=1)


def _power_of_two(x: Float[Array, "*shape"]) -> tuple[Int[Array, "*shape"], Float[Array, "*shape"]]:
    """e and 2^-e where 2^e <= |x| < 2^(e + 1), from the bits; what is 0 or infinite stays so when multiplied by it.

    (`jnp.frexp` and `jnp.ldexp` treat subnormal numbers, too, which takes longer than all the rest.)
    """
    info = jnp.finfo(x.dtype)
    bias, word = info.maxexp - 1, {32: jnp.int32, 64: jnp.int64}[info.bits]
    biased = (jax.lax.bitcast_convert_type(x, word) >> info.nmant) & (2 * bias + 1)
    biased = jnp.minimum(biased, 2 * bias - 1)
    return (biased - bias).astype(jnp.int32), jax.lax.bitcast_convert_type((2 * bias - biased) << info.nmant, x.dtype)


def _grouped(x: Inexact[Array, "batch n"], size: int) -> Inexact[Array, "batch size groups"]:
    """Groups of so many along the second axis, filled up with ones; all in one group if there are fewer."""
    size = max(1, min(size, x.shape[1]))
    missing = -x.shape[1] % size
    x = jnp.pad(x, ((0, 0), (0, missing)), constant_values=1) if missing else x
    return x.reshape(x.shape[0], size, -1)
