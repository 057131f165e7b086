# SPDX-License-Identifier: Apache-2.0
"""Records come to the host as they were."""

import jax
import jax.numpy as jnp
import numpy as np

from manybody.driver.packed import pack, unpack

TREE = {
    "mean": jnp.complex128(1 / 3 - 2j / 7),
    "rates": (jnp.asarray([[0.1, np.nan], [-np.inf, 1e-300]]), jnp.asarray([0.1], jnp.float32)),
    "good": jnp.asarray([True, False, True]),
    "n": jnp.int32(-(2**31)),
    "large": jnp.asarray([2**62 + 1, -1]),
    "none": {},
    "empty": jnp.zeros((0, 3)),
}


def same(found, wanted):
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(a, b)


def test_a_tree_comes_back():
    packed = jax.jit(pack)(TREE)
    assert len(jax.tree.leaves(packed)) == 1
    same(unpack(jax.device_get(packed)), TREE)


def test_several_at_once():
    """Leading axes, as those of a program that makes several steps, are kept."""
    factors = jnp.arange(3)
    every = jax.jit(jax.vmap(lambda i: pack(jax.tree.map(lambda x: x * i.astype(x.dtype), TREE))))(factors)
    same(unpack(every), jax.vmap(lambda i: jax.tree.map(lambda x: x * i.astype(x.dtype), TREE))(factors))
