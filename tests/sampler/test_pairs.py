# SPDX-License-Identifier: Apache-2.0
"""Which of the pairs that can change random bits choose."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody.sampler.pairs import choose_active


@pytest.mark.parametrize("n", [1, 5, 31, 32, 33, 64, 72, 1000])
@pytest.mark.parametrize("part", [0.03, 0.5, 1.0])
def test_it_is_the_one_of_that_rank(n, part):
    """Of the true entries in their order, as NumPy lists them, the one at floor(bits / 2**32 * number)."""
    rng = np.random.default_rng(n)
    active = rng.random((200, n)) < part
    bits = rng.integers(0, 2**32, 200)
    bits[:2] = 0, 2**32 - 1  # the first and the last one
    index, count = jax.vmap(choose_active)(jnp.asarray(bits, jnp.uint32), jnp.asarray(active))
    np.testing.assert_array_equal(count, active.sum(axis=1))
    for chosen, own, word in zip(np.asarray(index), active, bits.tolist(), strict=True):
        places = np.flatnonzero(own)
        assert chosen == (places[word * len(places) >> 32] if len(places) else 0)
