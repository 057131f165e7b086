# SPDX-License-Identifier: Apache-2.0
"""The two-body Jastrow factor."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from manybody._struct import dataclass
from manybody._symmetric import SymmetricDense, symmetric
from manybody._types import Array, Bool, Inexact, Int, Int8
from manybody.amplitude import apply_change, where_accepted
from manybody.ansatz._change import MAX_GATHERED, differences, linear_change
from manybody.ansatz._numerics import Initializer, check_dtype, scaled_normal, working_dtype


@dataclass
class JastrowCache:
    """Configurations, and the field sum_j W_ij sigma_j that each site feels."""

    sigma: Int8[Array, "batch sites"]
    field: Inexact[Array, "batch sites"]


class Jastrow(nn.Module):
    r"""Pair correlations between all sites.

    .. math:: \log\psi(\sigma) = \sum_i a_i \sigma_i + \sum_{i<j} W_{ij} \sigma_i \sigma_j

    Args:
        param_dtype: type of the parameters; computations are made in it.
        use_visible_bias: whether there is a.
        coupling_init: initialiser of W (pairs i < j, in the order (0, 1), (0, 2), ...).
        visible_bias_init: initialiser of a (sites, 1).

    Raises:
        TypeError: if `param_dtype` is not a floating-point type.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from manybody.ansatz import Jastrow
        >>> sigma = jnp.array([[1, -1, 1, -1], [1, 1, -1, -1]], jnp.int8)
        >>> variables = Jastrow().init(jax.random.key(0), sigma)
        >>> variables["params"]["couplings"]["kernel"].shape
        (6,)

    Reference:
        Jastrow (1955), Phys. Rev. 98, 1479; Capello et al. (2005), arXiv:cond-mat/0509062.
    """

    param_dtype: Any = jnp.float64
    use_visible_bias: bool = True
    coupling_init: Initializer = scaled_normal(1.0)
    visible_bias_init: Initializer = scaled_normal(0.1)

    def __post_init__(self) -> None:
        check_dtype(self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, sigma: Int8[Array, "*batch sites"]) -> Inexact[Array, "*batch"]:
        dtype = working_dtype(self.param_dtype)
        x = sigma.astype(dtype)
        field = SymmetricDense(dtype, self.coupling_init, name="couplings")(x)
        log_psi = jnp.sum(field * x, axis=-1) / 2  # every pair is there twice
        if self.use_visible_bias:
            init = self.visible_bias_init
            visible = nn.Dense(1, use_bias=False, dtype=dtype, param_dtype=dtype, kernel_init=init, name="visible")
            log_psi = log_psi + visible(x)[..., 0]
        return log_psi

    def init_cache(self, sigma: Int8[Array, "batch sites"]) -> JastrowCache:
        """The cache of these configurations, from scratch."""
        return JastrowCache(sigma, sigma.astype(working_dtype(self.param_dtype)) @ self._couplings(sigma.shape[-1]))

    def log_ratio(
        self, cache: JastrowCache, sites: Int[Array, "batch changed"], values: Int8[Array, "batch changed"]
    ) -> Inexact[Array, "batch"]:
        """log psi(changed configuration) - log psi(configuration of the cache)."""
        delta = differences(cache.sigma, sites, values)
        step = delta.astype(cache.field.dtype)
        field = jnp.take_along_axis(cache.field, sites, axis=-1, mode="promise_in_bounds")
        if sites.shape[1] > 1:  # a pair that changes at both ends sees the mean of the fields before and after
            field = field + self._mutual(sites, delta, cache.sigma.shape[-1]) / 2
        ratio = jnp.sum(step * field, axis=-1)
        if self.use_visible_bias:
            ratio = ratio + linear_change(self.variables["params"]["visible"]["kernel"], sites, delta)[:, 0]
        return ratio

    def update_cache(
        self,
        cache: JastrowCache,
        sites: Int[Array, "batch changed"],
        values: Int8[Array, "batch changed"],
        accepted: Bool[Array, "batch"],
    ) -> JastrowCache:
        """The cache after the change where `accepted`, the old one elsewhere."""
        delta = differences(cache.sigma, sites, values)
        field = cache.field + linear_change(self._couplings(cache.sigma.shape[-1]), sites, delta)
        sigma = apply_change(cache.sigma, sites, values, accepted)
        return JastrowCache(sigma, where_accepted(accepted, field, cache.field))

    def _mutual(self, sites: Array, delta: Array, n_sites: int) -> Inexact[Array, "batch changed"]:
        """Change of the field on the changed sites."""
        couplings = self._couplings(n_sites)
        if sites.shape[1] > MAX_GATHERED:
            return jnp.take_along_axis(linear_change(couplings, sites, delta), sites, axis=-1, mode="promise_in_bounds")
        between = couplings.at[sites[:, :, None], sites[:, None, :]].get(mode="promise_in_bounds")
        return jnp.einsum("bij,bj->bi", between, delta.astype(couplings.dtype))

    def _couplings(self, n_sites: int) -> Inexact[Array, "sites sites"]:
        return symmetric(self.variables["params"]["couplings"]["kernel"], n_sites)
