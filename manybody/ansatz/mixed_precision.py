# SPDX-License-Identifier: Apache-2.0
"""Any ansatz, with its products of matrices in a narrow type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from manybody import _checks
from manybody._types import Array, Inexact, Int8
from manybody.ansatz._heads import Head
from manybody.ansatz._narrow import narrowed

FEW = 2
"""A dense layer with no more outputs is one that makes log psi."""


class MixedPrecision(nn.Module):
    r"""An ansatz whose products of matrices have factors in a narrow type: what GPUs and TPUs are many times faster at.

    Factors are rounded, with relative errors up to 1/256 in bfloat16 and 1/2048 in float16. Their products are added up
    in single precision, and all else (parameters, biases, activations, sums over units and sites) is computed in the
    type of the ansatz, as are the last layers: the heads of deep networks, and dense layers with one or two outputs.
    A product keeps a precision that the ansatz has chosen (``precision="highest"``).

    This is a wave function of its own, close to the ansatz with the same parameters. It is evaluated as a whole
    wherever it is needed, in chains as in local energies, so its energy has no bias. Its derivatives are those of the
    exact products. Symmetries hold up to the rounding.

    There are no methods for changes of a few sites: where an ansatz has them, and no deep layers, it is faster without.

    Args:
        ansatz: Flax (linen) module, sigma -> log psi. Its parameters are those of this one, below the name "ansatz".
        products: type of the factors: bfloat16, float16 (more exact; numbers may not exceed 65504), or float32 for an
            ansatz in double precision.

    Raises:
        TypeError: if `ansatz` is no linen module, or `products` no real floating-point type.

    Example:
        >>> import jax, manybody as mb
        >>> from manybody.ansatz import MixedPrecision, ResNet
        >>> lattice = mb.lattice.square(4)
        >>> ansatz = MixedPrecision(ResNet(lattice, param_dtype="float32"))
        >>> sigma = mb.hilbert.Spin(16).random_state(jax.random.key(0), 5)
        >>> jax.eval_shape(ansatz.init_with_output, jax.random.key(1), sigma)[0].dtype
        dtype('complex64')

    Reference:
        Micikevicius et al. (2018), arXiv:1710.03740 (networks); wave functions in low precision: Solinas et al. (2026),
        arXiv:2601.20782.
    """

    ansatz: nn.Module
    products: Any = jnp.bfloat16

    def __post_init__(self) -> None:
        _checks.require_type(self.ansatz, nn.Module, "ansatz")
        if not jnp.issubdtype(self.products, jnp.floating):
            raise TypeError(_checks.requirement("products", "be a real floating-point type", self.products))
        super().__post_init__()

    @nn.compact
    def __call__(self, sigma: Int8[Array, "*batch sites"]) -> Inexact[Array, "*batch"]:
        if self.is_initializing():
            return self.ansatz(sigma)
        module, variables = self.ansatz.unbind()

        def log_psi(variables: Any, sigma: Array) -> Any:
            with nn.intercept_methods(_last_layers_exact):
                return module.apply(variables, sigma)

        return narrowed(log_psi, jnp.dtype(self.products))(variables, sigma)

    @property
    def sector(self) -> Any:
        """That of the ansatz."""
        return getattr(self.ansatz, "sector", None)


def _last_layers_exact(call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
    """Log psi is a large number that is needed to an absolute precision: its last product must not be rounded."""
    module = context.module
    if isinstance(module, Head) or (isinstance(module, nn.Dense) and module.features <= FEW):
        with jax.default_matmul_precision("highest"):
            return call(*args, **kwargs)
    return call(*args, **kwargs)
