# SPDX-License-Identifier: Apache-2.0
"""Numbering by two look-ups: the index as a sum of what the first and the second half of the sites contribute.

In lexicographic order the configurations that share their first half are neighbours, and those whose first halves have
the same sums continue in the same way. So

    index = first[code of the first half] + second[code of the second half],

where the code is the mixed-radix number of the levels of a half, `first` counts the configurations with a smaller
first half, and `second` the smaller second halves with the same sums (H. Q. Lin, Phys. Rev. B 42, 6561 (1990), for
spins 1/2). The tables are as long as a half has codes, about the square root of the unconstrained space.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import numpy as np

from manybody.hilbert.arrays import AnyArray, constant, namespace
from manybody.hilbert.counting import Layout

MAX_CODES = 2**18
"""Codes that a half may have: above, the tables would not stay in the caches."""


class IndexPart(NamedTuple):
    """What some of the sites contribute to an index: scale * table[code] with code = sum of place * level.

    Attributes:
        place: int32 or int64 (sites,), place values of mixed-radix digits; 0 for the other sites.
        table: int32 or int64 (codes,); None stands for table[code] = code.
        scale: a factor.
    """

    place: np.ndarray
    table: np.ndarray | None
    scale: int = 1

    def of_codes(self, codes: AnyArray) -> AnyArray:
        """Contributions, int64, of the shape of the codes."""
        if self.table is not None:
            codes = self.table[codes] if isinstance(codes, np.ndarray) else constant(self.table)[codes]
        wide = codes.astype(jax.dtypes.canonicalize_dtype(np.int64) if isinstance(codes, jax.Array) else np.int64)
        return wide if self.scale == 1 else wide * self.scale

    def moved(self, offset: int, n_sites: int, scale: int) -> IndexPart:
        """The same for sites that begin at `offset` among `n_sites`, in an index that counts in steps of `scale`."""
        place = np.pad(self.place, (offset, n_sites - offset - len(self.place)))
        return IndexPart(place, self.table, self.scale * scale)


class Halves(NamedTuple):
    """The tables of a layout.

    Attributes:
        parts: the two contributions to the index.
        starts: int64 (heads,), the index at which each possible first half begins; ascending.
        heads: int32 (heads,), the code of that first half.
        tails: int32 (heads,), where the list of its second halves begins in `members`.
        members: int32 (codes of the second half,), codes with equal sums next to each other, ascending.
    """

    parts: tuple[IndexPart, IndexPart]
    starts: np.ndarray
    heads: np.ndarray
    tails: np.ndarray
    members: np.ndarray


@functools.lru_cache(maxsize=64)
def halves(layout: Layout) -> Halves | None:
    """The tables, or None if they would be too long."""
    dimensions, totals = layout.local_dimensions, [sector.total for sector in layout.sectors]
    n_sites = len(dimensions)
    cut = min(range(n_sites + 1), key=lambda c: math.prod(dimensions[:c]) + math.prod(dimensions[c:]))
    n_classes = math.prod(total + 1 for total in totals)
    if max(math.prod(dimensions[:cut]), math.prod(dimensions[cut:]), n_classes) > MAX_CODES:
        return None
    place = np.concatenate([_places(dimensions[:cut]), _places(dimensions[cut:])])
    before = np.arange(n_sites) < cut
    # Second halves with equal sums are a class; a first half goes on with one of them, or not at all.
    class_of = _classes(np.array(totals), _sums(layout, place, dimensions, ~before), n_classes)
    needed = _classes(np.array(totals), totals - _sums(layout, place, dimensions, before), n_classes)
    size = np.append(np.bincount(class_of, minlength=n_classes)[:n_classes], 0)
    begin = np.cumsum(size) - size
    members = np.argsort(class_of, kind="stable")
    second = np.empty(len(members), np.int64)
    second[members] = np.arange(len(members)) - begin[class_of[members]]
    ways = size[needed]
    first = np.cumsum(ways) - ways
    heads = np.flatnonzero(ways)
    width = np.int32 if ways.sum() < 2**31 else np.int64  # narrow tables are looked up faster
    parts = (
        IndexPart(np.where(before, place, 0), first.astype(width)),
        IndexPart(np.where(before, 0, place), second.astype(width)),
    )
    return Halves(parts, first[heads], *(a.astype(np.int32) for a in (heads, begin[needed[heads]], members)))


def _classes(totals: np.ndarray, sums: np.ndarray, n_classes: int) -> np.ndarray:
    """A number, int64 (codes,), for each choice of sums (codes, sectors); n_classes if one is negative or too large."""
    possible = ((sums >= 0) & (sums <= totals)).all(axis=1)
    weight = np.cumprod(np.concatenate([[1], totals[:-1] + 1]))
    return np.where(possible, sums @ weight, n_classes)


def _places(dimensions: tuple[int, ...]) -> np.ndarray:
    """Place values of the mixed-radix number that the levels are, first site most significant, int32 (sites,)."""
    return np.array([math.prod(dimensions[i + 1 :]) for i in range(len(dimensions))], np.int32)


def _sums(layout: Layout, place: np.ndarray, dimensions: tuple[int, ...], part: np.ndarray) -> np.ndarray:
    """Sums of the levels in each sector for all codes of some sites, int64 (codes, sectors)."""
    sites = np.flatnonzero(part)
    codes = np.arange(math.prod(dimensions[i] for i in sites))
    sums = np.zeros((len(codes), len(layout.sectors)), np.int64)
    for number, sector in enumerate(layout.sectors):
        for site in set(sites) & set(sector.sites):
            sums[:, number] += codes // place[site] % dimensions[site]
    return sums


def rank(table: Halves, levels: AnyArray) -> AnyArray:
    """Index, int64 (rows,), of legal levels, int32 (rows, sites)."""
    first, second = (part.of_codes(codes_of(levels, part.place)) for part in table.parts)
    return first + second


def unrank(table: Halves, dimensions: tuple[int, ...], index: AnyArray) -> AnyArray:
    """Levels, int32 (rows, sites), of indices, int64 (rows,)."""
    starts, heads, tails, members = (a if isinstance(index, np.ndarray) else constant(a) for a in table[1:])
    head = _last_not_above(starts, index)
    first, second = heads[head], members[tails[head] + (index - starts[head]).astype(np.int32)]
    return digits(first, table.parts[0].place, dimensions) + digits(second, table.parts[1].place, dimensions)


def _last_not_above(ascending: AnyArray, value: AnyArray) -> AnyArray:
    """Position of the last entry that does not exceed each value; the first one does not."""
    xp, position = namespace(value), (value * 0).astype(np.int32)
    if xp is np:
        return np.searchsorted(ascending, value, side="right") - 1
    for bit in reversed(range((len(ascending) - 1).bit_length())):
        trial = position + 2**bit
        here = (trial < len(ascending)) & (ascending[xp.minimum(trial, len(ascending) - 1)] <= value)
        position = xp.where(here, trial, position)
    return position


def codes_of(levels: AnyArray, place: np.ndarray) -> AnyArray:
    """The mixed-radix numbers sum(place * level), (rows,), of levels (rows, sites)."""
    own = _as(place, levels)
    return (levels.astype(own.dtype) * own[None]).sum(axis=-1, dtype=own.dtype)


def digits(code: AnyArray, place: np.ndarray, dimensions: tuple[int, ...]) -> AnyArray:
    """The levels, int32 (rows, sites), of mixed-radix numbers (rows,); sites of place 0 get 0."""
    own = place > 0
    if all(d & (d - 1) == 0 for d in dimensions):  # so are the places, and shifts are much cheaper than divisions
        shift = np.log2(np.where(own, place, 1)).astype(place.dtype)
        mask = np.where(own, np.array(dimensions) - 1, 0).astype(place.dtype)
        return (code[:, None] >> _as(shift, code)[None] & _as(mask, code)[None]).astype(np.int32)
    base = np.where(own, dimensions, 1).astype(place.dtype)
    return (code[:, None] // _as(np.where(own, place, 1), code)[None] % _as(base, code)[None]).astype(np.int32)


def _as(table: np.ndarray, like: AnyArray) -> AnyArray:
    """A table as an array of the same library."""
    return table if isinstance(like, np.ndarray) else constant(table)
