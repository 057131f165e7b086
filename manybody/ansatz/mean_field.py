# SPDX-License-Identifier: Apache-2.0
"""The product state."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from manybody._struct import dataclass
from manybody._types import Array, Bool, Inexact, Int, Int8
from manybody.amplitude import apply_change
from manybody.ansatz._change import differences, linear_change
from manybody.ansatz._numerics import Initializer, check_dtype, scaled_normal, working_dtype


@dataclass
class MeanFieldCache:
    """Configurations: nothing else is needed."""

    sigma: Int8[Array, "batch sites"]


class MeanField(nn.Module):
    r"""The product state: :math:`\log\psi(\sigma) = \sum_i a_i \sigma_i`.

    Args:
        param_dtype: type of the parameters; computations are made in it.
        kernel_init: initialiser of a (sites, 1).

    Raises:
        TypeError: if `param_dtype` is not a floating-point type.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from manybody.ansatz import MeanField
        >>> sigma = jnp.array([[1, -1, 1], [1, 1, -1]], jnp.int8)
        >>> variables = MeanField().init(jax.random.key(0), sigma)
        >>> MeanField().apply(variables, sigma).shape
        (2,)
    """

    param_dtype: Any = jnp.float64
    kernel_init: Initializer = scaled_normal(1.0)

    def __post_init__(self) -> None:
        check_dtype(self.param_dtype)
        super().__post_init__()

    def setup(self) -> None:
        dtype = working_dtype(self.param_dtype)
        self.field = nn.Dense(1, use_bias=False, dtype=dtype, param_dtype=dtype, kernel_init=self.kernel_init)

    def __call__(self, sigma: Int8[Array, "*batch sites"]) -> Inexact[Array, "*batch"]:
        return self.field(sigma.astype(working_dtype(self.param_dtype)))[..., 0]

    def init_cache(self, sigma: Int8[Array, "batch sites"]) -> MeanFieldCache:
        """The cache of these configurations, from scratch."""
        return MeanFieldCache(sigma)

    def log_ratio(
        self, cache: MeanFieldCache, sites: Int[Array, "batch changed"], values: Int8[Array, "batch changed"]
    ) -> Inexact[Array, "batch"]:
        """log psi(changed configuration) - log psi(configuration of the cache)."""
        delta = differences(cache.sigma, sites, values)
        return linear_change(self.field.variables["params"]["kernel"], sites, delta)[:, 0]

    def update_cache(
        self,
        cache: MeanFieldCache,
        sites: Int[Array, "batch changed"],
        values: Int8[Array, "batch changed"],
        accepted: Bool[Array, "batch"],
    ) -> MeanFieldCache:
        """The cache after the change where `accepted`, the old one elsewhere."""
        return MeanFieldCache(apply_change(cache.sigma, sites, values, accepted))
