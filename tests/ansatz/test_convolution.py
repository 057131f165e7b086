# SPDX-License-Identifier: Apache-2.0
"""Convolutions over products of rings; those over lattices are in `test_resnet`, those over groups in `test_gcnn`."""

import jax
import numpy as np
import pytest

from manybody.ansatz._convolution import on_box
from manybody.lattice.cluster import grid


@pytest.mark.parametrize("shape", [(1,), (2,), (2, 2), (5,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize("is_complex", [False, True], ids=["real", "complex"])
def test_over_a_box(shape, is_complex):
    """Also where all waves are their own opposites, or only one is."""
    rng, n = np.random.default_rng(0), int(np.prod(shape))
    x, kernel = rng.normal(size=(n, 2, 3)), rng.normal(size=(n, 3, 4))
    if is_complex:
        x, kernel = x + 1j * rng.normal(size=x.shape), kernel - 1j * rng.normal(size=kernel.shape)
    axes = tuple(range(len(shape)))
    shifted = [np.roll(x.reshape(*shape, 2, 3), tuple(-d), axes).reshape(n, 2, 3) for d in grid(shape)]
    expected = sum(moved @ weights for moved, weights in zip(shifted, kernel, strict=True))
    found = jax.jit(on_box(shape))(x, kernel)
    assert found.dtype == x.dtype
    np.testing.assert_allclose(found, expected, atol=1e-13)
