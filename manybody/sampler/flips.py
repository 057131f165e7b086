# SPDX-License-Identifier: Apache-2.0
"""Moves that change the values of some sites without regard to the others."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from manybody import _checks
from manybody._types import Array
from manybody.hilbert import DiscreteSpace
from manybody.hilbert.local import levels_at, values_at
from manybody.sampler.law import Law
from manybody.sampler.move import Proposal, TwoStage, index_below, random_bits, uniform_index

Drawn = tuple[Array, Array | None]
"""The sites, and how many levels each of them goes up, modulo their number; None if there are two."""


@dataclass(frozen=True)
class LocalFlip(TwoStage):
    """A random site gets a random other value (on spins 1/2: it is flipped)."""

    def draw(self, key: Array, space: DiscreteSpace) -> Drawn:
        return _draw(key, space, 1)

    def choose(self, drawn: Drawn, sigma: Array, space: DiscreteSpace) -> tuple[Array, Proposal]:
        return _change_sites(drawn, sigma, space)

    def laws(self, space: DiscreteSpace) -> set[Law]:
        del space
        return set()

    def leaves(self, space: DiscreteSpace) -> str | None:
        return _leaves(space, 1)


@dataclass(frozen=True)
class MultiFlip(TwoStage):
    """`n_flips` random sites get random other values at once."""

    n_flips: int

    def __post_init__(self) -> None:
        _checks.integer(self.n_flips, "n_flips", minimum=1)

    def draw(self, key: Array, space: DiscreteSpace) -> Drawn:
        return _draw(key, space, self.n_flips)

    def choose(self, drawn: Drawn, sigma: Array, space: DiscreteSpace) -> tuple[Array, Proposal]:
        return _change_sites(drawn, sigma, space)

    def laws(self, space: DiscreteSpace) -> set[Law]:
        """Whether two-level sites agree, if all are flipped at once; their parity, if an even number is."""
        two_level = [site for site, dimension in enumerate(space.local_dimensions) if dimension == 2]
        if self.n_flips == space.size:
            return {Law(frozenset({two_level[0], site}), 2) for site in two_level[1:]}
        if self.n_flips % 2 == 0 and len(two_level) == space.size:
            return {Law(frozenset(two_level), 2)}
        return set()

    def leaves(self, space: DiscreteSpace) -> str | None:
        if self.n_flips > space.size:
            return f"it changes {self.n_flips} sites, but there are {space.size}"
        return _leaves(space, self.n_flips)


def _leaves(space: DiscreteSpace, n_flips: int) -> str | None:
    if not space.sectors:
        return None
    what = "the value of one site" if n_flips == 1 else f"the values of {n_flips} sites independently"
    return f"it changes {what}, which leads out of the sector of {space} (Exchange stays inside)"


def _draw(key: Array, space: DiscreteSpace, n_flips: int) -> Drawn:
    if all(d == 2 for d in space.local_dimensions):  # there is but one other value: nothing to draw
        return _distinct_sites(key, space.size, n_flips), None
    key_sites, key_levels = jax.random.split(key)
    sites = _distinct_sites(key_sites, space.size, n_flips)
    bits = jax.vmap(random_bits)(jax.random.split(key_levels, n_flips))
    return sites, 1 + jax.vmap(index_below)(_dimensions(space, sites) - 1, bits)


def _change_sites(drawn: Drawn, sigma: Array, space: DiscreteSpace) -> tuple[Array, Proposal]:
    sites, shift = drawn
    old = levels_at(space, sigma, sites)
    new = 1 - old if shift is None else (old + shift) % _dimensions(space, sites)
    return jnp.int32(0), (sites, values_at(space, sites, new), jnp.zeros(()))


def _dimensions(space: DiscreteSpace, sites: Array) -> Array:
    return jnp.asarray(space.local_dimensions, jnp.int32)[sites]


def _distinct_sites(key: Array, n_sites: int, n: int) -> Array:
    """n of n_sites without repetition, uniformly (Floyd's algorithm: n steps, no permutation of all sites)."""
    if n == 1:
        return uniform_index(key, n_sites)[None]
    keys = jax.random.split(key, n)
    chosen = jnp.full(n, -1, jnp.int32)
    for i in range(n):
        last = n_sites - n + i
        site = uniform_index(keys[i], last + 1)
        chosen = chosen.at[i].set(jnp.where(jnp.any(chosen == site), last, site))
    return chosen
