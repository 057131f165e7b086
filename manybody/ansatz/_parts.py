# SPDX-License-Identifier: Apache-2.0
"""Parts of a wave function, of which some know how to follow changes and others are evaluated."""

from __future__ import annotations

import flax.linen as nn
import jax

from manybody._struct import dataclass
from manybody._types import Array, Bool, Inexact, Int, Int8, PyTree
from manybody.amplitude import FullCache, apply_change, where_accepted
from manybody.network import INCREMENTAL


@dataclass
class PartsCache:
    """The caches of the parts, each of which knows the configurations."""

    parts: tuple[PyTree, ...]

    @property
    def sigma(self) -> Int8[Array, "batch sites"]:
        return self.parts[0].sigma


def is_incremental(part: nn.Module) -> bool:
    """Whether a module has the methods for changes."""
    return all(callable(getattr(part, name, None)) for name in INCREMENTAL)


def init_cache(part: nn.Module, sigma: Int8[Array, "batch sites"]) -> PyTree:
    """The cache of a part."""
    return part.init_cache(sigma) if is_incremental(part) else FullCache(sigma, part(sigma))


def log_ratio(
    part: nn.Module, cache: PyTree, sites: Int[Array, "batch changed"], values: Int8[Array, "batch changed"]
) -> Inexact[Array, "batch"]:
    """Its log-ratio."""
    if is_incremental(part):
        return part.log_ratio(cache, sites, values)
    return part(apply_change(cache.sigma, sites, values)) - cache.log_psi


def update_cache(
    part: nn.Module,
    cache: PyTree,
    sites: Int[Array, "batch changed"],
    values: Int8[Array, "batch changed"],
    accepted: Bool[Array, "batch"],
) -> PyTree:
    """Its next cache."""
    if is_incremental(part):
        return part.update_cache(cache, sites, values, accepted)
    changed = apply_change(cache.sigma, sites, values)
    # In one jitted function with `log_ratio`, XLA evaluates the part once for both.
    new = FullCache(changed, part(changed))
    return jax.tree.map(lambda after, before: where_accepted(accepted, after, before), new, cache)
