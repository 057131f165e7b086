# SPDX-License-Identifier: Apache-2.0
"""Conjugate gradients for operators that are only known by their action.

`jax.scipy.sparse.linalg.cg` does not trace on a mesh when the operator closes over sharded data, and gives no result
code, hence this loop.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from manybody._types import Array, Int
from manybody.linalg.dense import FAILED, OK


def conjugate_gradients(
    matvec: Callable[[Array], Array],
    b: Array,
    *,
    dot: Callable[[Array, Array], Array],
    tolerance: float,
    max_iterations: int,
) -> tuple[Array, Int[Array, ""], Int[Array, ""]]:
    """Solve A x = b for a symmetric positive definite A, from x = 0.

    Args:
        matvec: x -> A x.
        b: right-hand side; any shape, possibly the local block of a sharded vector.
        dot: scalar product, the same on all workers.
        tolerance: stops at |A x - b| <= tolerance * |b|.
        max_iterations: gives up after so many.

    Returns:
        x, the number of iterations, and a result code (`FAILED` if the tolerance was not reached; x is as far as it
        came, or zero if it broke down).
    """
    target = tolerance**2 * dot(b, b)

    def unfinished(carry: tuple) -> Array:
        *_, square, number = carry
        return (square > target) & (number < max_iterations)

    def iterate(carry: tuple) -> tuple:
        x, residual, direction, square, number = carry
        image = matvec(direction)
        step = square / dot(direction, image)
        residual = residual - step * image
        new_square = dot(residual, residual)
        return x + step * direction, residual, residual + new_square / square * direction, new_square, number + 1

    start = (jnp.zeros_like(b), b, b, dot(b, b), jnp.int32(0))
    x, _, _, square, number = jax.lax.while_loop(unfinished, iterate, start)
    # A singular A can lead to a division by zero; the norm, being the same on all workers, tells it everywhere.
    good = jnp.isfinite(square)
    x = jnp.where(good, x, jnp.zeros_like(x))
    return x, number, jnp.where(good & (square <= target), OK, FAILED).astype(jnp.int32)
