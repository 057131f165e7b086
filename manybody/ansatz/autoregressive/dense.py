# SPDX-License-Identifier: Apache-2.0
"""Masked dense layers."""

from __future__ import annotations

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from manybody._struct import read_only
from manybody._types import Array, Float, Int
from manybody.ansatz._numerics import Initializer
from manybody.ansatz.autoregressive.layered import Layered, check_features


class ARDense(Layered):
    r"""Dense layers in which a position sees itself and earlier ones, or in the first layer only earlier ones.

    .. math::
        h^1_p = f\Bigl(b^1_p + \sum_{q<p} x_q W^1_{qp}\Bigr), \qquad
        h^{k+1}_p = f\Bigl(b^{k+1}_p + \sum_{q \le p} h^k_q W^{k+1}_{qp}\Bigr)

    x_q encodes the level at position q. The last layer, without activation, gives logits (and phases) of the levels at
    p. Only weights that are used are parameters. To draw a configuration costs as much as to evaluate it once.

    Args:
        space: the configurations; sites may have different numbers of levels, and sums of levels may be fixed.
        features: widths of the hidden layers, numbers for each position.
        activation: f, elementwise, and smooth at 0: that is what the first position starts from.
        kernel_init: initialiser of W (pairs of positions, features in, features out); its weights are divided by the
            root of the number of inputs of their position.
        bias_init: initialiser of b (positions, features).
        phase: whether there are phases; otherwise psi is positive.
        order: the site at each position; by default 0, 1, ...
        param_dtype: type of the parameters, real; computations are made in it.

    Raises:
        ValueError: if the space has constraints other than fixed sums, or `order` does not name each site once.
        TypeError: if an argument is of the wrong type, `param_dtype` for instance no real floating-point type.

    Example:
        >>> import jax, jax.numpy as jnp, manybody as mb
        >>> from manybody.ansatz import ARDense
        >>> space = mb.hilbert.Spin(4, total_sz=0)
        >>> ansatz, sigma = ARDense(space, features=(8,)), jnp.asarray(space.all_states())
        >>> log_psi = ansatz.apply(ansatz.init(jax.random.key(0), sigma), sigma)
        >>> round(float(jnp.sum(jnp.exp(2 * log_psi))), 12)
        1.0

    Reference:
        Germain et al. (2015), arXiv:1502.03509; as wave functions Sharir et al. (2020), arXiv:1902.04057, eqs. 2 to 5.
    """

    features: tuple[int, ...] = (16,)
    activation: Callable[[Array], Array] = nn.gelu
    kernel_init: Initializer = nn.initializers.normal(1.0)
    bias_init: Initializer = nn.initializers.zeros

    def __post_init__(self) -> None:
        check_features(self.features)
        super().__post_init__()

    def setup(self) -> None:
        n, widths = self.space.size, self.widths
        self.kernels = [
            self.param(f"kernel_{i}", self._scaled(i), (len(_pairs(n, i == 0)[0]), *widths[i : i + 2]), self.dtype)
            for i in range(len(widths) - 1)
        ]
        self.biases = [
            self.param(f"bias_{i}", self.bias_init, (n, width), self.dtype) for i, width in enumerate(widths[1:])
        ]

    @property
    def hidden(self) -> tuple[tuple[int, ...], Callable[[Array], Array]]:
        return self.features, self.activation

    def linear(self, layer: int, x: Float[Array, "rows positions in"], start: int) -> Float[Array, "rows later out"]:
        weights = self._weights(layer)[:, :, start:]  # (positions, in, later, out)
        return jnp.einsum("npi,piqo->nqo", x, weights) + self.biases[layer][None, start:]

    def linear_at(
        self, layer: int, x: Float[Array, "rows positions in"], position: Int[Array, ""]
    ) -> Float[Array, "rows out"]:
        weights = jnp.take(self._weights(layer), position, axis=2)  # (positions, in, out)
        return jnp.einsum("npi,pio->no", x, weights) + self.biases[layer][position][None]

    def _weights(self, layer: int) -> Float[Array, "positions in positions out"]:
        """All weights, zero where there is none. XLA takes them out of loops, since only parameters go in."""
        n, kernel = self.space.size, self.kernels[layer]
        before, here = _pairs(n, layer == 0)
        # Between slices, indexed axes come first: (pairs, in, out).
        return jnp.zeros((n, kernel.shape[1], n, kernel.shape[2]), kernel.dtype).at[before, :, here].set(kernel)

    def _scaled(self, layer: int) -> Initializer:
        n_inputs = np.bincount(_pairs(self.space.size, layer == 0)[1], minlength=self.space.size)
        scale = 1 / np.sqrt(np.maximum(n_inputs, 1) * self.widths[layer])[_pairs(self.space.size, layer == 0)[1]]

        def init(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
            return self.kernel_init(key, shape, dtype) * jnp.asarray(scale, dtype)[:, None, None]

        return init


@functools.lru_cache(maxsize=64)
def _pairs(n: int, is_first: bool) -> tuple[np.ndarray, np.ndarray]:
    """Earlier and later position of each pair; a position with itself only beyond the first layer."""
    before, here = np.triu_indices(n, k=int(is_first))
    return read_only(before), read_only(here)
