# SPDX-License-Identifier: Apache-2.0
"""The group-convolutional network."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._types import Array, Inexact, Int8
from manybody.ansatz._convolution import on_box
from manybody.ansatz._layout import Grid, Layout, layout
from manybody.ansatz._numerics import Initializer, check_dtype, working_dtype
from manybody.ansatz._orbit import (
    as_sector,
    check_not_empty,
    coefficients,
    is_positive,
    log_sum,
    orbit,
)
from manybody.lattice import Lattice
from manybody.lattice.unfolding import labels, lattice_of
from manybody.symmetry import Action, PermutationGroup, Sector, action_on

MODES = ("auto", "fft", "matrix")
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def reim_selu(x: Inexact[Array, "*shape"]) -> Inexact[Array, "*shape"]:
    """SELU (Klambauer et al. (2017), arXiv:1706.02515), of real and imaginary part apart."""
    return jax.lax.complex(_selu(x.real), _selu(x.imag)) if jnp.iscomplexobj(x) else _selu(x)


def _selu(x: Array) -> Array:
    # Good to a rounding error of one, not of the result: enough between layers, and twice as fast as jax.nn.selu.
    return SELU_SCALE * (jnp.maximum(x, 0) + SELU_ALPHA * (jnp.exp(jnp.minimum(x, 0)) - 1))


class GCNN(nn.Module):
    r"""A network whose layers live on a symmetry group, projected onto a sector.

    .. math::
        x^1_f(g) &= b_f + \sum_i W_{if}\, (g\sigma)_i, \qquad
        x^{l+1}_f(g) = b_f + \sum_{k \in G} \sum_{f'} V_{f'f}(k g^{-1})\, a(x^l_{f'}(k)), \\
        \psi(\sigma) &= \frac{d}{|G| F} \sum_{g \in G} D(g)_{mm}\, s_g(\sigma) \sum_{f=1}^{F} \exp x^L_f(g)

    All layers are equivariant, so that psi belongs to the sector: it is the projection of the network's value at the
    identity, as in `Symmetrised`; see there about sectors of several dimensions, about signs, and about what is real
    and what is complex. Elements that differ by signs only share their place in the network.

    The convolutions are Fourier transforms over a normal subgroup of commuting elements, found in the group itself: the
    translations of a lattice, on skewed clusters as well, and the inversion of spins if that is in the group.

    `state.transfer` carries a network on a group of isometries over to larger lattices: to the sector with the same
    momentum and rotations, with the same W and V for the same displacements, as seen from the first site. One that
    leads half-way round the torus is several on a larger one, which share its weight. So what is repeated periodically
    has the same psi as before.

    Args:
        sector: a `Sector`; or a group, for its trivial representation.
        features: numbers of features of the layers, the first of which leads from sites to the group.
        space: the space of the configurations; needed where signs matter (fermions, antiperiodic boundaries), and for
            levels other than those of spins. With it sites are seen as by spins: highest level minus twice the level.
        parity: 1 or -1: psi is even or odd under the inversion of all levels, as if the sector had been made with
            `inversion`; but that forgets the lattice. The network then lives on the larger group.
        row: m, of the matrices `sector.matrices`.
        activation: a, elementwise; by default SELU, of real and imaginary parts apart.
        residual: whether a layer adds to what is there, x + conv(a(x)); all layers then have as many features.
        use_bias: whether there are b.
        mode: "fft", "matrix" for products with all weights written out, or "auto": "fft" if the subgroup has at least
            six elements. Only the speed differs.
        param_dtype: type of the parameters; computations are made in it.
        kernel_init: initialiser of W (sites, features) and V (elements, features in, features out).
        bias_init: initialiser of b.

    Raises:
        TypeError: if `sector` is none, `features` no tuple of integers, or `param_dtype` no floating-point type.
        ValueError: if there are no features or with `residual` different numbers, no such mode or row, a space is
            missing where there are signs, or has no states in the sector because of them.

    Example:
        >>> import jax, manybody as mb
        >>> from manybody.ansatz import GCNN
        >>> from manybody.symmetry import Permutation, PermutationGroup
        >>> ring = PermutationGroup.generated([Permutation([1, 2, 3, 0])])
        >>> ansatz, sigma = GCNN(ring, features=(4, 4)), mb.hilbert.Spin(4).all_states()
        >>> ansatz.apply(ansatz.init(jax.random.key(0), sigma), sigma).shape
        (16,)

    Reference:
        Cohen, Welling (2016), arXiv:1602.07576; Roth, MacDonald (2021), arXiv:2104.05085, eqs. 6 to 9; Roth, Szabó,
        MacDonald (2022), arXiv:2211.07749.
    """

    sector: Sector | PermutationGroup
    features: tuple[int, ...] = (8, 8)
    space: Any = None
    parity: int | None = None
    row: int = 0
    activation: Callable[[Array], Array] = reim_selu
    residual: bool = False
    use_bias: bool = True
    mode: str = "auto"
    param_dtype: Any = jnp.float64
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros

    def __post_init__(self) -> None:
        _checks.require_type(self.sector, (Sector, PermutationGroup), "sector")
        check_dtype(self.param_dtype)
        _checks.choice(self.mode, MODES, "mode")
        _check_features(self.features, self.residual)
        sector = self._full_sector
        if self.space is None:
            unsigned = bool(np.all(sector.group.signs == 1))
            _checks.require(unsigned, "space", f"be given for the signs of {sector.group!r}", self.space)
            orbit(sector, self.row)
        else:
            check_not_empty(sector, self.row, None, self.space)
        super().__post_init__()

    @nn.compact
    def __call__(self, sigma: Int8[Array, "*batch sites"]) -> Inexact[Array, "*batch"]:
        sector, acting, places = self._full_sector, self._acting, self._layout
        flat = jnp.asarray(sigma).reshape(-1, sigma.shape[-1])
        x = self._lifted(flat, places)
        for layer in range(1, len(self.features)):
            step = self._convolved(self.activation(x), places.grid, layer)
            x = x + step if self.residual else step
        seen = orbit(sector, self.row)
        factors = coefficients(seen, acting, flat, x.real.dtype) / self.features[-1]
        logs = jnp.moveaxis(x, 3, 0).reshape(len(flat), -1, self.features[-1])  # in the order of places
        order = np.argsort(places.places[seen.elements])
        if len(order) < logs.shape[1]:
            logs = logs[:, places.places[seen.elements][order]]
        return log_sum(logs, factors[:, order, None], is_positive(seen, acting)).reshape(sigma.shape[:-1])

    @property
    def lattice(self) -> Lattice | None:
        """The lattice, if the group is one of its isometries."""
        return lattice_of(as_sector(self.sector).group)

    def row_labels(self) -> dict[str, list[frozenset]]:
        """Sites and isometries of the infinite lattice that rows of weights stand for: with them these carry over."""
        own, full, places = as_sector(self.sector).group, self._full_sector.group, self._layout
        sites, elements = labels(own)
        parts = (divmod(i, own.n_sites) for i in range(places.targets.shape[-1]))
        of_sites = [frozenset((part, label) for label in sites[i]) for part, i in parts]
        pairs = ((bool(full.inverts[g]), g * own.order // full.order) for g in places.rows)  # see `with_inversion`
        of_elements = [frozenset((inverts, label) for label in elements[g]) for inverts, g in pairs]
        return {"kernel_0": of_sites} | {f"kernel_{layer}": of_elements for layer in range(1, len(self.features))}

    @property
    def _full_sector(self) -> Sector:
        return _with_parity(as_sector(self.sector), self.parity)

    @property
    def _acting(self) -> Action | None:
        return None if self.space is None else action_on(self.space, self._full_sector.group)

    @property
    def _layout(self) -> Layout:
        return layout(self._full_sector.group, self._acting, self.mode)

    def _inputs(self, sigma: Int8[Array, "batch sites"]) -> Inexact[Array, "batch sites"]:
        """Numbers that an inversion multiplies by -1."""
        if self.space is None:
            return sigma.astype(working_dtype(self.param_dtype))
        top = jnp.asarray(self.space.local_dimensions, jnp.int32) - 1
        return (top[None] - 2 * self.space.to_levels(sigma)).astype(working_dtype(self.param_dtype))

    def _lifted(
        self, sigma: Int8[Array, "batch sites"], places: Layout
    ) -> Inexact[Array, "points cosets features batch"]:
        n_sites = places.targets.shape[-1]
        _checks.require(sigma.shape[1] == n_sites, "sigma", f"have {n_sites} sites", sigma.shape[1])
        kernel = self._parameter("kernel_0", self.kernel_init, (n_sites, self.features[0]))
        kernel = kernel[places.targets] * jnp.asarray(places.parities[..., None, None], kernel.dtype)
        x = jnp.einsum("nrjf,bj->nrfb", kernel, self._inputs(sigma))
        return self._biased(x, 0)

    def _convolved(
        self, x: Inexact[Array, "points cosets features batch"], on: Grid, layer: int
    ) -> Inexact[Array, "..."]:
        n_points, n_cosets, n_in, n_batch = x.shape
        n_out = self.features[layer]
        kernel = self._parameter(f"kernel_{layer}", self.kernel_init, (n_points * n_cosets, n_in, n_out))
        kernel = jnp.swapaxes(kernel[on.differences], 2, 3)  # (points, cosets, features, cosets, features)
        kernel = kernel.reshape(n_points, n_cosets * n_in, n_cosets * n_out)
        y = on_box(on.shape)(x.reshape(n_points, -1, n_batch), kernel)
        return self._biased(y.reshape(n_points, n_cosets, n_out, n_batch), layer)

    def _biased(self, x: Array, layer: int) -> Array:
        if not self.use_bias:
            return x
        return x + self._parameter(f"bias_{layer}", self.bias_init, x.shape[2:3])[None, None, :, None]

    def _parameter(self, name: str, init: Initializer, shape: tuple[int, ...]) -> Array:
        return self.param(name, init, shape, working_dtype(self.param_dtype))


@functools.lru_cache(maxsize=64)
def _with_parity(sector: Sector, parity: int | None) -> Sector:
    if parity is None:
        return sector
    _checks.require(parity in (1, -1), "parity", "be 1 or -1", parity)
    return Sector(sector.group, sector.irrep, inversion=parity)


def _check_features(features: tuple[int, ...], residual: bool) -> None:
    _checks.require_type(features, tuple, "features")
    _checks.require(len(features) > 0, "features", "name at least one layer", features)
    for width in features:
        _checks.integer(width, "features", minimum=1)
    same = not residual or len(set(features)) == 1
    _checks.require(same, "features", "be the same for all layers with `residual`", features)
