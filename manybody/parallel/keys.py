# SPDX-License-Identifier: Apache-2.0
"""Typed random keys as the integers that can be sent and stored."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


def is_key(x: Any) -> bool:
    """Whether `x` is an array of typed keys."""
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def key_data(x: Any) -> Any:
    """`x`, or its integers if it is an array of keys."""
    return jax.random.key_data(x) if is_key(x) else x


def like_key(data: Any, like: Any) -> Any:
    """The inverse of `key_data`: `data` as keys if `like` is an array of keys."""
    return jax.random.wrap_key_data(jnp.asarray(data), impl=jax.random.key_impl(like)) if is_key(like) else data
