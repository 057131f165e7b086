# SPDX-License-Identifier: Apache-2.0
"""Counted operations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody import _flops

X, Y = jnp.ones((3, 4)), jnp.ones((4, 5))
Z = X.astype(complex)


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        (jnp.matmul, (X, Y), 2 * 3 * 4 * 5),
        (jnp.matmul, (Z, Y.astype(complex)), 8 * 3 * 4 * 5),
        (lambda x, y: jnp.einsum("bij,bjk->bik", x, y), (jnp.ones((7, 3, 4)), jnp.ones((7, 4, 5))), 7 * 2 * 3 * 4 * 5),
        (lambda x: jnp.tanh(x) + x, (X,), 24),
        (lambda x: x * x, (Z,), 6 * 12),
        (lambda x: x + x, (Z,), 2 * 12),
        (jnp.sum, (X,), 12),
        (lambda x: x.T.reshape(-1)[::2], (X,), 0),
        (lambda n: n * n, (jnp.arange(5),), 0),
        (lambda x: jax.lax.scan(lambda c, _: (jnp.sin(c), None), x, length=10)[0], (X,), 120),
        (lambda x: jax.lax.cond(x[0, 0] > 0, jnp.sin, lambda x: x @ x.T @ x, x), (X,), 12),
        (jax.jit(lambda x: jnp.sin(jnp.sin(x))), (X,), 24),
        (jax.checkpoint(jnp.sin), (X,), 12),
        (jax.vmap(jnp.sin), (X,), 12),
    ],
)
def test_by_hand(function, arguments, expected):
    assert _flops.count(function, *arguments).total() == expected


def test_convolution_is_as_many_as_xla_says():
    x, w = jnp.ones((2, 3, 8, 8)), jnp.ones((5, 3, 3, 3))

    def valid(x, w):
        return jax.lax.conv_general_dilated(x, w, (1, 1), "VALID")

    assert (
        _flops.count(valid, x, w).total() == 2 * 2 * 5 * 36 * 27 == jax.jit(valid).lower(x, w).cost_analysis()["flops"]
    )


def test_by_scope():
    def function(x):
        with jax.named_scope("first"):
            x = jnp.sin(x)
            with jax.named_scope("inner"):
                x = jax.jit(jnp.exp)(x)
        return x + x

    assert dict(_flops.count(function, X)) == {"first": 12, "first/inner": 12, "": 12}
    shapes = jax.ShapeDtypeStruct((3, 4), np.float64)
    assert _flops.count(function, shapes) == _flops.count(function, X)
