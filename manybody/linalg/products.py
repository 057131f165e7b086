# SPDX-License-Identifier: Apache-2.0
"""Scalar products of many vectors with each other: the metric and the kernel of SR."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp

from manybody._precision import widen
from manybody._types import Array, Float, Inexact
from manybody.parallel import Comm

_NEAR = 2**18
"""Entries of a block whose copy in double precision stays in the caches of a processor until it is used."""

_AT_ONCE = 2**24
"""The same elsewhere, where a block must be worth the start of its products."""

_FEWEST = 512
"""Entries of each vector in a block: with fewer, adding its products to the others takes as long as making them."""

_STRIPS, _WIDE = 4, 512
"""A symmetric result of so many rows is made strip by strip, if there are several blocks.

On two cores of an AMD EPYC that takes a fifth to a third less time for 512 rows and more, and gains nothing for 256."""


def gram(comm: Comm, x: Inexact[Array, "rows columns"], axis: int = 0) -> Inexact[Array, "n n"]:
    """Scalar products of the columns of an array (`axis` 0), x^dag x, or of its rows (1), in double precision.

    Whatever the type of `x`, products are added up in double precision, block by block, without a copy of the whole;
    and little more than what is on one side of the diagonal is computed. Complex numbers take three quarters of the
    real products: the real part is one symmetric matrix, the imaginary part is X - X^T, where X is the product of real
    and imaginary parts.

    Args:
        comm: the workers; each has vectors of its own, and nothing is sent.
        x: the vectors.
        axis: along which they are.
    """
    if not jnp.iscomplexobj(x):
        return _symmetric(comm, x, axis)
    crossed = _product(widen(x.real), widen(x.imag), axis)
    return jax.lax.complex(_symmetric(comm, jnp.concatenate([x.real, x.imag], axis), axis), crossed - crossed.T)


def gram_share(n: int) -> float:
    """The part of n x n products that `gram` makes of long vectors."""
    edges = _edges(n)
    return sum((n - a) * (b - a) for a, b in itertools.pairwise(edges)) / n**2


def _symmetric(comm: Comm, x: Float[Array, "rows columns"], axis: int) -> Float[Array, "n n"]:
    length, n = x.shape[axis], x.shape[1 - axis]
    n_blocks = length // max(_FEWEST, (_NEAR if jax.default_backend() == "cpu" else _AT_ONCE) // n)
    if n_blocks <= 1:  # to put strips together would take longer than they save
        return _product(widen(x), widen(x), axis)
    width = -(-length // n_blocks)

    def add(total: list[Array], number: Array) -> tuple[list[Array], None]:
        start = jnp.minimum(number * width, length - width)  # the last block overlaps the one before it
        is_new = jnp.expand_dims(start + jnp.arange(width) >= number * width, 1 - axis)
        block = jax.lax.dynamic_slice_in_dim(x, start, width, axis)
        strips = _strips(jnp.where(is_new, block, jnp.zeros((), x.dtype)), axis)
        return [a + b for a, b in zip(total, strips, strict=True)], None

    shapes = jax.eval_shape(lambda x: _strips(x, axis), x)
    start = comm.pvary([jnp.zeros(s.shape, s.dtype) for s in shapes])
    return _mirrored(jax.lax.scan(add, start, jnp.arange(n_blocks))[0])


def _edges(n: int) -> list[int]:
    n_strips = _STRIPS if n >= _WIDE else 1
    return [i * n // n_strips for i in range(n_strips + 1)]


def _strips(x: Float[Array, "rows columns"], axis: int) -> list[Float[Array, "below strip"]]:
    """Columns of the result side by side, each from the diagonal downwards."""
    x = widen(x)
    edges = _edges(x.shape[1 - axis])
    cut = [jax.lax.slice_in_dim(x, a, None, axis=1 - axis) for a in edges[:-1]]
    return [
        _product(rest, jax.lax.slice_in_dim(rest, 0, b - a, axis=1 - axis), axis)
        for rest, (a, b) in zip(cut, itertools.pairwise(edges), strict=True)
    ]


def _product(x: Array, y: Array, axis: int) -> Array:
    return x.T @ y if axis == 0 else x @ y.T


def _mirrored(strips: list[Float[Array, "below strip"]]) -> Float[Array, "n n"]:
    """The whole matrix."""
    if len(strips) == 1:
        return strips[0]
    n = len(strips[0])
    lower = jnp.tril(jnp.concatenate([jnp.pad(x, ((n - len(x), 0), (0, 0))) for x in strips], axis=1))
    return lower + jnp.tril(lower, -1).T
