# SPDX-License-Identifier: Apache-2.0
"""How many configurations there are, and how many ways a part of one can be completed.

Everything a sector needs follows from one set of numbers, W[i][r]: the number of ways to choose the levels of the
sites i, i+1, ... of a sector so that they add up to r. A site with d levels gives

    W[i][r] = W[i+1][r] + W[i+1][r-1] + ... + W[i+1][r-d+1],    W[n][0] = 1.

They are exact Python integers here; `ranking` uses them as int64 (they fit whenever an index does), `drawing` their
ratios as floats. The sites outside all sectors form one more group, which nothing constrains.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from manybody._checks import integer, require


@dataclasses.dataclass(frozen=True)
class SumSector:
    """The constraint that the levels on `sites` add up to `total`.

    Attributes:
        sites: the constrained sites, without repetition.
        total: the sum of their levels, where a level counts from 0 in the order of the local basis.
    """

    sites: tuple[int, ...]
    total: int

    def __post_init__(self) -> None:
        """Validate and store plain Python integers, so that equal sectors hash alike."""
        sites = tuple(integer(site, "sites", minimum=0) for site in self.sites)
        require(len(set(sites)) == len(sites) > 0, "sites", "be at least one site, each named once", sites)
        object.__setattr__(self, "sites", tuple(sorted(sites)))
        object.__setattr__(self, "total", integer(self.total, "total", minimum=0))

    def shifted(self, by: int) -> SumSector:
        """The same constraint on the sites `by` further on."""
        return SumSector(tuple(site + by for site in self.sites), self.total)


class Layout(NamedTuple):
    """What the combinatorics of a space depends on: levels per site, and the constraints on their sums."""

    local_dimensions: tuple[int, ...]
    sectors: tuple[SumSector, ...]

    @property
    def free_sites(self) -> tuple[int, ...]:
        """The sites in no sector."""
        bound = {site for sector in self.sectors for site in sector.sites}
        return tuple(site for site in range(len(self.local_dimensions)) if site not in bound)

    def dimensions(self, sector: SumSector) -> tuple[int, ...]:
        """The local dimensions of a sector's sites."""
        return tuple(self.local_dimensions[site] for site in sector.sites)


class Groups(NamedTuple):
    """The sites sorted into groups: one for each sector, and one more for the free sites if there are any.

    A free site is treated as a member of a sector whose remaining total never changes (`step` 0) and is large
    enough for all its levels, so that ranking and drawing know only one kind of site.
    """

    of_site: np.ndarray
    """The group of each site, int32 (sites,)."""
    step: np.ndarray
    """How much a level takes off the remaining total, int32 (sites,): 1, or 0 for a free site."""
    remaining: np.ndarray
    """The total that each group has to distribute, int32 (groups,)."""


def completion_counts(dimensions: tuple[int, ...], total: int) -> Iterator[list[int]]:
    """The counts W[n], W[n-1], ..., W[0] of the module docstring, each a list over r = 0, ..., `total`.

    An r that no choice on the sites before i leaves over has count 0. So every count, and every sum over r of
    counts of one i, is at most W[0][total], and int64 holds them all if it holds that.
    """
    largest = [0, *itertools.accumulate(d - 1 for d in dimensions)]  # what the sites before i can use up
    counts = [int(r == 0 and total <= largest[-1]) for r in range(total + 1)]
    yield counts
    for i in reversed(range(len(dimensions))):
        below = [0, *itertools.accumulate(counts)]
        d, least = dimensions[i], total - largest[i]
        counts = [below[r + 1] - below[max(r + 1 - d, 0)] if r >= least else 0 for r in range(total + 1)]
        yield counts


@functools.lru_cache(maxsize=256)
def sector_size(dimensions: tuple[int, ...], total: int) -> int:
    """The number of ways to choose one level on each site so that they add up to `total`."""
    if max(dimensions) <= 2:
        return math.comb(sum(d == 2 for d in dimensions), total)
    first_site_counts = collections.deque(completion_counts(dimensions, total), maxlen=1).pop()
    return first_site_counts[total]


@functools.lru_cache(maxsize=256)
def n_configurations(layout: Layout) -> int:
    """The number of configurations, exactly, whatever its size."""
    free = math.prod(layout.local_dimensions[site] for site in layout.free_sites)
    return free * math.prod(sector_size(layout.dimensions(sector), sector.total) for sector in layout.sectors)


@functools.lru_cache(maxsize=256)
def site_groups(layout: Layout) -> Groups:
    """Sort the sites into groups.

    Raises:
        ValueError: if a sector reaches beyond the sites, or two sectors share a site.
    """
    n_sites = len(layout.local_dimensions)
    of_site = np.full(n_sites, len(layout.sectors), np.int32)
    for group, sector in enumerate(layout.sectors):
        require(max(sector.sites) < n_sites, "sectors", f"name sites below {n_sites}", sector.sites)
        sites = list(sector.sites)
        require(bool(np.all(of_site[sites] == len(layout.sectors))), "sectors", "be disjoint", layout.sectors)
        of_site[sites] = group
    remaining = [sector.total for sector in layout.sectors]
    if layout.free_sites:
        remaining.append(max(layout.local_dimensions) - 1)
    step = (of_site < len(layout.sectors)).astype(np.int32)
    return Groups(of_site, step, np.array(remaining, np.int32))
