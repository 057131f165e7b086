# SPDX-License-Identifier: Apache-2.0
"""Parts of a wave function, of which some know how to follow changes and others are evaluated."""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn

from manybody._struct import dataclass
from manybody._types import Array, Bool, Inexact, Int, Int8, PyTree
from manybody.amplitude import FullCache, apply_change, where_accepted
from manybody.network import INCREMENTAL, has_methods


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
        return part.init_cache(sigma) if has_methods(part, INCREMENTAL) else FullCache(sigma, part(sigma))

    return PartsCache(tuple(map(own, parts)))


def log_ratios(
    parts: Sequence[nn.Module],
    cache: PartsCache,
    sites: Int[Array, "batch changed"],
    values: Int8[Array, "batch changed"],
) -> list[Inexact[Array, "batch"]]:
    """Their log-ratios."""

    def own(part: nn.Module, cache: PyTree) -> Inexact[Array, "batch"]:
        if has_methods(part, INCREMENTAL):
            return part.log_ratio(cache, sites, values)
        return part(apply_change(cache.sigma, sites, values)) - cache.log_psi

    return list(map(own, parts, cache.parts))


def update_cache(
    parts: Sequence[nn.Module],
    cache: PartsCache,
    sites: Int[Array, "batch changed"],
    values: Int8[Array, "batch changed"],
    accepted: Bool[Array, "batch"],
) -> PartsCache:
    """Their caches after the change where `accepted`, the old ones elsewhere."""

    def own(part: nn.Module, cache: PyTree) -> PyTree:
        if has_methods(part, INCREMENTAL):
            return part.update_cache(cache, sites, values, accepted)
        changed = apply_change(cache.sigma, sites, values)
        # In one jitted function with `log_ratios`, XLA evaluates the part once for both.
        return where_accepted(accepted, FullCache(changed, part(changed)), cache)

    return PartsCache(tuple(map(own, parts, cache.parts)))
