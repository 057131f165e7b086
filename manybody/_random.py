# SPDX-License-Identifier: Apache-2.0
"""The generator of JAX's keys, threefry, with its rounds written out: the same numbers, faster on CPUs.

JAX makes its twenty rounds a loop there, whose turns take XLA longer to start than the numbers of a few chains take to
compute; and XLA cannot fuse a loop with what the numbers are for.
"""

from __future__ import annotations

import math

import jax
import jax.extend.random
import jax.numpy as jnp

from manybody._types import Array, PRNGKey, UInt

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA


def successors(key: PRNGKey) -> tuple[PRNGKey, PRNGKey]:
    """`jax.random.split(key)`, of which the first is for use now, and the second to be kept."""
    now, later = jax.random.split(written_out(key))
    return now, jax.random.wrap_key_data(jax.random.key_data(later), impl=jax.random.key_impl(key))


def written_out(key: PRNGKey) -> PRNGKey:
    """A key from which `jax.random` makes the same numbers as from `key`; on devices other than CPUs, `key` itself.

    Keys of other generators stay what they are, and so do all keys if JAX is told to number the bits of an array in
    the way that it did before (`jax_threefry_partitionable`).
    """
    is_default = str(jax.random.key_impl(key)) == "threefry2x32" and jax.threefry_partitionable.value
    if not (is_default and jax.default_backend() == "cpu"):
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=WRITTEN_OUT)


def _threefry(key: UInt[Array, "2"], high: Array, low: Array) -> tuple[Array, Array]:
    """The hash of counters (high, low): Salmon et al. (2011), doi:10.1145/2063384.2063405, Threefry-2x32-20."""
    schedule = (key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(PARITY))
    x, y = high + schedule[0], low + schedule[1]
    for i in range(5):
        for distance in ROTATIONS[i % 2]:
            x = x + y
            y = x ^ (y << distance | y >> (32 - distance))
        x, y = x + schedule[(i + 1) % 3], y + schedule[(i + 2) % 3] + jnp.uint32(i + 1)
    return x, y


def _counters(shape: tuple[int, ...]) -> tuple[Array, Array]:
    n = math.prod(shape)
    if n >= 2**32:
        raise NotImplementedError(f"{n} random numbers of one key: split the key, and draw fewer from each.")
    low = jnp.arange(n, dtype=jnp.uint32).reshape(shape)
    return jnp.zeros_like(low), low


def _seed(seed: Array) -> Array:
    return jax.random.key_data(jax.random.key(seed, impl="threefry2x32"))


def _split(key: Array, shape: tuple[int, ...]) -> Array:
    return jnp.stack(_threefry(key, *_counters(shape)), axis=-1)


def _fold_in(key: Array, data: Array) -> Array:
    low = jnp.asarray(data).astype(jnp.uint32)
    return jnp.stack(_threefry(key, jnp.zeros_like(low), low))


def _random_bits(key: Array, bit_width: int, shape: tuple[int, ...]) -> Array:
    dtype = {8: jnp.uint8, 16: jnp.uint16, 32: jnp.uint32, 64: jnp.uint64}[bit_width]
    x, y = _threefry(key, *_counters(shape))
    if bit_width == 64:
        return x.astype(dtype) << 32 | y.astype(dtype)
    return (x ^ y).astype(dtype)


WRITTEN_OUT = jax.extend.random.define_prng_impl(
    key_shape=(2,),
    seed=_seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="threefry2x32 written out",
)
