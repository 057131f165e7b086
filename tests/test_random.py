# SPDX-License-Identifier: Apache-2.0
"""The generator with its rounds written out makes the numbers of JAX's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody._random import successors, written_out
from manybody.parallel import Comm

USES = {
    "split": lambda key: jax.random.key_data(jax.random.split(key, (3, 2))),
    "fold_in": lambda key: jax.random.key_data(jax.random.fold_in(key, 2**31 + 5)),
    "uniform": lambda key: jax.random.uniform(key, (5, 3)),
    "bits of 8": lambda key: jax.random.bits(key, (7,), jnp.uint8),
    "bits of 16": lambda key: jax.random.bits(key, (7,), jnp.uint16),
    "bits of 64": lambda key: jax.random.bits(key, (7,), jnp.uint64),
    "permutation": lambda key: jax.random.permutation(key, 20),
    "many keys": lambda key: jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(key, i), (3,)))(jnp.arange(4)),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("x64", [True, False])
def test_numbers_are_the_same(use, x64):
    if use == "bits of 64" and not x64:
        pytest.skip("there are no such integers")
    with jax.enable_x64(x64):
        key = jax.random.key(2**40 + 17 if x64 else 2**31 + 17)
        np.testing.assert_array_equal(jax.jit(USES[use])(written_out(key)), USES[use](key))


def test_successors_are_those_of_split():
    key = jax.random.key(3)
    now, later = jax.jit(successors)(key)
    first, second = jax.random.split(key)
    np.testing.assert_array_equal(jax.random.key_data(now), jax.random.key_data(first))
    np.testing.assert_array_equal(jax.random.key_data(later), jax.random.key_data(second))
    assert later.dtype == key.dtype


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="elsewhere JAX makes no loop, and keys stay what they are")
def test_no_loop_is_left():
    def text(key):
        return jax.jit(lambda key: jax.random.uniform(key, (8,))).lower(key).as_text()

    key = jax.random.key(0)
    assert "while" in text(key), "JAX has changed its generator: this module may no longer be needed"
    assert "while" not in text(written_out(key))


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="what is put into one kernel differs")
def test_keys_of_chains_are_one_hash_in_a_kernel():
    """XLA would put the hash that makes their common key into it as well: then LLVM takes a second for the kernel."""

    def keys(key):
        return jax.random.key_data(Comm().chain_keys(successors(key)[0], 1024))

    kernels = jax.jit(keys).lower(jax.random.key(0)).compile().as_text().split("\n\n")
    rounds = [kernel.count(" xor(") for kernel in kernels]
    assert 20 <= max(rounds) < 40


def test_other_generators_stay_what_they_are():
    key = jax.random.key(0, impl="rbg")
    assert written_out(key) is key
    with jax.threefry_partitionable(False):
        key = jax.random.key(0)
        assert written_out(key) is key
