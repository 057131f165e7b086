# SPDX-License-Identifier: Apache-2.0
"""Scalar products of many vectors against NumPy: whatever the type, in double precision, and by blocks and strips."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody import _flops, linalg
from manybody.linalg import products
from manybody.parallel import REPLICATED, SHARD, Comm, mesh_comm

SHAPES = {"small": (7, 4), "wide": (30, 515), "blocks": (1151, 9), "both": (1151, 515)}
"""Lengths and numbers of vectors: results that are made at once, from several blocks, and strip by strip."""


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(products, "_NEAR", 2**10)


def vectors(shape, dtype, seed=5):
    """With a large mean, of which sums in single precision lose digits."""
    rng = np.random.default_rng(seed)
    x = 1 + rng.normal(size=shape)
    return (x if np.issubdtype(dtype, np.floating) else x + 1j * rng.normal(size=shape)).astype(dtype)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_products(shape, dtype, axis):
    x = vectors(shape, dtype)
    wide = x.astype(np.result_type(dtype, np.float64))
    found = jax.jit(linalg.gram, static_argnums=(0, 2))(Comm(), x if axis == 0 else x.T, axis)
    assert found.dtype == wide.dtype
    right = wide.conj().T @ wide
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-13 * np.abs(right).max())


def test_workers_have_vectors_of_their_own():
    x, comm = vectors((2400, 5), np.float32), mesh_comm(jax.devices()[:2])
    run = comm.spmd(lambda own: comm.psum(linalg.gram(comm, own)), (SHARD,), REPLICATED)
    wide = x.astype(float)
    np.testing.assert_allclose(run(comm.scatter(x)), wide.T @ wide, rtol=1e-12)


def test_no_copy_of_all_vectors_in_double_precision():
    x = jax.ShapeDtypeStruct((256, 2**14), jnp.float32)
    plan = jax.jit(linalg.gram, static_argnums=(0, 2)).lower(Comm(), x, 1).compile().memory_analysis()
    assert plan.temp_size_in_bytes < x.size * 8 / 4


@pytest.mark.parametrize("n", [64, 511, 512, 1000])
def test_share_of_the_products_that_are_made(n):
    length = 1100  # several blocks
    made = _flops.count(lambda x: products._symmetric(Comm(), x, 1), jax.ShapeDtypeStruct((n, length), float))
    assert sum(made.values()) == pytest.approx(2 * length * linalg.gram_share(n) * n**2, rel=0.02)
    assert linalg.gram_share(n) == 1 if n < 512 else linalg.gram_share(n) == pytest.approx(5 / 8, rel=0.01)
