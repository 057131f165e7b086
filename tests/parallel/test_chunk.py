# SPDX-License-Identifier: Apache-2.0
"""How many rows are worked on at a time makes no difference to the result, and is what was asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody.parallel.chunk import map_each

pytestmark = pytest.mark.skipif(jax.default_backend() != "cpu", reason="is about the caches of processors")


def spread(n):
    """A function of a row that makes an array of 8 n bytes on the way, in a function of its own."""
    around = jax.jit(lambda x: jnp.cumsum(x[0] + jnp.arange(float(n)))[-3:])
    return lambda x: {"end": around(x), "twice": 2 * x}


def lengths(function, x):
    """Those of all loops."""
    return [eqn.params["length"] for eqn in jax.make_jaxpr(function)(x).eqns if eqn.primitive.name == "scan"]


@pytest.mark.parametrize(
    ("n", "chunk_size", "expected"),
    [
        (2**10, None, []),  # 8 kB
        (2**14, None, [7]),  # 128 kB, so 32 at a time
        (2**20, None, [13]),  # 8 MB, but never fewer than 16 at a time
        (2**10, 50, [4]),
        (2**14, 200, []),
    ],
)
def test_number_at_a_time(n, chunk_size, expected):
    x = jnp.asarray(np.random.default_rng(1).normal(size=(200, 2)))
    f = spread(n)
    assert lengths(lambda rows: map_each(f, rows, chunk_size), x) == expected
    result, whole = map_each(f, x[:40], chunk_size), jax.vmap(f)(x[:40])
    assert jax.tree.structure(result) == jax.tree.structure(whole)
    for one, other in zip(jax.tree.leaves(result), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13)


def test_results_do_not_count():
    """Rows of the result are there in any case; here they have 128 kB, and half of that is made on the way."""
    wide = lambda x: jnp.concatenate([jnp.sin(x[0] * jnp.arange(2.0**13)), jnp.zeros(2**13)])  # noqa: E731
    assert lengths(lambda rows: map_each(wide, rows, None), jnp.ones((200, 1))) == [4]


def test_traced_once():
    n_traces = 0

    def count(x):
        nonlocal n_traces
        n_traces += 1
        return x + 1.0

    np.testing.assert_array_equal(map_each(count, jnp.arange(5.0), None), np.arange(5.0) + 1.0)
    assert n_traces == 1
