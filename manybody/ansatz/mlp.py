# SPDX-License-Identifier: Apache-2.0
"""The multilayer perceptron."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from manybody import _checks
from manybody._struct import dataclass
from manybody._types import Array, Bool, Inexact, Int, Int8
from manybody.amplitude import apply_change, where_accepted
from manybody.ansatz._change import differences, linear_change
from manybody.ansatz._numerics import Initializer, check_dtype, working_dtype


@dataclass
class MLPCache:
    """Configurations, what the first layer makes of them before its activation, and log psi."""

    sigma: Int8[Array, "batch sites"]
    first: Inexact[Array, "batch hidden"]
    log_psi: Inexact[Array, "batch"]


class MLP(nn.Module):
    r"""Dense layers with activations between them.

    .. math:: \log\psi(\sigma) = w \cdot h_L, \qquad h_l = f(h_{l-1} W_l + b_l), \qquad h_0 = \sigma

    With ``separate_phase`` a second linear output is the phase: log psi = (w + i v) . h_L with real weights. The output
    has no bias, which would be a factor of the wave function. A change of a few sites saves the first product with
    the weights, the rest is evaluated.

    Args:
        hidden: widths of the layers.
        activation: f, elementwise. For complex weights it should be holomorphic (`jnp.tanh`, `log_cosh`).
        param_dtype: type of the parameters; computations are made in it.
        use_hidden_bias: whether there are b.
        separate_phase: whether there is a second output, the phase (real `param_dtype` only).
        kernel_init: initialiser of W, w and v.
        bias_init: initialiser of b.

    Raises:
        ValueError: if a width is not positive, there is none, or a phase is asked for beside complex weights.
        TypeError: if `param_dtype` is not a floating-point type, or `hidden` not a tuple of integers.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from manybody.ansatz import MLP
        >>> sigma = jnp.array([[1, -1, 1, -1], [1, 1, -1, -1]], jnp.int8)
        >>> ansatz = MLP(hidden=(16, 8), separate_phase=True)
        >>> ansatz.apply(ansatz.init(jax.random.key(0), sigma), sigma).dtype
        dtype('complex128')
    """

    hidden: tuple[int, ...] = (64,)
    activation: Callable[[Array], Array] = nn.gelu
    param_dtype: Any = jnp.float64
    use_hidden_bias: bool = True
    separate_phase: bool = False
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros

    def __post_init__(self) -> None:
        check_dtype(self.param_dtype)
        _checks.require_type(self.hidden, tuple, "hidden")
        _checks.require(len(self.hidden) > 0, "hidden", "name at least one width", self.hidden)
        for width in self.hidden:
            _checks.integer(width, "hidden", minimum=1)
        _checks.require(
            not (self.separate_phase and jnp.issubdtype(self.param_dtype, jnp.complexfloating)),
            "separate_phase",
            "be False for complex weights, which have a phase",
            self.separate_phase,
        )
        super().__post_init__()

    def setup(self) -> None:
        self.layers = [self._dense(width, self.use_hidden_bias) for width in self.hidden]
        self.output = self._dense(2 if self.separate_phase else 1, use_bias=False)

    def __call__(self, sigma: Int8[Array, "*batch sites"]) -> Inexact[Array, "*batch"]:
        return self._tail(self._first(sigma))

    def init_cache(self, sigma: Int8[Array, "batch sites"]) -> MLPCache:
        """The cache of these configurations, from scratch."""
        first = self._first(sigma)
        return MLPCache(sigma, first, self._tail(first))

    def log_ratio(
        self, cache: MLPCache, sites: Int[Array, "batch changed"], values: Int8[Array, "batch changed"]
    ) -> Inexact[Array, "batch"]:
        """log psi(changed configuration) - log psi(configuration of the cache)."""
        return self._tail(self._changed(cache, sites, values)) - cache.log_psi

    def update_cache(
        self,
        cache: MLPCache,
        sites: Int[Array, "batch changed"],
        values: Int8[Array, "batch changed"],
        accepted: Bool[Array, "batch"],
    ) -> MLPCache:
        """The cache after the change where `accepted`, the old one elsewhere."""
        first = self._changed(cache, sites, values)
        # In one jitted function with `log_ratio`, XLA evaluates the tail once for both.
        new = MLPCache(apply_change(cache.sigma, sites, values), first, self._tail(first))
        return where_accepted(accepted, new, cache)

    def _dense(self, features: int, use_bias: bool) -> nn.Dense:
        dtype = working_dtype(self.param_dtype)
        return nn.Dense(
            features,
            use_bias=use_bias,
            dtype=dtype,
            param_dtype=dtype,
            kernel_init=self.kernel_init,
            bias_init=self.bias_init,
        )

    def _first(self, sigma: Array) -> Array:
        return self.layers[0](sigma.astype(working_dtype(self.param_dtype)))

    def _changed(self, cache: MLPCache, sites: Array, values: Array) -> Array:
        kernel = self.layers[0].variables["params"]["kernel"]
        return cache.first + linear_change(kernel, sites, differences(cache.sigma, sites, values))

    def _tail(self, x: Array) -> Array:
        for layer in self.layers[1:]:
            x = layer(self.activation(x))
        outputs = self.output(self.activation(x))  # (..., 1 or 2)
        return jax.lax.complex(outputs[..., 0], outputs[..., 1]) if self.separate_phase else outputs[..., 0]
