# SPDX-License-Identifier: Apache-2.0
"""Vision transformers whose attention depends on positions only."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from manybody import _checks
from manybody._types import Array, Float, Inexact, Int8
from manybody.ansatz._cells import Patches, patches
from manybody.ansatz._heads import Head, check_output, reim_gelu
from manybody.ansatz._numerics import Initializer, check_dtype, working_dtype
from manybody.lattice import Lattice

EPSILON = 1e-6
"""Added to variances, so that equal features are normalised to zeros."""


class ViT(nn.Module):
    r"""A vision transformer: patches of the lattice, which attend to each other by where they are.

    The sites of each patch become a vector x_i by a linear map. Each layer then adds

    .. math::
        x_i \leftarrow x_i + \sum_{h} O_h \sum_j \alpha^h_{j - i}\, V_h \bar x_j, \qquad
        x_i \leftarrow x_i + B\, \mathrm{gelu}(A \bar x_i + a) + b ,

    where a bar is layer normalisation (with scale and shift), and the O and V of all heads h have biases as well. The
    attention alpha does not depend on the configuration, only on the displacement j - i of the patches. At the end,
    z = sum_i xbar_i, and log psi is made from z by `output`:

    * ``"log_cosh"``: log psi = sum_f log cosh(W z + b)_f, with complex W and b.
    * ``"real"``: log psi = w.z, a positive wave function.
    * ``"phase"``: log psi = w.z + i v.z.
    * ``"signed"``: a real wave function psi = 1/F sum_f exp(W z)_f - 1/(e F) sum_f exp(V z)_f, with F = d_model. The
      imaginary part of log psi is 0 or pi.

    The state is invariant under translations by patches. `Symmetrised`, with `cosets` their group, adds the rest of a
    space group, or momenta. All parameters are real. Open ends have displacements of their own, and no symmetry.

    Args:
        lattice: whose cells are put together to patches.
        patch: cells of a patch along each axis, one number for all or one for each; or a tuple of tuples, the integer
            matrix whose rows are the primitive vectors of the patches in units of those of the lattice.
        layers: number of layers.
        d_model: features of a patch.
        heads: number of different alpha in each layer; divides `d_model`.
        mlp_ratio: hidden features of the second step (A) over `d_model`.
        output: see above.
        param_dtype: real type of the parameters; computations are made in it.
        kernel_init: initialiser of all matrices, of alpha (displacements, heads), and of W, w, v (d_model, outputs),
            which are made smaller as the root of the number of patches.
        bias_init: initialiser of all biases.

    Raises:
        TypeError: if `lattice` is no `Lattice`, a number no integer, or `param_dtype` no real floating-point type.
        ValueError: if the patches do not divide the cluster, the heads not the features, a number is not positive, or
            there is no such output.

    Example:
        >>> import jax
        >>> from manybody.ansatz import ViT
        >>> from manybody.hilbert import Spin
        >>> from manybody.lattice import square
        >>> ansatz, sigma = ViT(square(4), d_model=8, heads=2), Spin(16).random_state(jax.random.key(0), 5)
        >>> ansatz.apply(ansatz.init(jax.random.key(1), sigma), sigma).dtype
        dtype('complex128')

    Reference:
        Viteritti, Rende, Becca (2023), arXiv:2211.05504; real weights below a complex output: Viteritti et al. (2025),
        arXiv:2311.16889; deep: Rende et al. (2024), arXiv:2310.05715; why attention need not depend on more than
        positions: Rende, Viteritti (2025), arXiv:2405.18874.
    """

    lattice: Lattice
    patch: int | tuple[int, ...] | tuple[tuple[int, ...], ...] = 2
    layers: int = 2
    d_model: int = 32
    heads: int = 4
    mlp_ratio: int = 2
    output: str = "log_cosh"
    param_dtype: Any = jnp.float64
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros

    def __post_init__(self) -> None:
        _checks.require_type(self.lattice, Lattice, "lattice")
        for name in ("layers", "d_model", "heads", "mlp_ratio"):
            _checks.integer(getattr(self, name), name, minimum=1)
        _checks.require(self.d_model % self.heads == 0, "heads", f"divide d_model = {self.d_model}", self.heads)
        check_dtype(self.param_dtype)
        if jnp.issubdtype(self.param_dtype, jnp.complexfloating):
            cure = "The output 'log_cosh' is complex."
            raise TypeError(_checks.requirement("param_dtype", "be a real type", self.param_dtype, cure))
        check_output(self.output, self.param_dtype)
        patches(self.lattice, self.patch)
        super().__post_init__()

    @nn.compact
    def __call__(self, sigma: Int8[Array, "*batch sites"]) -> Inexact[Array, "*batch"]:
        n_sites, dtype = self.lattice.n_sites, working_dtype(self.param_dtype)
        _checks.require(sigma.shape[-1] == n_sites, "sigma", f"have {n_sites} sites", sigma.shape[-1])
        tiles = patches(self.lattice, self.patch)
        flat = jnp.asarray(sigma).reshape(-1, n_sites).astype(dtype)
        x = jnp.swapaxes(flat[:, tiles.sites], 0, 1)  # (patches, batch, sites of a patch)
        x = self._dense(self.d_model, "embedding")(x)
        for layer in range(self.layers):
            x = x + self._attention(self._normalised(x, f"norm_attention_{layer}"), tiles, layer)
            x = x + self._perceptron(self._normalised(x, f"norm_hidden_{layer}"), layer)
        head = Head(self.output, self.param_dtype, self.kernel_init, self.bias_init)
        return head(jnp.sum(self._normalised(x, "norm"), axis=0), len(x)).reshape(sigma.shape[:-1])

    def row_labels(self) -> dict[str, list[tuple[int, ...]]]:
        """Displacements that the rows of the attention stand for: with them it carries over to larger lattices."""
        vectors = [tuple(vector) for vector in patches(self.lattice, self.patch).vectors.tolist()]
        return {f"attention_{layer}": vectors for layer in range(self.layers)}

    def _attention(
        self, x: Float[Array, "patches batch d_model"], tiles: Patches, layer: int
    ) -> Float[Array, "patches batch d_model"]:
        """All heads, side by side in the features."""
        shape = tiles.n_displacements, self.heads
        alpha = self.param(f"attention_{layer}", self.kernel_init, shape, working_dtype(self.param_dtype))
        values = self._dense(self.d_model, f"values_{layer}")(x).reshape(*x.shape[:2], self.heads, -1)
        values = jnp.transpose(values, (2, 0, 1, 3))  # heads first: one large product of matrices for each
        mixed = jnp.einsum("ijh,hjx->hix", alpha[tiles.displacements], values.reshape(*values.shape[:2], -1))
        mixed = jnp.transpose(mixed.reshape(values.shape), (1, 2, 0, 3))
        return self._dense(self.d_model, f"heads_{layer}")(mixed.reshape(x.shape))

    def _perceptron(
        self, x: Float[Array, "patches batch d_model"], layer: int
    ) -> Float[Array, "patches batch d_model"]:
        hidden = self._dense(self.mlp_ratio * self.d_model, f"hidden_{layer}")(x)
        return self._dense(self.d_model, f"output_{layer}")(reim_gelu(hidden))

    def _dense(self, features: int, name: str) -> nn.Dense:
        dtype = working_dtype(self.param_dtype)
        return nn.Dense(
            features, dtype=dtype, param_dtype=dtype, kernel_init=self.kernel_init, bias_init=self.bias_init, name=name
        )

    def _normalised(self, x: Float[Array, "patches batch d_model"], name: str) -> Float[Array, "patches batch d_model"]:
        """Layer normalisation: of the features of each patch."""
        centred = x - jnp.mean(x, axis=-1, keepdims=True)
        variance = jnp.mean(centred * centred, axis=-1, keepdims=True)
        dtype = working_dtype(self.param_dtype)
        scale = self.param(f"{name}_scale", nn.initializers.ones, (self.d_model,), dtype)
        shift = self.param(f"{name}_shift", self.bias_init, (self.d_model,), dtype)
        return scale[None, None] * centred * jax.lax.rsqrt(variance + EPSILON) + shift[None, None]
