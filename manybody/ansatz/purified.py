# SPDX-License-Identifier: Apache-2.0
"""Density matrices by any network, with ancillary spins that are traced out."""

from __future__ import annotations

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from manybody import _checks
from manybody._types import Array, Complex, Float, Inexact, Int8
from manybody.ansatz._numerics import Initializer, check_real_dtype, scaled_normal, sum_log_cosh, working_dtype
from manybody.ansatz.density_rbm import n_sites_of


class PurifiedDensity(nn.Module):
    r"""A density matrix whose pure part and ancillas are read off the features of any network.

    .. math::
        \log\rho(\sigma, \eta) = \log\psi(\sigma) + \log\psi(\eta)^*
            + \sum_k \log\cosh\bigl(\theta_k(\sigma) + \theta_k(\eta)^* + d_k\bigr),

    where log psi and theta_k are complex linear functions of the features of one configuration. As in `DensityRBM`, of
    which this is the deep form, rho is Hermitian and positive semidefinite for any parameters.

    The features may stand at positions, as those of convolutions do: then log psi is a sum over these, there are
    ancillas at each of them, and if the network moves its features along with the configuration (pools nothing), rho
    does not change when sigma and eta are translated alike.

    Args:
        network: Flax (linen) module: configurations (batch, sites), as numbers of `param_dtype`, to real features
            (batch, features) or (batch, positions, features), of order one.
        n_ancillas: ancillas; of each position, if there are positions.
        param_dtype: type of the parameters of the outputs, a real one (that of the network is its own matter).
        kernel_init: initialiser of the weights of log psi (features, 2), the real and imaginary part, and of theta
            (features, 2 * n_ancillas); they are divided by the root of the number of positions.
        bias_init: initialiser of d (n_ancillas,).

    Raises:
        ValueError: if `n_ancillas` is negative, the configurations are no pairs, or the features have another shape.
        TypeError: if `network` is no linen module, `param_dtype` is not a real floating-point type, or the features are
            not real.

    Example:
        >>> import flax.linen as nn, jax, manybody as mb
        >>> network = nn.Sequential((nn.Dense(8, param_dtype=float), nn.tanh, nn.Dense(8, param_dtype=float), nn.tanh))
        >>> sigma = mb.hilbert.Doubled(mb.hilbert.Spin(2)).all_states()
        >>> ansatz = mb.ansatz.PurifiedDensity(network, n_ancillas=4)
        >>> ansatz.apply(ansatz.init(jax.random.key(0), sigma), sigma).dtype
        dtype('complex128')

    Reference:
        Vicentini, Rossi, Carleo (2022), arXiv:2206.13488, with Gram matrices of two vectors.
    """

    network: nn.Module
    n_ancillas: int = 16
    param_dtype: Any = jnp.float64
    kernel_init: Initializer = scaled_normal(1.0)
    bias_init: Initializer = scaled_normal(0.1)

    def __post_init__(self) -> None:
        _checks.require_type(self.network, nn.Module, "network")
        _checks.integer(self.n_ancillas, "n_ancillas", minimum=0)
        check_real_dtype(self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, sigma: Int8[Array, "*batch pairs"]) -> Complex[Array, "*batch"]:
        batch, dtype = sigma.shape[:-1], working_dtype(self.param_dtype)
        x = self._features(sigma.reshape(-1, n_sites_of(sigma)).astype(dtype))  # (copies, positions, features)
        real, imag = jnp.split(self._linear(2, "pure", x), 2, axis=-1)  # (copies, positions, 1)
        real, imag = (jnp.sum(part, axis=(1, 2)).reshape(*batch, 2) for part in (real, imag))
        pure = jax.lax.complex(real[..., 0] + real[..., 1], imag[..., 0] - imag[..., 1])
        if self.n_ancillas == 0:
            return pure
        theta = self._linear(2 * self.n_ancillas, "ancillas", x).reshape(*batch, 2, -1, 2, self.n_ancillas)
        real, imag = theta[..., 0, :], theta[..., 1, :]  # (..., 2, positions, ancillas)
        # Of d an imaginary part would cancel.
        d = self.param("ancilla_bias", self.bias_init, (self.n_ancillas,), dtype)
        d = d.reshape((1,) * (len(batch) + 1) + (-1,))
        both = jax.lax.complex(real[..., 0, :, :] + real[..., 1, :, :] + d, imag[..., 0, :, :] - imag[..., 1, :, :])
        return pure + sum_log_cosh(both.reshape(*both.shape[:-2], -1))

    def _features(self, x: Float[Array, "copies sites"]) -> Inexact[Array, "copies positions features"]:
        features = self.network(x)
        shape = features.shape
        must = f"give features ({len(x)}, features) or ({len(x)}, positions, features)"
        _checks.require(len(shape) in (2, 3) and shape[0] == len(x), "network", must, shape)
        if jnp.iscomplexobj(features):
            raise TypeError(_checks.requirement("network", "give real features", features.dtype))
        return features.astype(x.dtype).reshape(len(x), -1, shape[-1])

    def _linear(self, width: int, name: str, x: Inexact[Array, "copies positions features"]) -> Array:
        factor = 1 / math.sqrt(x.shape[1])

        def init(key: Any, shape: tuple[int, ...], dtype: Any) -> Array:
            return factor * self.kernel_init(key, shape, dtype)

        return nn.Dense(width, use_bias=False, dtype=x.dtype, param_dtype=x.dtype, kernel_init=init, name=name)(x)
