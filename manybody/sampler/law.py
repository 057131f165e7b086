# SPDX-License-Identifier: Apache-2.0
"""Sums of levels that moves conserve, and whether they keep a move from reaching every configuration."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from manybody.hilbert import DiscreteSpace


class Law(NamedTuple):
    """A sum of levels over `sites` that a move conserves: exactly (modulus 0) or modulo `modulus`."""

    sites: frozenset[int]
    modulus: int


def obstruction_by_laws(laws: set[Law], space: DiscreteSpace) -> str | None:
    """The first law in `laws` that the space itself does not impose, in words."""
    for law in sorted(laws, key=lambda law: (law.modulus, len(law.sites), sorted(law.sites))):
        if not _imposed(law, space):
            what = "sum of the levels" if law.modulus == 0 else f"sum of the levels modulo {law.modulus}"
            where = "all sites" if len(law.sites) == space.size else f"sites {_shortened(sorted(law.sites))}"
            return f"it conserves the {what} on {where}, so it cannot connect the configurations of {space}"
    return None


def common_laws(sets: Sequence[set[Law]]) -> set[Law]:
    """Laws of a choice between several moves, enough to tell whether it can connect a space.

    The sums that a move conserves are a linear space, of which its laws are generators, and those that all moves
    conserve are the intersection: sites {0, 1, 2} for a move with laws {0, 1}, {2} and another one with {0}, {1, 2}.
    It is found modulo 2, which every exact law implies; besides, laws that all moves state are kept as they are.
    """
    parities = [[_as_bits(law.sites) for law in laws if law.modulus % 2 == 0] for laws in sets]
    common = functools.reduce(_common_parities, parities)
    return set.intersection(*sets) | {Law(_as_sites(bits), 2) for bits in common}


def _imposed(law: Law, space: DiscreteSpace) -> bool:
    """Whether the sectors of the space fix this sum: they do if some of them make up its sites."""
    inside = [frozenset(sector.sites) for sector in space.sectors if frozenset(sector.sites) <= law.sites]
    return frozenset().union(*inside) == law.sites


def _common_parities(left: Iterable[int], right: Iterable[int]) -> list[int]:
    """Basis of the intersection of two spaces over the field of two elements, vectors as bits (Zassenhaus)."""
    left, right = list(left), list(right)
    width = max((bits.bit_length() for bits in (*left, *right)), default=0)
    reduced: dict[int, int] = {}  # by the highest bit
    for row in [*(bits << width | bits for bits in left), *(bits << width for bits in right)]:
        while row and row.bit_length() in reduced:
            row ^= reduced[row.bit_length()]
        if row:
            reduced[row.bit_length()] = row
    return [row for length, row in reduced.items() if length <= width]


def _as_bits(sites: frozenset[int]) -> int:
    return sum(1 << site for site in sites)


def _as_sites(bits: int) -> frozenset[int]:
    return frozenset(site for site in range(bits.bit_length()) if bits >> site & 1)


def _shortened(sites: list[int]) -> str:
    return f"[{', '.join(map(str, sites[:6]))}, ...]" if len(sites) > 6 else str(sites)
