# SPDX-License-Identifier: Apache-2.0
"""Pairs of sites between which moves pass quanta, and what these conserve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._lazy import networkx as nx
from manybody._types import Array
from manybody.hilbert import DiscreteSpace
from manybody.sampler.law import Law
from manybody.sampler.move import index_below

Pairs = tuple[tuple[int, int], ...]


def checked_pairs(pairs: Any) -> Pairs | str:
    """Pairs from a lattice (its nearest-neighbour bonds), an array (n_pairs, 2), or the word "all".

    Raises:
        ValueError: if a pair has one site twice, or there are no pairs.
    """
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


def blocks(space: DiscreteSpace) -> np.ndarray:
    """Number, int32 (sites,), of the sector that fixes a sum of levels on each site; 0 for those in none."""
    block = np.zeros(space.size, np.int32)
    for number, sector in enumerate(space.sectors, start=1):
        block[list(sector.sites)] = number
    return block


def pairs_in(pairs: Pairs | str, space: DiscreteSpace) -> np.ndarray:
    """The pairs (n_pairs, 2); "all" are those between which quanta may pass without leaving a sector."""
    if pairs != "all":
        return np.asarray(pairs)
    block, every = blocks(space), np.stack(np.triu_indices(space.size, k=1), axis=1)
    return every[block[every[:, 0]] == block[every[:, 1]]]


def conserved_by(pairs: np.ndarray, space: DiscreteSpace) -> set[Law]:
    """The sum of levels on each connected component of the pairs."""
    graph = nx.Graph()
    graph.add_nodes_from(range(space.size))
    graph.add_edges_from(pairs.tolist())
    return {Law(frozenset(component), 0) for component in nx.connected_components(graph)}


def why_not(pairs: np.ndarray, space: DiscreteSpace) -> str | None:
    """Why quanta cannot pass between these pairs."""
    if len(pairs) == 0:
        return "it exchanges between two sites, but there are no two whose sum of levels may be shared otherwise"
    largest = int(np.max(pairs))
    if largest >= space.size:
        return f"it exchanges with site {largest}, but there are {space.size} sites"
    block = blocks(space)
    crossing = pairs[block[pairs[:, 0]] != block[pairs[:, 1]]]
    if len(crossing) == 0:
        return None
    sites = (int(crossing[0, 0]), int(crossing[0, 1]))
    return f"it exchanges between sites {sites}, whose sums of levels are fixed apart in {space}"


def choose_active(bits: Array, active: Array) -> tuple[Array, Array]:
    """Index of the true entry that random bits choose uniformly, and how many there are (index 0 if none).

    Entries are counted in words of 32, and then bits in a word: a running sum over all takes five times as long.
    """
    n_words = -(-active.shape[0] // 32)
    entries = jnp.pad(active, (0, 32 * n_words - active.shape[0])).reshape(n_words, 32)
    bit = jnp.uint32(1) << jnp.arange(32, dtype=jnp.uint32)
    words = jnp.sum(jnp.where(entries, bit, jnp.uint32(0)), axis=1, dtype=jnp.uint32)
    count = jnp.cumsum(_ones(words), dtype=jnp.int32)
    rank = index_below(count[-1], bits)
    number = jnp.sum(count <= rank, dtype=jnp.int32) % n_words
    word = words[number]
    index = 32 * number + _place_of(word, rank - count[number] + _ones(word))
    return jnp.where(count[-1] > 0, index, 0), count[-1]


def _ones(word: Array) -> Array:
    return jax.lax.population_count(word).astype(jnp.int32)


def _place_of(word: Array, rank: Array) -> Array:
    """The place of a one in a word of 32 bits, by its rank among the ones from below: half after half."""
    place = jnp.int32(0)
    for width in (16, 8, 4, 2, 1):
        below = _ones(word & jnp.uint32(2**width - 1))
        is_above = rank >= below
        rank = jnp.where(is_above, rank - below, rank)
        word = jnp.where(is_above, word >> width, word)
        place = place + jnp.where(is_above, width, 0)
    return place
