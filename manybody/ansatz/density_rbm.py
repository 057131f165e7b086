# SPDX-License-Identifier: Apache-2.0
"""Density matrices by a restricted Boltzmann machine whose ancillary spins are traced out."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from manybody import _checks
from manybody._struct import dataclass
from manybody._types import Array, Bool, Complex, Float, Int, Int8
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
from manybody.ansatz._numerics import Initializer, check_real_dtype, scaled_normal, sum_log_cosh, working_dtype


@dataclass
class DensityCache:
    """Pairs of configurations, and the hidden units of both copies and the ancillas as those of one RBM."""

    sigma: Int8[Array, "batch pairs"]
    hidden: HiddenSpins


class _Weights(NamedTuple):
    """Real and imaginary parts of the weights of all units; None for what is not there.

    The units are the hidden ones, then the ancillas, whose bias is real: an imaginary part would cancel.
    """

    visible: Float[Array, "2 sites"] | None
    kernel: Float[Array, "2 sites units"]
    hidden_bias: Float[Array, "2 hidden"] | None
    ancilla_bias: Float[Array, "ancillas"] | None
    n_hidden: int


class DensityRBM(nn.Module):
    r"""A density matrix: the state of an RBM on sites and ancillary spins, with the ancillas traced out.

    .. math::
        \log\rho(\sigma, \eta) = \log\psi(\sigma) + \log\psi(\eta)^*
            + \sum_k \log\cosh\bigl(\theta_k(\sigma) + \theta_k(\eta)^* + d_k\bigr), \qquad
        \theta_k(\sigma) = \sum_i \sigma_i U_{ik},

    .. math:: \log\psi(\sigma) = \sum_i a_i \sigma_i + \sum_j \log\cosh\bigl(b_j + \sum_i \sigma_i W_{ij}\bigr),

    with complex a, b, W, U and real d. For any parameters rho is Hermitian and positive semidefinite: cosh is the sum
    over an ancilla s = 1, -1 of exp(s theta(sigma) + s d / 2) / 2 times its conjugate at eta, a positive matrix, and
    so is the product of such matrices, element by element. Without ancillas (`beta` = 0) it is pure.

    With `symmetries`, a group of permutations of the sites, weights are shared as in `RBM`, and rho does not change if
    sigma and eta are permuted alike.

    log rho is not holomorphic in the weights, so their real and imaginary parts are the parameters, along a first axis
    of length 2. A change of a few sites costs O(units).

    Args:
        alpha: hidden units per site.
        beta: ancillas per site, 0 for a pure state.
        param_dtype: type of the parameters, a real one; log rho is complex.
        use_visible_bias: whether there is a.
        use_hidden_bias: whether there are b and d.
        kernel_init: initialiser of W (2, sites, hidden) and U (2, sites, ancillas); with symmetries, of features, and
            its weights are divided by the root of n_symmetries.
        bias_init: initialiser of b (2, hidden) and d (ancillas,), in the same way.
        visible_bias_init: initialiser of a (2, sites).
        symmetries: permutations (n_symmetries, sites) of the sites of one copy, for instance `lattice.translations()`,
            or a group of them as for `RBM`; `alpha` and `beta` times the number of sites must be multiples of
            n_symmetries.
        spacing: by how much a move changes the value of a site, as for `RBM`.

    Raises:
        ValueError: if `alpha` or `spacing` is not positive, `beta` is negative, the configurations are no pairs, or the
            `symmetries` are no permutations of the sites or do not divide the units.
        TypeError: if `param_dtype` is not a real floating-point type.

    Example:
        >>> import jax, manybody as mb
        >>> space = mb.hilbert.Doubled(mb.hilbert.Spin(2))
        >>> ansatz = mb.ansatz.DensityRBM(beta=2)
        >>> variables = ansatz.init(jax.random.key(0), space.all_states())
        >>> ansatz.apply(variables, space.all_states()).shape
        (16,)

    Reference:
        Torlai, Melko (2018), arXiv:1801.09684; with complex weights as here, Hartmann, Carleo (2019), arXiv:1902.05131;
        Vicentini, Biella, Regnault, Ciuti (2019), arXiv:1902.10104.
    """

    alpha: int | float = 1
    beta: int | float = 1
    param_dtype: Any = jnp.float64
    use_visible_bias: bool = True
    use_hidden_bias: bool = True
    kernel_init: Initializer = scaled_normal(1.0)
    bias_init: Initializer = scaled_normal(0.1)
    visible_bias_init: Initializer = scaled_normal(0.1)
    symmetries: Any = None
    spacing: int | tuple[int, ...] = (1, 2)

    def __post_init__(self) -> None:
        _checks.positive(self.alpha, "alpha")
        _checks.positive(self.beta, "beta", strict=False)
        check_real_dtype(self.param_dtype)
        for distance in self._spacing:
            _checks.integer(distance, "spacing", minimum=1)
        if self.symmetries is not None:
            object.__setattr__(self, "symmetries", _sharing.permutations(self.symmetries))
        super().__post_init__()

    def __call__(self, sigma: Int8[Array, "*batch pairs"]) -> Complex[Array, "*batch"]:
        weights = self._weights(n_sites_of(sigma))
        total = sum_log_cosh(_angles(weights, sigma))
        if weights.visible is None:
            return total
        real, imag = _parts(weights.visible[:, :, None], sigma)  # (..., 2, 1)
        return total + jax.lax.complex(real[..., 0, 0] + real[..., 1, 0], imag[..., 0, 0] - imag[..., 1, 0])

    def init_cache(self, sigma: Int8[Array, "batch pairs"]) -> DensityCache:
        """The cache of these pairs, from scratch."""
        return DensityCache(sigma, hidden_spins(_angles(self._weights(n_sites_of(sigma)), sigma)))

    def log_ratio(
        self, cache: DensityCache, sites: Int[Array, "batch changed"], values: Int8[Array, "batch changed"]
    ) -> Complex[Array, "batch"]:
        """log rho(changed pair) - log rho(pair of the cache), imaginary part modulo 2 pi."""
        return self.try_change(cache, sites, values)[0]

    def update_cache(
        self,
        cache: DensityCache,
        sites: Int[Array, "batch changed"],
        values: Int8[Array, "batch changed"],
        accepted: Bool[Array, "batch"],
    ) -> DensityCache:
        """The cache after the change where `accepted`, the old one elsewhere."""
        layer = self._layer(self._weights(n_sites_of(cache.sigma)))
        hidden = update_hidden_spins(layer, cache.sigma, cache.hidden, sites, values, accepted)
        return DensityCache(apply_change(cache.sigma, sites, values, accepted), hidden)

    def try_change(
        self, cache: DensityCache, sites: Int[Array, "batch changed"], values: Int8[Array, "batch changed"]
    ) -> tuple[Complex[Array, "batch"], Trial]:
        """`log_ratio`, and what it found on the way that `commit` needs."""
        weights = self._weights(n_sites_of(cache.sigma))
        ratio, trial = try_change(self._layer(weights), cache.sigma, cache.hidden, sites, values)
        if weights.visible is None:
            return ratio, trial
        a = jax.lax.complex(*weights.visible)
        delta = differences(cache.sigma, sites, values)
        return ratio + linear_change(jnp.concatenate([a, a.conj()])[:, None], sites, delta)[:, 0], trial

    def commit(
        self,
        cache: DensityCache,
        trial: Trial,
        sites: Int[Array, "batch changed"],
        values: Int8[Array, "batch changed"],
        accepted: Bool[Array, "batch"],
    ) -> DensityCache:
        """`update_cache` for a change that was tried before."""
        hidden = commit(self._layer(self._weights(n_sites_of(cache.sigma))), cache.hidden, trial, accepted)
        return DensityCache(apply_change(cache.sigma, sites, values, accepted), hidden)

    def _layer(self, weights: _Weights) -> HiddenLayer:
        return HiddenLayer(*_of_pairs(weights), self._spacing)

    @property
    def _spacing(self) -> tuple[int, ...]:
        return self.spacing if isinstance(self.spacing, tuple) else (self.spacing,)

    @nn.compact
    def _weights(self, n_sites: int) -> _Weights:
        """Those of all units, shared ones repeated."""
        group, dtype = self.symmetries, working_dtype(self.param_dtype)
        if group is not None:
            _sharing.check_sites(group, n_sites)
        kernel_init, bias_init = (_sharing.shared(init, group) for init in (self.kernel_init, self.bias_init))
        n_hidden = _sharing.n_features(self.alpha, n_sites, group)
        n_ancillas = _sharing.n_features(self.beta, n_sites, group, "beta") if self.beta > 0 else 0
        visible = hidden_bias = ancilla_bias = None
        if self.use_visible_bias:
            visible = self.param("visible", self.visible_bias_init, (2, n_sites), dtype)
            visible = _sharing.averaged(visible[..., None], group)[..., 0]
        kernels = [self.param("hidden_kernel", kernel_init, (2, n_sites, n_hidden), dtype)]
        if self.use_hidden_bias:
            hidden_bias = self.param("hidden_bias", bias_init, (2, n_hidden), dtype)
            hidden_bias = jnp.stack([_sharing.copied_bias(part, group) for part in hidden_bias])
        if n_ancillas > 0:
            kernels.append(self.param("ancilla_kernel", kernel_init, (2, n_sites, n_ancillas), dtype))
            if self.use_hidden_bias:
                ancilla_bias = self.param("ancilla_bias", bias_init, (n_ancillas,), dtype)
                ancilla_bias = _sharing.copied_bias(ancilla_bias, group)
        kernels = [_sharing.copied(kernel, group) for kernel in kernels]
        return _Weights(visible, jnp.concatenate(kernels, -1), hidden_bias, ancilla_bias, kernels[0].shape[-1])


def n_sites_of(sigma: Int8[Array, "*batch pairs"]) -> int:
    """Number of sites of one copy.

    Raises:
        ValueError: if there are not as many in the other one.
    """
    n = sigma.shape[-1]
    cure = "Density matrices are functions of the configurations of a `Doubled` space."
    _checks.require(n % 2 == 0, "sigma", "be pairs of configurations", f"{n} sites", cure)
    return n // 2


def _parts(
    kernel: Float[Array, "2 sites units"], sigma: Int8[Array, "*batch pairs"]
) -> tuple[Float[Array, "*batch 2 units"], Float[Array, "*batch 2 units"]]:
    """Real and imaginary part of sigma @ K for both copies."""
    x = sigma.astype(kernel.dtype).reshape(*sigma.shape[:-1], 2, -1)  # (..., 2, sites)
    return x @ kernel[0], x @ kernel[1]


def _angles(weights: _Weights, sigma: Int8[Array, "*batch pairs"]) -> Complex[Array, "*batch units"]:
    """Of the hidden units of sigma, of those of eta, and of the ancillas."""
    n = weights.n_hidden
    real, imag = _parts(weights.kernel, sigma)  # of twice as many real numbers, in place of products with complex ones
    first = jax.lax.complex(real[..., 0, :n], imag[..., 0, :n])
    second = jax.lax.complex(real[..., 1, :n], -imag[..., 1, :n])
    both = jax.lax.complex(real[..., 0, n:] + real[..., 1, n:], imag[..., 0, n:] - imag[..., 1, n:])
    theta = jnp.concatenate([first, second, both], axis=-1)
    bias = _bias(weights)
    return theta if bias is None else theta + bias.reshape((1,) * (theta.ndim - 1) + (-1,))


def _bias(weights: _Weights) -> Complex[Array, "units"] | None:
    if weights.hidden_bias is None:
        return None
    b = jax.lax.complex(*weights.hidden_bias)
    d = () if weights.ancilla_bias is None else (weights.ancilla_bias.astype(b.dtype),)
    return jnp.concatenate([b, b.conj(), *d])


def _of_pairs(weights: _Weights) -> tuple[Complex[Array, "pairs units"], Complex[Array, "units"] | None]:
    """Kernel and bias of the one RBM on pairs of configurations that this is."""
    kernel = jax.lax.complex(*weights.kernel)
    w, u = kernel[:, : weights.n_hidden], kernel[:, weights.n_hidden :]
    none = jnp.zeros_like(w)
    rows = [jnp.concatenate(row, axis=1) for row in ((w, none, u), (none, w.conj(), u.conj()))]
    return jnp.concatenate(rows), _bias(weights)
