# SPDX-License-Identifier: Apache-2.0
"""What samplers and estimators know of a wave function: ratios of amplitudes under sparse changes.

The protocol is `Amplitude`. A state that can do no better than evaluate itself becomes one through `FullEvaluation`;
a state that can update partial results (pre-activations, inverse matrices, environments) implements it directly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from manybody._precision import widen
from manybody._struct import dataclass, static
from manybody._types import Array, Bool, Float, Inexact, Int, Int8, PyTree


@runtime_checkable
class Amplitude(Protocol):
    """A wave function with its parameters; a pytree.

    A *change* of a batch of configurations is a pair of arrays: `sites` (batch, changed), distinct sites of each
    configuration, and their new `values` (batch, changed), which may equal the old ones. A *cache* is a pytree of
    arrays with leading axis `batch`: whatever makes ratios cheap, for the configurations it was made from. If it is a
    dataclass with a field `sigma` of that shape and type, these are the configurations, and samplers keep no others.
    """

    def log_psi(self, sigma: Int8[Array, "batch sites"]) -> Inexact[Array, "batch"]:
        """Natural logarithm of the amplitudes, in double precision."""
        ...

    def init_cache(self, sigma: Int8[Array, "batch sites"]) -> PyTree:
        """The cache of these configurations, from scratch."""
        ...

    def log_ratio(
        self, cache: PyTree, sites: Int[Array, "batch changed"], values: Int8[Array, "batch changed"]
    ) -> Inexact[Array, "batch"]:
        """log psi(changed configuration) - log psi(configuration of the cache), in double precision."""
        ...

    def update_cache(
        self,
        cache: PyTree,
        sites: Int[Array, "batch changed"],
        values: Int8[Array, "batch changed"],
        accepted: Array,
    ) -> PyTree:
        """The cache after the change where `accepted` (batch,), the old one elsewhere."""
        ...


@runtime_checkable
class Trying(Amplitude, Protocol):
    """An amplitude that keeps what it found for the ratio of a change until it is known whether the change is made."""

    def try_change(
        self, cache: PyTree, sites: Int[Array, "batch changed"], values: Int8[Array, "batch changed"]
    ) -> tuple[Inexact[Array, "batch"], PyTree]:
        """As `log_ratio`, and what `commit` needs: a pytree of arrays."""
        ...

    def commit(
        self,
        cache: PyTree,
        trial: PyTree,
        sites: Int[Array, "batch changed"],
        values: Int8[Array, "batch changed"],
        accepted: Array,
    ) -> PyTree:
        """A cache after the change that was tried, as `update_cache`; it may differ in what ratios do not show."""
        ...


@runtime_checkable
class Autoregressive(Amplitude, Protocol):
    """An amplitude with |psi|^2 = product over positions of p(level here | levels at the positions before).

    Configurations are drawn from it one position after the other, without a chain. A *cache* here is a pytree of arrays
    with leading axis `draws`: what is needed of the positions before.
    """

    @property
    def order(self) -> Int[np.ndarray, "sites"]:
        """The site at each position."""
        ...

    def init_draw(self, n_draws: int) -> PyTree:
        """The cache before the first position."""
        ...

    def draw_step(
        self, cache: PyTree, position: Int[Array, ""], levels: Int[Array, "draws"]
    ) -> tuple[Float[Array, "draws levels"], PyTree]:
        """One position further.

        Args:
            cache: of the position before.
            position: 0, 1, ..., one after the other; may be traced.
            levels: what was drawn at the position before; at position 0 it means nothing.

        Returns:
            log p of each level at this position, normalised, -inf for levels that cannot occur; and the next cache.
        """
        ...


def where_accepted(accepted: Array, new: PyTree, old: PyTree) -> PyTree:
    """Rows of the arrays in `new` where `accepted` (batch,), of those in `old` elsewhere."""

    def chosen(after: Array, before: Array) -> Array:
        return jnp.where(accepted.reshape(accepted.shape + (1,) * (after.ndim - 1)), after, before)

    return jax.tree.map(chosen, new, old)


MOST_SELECTED = 8
"""With more changed sites than this, scattering the new values beats comparing all sites with each of them."""


def apply_change(
    sigma: Int8[Array, "batch sites"],
    sites: Int[Array, "batch changed"],
    values: Int8[Array, "batch changed"],
    accepted: Bool[Array, "batch"] | None = None,
) -> Int8[Array, "batch sites"]:
    """The changed configurations, or those of `sigma` where a change is not `accepted`."""
    if sites.shape[1] > MOST_SELECTED:
        changed = jnp.put_along_axis(sigma, sites, values, axis=-1, inplace=False)
        return changed if accepted is None else where_accepted(accepted, changed, sigma)
    every = jnp.arange(sigma.shape[1], dtype=sites.dtype)[None]
    for j in range(sites.shape[1]):  # unlike a scatter, this is fused with what surrounds it
        here = sites[:, j, None] == every
        here = here if accepted is None else here & accepted[:, None]
        sigma = jnp.where(here, values[:, j, None].astype(sigma.dtype), sigma)
    return sigma


@dataclass
class FullCache:
    """Configurations and their amplitudes."""

    sigma: Int8[Array, "batch sites"]
    log_psi: Inexact[Array, "batch"]


@dataclass
class FullEvaluation:
    """The amplitude of any function `apply(params, sigma)`: a ratio costs one full evaluation."""

    apply: Callable[[PyTree, Array], Array] = static()
    params: PyTree

    def log_psi(self, sigma: Array) -> Array:
        return widen(self.apply(self.params, sigma))

    def init_cache(self, sigma: Array) -> FullCache:
        return FullCache(sigma, self.log_psi(sigma))

    def log_ratio(self, cache: FullCache, sites: Array, values: Array) -> Array:
        return self.log_psi(apply_change(cache.sigma, sites, values)) - cache.log_psi

    def update_cache(self, cache: FullCache, sites: Array, values: Array, accepted: Array) -> FullCache:
        return where_accepted(accepted, self.init_cache(apply_change(cache.sigma, sites, values)), cache)

    def try_change(self, cache: FullCache, sites: Array, values: Array) -> tuple[Array, FullCache]:
        new = self.init_cache(apply_change(cache.sigma, sites, values))
        return new.log_psi - cache.log_psi, new

    def commit(self, cache: FullCache, trial: FullCache, sites: Array, values: Array, accepted: Array) -> FullCache:
        del sites, values
        return where_accepted(accepted, trial, cache)


def held_by(cache: PyTree, sigma: Int8[Array, "batch sites"]) -> Int8[Array, "batch sites"] | None:
    """The configurations of a cache that holds them: a dataclass with a field `sigma` of the form of this `sigma`."""
    has_field = dataclasses.is_dataclass(cache) and "sigma" in {field.name for field in dataclasses.fields(cache)}
    own = cache.sigma if has_field else None
    is_it = isinstance(own, jax.Array) and (own.shape, own.dtype) == (sigma.shape, sigma.dtype)
    return own if is_it else None


def try_change(
    amplitude: Amplitude, cache: PyTree, sites: Array, values: Array
) -> tuple[Array, Callable[[Array], PyTree]]:
    """The log-ratio of a proposal, and a function from `accepted` (batch,) to the next cache."""
    log_ratio, trial = tried(amplitude, cache, sites, values)
    return widen(log_ratio), lambda accepted: committed(amplitude, cache, trial, sites, values, accepted)


def tried(amplitude: Amplitude, cache: PyTree, sites: Array, values: Array) -> tuple[Array, PyTree]:
    """`Trying.try_change` of any amplitude; those that keep nothing have found ()."""
    if isinstance(amplitude, Trying):
        return amplitude.try_change(cache, sites, values)
    return amplitude.log_ratio(cache, sites, values), ()


def committed(
    amplitude: Amplitude, cache: PyTree, trial: PyTree, sites: Array, values: Array, accepted: Array
) -> PyTree:
    """`Trying.commit` of any amplitude, for what `tried` has found."""
    if isinstance(amplitude, Trying):
        return amplitude.commit(cache, trial, sites, values, accepted)
    return amplitude.update_cache(cache, sites, values, accepted)
