# SPDX-License-Identifier: Apache-2.0
"""Orbits of configurations under a group: the smallest configuration of each, and how others lead to it.

A configuration is a number, its *code*: the mixed-radix number of its levels, first site most significant. Permutations
and inversions act on codes by look-ups, one for each chunk of sites, and the image is the sum of what is found (compare
A. Wietek, A. M. Läuchli, Phys. Rev. E 98, 033309 (2018)). The smallest code of an orbit represents it.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from manybody._types import Array, Int
from manybody.hilbert import DiscreteSpace
from manybody.symmetry import Action

_CHUNK = 2**12
"""Codes of a chunk of sites: what is looked up for one element stays in the cache."""
_ENTRIES = 2**26
"""Numbers in all tables together, at most; for large groups chunks are smaller."""
_AT_ONCE = 2**14
"""Codes that are moved at a time: the temporaries stay in the cache, too."""
_STATES, _EARLY = 2**21, 32
"""States that are enumerated at a time, and elements that then sieve the pieces of these one by one."""


class Moves(NamedTuple):
    """What the elements of a group do to codes.

    Attributes:
        place: int64 (size,), place value of each site.
        dimensions: numbers of levels (size,).
        chunks: place value and number of codes of each chunk.
        tables: contributions (order, codes) to the image, for each chunk.
    """

    place: np.ndarray
    dimensions: np.ndarray
    chunks: tuple[tuple[int, int], ...]
    tables: tuple[np.ndarray, ...]

    def parts(self, codes: np.ndarray) -> list[np.ndarray]:
        """Codes of the chunks."""
        return [(codes // place % n).astype(np.intp) for place, n in self.chunks]

    def image(self, parts: list[np.ndarray], element: int) -> np.ndarray:
        """Codes of g sigma from the chunks of sigma."""
        image = self.tables[0][element].take(parts[0])
        for table, part in zip(self.tables[1:], parts[1:], strict=True):
            image += table[element].take(part)
        return image

    def levels(self, codes: np.ndarray) -> np.ndarray:
        """Levels, int32 (..., size), of codes (...)."""
        return (codes[..., None] // self.place % self.dimensions).astype(np.int32)


@functools.lru_cache(maxsize=2)
def moves(action: Action) -> Moves:
    """The tables of an action on a space whose codes fit into 64 bits."""
    dimensions, order = action.space.local_dimensions, action.group.order
    dtype = np.int32 if math.prod(dimensions) < 2**31 else np.int64  # narrow tables are looked up faster
    place = np.array([math.prod(dimensions[i + 1 :]) for i in range(len(dimensions))])
    chunks, tables = [], []
    for sites in _chunks(dimensions, min(_CHUNK, _ENTRIES // order)):
        unit, n = int(place[sites[-1]]), math.prod(dimensions[i] for i in sites)
        table = np.zeros((order, n), dtype)
        for site in sites:
            level = np.arange(n) * unit // place[site] % dimensions[site]
            moved = np.where(action.group.inverts[:, None], dimensions[site] - 1 - level, level)
            table += (moved * place[action.sites[:, site]][:, None]).astype(dtype)
        chunks.append((unit, n))
        tables.append(table)
    return Moves(place, np.array(dimensions), tuple(chunks), tuple(tables))


def _chunks(dimensions: tuple[int, ...], most: int) -> list[list[int]]:
    """Neighbouring sites by as few chunks as possible with no more codes than `most`, if a site has not."""
    chunks: list[list[int]] = [[]]
    for site, d in enumerate(dimensions):
        if chunks[-1] and math.prod(dimensions[i] for i in chunks[-1]) * d > most:
            chunks.append([])
        chunks[-1].append(site)
    return chunks


@functools.lru_cache(maxsize=2)  # for several representations of one group
def representatives(space: DiscreteSpace, action: Action) -> Int[np.ndarray, " orbits"]:
    """Codes of the smallest configurations of all orbits, ascending.

    A candidate is dropped as soon as an element makes it smaller. After k elements only about one in k of the
    candidates is left, so the work grows with the logarithm of the group.
    """
    tables = moves(action)
    width, order = tables.tables[0].dtype, action.group.order
    n = min(_STATES, max(_AT_ONCE, 2 ** (space.n_states - 1).bit_length()))
    found = []
    for start in range(0, space.n_states, n):
        index = np.minimum(np.arange(start, start + n), space.n_states - 1)  # of one static size: compiled once
        codes = np.asarray(_codes(space, index, tables.place))[: space.n_states - start].astype(width)
        pieces = np.split(codes, range(_AT_ONCE, len(codes), _AT_ONCE))
        early = np.concatenate([_smallest(tables, piece, range(1, min(_EARLY, order))) for piece in pieces])
        found.append(_smallest(tables, early, range(_EARLY, order)))
    codes = np.concatenate(found)
    codes.setflags(write=False)
    return codes


@functools.partial(jax.jit, static_argnums=0)
def _codes(space: DiscreteSpace, index: Array, place: Array) -> Array:
    """Codes of the states with these indices, piece by piece."""

    def piece(index: Array) -> Array:
        return jnp.sum(space.unrank_levels(index).astype(place.dtype) * place[None], axis=1, dtype=place.dtype)

    return jax.lax.map(piece, index.reshape(-1, _AT_ONCE)).reshape(-1)


def _smallest(tables: Moves, codes: np.ndarray, elements: range) -> np.ndarray:
    """Those that none of some elements makes smaller."""
    parts = tables.parts(codes)
    for element in elements:
        stays = tables.image(parts, element) >= codes
        if not stays.all():
            codes, parts = codes[stays], [part[stays] for part in parts]
    return codes


def minima(tables: Moves, codes: Int[np.ndarray, " codes"]) -> tuple[np.ndarray, np.ndarray]:
    """The smallest code in the orbit of each, and the element that leads to it."""
    smallest, elements = codes.copy(), np.zeros(len(codes), np.int32)
    for start in range(0, len(codes), _AT_ONCE):
        best, by = smallest[start : start + _AT_ONCE], elements[start : start + _AT_ONCE]  # views
        parts = tables.parts(best)
        for element in range(1, len(tables.tables[0])):
            image = tables.image(parts, element)
            by[image < best] = element
            np.minimum(image, best, out=best)
    return smallest, elements


def stabilisers(tables: Moves, codes: Int[np.ndarray, " codes"]) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of a code, by its number, and an element other than the identity that leaves it what it is."""
    rows, elements = [], []
    for start in range(0, len(codes), _AT_ONCE):
        here = codes[start : start + _AT_ONCE]
        parts = tables.parts(here)
        for element in range(1, len(tables.tables[0])):
            kept = np.flatnonzero(tables.image(parts, element) == here)
            rows.append(start + kept)
            elements.append(np.full(len(kept), element, np.int32))
    empty = np.zeros(0, np.int64)
    return np.concatenate([empty, *rows]), np.concatenate([empty, *elements])


def signs(action: Action, tables: Moves, codes: np.ndarray, elements: np.ndarray | int) -> np.ndarray:
    """s_g(sigma) of one element for each code, or of the same for all; 1 or -1."""
    found = np.ones(len(codes), np.int8)
    if action.has_signs:
        for start in range(0, len(codes), _AT_ONCE):
            here = slice(start, start + _AT_ONCE)
            chosen = elements if isinstance(elements, int) else elements[here]
            found[here] = action.level_signs(tables.levels(codes[here]), chosen)
    return found
