# SPDX-License-Identifier: Apache-2.0
"""Causal convolutions."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._types import Array, Float, Inexact, Int, Int8
from manybody.amplitude import apply_change
from manybody.ansatz._numerics import Initializer
from manybody.ansatz.autoregressive.base import ARCache, check_space
from manybody.ansatz.autoregressive.cone import Cone, cones
from manybody.ansatz.autoregressive.grid import Box, as_lists, box, order_on, reached, sources, tap_table, tiles
from manybody.ansatz.autoregressive.layered import Layered, check_features
from manybody.lattice import Lattice

GATHERED = 2
"""Light cones are evaluated if their taps are at most so many for each site and layer: else matrices are faster."""


class ARConv(Layered):
    r"""Convolutions that see a site and earlier ones near it, or in the first layer only earlier ones.

    .. math::
        h^1_r = f\Bigl(b^1 + \sum_{t \prec 0} x_{r+t} W^1_t\Bigr), \qquad
        h^{k+1}_r = f\Bigl(b^{k+1} + \sum_{t \preceq 0} h^k_{r+t} W^{k+1}_t\Bigr)

    x encodes levels. The taps t are displacements of less than `kernel_size` along each axis to sites that come
    earlier, row by row; from layer to layer they lie `dilation` times further apart. Without a lattice the sites form a
    row. Periodic axes of the lattice are periodic here, too, where that leads to earlier sites; beyond an open end
    there is nothing. The last layer, without activation, gives logits (and phases) of the levels.

    A change of a few sites makes a difference only in their light cones, and only these are evaluated if they are
    small. A site is drawn from the activations that its taps see.

    Args:
        space: the configurations; sites may have different numbers of levels, and sums of levels may be fixed.
        features: widths of the hidden layers.
        kernel_size: sites along each axis that a tap leads across, the site itself among them: at least 2.
        dilation: ratio of the distances between taps of one layer and the one before.
        lattice: a box of cells with one site each, in any dimension; None for a row.
        activation: f, elementwise, and smooth at 0: that is what the first position starts from.
        kernel_init: initialiser of W (taps, features in, features out).
        bias_init: initialiser of b (features,).
        phase: whether there are phases; otherwise psi is positive.
        order: the site at each position; by default 0, 1, ..., which is row by row. Not beside a lattice.
        param_dtype: type of the parameters, real; computations are made in it.

    Raises:
        ValueError: if the space has constraints other than fixed sums, `kernel_size` or `dilation` is too small, the
            lattice is no box or has other sites, or `order` does not name each site once.
        TypeError: if an argument is of the wrong type, `param_dtype` for instance no real floating-point type.

    Example:
        >>> import jax, jax.numpy as jnp, manybody as mb
        >>> from manybody.ansatz import ARConv
        >>> space = mb.hilbert.Spin(6, total_sz=0)
        >>> ansatz = ARConv(space, (8, 8), lattice=mb.lattice.rectangle(2, 3))
        >>> sigma = jnp.asarray(space.all_states())
        >>> log_psi = ansatz.apply(ansatz.init(jax.random.key(0), sigma), sigma)
        >>> round(float(jnp.sum(jnp.exp(2 * log_psi))), 12)
        1.0

    Reference:
        van den Oord et al. (2016), arXiv:1601.06759, and with dilation arXiv:1609.03499; as wave functions Sharir et
        al. (2020), arXiv:1902.04057; activations kept: Ramachandran et al. (2017), arXiv:1704.06001.
    """

    features: tuple[int, ...] = (16,)
    kernel_size: int = 3
    dilation: int = 1
    lattice: Lattice | None = None
    activation: Callable[[Array], Array] = nn.gelu
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros

    def __post_init__(self) -> None:
        check_features(self.features)
        _checks.integer(self.kernel_size, "kernel_size", minimum=2)
        _checks.integer(self.dilation, "dilation", minimum=1)
        check_space(self.space)
        if self.lattice is not None:
            order = order_on(self.lattice, self.order, self.space.size, is_snake=False)
            object.__setattr__(self, "order", order)
        super().__post_init__()

    def setup(self) -> None:
        widths = self.widths
        self.kernels = [
            self.param(f"kernel_{i}", self.kernel_init, (self._sources(i).shape[1], *widths[i : i + 2]), self.dtype)
            for i in range(len(widths) - 1)
        ]
        self.biases = [
            self.param(f"bias_{i}", self.bias_init, (width,), self.dtype) for i, width in enumerate(widths[1:])
        ]

    @property
    def hidden(self) -> tuple[tuple[int, ...], Callable[[Array], Array]]:
        return self.features, self.activation

    def linear(self, layer: int, x: Float[Array, "rows positions in"], start: int) -> Float[Array, "rows later out"]:
        parts = [self._on_tile(layer, x, tile) for tile in tiles(start, self.space.size)]
        return jnp.concatenate(parts, axis=1)

    def _on_tile(self, layer: int, x: Float[Array, "rows positions in"], tile: slice) -> Float[Array, "rows tile out"]:
        """A linear layer at consecutive positions: a product with a matrix, which is faster than gathering all taps."""
        inputs, tap = tap_table(self._sources(layer)[tile], self.space.size)
        kernel, bias = self.kernels[layer], self.biases[layer]
        weights = jnp.asarray(kernel).at[tap].get(mode="fill", fill_value=0)  # (inputs, tile, in, out)
        return jnp.einsum("rsi,stio->rto", x[:, inputs], weights) + bias[None, None]

    def linear_at(
        self, layer: int, x: Float[Array, "rows positions in"], position: Int[Array, ""]
    ) -> Float[Array, "rows out"]:
        near = jnp.asarray(self._sources(layer))[position]  # (taps,)
        return self._product(layer, x.at[:, near].get(mode="fill", fill_value=0))

    def log_ratio(
        self, cache: ARCache, sites: Int[Array, "batch changed"], values: Int8[Array, "batch changed"]
    ) -> Inexact[Array, "batch"]:
        """log psi(changed configuration) - log psi(configuration of the cache)."""
        if self._has_one_cone(sites.shape[1]):
            return self._ratio_of_one(cache, sites[:, 0], values[:, 0])
        cones = self._cones()
        n_gathered = sites.shape[1] * sum(cone.shape[1] * self._sources(i).shape[1] for i, cone in enumerate(cones))
        if n_gathered > GATHERED * len(cones) * self.space.size:
            return super().log_ratio(cache, sites, values)
        levels = self._levels(apply_change(cache.sigma, sites, values))
        origins = jnp.asarray(np.argsort(self.order).astype(np.int32))[sites]
        x = self._encoded(levels)
        for layer, (cone, before) in enumerate(zip(cones, cache.memory[: len(cones)], strict=True)):
            places = jnp.asarray(cone)[origins].reshape(len(levels), -1)  # (batch, changed * cone)
            x = _replaced(before, places, self._at_places(layer, x, places))
        return jnp.sum(self._terms(x, levels, 0) - cache.terms, axis=-1)

    def _has_one_cone(self, n_changed: int) -> bool:
        """Whether a change is followed by differences: one site, nothing conserved, open ends, and if that is less."""
        if n_changed > 1 or self.space.sectors or any(self._box.periodic):
            return False
        layers = list(enumerate(itertools.pairwise(self.widths)))
        weights = [self._sources(layer).shape[1] * n_in * n_out for layer, (n_in, n_out) in layers]
        in_cones = [self._one_cone[layer].taps.size * n_in * n_out for layer, (n_in, n_out) in layers]
        return 2 * sum(in_cones) <= self.space.size * sum(weights)

    def _ratio_of_one(
        self, cache: ARCache, site: Int[Array, "batch"], value: Int8[Array, "batch"]
    ) -> Inexact[Array, "batch"]:
        """The log-ratio for one changed site, by the differences that it makes in its light cone."""
        origin = jnp.asarray(np.argsort(self.order).astype(np.int32))[site]
        batch = jnp.arange(len(site), dtype=jnp.int32)[:, None]
        old = self._levels(cache.sigma)
        levels = self._levels(apply_change(cache.sigma, site[:, None], value[:, None]))
        codes = jnp.asarray(self._codes)
        after, before = (codes[origin, jnp.take_along_axis(x, origin[:, None], axis=1)[:, 0]] for x in (levels, old))
        difference = (after - before)[:, None]  # (batch, 1, features)
        for layer, cone in enumerate(self._one_cone):
            places = jnp.asarray(cone.places)[origin]  # (batch, displacements)
            step = self._between(layer, cone.taps, difference)
            if layer < len(self.features):
                known, before = cache.memory[layer], cache.memory[len(self.features) + 1 + layer]
                after = self.activation(before.at[batch, places].get(mode="clip") + step)
                difference = after - known.at[batch, places].get(mode="clip")
                difference = jnp.where((places < self.space.size)[:, :, None], difference, 0.0)
        outputs = cache.memory[len(self.features)].at[batch, places].get(mode="clip") + step
        terms = self._terms_at(outputs, levels.at[batch, places].get(mode="clip"), places)
        gained = terms - cache.terms.at[batch, places].get(mode="clip")
        return jnp.sum(jnp.where(places < self.space.size, gained, 0.0), axis=-1)

    def _between(
        self, layer: int, taps: Int[np.ndarray, "below here"], x: Float[Array, "batch below in"]
    ) -> Float[Array, "batch here out"]:
        """What a layer makes of differences in the cone."""
        weights = jnp.asarray(self.kernels[layer]).at[taps].get(mode="fill", fill_value=0)  # (below, here, in, out)
        n_in, n_out = x.shape[1] * x.shape[2], taps.shape[1] * weights.shape[3]
        matrix = jnp.swapaxes(weights, 1, 2).reshape(n_in, n_out)
        return (x.reshape(len(x), n_in) @ matrix).reshape(len(x), taps.shape[1], -1)

    @property
    def _one_cone(self) -> tuple[Cone, ...]:
        return cones(self._box, self.kernel_size, self.dilation, len(self.widths) - 1)

    def _at_places(
        self, layer: int, x: Float[Array, "batch positions in"], places: Int[Array, "batch places"]
    ) -> Float[Array, "batch places out"]:
        """A layer with its activation where it can differ."""
        near = jnp.asarray(self._sources(layer)).at[places].get(mode="clip")  # (batch, places, taps)
        batch = jnp.arange(len(x), dtype=jnp.int32)[:, None, None]
        y = self._product(layer, x.at[batch, near].get(mode="fill", fill_value=0))
        return self.activation(y) if layer < len(self.features) else y

    def _product(self, layer: int, seen: Float[Array, "*places taps in"]) -> Float[Array, "*places out"]:
        """What a layer makes of the values at its taps."""
        kernel, bias = self.kernels[layer], self.biases[layer]
        y = seen.reshape(*seen.shape[:-2], -1) @ kernel.reshape(-1, kernel.shape[-1])
        return y + bias.reshape((1,) * (y.ndim - 1) + (-1,))

    def _sources(self, layer: int) -> Int[np.ndarray, "positions taps"]:
        return sources(self._box, self.kernel_size, self.dilation**layer, layer == 0)

    def _cones(self) -> list[Int[np.ndarray, "positions most"]]:
        """The positions where a change at one position makes a difference, for each layer."""
        changed, cones = np.eye(self.space.size, dtype=bool), []
        for layer in range(len(self.features) + 1):
            changed = reached(self._sources(layer), changed)
            cones.append(as_lists(changed))
        return cones

    @property
    def _box(self) -> Box:
        return box(self.lattice, self.space.size)


def _replaced(
    x: Float[Array, "batch positions width"],
    places: Int[Array, "batch places"],
    new: Float[Array, "batch places width"],
) -> Float[Array, "batch positions width"]:
    """x with other values at some places; those that do not exist are left out, and one named twice has one value."""
    batch = jnp.arange(len(x), dtype=jnp.int32)[:, None]
    return x.at[batch, places].set(new, mode="drop")
