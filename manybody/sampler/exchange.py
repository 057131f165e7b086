# SPDX-License-Identifier: Apache-2.0
"""Moves that conserve the sum of levels of a pair of sites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np

from manybody import _checks
from manybody._types import Array
from manybody.hilbert import DiscreteSpace
from manybody.hilbert.local import values_at
from manybody.sampler.law import Law
from manybody.sampler.move import Move, Proposal, uniform_index


@dataclass(frozen=True, init=False)
class Exchange(Move):
    """Quanta pass between the two sites of a pair; on two-level sites their values are swapped.

    Of the pairs that can change one is chosen uniformly, then one of the other ways to share the same sum of levels.
    Pairs that cannot change (two equal spins 1/2) are never proposed; the different number of choices on the way back
    is accounted for.

    Args:
        pairs: a lattice (then its nearest-neighbour bonds), an array of pairs (n_pairs, 2), or "all".

    Raises:
        ValueError: if a pair has one site twice, or there are no pairs.
    """

    pairs: tuple[tuple[int, int], ...] | str

    def __init__(self, pairs: Any) -> None:
        object.__setattr__(self, "pairs", _checked_pairs(pairs))

    def propose(self, key: Array, sigma: Array, space: DiscreteSpace) -> Proposal:
        if self.pairs == "all" and all(d == 2 for d in space.local_dimensions):
            return _swap_any(key, sigma)
        return self._propose_pair(key, sigma, space)

    def _propose_pair(self, key: Array, sigma: Array, space: DiscreteSpace) -> Proposal:
        key_pair, key_levels = jax.random.split(key)
        pairs = jnp.asarray(self._all_pairs(space.size), jnp.int32)
        levels = jnp.asarray(space.to_levels(sigma))
        ways = _ways(levels, pairs, space)  # (pairs,)
        pair, n_active = _choose_active(key_pair, ways > 0)
        sites = pairs[pair]
        old = levels[sites]
        total, first, last = _range_of_first(old, sites, space)
        other = first + uniform_index(key_levels, jnp.maximum(last - first, 1))
        level = jnp.where(other >= old[0], jnp.minimum(other + 1, last), other)  # skips the present one
        new = jnp.stack([level, total - level])
        possible = n_active > 0
        new = jnp.where(possible, new, old)
        n_active_after = jnp.sum(_ways(levels.at[sites].set(new), pairs, space) > 0)
        log_q = jnp.log(jnp.maximum(n_active, 1).astype(float)) - jnp.log(jnp.maximum(n_active_after, 1).astype(float))
        return sites, values_at(space, sites, new), log_q

    def _all_pairs(self, n_sites: int) -> np.ndarray:
        if self.pairs == "all":
            return np.stack(np.triu_indices(n_sites, k=1), axis=1)
        return np.asarray(self.pairs)

    def laws(self, space: DiscreteSpace) -> set[Law]:
        """The sum of levels on each connected component of the pairs."""
        graph = nx.Graph()
        graph.add_nodes_from(range(space.size))
        graph.add_edges_from(self._all_pairs(space.size).tolist())
        return {Law(frozenset(component), 0) for component in nx.connected_components(graph)}

    def leaves(self, space: DiscreteSpace) -> str | None:
        pairs = self._all_pairs(space.size)
        if len(pairs) == 0:
            return "it exchanges between two sites, but there is one only"
        largest = int(np.max(pairs, initial=-1))
        if largest >= space.size:
            return f"it exchanges with site {largest}, but there are {space.size} sites"
        crossing = _crosses_sectors(pairs, space)
        return crossing and f"it exchanges between sites {crossing}, whose sums of levels are fixed apart in {space}"


def _swap_any(key: Array, sigma: Array) -> Proposal:
    """Swap two sites with different values: O(sites), and symmetric because the counts of the values stay."""
    key_first, key_second = jax.random.split(key)
    first = uniform_index(key_first, sigma.shape[0])
    second, n_other = _choose_active(key_second, sigma != sigma[first])
    second = jnp.where(n_other > 0, second, (first + 1) % sigma.shape[0])
    sites = jnp.stack([first, second])
    return sites, sigma[sites[::-1]], jnp.zeros(())


def _choose_active(key: Array, active: Array) -> tuple[Array, Array]:
    """Index of a uniformly chosen true entry, and how many there are (index 0 if none)."""
    count = jnp.cumsum(active, dtype=jnp.int32)
    rank = uniform_index(key, count[-1])
    return jnp.sum(count <= rank, dtype=jnp.int32) % active.shape[0], count[-1]


def _range_of_first(old: Array, sites: Array, space: DiscreteSpace) -> tuple[Array, Array, Array]:
    """Sum of the levels of a pair, and the lowest and highest level of its first site at this sum."""
    top = jnp.asarray(space.local_dimensions, jnp.int32) - 1
    total = old[..., 0] + old[..., 1]
    return total, jnp.maximum(total - top[sites[..., 1]], 0), jnp.minimum(total, top[sites[..., 0]])


def _ways(levels: Array, pairs: Array, space: DiscreteSpace) -> Array:
    """For every pair the number of other ways to share its sum of levels."""
    if all(d == 2 for d in space.local_dimensions):
        return (levels[pairs[:, 0]] != levels[pairs[:, 1]]).astype(jnp.int32)
    _, first, last = _range_of_first(levels[pairs], pairs, space)
    return last - first


def _crosses_sectors(pairs: np.ndarray, space: DiscreteSpace) -> tuple[int, int] | None:
    block = np.zeros(space.size, int)
    for number, sector in enumerate(space.sectors, start=1):
        block[list(sector.sites)] = number
    crossing = pairs[block[pairs[:, 0]] != block[pairs[:, 1]]]
    return (int(crossing[0, 0]), int(crossing[0, 1])) if len(crossing) else None


def _checked_pairs(pairs: Any) -> tuple[tuple[int, int], ...] | str:
    if isinstance(pairs, str):
        return _checks.choice(pairs, ("all",), "pairs")
    bonds: Sequence = pairs.bonds() if hasattr(pairs, "bonds") else pairs
    array = np.asarray(bonds)
    _checks.require(
        array.ndim == 2 and array.shape[-1] == 2 and len(array) > 0, "pairs", "have shape (n_pairs, 2)", array.shape
    )
    _checks.require(bool(np.all(array[:, 0] != array[:, 1])), "pairs", "join two different sites", array.tolist())
    _checks.require(bool(np.all(array >= 0)), "pairs", "hold site numbers", array.tolist())
    return tuple((int(i), int(j)) for i, j in array)
