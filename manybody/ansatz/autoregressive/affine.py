# SPDX-License-Identifier: Apache-2.0
"""Affine functions whose weights are plain arrays: unlike modules of Flax, they may be called inside loops of JAX."""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from manybody._types import Array, Float
from manybody.ansatz._numerics import Initializer


class Affine(NamedTuple):
    """x -> x W + b."""

    kernel: Float[Array, "in out"]
    bias: Float[Array, "out"]

    def __call__(self, x: Float[Array, "*shape in"]) -> Float[Array, "*shape out"]:
        return x @ self.kernel + _aligned(self.bias, x)


class Normalisation(NamedTuple):
    """x -> s (x - mean) / sqrt(variance + epsilon) + b, with mean and variance over the last axis."""

    scale: Float[Array, "width"]
    bias: Float[Array, "width"]

    def __call__(self, x: Float[Array, "*shape width"]) -> Float[Array, "*shape width"]:
        x = x - jnp.mean(x, axis=-1, keepdims=True)
        x = x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-6)
        return x * _aligned(self.scale, x) + _aligned(self.bias, x)


def affine(module: nn.Module, name: str, n_in: int, n_out: int, kernel_init: Initializer, dtype: jnp.dtype) -> Affine:
    """One with parameters of the module, whose bias starts at 0."""
    kernel = module.param(f"{name}_kernel", kernel_init, (n_in, n_out), dtype)
    return Affine(kernel, module.param(f"{name}_bias", nn.initializers.zeros, (n_out,), dtype))


def normalisation(module: nn.Module, name: str, width: int, dtype: jnp.dtype) -> Normalisation:
    """One with parameters of the module, which starts with scale 1 and bias 0."""
    scale = module.param(f"{name}_scale", nn.initializers.ones, (width,), dtype)
    return Normalisation(scale, module.param(f"{name}_bias", nn.initializers.zeros, (width,), dtype))


def _aligned(x: Float[Array, "width"], like: Array) -> Float[Array, "..."]:
    return x.reshape((1,) * (like.ndim - 1) + (-1,))
