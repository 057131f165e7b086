# SPDX-License-Identifier: Apache-2.0
"""A linear layer with symmetric weights, which the kernel of SR knows as it knows dense layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from manybody._types import Array, Inexact


class SymmetricDense(nn.Module):
    """x W for a symmetric W with zero diagonal; a parameter for each pair of features.

    Attributes:
        param_dtype: type of the parameters.
        kernel_init: initialiser (key, shape, dtype) of the parameters, see `symmetric`.
    """

    param_dtype: Any
    kernel_init: Callable[..., Array]

    @nn.compact
    def __call__(self, x: Inexact[Array, "*batch features"]) -> Inexact[Array, "*batch features"]:
        n, dtype = x.shape[-1], np.promote_types(x.dtype, self.param_dtype)
        pairs = self.param("kernel", self.kernel_init, (n * (n - 1) // 2,), self.param_dtype)
        return x.astype(dtype) @ symmetric(pairs, n).astype(dtype)


def symmetric(pairs: Inexact[Array, "pairs"], n: int) -> Inexact[Array, "n n"]:
    """The matrix with these entries at i < j, in the order (0, 1), (0, 2), ..., and at j > i.

    XLA takes it out of loops, since it depends on parameters only.
    """
    first, second = np.triu_indices(n, k=1)
    upper = jnp.zeros((n, n), pairs.dtype).at[first, second].set(pairs)
    return upper + upper.T


def of_pairs(matrix: Inexact[Array, "n n"]) -> Inexact[Array, "pairs"]:
    """What a linear function, with these coefficients of the entries of a symmetric matrix, has for each pair."""
    return (matrix + matrix.T)[np.triu_indices(matrix.shape[0], k=1)]
