# SPDX-License-Identifier: Apache-2.0
"""What autoregressive wave functions share: conditionals, draws, and changes that keep what stands before them."""

from __future__ import annotations

import abc
import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._struct import dataclass, read_only
from manybody._types import Array, Bool, Float, Inexact, Int, Int8, PyTree
from manybody.amplitude import apply_change, where_accepted
from manybody.ansatz._numerics import check_dtype, working_dtype
from manybody.ansatz.autoregressive.masks import (
    Limits,
    chosen,
    limits,
    log_conditionals,
    open_levels,
    used_before,
)
from manybody.hilbert import DiscreteSpace

STARTS = 4
"""From so many positions, evenly spaced, a changed configuration can be evaluated; each is compiled."""
MIN_BLOCK = 64
"""Changes that begin at different positions are parted into blocks of at least as many rows."""


@dataclass
class ARCache:
    """Configurations, what each position contributes to log psi, and what the network keeps of each position."""

    sigma: Int8[Array, "batch sites"]
    terms: Inexact[Array, "batch positions"]
    memory: PyTree


@dataclass
class DrawCache:
    """Levels drawn so far (0 where none is yet), and what the network keeps of each position."""

    levels: Int[Array, "draws positions"]
    memory: PyTree


class Autoregressive(nn.Module):
    r"""A normalised wave function made of conditional probabilities.

    .. math::
        \psi(\sigma) = \prod_{p} \sqrt{P(l_p \mid l_{<p})}\; e^{i \varphi(l_p \mid l_{<p})}

    l_p is the level of the site at position p. A subclass is a network that makes outputs, for each position, of the
    levels at the positions before. Here they become probabilities that conserve the fixed sums of the space.

    Changes of a few sites leave all that stands before the first of them. Sorted by that position and parted into
    blocks, they are evaluated from there on.

    Args:
        space: the configurations; sites may have different numbers of levels, and sums of levels may be fixed.
        phase: whether there are phases; otherwise psi is positive.
        order: the site at each position; None for 0, 1, ...
        param_dtype: type of the parameters, real; computations are made in it.

    Raises:
        ValueError: if the space has constraints other than fixed sums, or `order` does not name each site once.
        TypeError: if `space` is no discrete space, or `param_dtype` no real floating-point type.
    """

    space: DiscreteSpace
    phase: bool = dataclasses.field(default=False, kw_only=True)
    order: tuple[int, ...] | None = dataclasses.field(default=None, kw_only=True)
    param_dtype: Any = dataclasses.field(default=jnp.float64, kw_only=True)

    def __post_init__(self) -> None:
        check_space(self.space)
        check_dtype(self.param_dtype)
        real = not jnp.issubdtype(self.param_dtype, jnp.complexfloating)
        _checks.require(real, "param_dtype", "be real", self.param_dtype, "Pass phase=True for a complex psi.")
        object.__setattr__(self, "order", _checked_order(self.order, self.space.size))
        super().__post_init__()

    # --- what a network gives ----------------------------------------------------------------------------------------

    @abc.abstractmethod
    def evaluate(
        self, x: Float[Array, "rows positions features"], prefix: PyTree, start: int
    ) -> tuple[Float[Array, "rows later outputs"], PyTree]:
        """The outputs at the positions from `start` on, each of the levels before it.

        Args:
            x: the encoded levels of all positions.
            prefix: what it keeps of the positions before `start`, leaves (rows, start, ...); () if that is 0.
            start: static.

        Returns:
            `n_outputs` numbers for each position from `start` on, and what it keeps of them, leaves (rows, later, ...).
        """

    @abc.abstractmethod
    def start_memory(self, n_draws: int) -> PyTree:
        """What `step` keeps, before the first position; leaves (draws, ...)."""

    @abc.abstractmethod
    def step(
        self, memory: PyTree, position: Int[Array, ""], x: Float[Array, "draws features"]
    ) -> tuple[Float[Array, "draws outputs"], PyTree]:
        """The outputs at `position`, which may be traced, and the next memory.

        Args:
            memory: of the position before.
            position: 0, 1, ..., one after the other.
            x: the encoded level of the position before; 0 at position 0.
        """

    # --- values ------------------------------------------------------------------------------------------------------

    def __call__(self, sigma: Int8[Array, "*batch sites"]) -> Inexact[Array, "*batch"]:
        levels = self._levels(sigma).reshape(-1, self.space.size)  # (rows, positions)
        outputs, _ = self.evaluate(self._encoded(levels), (), 0)
        return jnp.sum(self._terms(outputs, levels, 0), axis=-1).reshape(sigma.shape[:-1])

    def conditionals(self, sigma: Int8[Array, "*batch sites"]) -> Float[Array, "*batch positions levels"]:
        """log P of all levels at each position, given the levels of `sigma` at the positions before.

        At position p is site `order[p]`. Levels that cannot occur have -inf.
        """
        levels = self._levels(sigma).reshape(-1, self.space.size)
        outputs, _ = self.evaluate(self._encoded(levels), (), 0)
        log_p = log_conditionals(outputs[..., : self.n_levels], *self._open(levels))
        return log_p.reshape(*sigma.shape, self.n_levels)

    # --- draws -------------------------------------------------------------------------------------------------------

    def init_draw(self, n_draws: int) -> DrawCache:
        """The cache before the first position."""
        return DrawCache(jnp.zeros((n_draws, self.space.size), jnp.int32), self.start_memory(n_draws))

    def draw_step(
        self, cache: DrawCache, position: Int[Array, ""], levels: Int[Array, "draws"]
    ) -> tuple[Float[Array, "draws levels"], DrawCache]:
        """log p of each level at `position`, after `levels` was drawn at the one before; and the next cache."""
        position, is_first = jnp.asarray(position, jnp.int32), jnp.asarray(position == 0)
        last = jnp.maximum(position - 1, 0)
        # At position 0 this writes where the next step writes again, and nothing looks at it in between.
        known = jax.lax.dynamic_update_index_in_dim(cache.levels, levels.astype(cache.levels.dtype), last, axis=1)
        x = encode(jnp.asarray(self._codes)[last], levels)
        outputs, memory = self.step(cache.memory, position, jnp.where(is_first, 0, x))
        return self._log_p(outputs, known, position), DrawCache(known, memory)

    # --- changes -----------------------------------------------------------------------------------------------------

    def init_cache(self, sigma: Int8[Array, "batch sites"]) -> ARCache:
        """The cache of these configurations, from scratch."""
        levels = self._levels(sigma)
        outputs, memory = self.evaluate(self._encoded(levels), (), 0)
        return ARCache(sigma, self._terms(outputs, levels, 0), memory)

    def log_ratio(
        self, cache: ARCache, sites: Int[Array, "batch changed"], values: Int8[Array, "batch changed"]
    ) -> Inexact[Array, "batch"]:
        """log psi(changed configuration) - log psi(configuration of the cache)."""
        sigma = apply_change(cache.sigma, sites, values)
        levels, first = self._levels(sigma), self._first_changed(cache.sigma, sites, values)
        starts = np.unique(np.arange(STARTS, dtype=np.int32) * self.space.size // STARTS)

        def from_start(start: int, rows: Int[Array, "rows"]) -> Inexact[Array, "rows"]:
            prefix = jax.tree.map(lambda leaf: leaf[rows, :start], cache.memory)
            outputs, _ = self.evaluate(self._encoded(levels[rows]), prefix, start)
            return jnp.sum(self._terms(outputs, levels[rows], start) - cache.terms[rows, start:], axis=-1)

        branches = [functools.partial(from_start, start) for start in starts.tolist()]

        def block_ratio(rows: Int[Array, "rows"]) -> Inexact[Array, "rows"]:
            usable = jnp.sum(first[rows[0]] >= jnp.asarray(starts), dtype=jnp.int32)
            return jax.lax.switch(usable - 1, branches, rows)

        by_first = jnp.argsort(first)
        n_rows, n_blocks = len(first), min(len(starts), max(1, len(first) // MIN_BLOCK))
        size = -(-n_rows // n_blocks)
        blocks = jnp.pad(by_first, (0, n_blocks * size - n_rows), mode="edge").reshape(n_blocks, size)
        ratios = jax.lax.map(block_ratio, blocks).reshape(-1)[:n_rows]
        return ratios[jnp.argsort(by_first)]

    def update_cache(
        self,
        cache: ARCache,
        sites: Int[Array, "batch changed"],
        values: Int8[Array, "batch changed"],
        accepted: Bool[Array, "batch"],
    ) -> ARCache:
        """The cache after the change where `accepted`, the old one elsewhere."""
        new = self.init_cache(apply_change(cache.sigma, sites, values))
        return where_accepted(accepted, new, cache)

    # --- shared by networks ------------------------------------------------------------------------------------------

    @property
    def n_levels(self) -> int:
        """The largest number of levels of a site."""
        return max(self.space.local_dimensions)

    @property
    def n_outputs(self) -> int:
        """For each level the logarithm of its probability up to a constant; then its phase, if there are phases."""
        return self.n_levels * (2 if self.phase else 1)

    @property
    def n_features(self) -> int:
        """Numbers that encode a level."""
        return self.n_levels - 1

    @property
    def dtype(self) -> jnp.dtype:
        """What computations are made in."""
        return working_dtype(self.param_dtype)

    @property
    def _limits(self) -> Limits:
        return limits(self.space, self.order)

    @property
    def _codes(self) -> np.ndarray:
        return level_codes(tuple(self.space.local_dimensions[site] for site in self.order or ()), str(self.dtype))

    def _levels(self, sigma: Int8[Array, "*batch sites"]) -> Int[Array, "*batch positions"]:
        """Levels position by position."""
        good = sigma.ndim > 0 and sigma.shape[-1] == self.space.size
        _checks.require(good, "sigma", f"have shape (..., {self.space.size})", sigma.shape)
        return jnp.asarray(self.space.to_levels(jnp.asarray(sigma))[..., np.array(self.order)])

    def _encoded(self, levels: Int[Array, "rows positions"]) -> Float[Array, "rows positions features"]:
        return jax.vmap(encode, in_axes=(0, 1), out_axes=1)(jnp.asarray(self._codes), levels)

    def _open(self, levels: Int[Array, "rows positions"]) -> tuple[Array, Array]:
        """Lowest and highest level that can occur at each position."""
        return open_levels(self._limits, used_before(self.space, self.order, levels))

    def _terms(
        self, outputs: Float[Array, "rows later outputs"], levels: Int[Array, "rows positions"], start: int
    ) -> Inexact[Array, "rows later"]:
        """What each position from `start` on contributes to log psi."""
        low, high = (x[:, start:] for x in self._open(levels))
        return self._of_levels(outputs, levels[:, start:], low, high)

    def _terms_at(
        self,
        outputs: Float[Array, "rows places outputs"],
        levels: Int[Array, "rows places"],
        places: Int[Array, "rows places"],
    ) -> Inexact[Array, "rows places"]:
        """What some positions contribute, where nothing is conserved."""
        high = jnp.asarray(self._limits.highest).at[places].get(mode="clip")
        return self._of_levels(outputs, levels, jnp.zeros_like(high), high)

    def _of_levels(self, outputs: Array, levels: Array, low: Array, high: Array) -> Inexact[Array, "rows places"]:
        """log psi of the levels, given which of them can occur."""
        half = chosen(log_conditionals(outputs[..., : self.n_levels], low, high), levels, -jnp.inf) / 2
        if not self.phase:
            return half
        return jax.lax.complex(half, chosen(outputs[..., self.n_levels :], levels, 0.0))

    def _log_p(
        self, outputs: Float[Array, "draws outputs"], levels: Int[Array, "draws positions"], position: Int[Array, ""]
    ) -> Float[Array, "draws levels"]:
        """log P of each level at one position, of which those before are known."""
        used = used_before(self.space, self.order, levels)[:, position]
        here = Limits(*(jnp.asarray(x)[..., position] for x in self._limits))
        return log_conditionals(outputs[:, : self.n_levels], *open_levels(here, used))

    def _first_changed(
        self,
        sigma: Int8[Array, "batch sites"],
        sites: Int[Array, "batch changed"],
        values: Int8[Array, "batch changed"],
    ) -> Int[Array, "batch"]:
        """The first position whose value changes, or the last one if there is none."""
        position = jnp.asarray(np.argsort(self.order).astype(np.int32))[sites]
        changes = values != jnp.take_along_axis(sigma, sites, axis=-1)
        return jnp.min(jnp.where(changes, position, self.space.size - 1), axis=-1, initial=self.space.size - 1)


def encode(codes: Float[Array, "levels features"], levels: Int[Array, "rows"]) -> Float[Array, "rows features"]:
    """The codes of levels of one site."""
    return codes.at[levels].get(mode="clip", wrap_negative_indices=False)


@functools.lru_cache(maxsize=64)
def level_codes(dimensions: tuple[int, ...], dtype: str) -> Float[np.ndarray, "positions levels features"]:
    """One point for each level, with one coordinate less than there are levels: 1 and -1 for two.

    They are the corners of a regular simplex about 0: no level is nearer to one than to another, and coordinates
    have mean square 1. A site with fewer levels uses the first coordinates only.
    """
    n_levels = max(dimensions)
    codes = np.zeros((len(dimensions), n_levels, n_levels - 1), dtype)
    for position, d in enumerate(dimensions):
        codes[position, :d, : d - 1] = _simplex(d)
    return read_only(codes)


def _simplex(n: int) -> np.ndarray:
    """Corners (n, n - 1): row k is orthogonal to the rest of its predecessors (Helmert's contrasts)."""
    corners = np.zeros((n, n - 1))
    for k in range(n - 1):
        rest = n - 1 - k
        corners[k, k] = np.sqrt(n * rest / (rest + 1))
        corners[k + 1 :, k] = -corners[k, k] / rest
    return corners


def check_space(space: DiscreteSpace) -> None:
    """Raise unless the levels of `space` are bound by nothing but fixed sums, and there is something to draw."""
    _checks.require_type(space, DiscreteSpace, "space")
    must = "have no constraints but fixed sums of levels: others cannot be kept site by site"
    _checks.require(space.has_only_sectors, "space", must, space)
    _checks.require(max(space.local_dimensions) > 1, "space", "have a site with at least two levels", space)


def _checked_order(order: tuple[int, ...] | None, n_sites: int) -> tuple[int, ...]:
    if order is None:
        return tuple(range(n_sites))
    sites = tuple(_checks.integer(site, "order") for site in order)
    _checks.require(sorted(sites) == list(range(n_sites)), "order", f"name each of {n_sites} sites once", order)
    return sites
