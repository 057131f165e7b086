# SPDX-License-Identifier: Apache-2.0
"""Working precision: networks may be narrow, sums and solves are always wide; and real numbers are what is counted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from manybody._types import Array, PyTree


def widen(x: Array) -> Array:
    """`x` in double precision, real or complex as it is (single precision where 64-bit mode is off)."""
    wide = jnp.complex128 if jnp.issubdtype(x.dtype, jnp.complexfloating) else jnp.float64
    return x.astype(jax.dtypes.canonicalize_dtype(wide))


def count_real(tree: PyTree) -> int:
    """Number of real numbers in a tree of arrays; a complex one counts as two."""
    return sum(x.size * (2 if jnp.issubdtype(x.dtype, jnp.complexfloating) else 1) for x in jax.tree.leaves(tree))


@contextlib.contextmanager
def foreign_code() -> Iterator[None]:
    """Let optimizers and schedules of other libraries mix types, also where the user has forbidden it for the rest."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
