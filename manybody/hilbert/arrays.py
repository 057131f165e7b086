# SPDX-License-Identifier: Apache-2.0
"""Arrays that may be NumPy's or JAX's: spaces compute with the one they are given."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from manybody._checks import requirement
from manybody._types import Array

AnyArray = Array | np.ndarray


def namespace(array: AnyArray) -> ModuleType:
    """The library that computes with this array: jax.numpy or numpy."""
    return jnp if isinstance(array, jax.Array) else np


def as_integers(value: Any, name: str) -> AnyArray:
    """`value` as an array of integers; what is not a JAX array becomes a NumPy one.

    Raises:
        TypeError: if it holds something else, be it floats with integral values.
    """
    array = value if isinstance(value, jax.Array) else np.asarray(value)
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(requirement(name, "have an integer dtype", array.dtype))
    return array


def max_index(array: AnyArray | None = None) -> int:
    """The number of indices there are for arrays like this: 2**63, or 2**31 for JAX arrays in 32-bit mode."""
    narrow = isinstance(array, jax.Array) and jax.dtypes.canonicalize_dtype(np.int64) == np.int32
    return 2**31 if narrow else 2**63


def constant(table: np.ndarray) -> Array:
    """A NumPy table as a JAX array.

    The dtype is spelt out because, inside jit, JAX remembers the one that it first gave to a NumPy array: a table
    first used in 32-bit mode would stay cut to 32 bits when 64-bit mode is on.
    """
    return jnp.asarray(table, dtype=jax.dtypes.canonicalize_dtype(table.dtype))
