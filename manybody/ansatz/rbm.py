# SPDX-License-Identifier: Apache-2.0
"""The restricted Boltzmann machine."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from manybody import _checks
from manybody._struct import dataclass
from manybody._types import Array, Bool, Inexact, Int, Int8
from manybody.amplitude import apply_change
from manybody.ansatz import _sharing
from manybody.ansatz._change import differences, linear_change
from manybody.ansatz._hyperbolic import (
    HiddenLayer,
    HiddenSpins,
    Trial,
    commit,
    hidden_spins,
    try_change,
    update_hidden_spins,
)
from manybody.ansatz._numerics import Initializer, check_dtype, scaled_normal, sum_log_cosh, working_dtype


@dataclass
class RBMCache:
    """Configurations, and the hidden units of each RBM (modulus and phase, or one)."""

    sigma: Int8[Array, "batch sites"]
    hidden: tuple[HiddenSpins, ...]


class RBM(nn.Module):
    r"""The restricted Boltzmann machine.

    .. math::
        \log\psi(\sigma) = \sum_i a_i \sigma_i + \sum_j \log\cosh\theta_j, \qquad
        \theta_j = b_j + \sum_i \sigma_i W_{ij}

    Real weights give a positive wave function, complex ones any; with ``separate_phase`` two RBMs with real weights
    are the logarithm of its modulus and its phase: log psi = RBM_1 + i RBM_2.

    With `symmetries`, a group of permutations g of the sites, the weights are shared: unit (g, f) is unit f seen by the
    permuted configuration, theta_{gf} = b_f + sum_i sigma_{g(i)} W_{if}, and the a_i are averaged over the group. The
    state is invariant under the permutations, with as many hidden units and fewer parameters.

    A change of a few sites costs O(hidden units): a few multiplications for each, with tabulated exponentials of W.

    Args:
        alpha: hidden units per site.
        param_dtype: type of the parameters; computations are made in it.
        use_visible_bias: whether there is a.
        use_hidden_bias: whether there is b.
        separate_phase: whether modulus and phase are two RBMs (real `param_dtype` only).
        kernel_init: initialiser of W (sites, hidden units); with symmetries, (sites, features), and its weights are
            divided by the root of n_symmetries.
        bias_init: initialiser of b (hidden units,), or (features,) in the same way.
        visible_bias_init: initialiser of a (sites, 1).
        symmetries: permutations (n_symmetries, sites), for instance `lattice.translations()`, or a group of them
            without signs and inversion, as `lattice.space_group()`; `alpha` times the number of sites must be a
            multiple of n_symmetries.
        spacing: by how much a move changes the value of a site, for the tables: 2 for spins 1/2, 1 for qubits and
            particles that hop, (2, 4) for spins 1. Log-ratios are right for any other change, but cost as much as
            full evaluations.

    Raises:
        ValueError: if `alpha` or `spacing` is not positive, a phase is asked for beside complex weights, or the
            `symmetries` are no permutations of the sites or do not divide the hidden units.
        TypeError: if `param_dtype` is not a floating-point type, or `spacing` not an integer or several in a tuple.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from manybody.ansatz import RBM
        >>> sigma = jnp.array([[1, -1, 1, -1], [1, 1, -1, -1]], jnp.int8)
        >>> variables = RBM(alpha=2).init(jax.random.key(0), sigma)
        >>> RBM(alpha=2).apply(variables, sigma).shape
        (2,)

    Reference:
        Carleo, Troyer (2017), arXiv:1606.02318, eq. 2; two real RBMs: Torlai et al. (2018), arXiv:1703.05334.
    """

    alpha: int | float = 1
    param_dtype: Any = jnp.float64
    use_visible_bias: bool = True
    use_hidden_bias: bool = True
    separate_phase: bool = False
    kernel_init: Initializer = scaled_normal(1.0)
    bias_init: Initializer = scaled_normal(0.1)
    visible_bias_init: Initializer = scaled_normal(0.1)
    symmetries: Any = None
    spacing: int | tuple[int, ...] = (1, 2)

    def __post_init__(self) -> None:
        _checks.positive(self.alpha, "alpha")
        check_dtype(self.param_dtype)
        for distance in self._spacing:
            _checks.integer(distance, "spacing", minimum=1)
        _checks.require(
            not (self.separate_phase and jnp.issubdtype(self.param_dtype, jnp.complexfloating)),
            "separate_phase",
            "be False for complex weights, which have a phase",
            self.separate_phase,
        )
        if self.symmetries is not None:
            object.__setattr__(self, "symmetries", _sharing.permutations(self.symmetries))
        super().__post_init__()

    def __call__(self, sigma: Int8[Array, "*batch sites"]) -> Inexact[Array, "*batch"]:
        return _combine([visible + sum_log_cosh(theta) for visible, theta in self._layers(sigma)])

    def init_cache(self, sigma: Int8[Array, "batch sites"]) -> RBMCache:
        """The cache of these configurations, from scratch."""
        return RBMCache(sigma, tuple(hidden_spins(theta) for _, theta in self._layers(sigma)))

    def log_ratio(
        self, cache: RBMCache, sites: Int[Array, "batch changed"], values: Int8[Array, "batch changed"]
    ) -> Inexact[Array, "batch"]:
        """log psi(changed configuration) - log psi(configuration of the cache), imaginary part modulo 2 pi."""
        return self.try_change(cache, sites, values)[0]

    def update_cache(
        self,
        cache: RBMCache,
        sites: Int[Array, "batch changed"],
        values: Int8[Array, "batch changed"],
        accepted: Bool[Array, "batch"],
    ) -> RBMCache:
        """The cache after the change where `accepted`, the old one elsewhere."""
        hidden = tuple(
            update_hidden_spins(self._hidden_layer(prefix), cache.sigma, old, sites, values, accepted)
            for prefix, old in zip(self._prefixes, cache.hidden, strict=True)
        )
        return RBMCache(apply_change(cache.sigma, sites, values, accepted), hidden)

    def try_change(
        self, cache: RBMCache, sites: Int[Array, "batch changed"], values: Int8[Array, "batch changed"]
    ) -> tuple[Inexact[Array, "batch"], tuple[Trial, ...]]:
        """`log_ratio`, and what it found on the way that `commit` needs."""
        delta = differences(cache.sigma, sites, values)
        ratios, trials = [], []
        for prefix, hidden in zip(self._prefixes, cache.hidden, strict=True):
            ratio, trial = try_change(self._hidden_layer(prefix), cache.sigma, hidden, sites, values)
            if self.use_visible_bias:
                ratio = ratio + linear_change(self._visible_bias(prefix), sites, delta)[:, 0]
            ratios.append(ratio)
            trials.append(trial)
        return _combine(ratios), tuple(trials)

    def commit(
        self,
        cache: RBMCache,
        trials: tuple[Trial, ...],
        sites: Int[Array, "batch changed"],
        values: Int8[Array, "batch changed"],
        accepted: Bool[Array, "batch"],
    ) -> RBMCache:
        """`update_cache` for a change that was tried before."""
        hidden = tuple(
            commit(self._hidden_layer(prefix), old, trial, accepted)
            for prefix, old, trial in zip(self._prefixes, cache.hidden, trials, strict=True)
        )
        return RBMCache(apply_change(cache.sigma, sites, values, accepted), hidden)

    @property
    def _spacing(self) -> tuple[int, ...]:
        return self.spacing if isinstance(self.spacing, tuple) else (self.spacing,)

    @property
    def _prefixes(self) -> tuple[str, ...]:
        """Of the names of the layers, for each RBM."""
        return ("", "phase_") if self.separate_phase else ("",)

    def _hidden_layer(self, prefix: str) -> HiddenLayer:
        """W (sites, hidden) and b (hidden,) of all hidden units."""
        layer = self.variables["params"][f"{prefix}hidden"]
        kernel, bias = _sharing.copied(layer["kernel"], self.symmetries), layer.get("bias")
        bias = None if bias is None else _sharing.copied_bias(bias, self.symmetries)
        return HiddenLayer(kernel, bias, self._spacing)

    def _visible_bias(self, prefix: str) -> Array:
        """a (sites, 1)."""
        return _sharing.averaged(self.variables["params"][f"{prefix}visible"]["kernel"], self.symmetries)

    @nn.compact
    def _layers(self, sigma: Int8[Array, "*batch sites"]) -> list[tuple[Array, Array]]:
        """The visible term (...) and the angles theta (..., hidden) of each RBM."""
        dtype = working_dtype(self.param_dtype)
        x = self._seen(sigma.astype(dtype))  # (..., symmetries, sites)
        n_features = _sharing.n_features(self.alpha, sigma.shape[-1], self.symmetries)
        layers = []
        for prefix in self._prefixes:
            hidden = nn.Dense(
                n_features,
                use_bias=self.use_hidden_bias,
                dtype=dtype,
                param_dtype=dtype,
                kernel_init=_sharing.shared(self.kernel_init, self.symmetries),
                bias_init=_sharing.shared(self.bias_init, self.symmetries),
                name=f"{prefix}hidden",
            )
            visible = jnp.zeros(sigma.shape[:-1], dtype)
            if self.use_visible_bias:
                layer = nn.Dense(
                    1,
                    use_bias=False,
                    dtype=dtype,
                    param_dtype=dtype,
                    kernel_init=self.visible_bias_init,
                    name=f"{prefix}visible",
                )
                visible = jnp.mean(layer(x)[..., 0], axis=-1) if self.symmetries is not None else layer(x)[..., 0]
            layers.append((visible, hidden(x).reshape(*sigma.shape[:-1], -1)))
        return layers

    def _seen(self, x: Inexact[Array, "*batch sites"]) -> Inexact[Array, "..."]:
        """The configurations as the features see them: permuted (..., symmetries, sites), or as they are."""
        if self.symmetries is None:
            return x
        _sharing.check_sites(self.symmetries, x.shape[-1])
        return x[..., self.symmetries.array]


def _combine(terms: list[Array]) -> Array:
    """One logarithm as it is, or those of modulus and phase as one complex number."""
    return terms[0] if len(terms) == 1 else jax.lax.complex(*terms)
