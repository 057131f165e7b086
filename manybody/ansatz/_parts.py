# SPDX-License-Identifier: Apache-2.0
"""Parts of a wave function, of which some know how to follow changes and others are evaluated."""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn

from manybody._struct import dataclass
from manybody._types import Array, Bool, Inexact, Int, Int8, PyTree
from manybody.amplitude import FullCache, apply_change, where_accepted
from manybody.network import INCREMENTAL, TRYING, has_methods


@dataclass
class PartsCache:
    """The caches of the parts, each of which knows the configurations."""

    parts: tuple[PyTree, ...]

    @property
    def sigma(self) -> Int8[Array, "batch sites"]:
        return self.parts[0].sigma


def init_cache(parts: Sequence[nn.Module], sigma: Int8[Array, "batch sites"]) -> PartsCache:
    """Their caches."""

    def own(part: nn.Module) -> PyTree:
        return part.init_cache(sigma) if has_methods(part, INCREMENTAL) else _evaluated(part, sigma)

    return PartsCache(tuple(map(own, parts)))


def try_change(
    parts: Sequence[nn.Module],
    cache: PartsCache,
    sites: Int[Array, "batch changed"],
    values: Int8[Array, "batch changed"],
) -> tuple[list[Inexact[Array, "batch"]], tuple[PyTree, ...]]:
    """Their log-ratios, and what `commit` needs of each."""

    def own(part: nn.Module, cache: PyTree) -> tuple[Inexact[Array, "batch"], PyTree]:
        if has_methods(part, TRYING):
            return part.try_change(cache, sites, values)
        if has_methods(part, INCREMENTAL):
            return part.log_ratio(cache, sites, values), ()
        new = _evaluated(part, apply_change(cache.sigma, sites, values))
        return new.log_psi - cache.log_psi, new

    ratios, trials = zip(*map(own, parts, cache.parts), strict=True)
    return list(ratios), trials


def commit(
    parts: Sequence[nn.Module],
    cache: PartsCache,
    trials: tuple[PyTree, ...],
    sites: Int[Array, "batch changed"],
    values: Int8[Array, "batch changed"],
    accepted: Bool[Array, "batch"],
) -> PartsCache:
    """Their caches after a change that was tried, where `accepted`, the old ones elsewhere."""

    def own(part: nn.Module, cache: PyTree, trial: PyTree) -> PyTree:
        if has_methods(part, TRYING):
            return part.commit(cache, trial, sites, values, accepted)
        if has_methods(part, INCREMENTAL):
            return part.update_cache(cache, sites, values, accepted)
        return where_accepted(accepted, trial, cache)

    return PartsCache(tuple(map(own, parts, cache.parts, trials)))


def update_cache(
    parts: Sequence[nn.Module],
    cache: PartsCache,
    sites: Int[Array, "batch changed"],
    values: Int8[Array, "batch changed"],
    accepted: Bool[Array, "batch"],
) -> PartsCache:
    """Their caches after any change where `accepted`, the old ones elsewhere."""

    def own(part: nn.Module, cache: PyTree) -> PyTree:
        if has_methods(part, INCREMENTAL):
            return part.update_cache(cache, sites, values, accepted)
        # In one jitted function with `log_ratio`, XLA evaluates the part once for both.
        return where_accepted(accepted, _evaluated(part, apply_change(cache.sigma, sites, values)), cache)

    return PartsCache(tuple(map(own, parts, cache.parts)))


def _evaluated(part: nn.Module, sigma: Int8[Array, "batch sites"]) -> FullCache:
    """The cache of a part that does not follow changes."""
    return FullCache(sigma, part(sigma))
