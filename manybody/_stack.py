# SPDX-License-Identifier: Apache-2.0
"""Trees of arrays with a leading axis, which a loop fills one entry after the other."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from manybody._types import Array, Int, PyTree


def room(like: Any, n: int) -> Any:
    """Zeros with a leading axis (n,), for n trees like this one, of arrays or of their shapes."""
    return jax.tree.map(lambda x: jnp.zeros((n, *x.shape), x.dtype), like)


def put(every: Any, number: Int[Array, ""], one: PyTree) -> Any:
    """The trees with another one at a number; unlike `at[].set` it checks no bounds, which are kernels of their own."""
    return jax.tree.map(lambda x, new: jax.lax.dynamic_update_index_in_dim(x, new, number, 0), every, one)
