# SPDX-License-Identifier: Apache-2.0
"""Residual networks of convolutions over the cells of a lattice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from manybody import _checks
from manybody._types import Array, Inexact, Int8
from manybody.ansatz._cells import check_size, window
from manybody.ansatz._convolution import on_lattice
from manybody.ansatz._heads import Head, check_output, reim_gelu
from manybody.ansatz._numerics import Initializer, check_dtype, working_dtype
from manybody.ansatz._residual import ResidualNetwork, sum_of_places
from manybody.lattice import Lattice


class ResNet(nn.Module):
    r"""A residual network of convolutions on a lattice of any shape.

    Features live on the cells of the lattice; the sites of a cell are the channels of the input. A convolution sees the
    cells n + d of a window of displacements d, over the boundaries where these are periodic, and nothing behind open
    ends. With L blocks of two convolutions C, each with its own weights and biases,

    .. math::
        x^0 = C\sigma, \qquad x^{l+1} = x^l + C\, a\bigl(C\, a(x^l / \sqrt{l + 1})\bigr), \qquad
        y = a(x^L / \sqrt{L + 1}), \qquad z = \sum_n y_n ,

    and log psi is made from z by `output`:

    * ``"log_cosh"``: log psi = sum_f log cosh(W z + b)_f, with complex W and b, whether `param_dtype` is real or not.
    * ``"real"``: log psi = w.z, a positive wave function.
    * ``"phase"``: log psi = w.z + i v.z.
    * ``"signed"``: a real wave function psi = 1/F sum_f exp(W z)_f - 1/(e F) sum_f exp(V z)_f. The imaginary part of
      log psi is 0 or pi.

    The state is invariant under the translations of the lattice. `Symmetrised`, with `cosets` the group of
    translations, adds the rest of a space group; `GCNN` has momenta other than 0.

    Args:
        lattice: whose cells the network lives on.
        features: of all layers.
        blocks: L.
        kernel_size: cells of the window along each primitive vector, one number for all axes or one for each; an even
            number reaches one cell further in the positive direction.
        radius: the window is instead all cells not further away than this, in Cartesian units as `lattice.positions`:
            on the triangular lattice 1 is a hexagon, where the size 3 is a rhombus.
        output: see above; only "log_cosh" with complex weights.
        activation: a, elementwise; by default GELU, of real and imaginary parts apart. For a holomorphic state take
            complex weights and a holomorphic one (`jnp.tanh`).
        param_dtype: type of the parameters; computations are made in it.
        kernel_init: initialiser of the weights (taps, features in, features out) of the convolutions, and of W, w, v
            (features, outputs), which are made smaller as the root of the number of cells.
        bias_init: initialiser of the biases.

    Raises:
        TypeError: if `lattice` is no `Lattice`, a number no integer, or `param_dtype` no floating-point type.
        ValueError: if a number is not positive, there is not one size for each axis, or no such output.

    Example:
        >>> import jax
        >>> from manybody.ansatz import ResNet
        >>> from manybody.hilbert import Spin
        >>> from manybody.lattice import kagome
        >>> ansatz, sigma = ResNet(kagome(2), features=4, output="phase"), Spin(12).random_state(jax.random.key(0), 5)
        >>> ansatz.apply(ansatz.init(jax.random.key(1), sigma), sigma).dtype
        dtype('complex128')

    Reference:
        He et al. (2016), arXiv:1603.05027, fig. 4e; for wave functions: Choo, Neupert, Carleo (2019),
        arXiv:1903.06713; Chen, Heyl (2024), arXiv:2302.01941; other lattices: Fu et al. (2022), arXiv:2206.07370.
    """

    lattice: Lattice
    features: int = 16
    blocks: int = 2
    kernel_size: int | tuple[int, ...] = 3
    radius: float | None = None
    output: str = "log_cosh"
    activation: Callable[[Array], Array] = reim_gelu
    param_dtype: Any = jnp.float64
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros

    def __post_init__(self) -> None:
        _checks.require_type(self.lattice, Lattice, "lattice")
        _checks.integer(self.features, "features", minimum=1)
        _checks.integer(self.blocks, "blocks", minimum=0)
        check_size(self.kernel_size, self.lattice, "kernel_size")
        if self.radius is not None:
            _checks.positive(self.radius, "radius", strict=False)
        check_dtype(self.param_dtype)
        check_output(self.output, self.param_dtype)
        super().__post_init__()

    @nn.compact
    def __call__(self, sigma: Int8[Array, "*batch sites"]) -> Inexact[Array, "*batch"]:
        n_sites, n_cells = self.lattice.n_sites, self.lattice.n_cells
        _checks.require(sigma.shape[-1] == n_sites, "sigma", f"have {n_sites} sites", sigma.shape[-1])
        taps = window(self.lattice, self.kernel_size, self.radius)
        options = {"param_dtype": self.param_dtype, "kernel_init": self.kernel_init, "bias_init": self.bias_init}
        x = jnp.asarray(sigma).astype(working_dtype(self.param_dtype)).reshape(-1, n_cells, n_sites // n_cells)
        x = jnp.moveaxis(x, 0, 2)  # (cells, sites of a cell, batch)
        network = ResidualNetwork(self.features, self.blocks, self.activation, **options)
        y = network(x, on_lattice(self.lattice, taps), len(taps))
        return Head(self.output, **options)(sum_of_places(y), n_cells).reshape(sigma.shape[:-1])
