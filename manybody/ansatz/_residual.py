# SPDX-License-Identifier: Apache-2.0
"""The residual network that lives on the places of a lattice or a graph, however neighbours are told apart.

The batch is the last axis: it is the long one, and loops over numbers are compiled for that of the last axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import flax.linen as nn
import jax.numpy as jnp

from manybody._types import Array, Inexact
from manybody.ansatz._numerics import Initializer, working_dtype


@runtime_checkable
class Mixing(Protocol):
    """A linear map between features on places: y_i = sum_r sum_j A^r_ij x_j W_r, for some relations r of places."""

    def __call__(
        self, x: Inexact[Array, "places c_in batch"], kernel: Inexact[Array, "relations c_in c_out"]
    ) -> Inexact[Array, "places c_out batch"]: ...


class ResidualNetwork(nn.Module):
    r"""Pre-activated blocks on top of a linear layer.

    .. math::
        x^0 = M_0 x, \qquad x^{l+1} = x^l + M_{2l+2}\, a\bigl(M_{2l+1}\, a(x^l / \sqrt{l + 1})\bigr), \qquad
        y = a(x^L / \sqrt{L + 1})

    where each M is a `Mixing` with its own weights, and a bias. As each block adds about as much variance, the roots
    keep the arguments of the activations of order one.

    Args:
        features: of all layers.
        blocks: L.
        activation: a, elementwise.
        param_dtype: type of the parameters.
        kernel_init: initialiser of W (relations, features in, features out).
        bias_init: initialiser of the biases.
    """

    features: int
    blocks: int
    activation: Callable[[Array], Array]
    param_dtype: Any
    kernel_init: Initializer
    bias_init: Initializer

    @nn.compact
    def __call__(
        self, x: Inexact[Array, "places inputs batch"], mix: Mixing, n_relations: int
    ) -> Inexact[Array, "places features batch"]:
        def layer(x: Array, number: int) -> Array:
            dtype = working_dtype(self.param_dtype)
            shape = n_relations, x.shape[1], self.features
            y = mix(x, self.param(f"kernel_{number}", self.kernel_init, shape, dtype))
            return y + self.param(f"bias_{number}", self.bias_init, (self.features,), dtype)[None, :, None]

        x = layer(x, 0)
        for block in range(self.blocks):
            step = layer(self.activation(x / math.sqrt(block + 1)), 2 * block + 1)
            x = x + layer(self.activation(step), 2 * block + 2)
        return self.activation(x / math.sqrt(self.blocks + 1))


def sum_of_places(y: Inexact[Array, "places features batch"]) -> Inexact[Array, "batch features"]:
    """z = sum_i y_i, as a product with ones: many times faster than a sum over the first axis on processors."""
    ones = jnp.ones((1, len(y)), y.dtype)
    return (ones @ y.reshape(len(y), -1)).reshape(y.shape[1:]).T
