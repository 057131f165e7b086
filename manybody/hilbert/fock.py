# SPDX-License-Identifier: Apache-2.0
"""Bosons on sites, optionally at a fixed number of particles."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from manybody._checks import integer, require
from manybody._types import Int, Int8
from manybody.hilbert.arrays import AnyArray
from manybody.hilbert.base import DiscreteSpace
from manybody.hilbert.counting import SumSector

MAX_OCCUPATION = 127
"""The largest occupation that fits into int8."""


@dataclasses.dataclass(frozen=True)
class Fock(DiscreteSpace):
    """Occupation numbers: the value of a site is the number of particles on it, 0, 1, ..., `n_max` (int8).

    Example:
        >>> space = Fock(3, n_max=2, n_particles=2)
        >>> space.n_states
        6
        >>> space.all_states()[:2]
        array([[0, 0, 2],
               [0, 1, 1]], dtype=int8)

    Attributes:
        n_sites: number of sites.
        n_max: most particles on one site, between 1 and 127; one number for all sites, or one for each.
        n_particles: the number of particles in all legal configurations, or None for any number.

    Raises:
        TypeError: if an argument is not an integer.
        ValueError: if an argument is out of range, or the sector does not exist.
    """

    n_sites: int
    n_max: int | tuple[int, ...]
    n_particles: int | None = None

    def __post_init__(self) -> None:
        """Validate, and store numbers that compare and hash alike however they were written."""
        n_sites = integer(self.n_sites, "n_sites", minimum=1)
        n_max = _checked_n_max(self.n_max, n_sites)
        object.__setattr__(self, "n_sites", n_sites)
        object.__setattr__(self, "n_max", n_max)
        if self.n_particles is not None:
            n_particles, most = integer(self.n_particles, "n_particles"), sum(self._n_max_of_sites)
            must = f"satisfy 0 <= n_particles <= {most}, what {n_sites} sites with n_max = {n_max} can hold"
            require(0 <= n_particles <= most, "n_particles", must, n_particles, "There is no such sector.")
            object.__setattr__(self, "n_particles", n_particles)

    @property
    def local_dimensions(self) -> tuple[int, ...]:
        """n_max + 1 levels on each site."""
        return tuple(n + 1 for n in self._n_max_of_sites)

    @property
    def numbers(self) -> dict[str, tuple[int, ...]]:
        """`n_particles`."""
        return {"n_particles": tuple(range(self.size))}

    @property
    def sectors(self) -> tuple[SumSector, ...]:
        """At fixed n_particles, the occupations of all sites add up to it."""
        return () if self.n_particles is None else (SumSector(tuple(range(self.n_sites)), self.n_particles),)

    def to_levels(self, sigma: Int[AnyArray, "*batch sites"]) -> Int[AnyArray, "*batch sites"]:
        """The occupations themselves."""
        return sigma.astype(np.int32)

    def from_levels(self, levels: Int[AnyArray, "*batch sites"]) -> Int8[AnyArray, "*batch sites"]:
        """The occupations themselves."""
        return levels.astype(np.int8)

    @property
    def _n_max_of_sites(self) -> tuple[int, ...]:
        return (self.n_max,) * self.n_sites if isinstance(self.n_max, int) else self.n_max


def _checked_n_max(value: Any, n_sites: int) -> int | tuple[int, ...]:
    """One number if all sites have the same, else one for each."""
    if not isinstance(value, Iterable):
        return integer(value, "n_max", minimum=1, maximum=MAX_OCCUPATION)
    each = tuple(integer(n, "n_max", minimum=1, maximum=MAX_OCCUPATION) for n in value)
    require(len(each) == n_sites, "n_max", f"be one number, or one for each of {n_sites} sites", each)
    return each[0] if len(set(each)) == 1 else each
