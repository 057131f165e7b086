# SPDX-License-Identifier: Apache-2.0
"""Spins of any length, optionally at fixed total S_z."""

from __future__ import annotations

import dataclasses
import numbers
from fractions import Fraction

import numpy as np

from manybody._checks import integer, require, requirement
from manybody._types import Int, Int8
from manybody.hilbert.arrays import AnyArray
from manybody.hilbert.base import DiscreteSpace
from manybody.hilbert.counting import SumSector

MAX_TWO_S = 127
"""The largest 2s whose values 2 s_z fit into int8."""


@dataclasses.dataclass(frozen=True)
class Spin(DiscreteSpace):
    """Spins of length `s`: the value of a site is 2 s_z, from +2s down to -2s in steps of 2 (int8).

    Example:
        >>> space = Spin(4, total_sz=0)
        >>> space.n_states
        6
        >>> space.all_states()[0]
        array([ 1,  1, -1, -1], dtype=int8)

    Attributes:
        n_sites: number of spins.
        s: length of each spin, a multiple of 1/2 up to 127/2.
        total_sz: the total S_z = sum_i s_z,i of all legal configurations, or None for all of them.

    Raises:
        TypeError: if an argument is not a number of the right kind.
        ValueError: if an argument is out of range, or the sector does not exist.
    """

    n_sites: int
    s: float = 0.5
    total_sz: float | None = None

    def __post_init__(self) -> None:
        """Validate, and store numbers that compare and hash alike however they were written."""
        n_sites = integer(self.n_sites, "n_sites", minimum=1)
        two_s = _twice(self.s, "s")
        legal = range(1, MAX_TWO_S + 1)
        require(two_s in legal, "s", f"be a multiple of 1/2 between 1/2 and {MAX_TWO_S}/2", self.s)
        if self.total_sz is not None:
            two_sz, largest = _twice(self.total_sz, "total_sz"), int(n_sites * two_s)
            legal = range(-largest, largest + 1, 2)
            must = f"be {_halves(legal)}, what {n_sites} spins of s = {Fraction(int(two_s), 2)} can add up to"
            require(two_sz in legal, "total_sz", must, self.total_sz, "There is no such sector.")
            object.__setattr__(self, "total_sz", int(two_sz) / 2)
        object.__setattr__(self, "n_sites", n_sites)
        object.__setattr__(self, "s", two_s / 2)

    @property
    def local_dimensions(self) -> tuple[int, ...]:
        """2s + 1 levels on each site."""
        return (self._two_s + 1,) * self.n_sites

    @property
    def numbers(self) -> dict[str, tuple[int, ...]]:
        """`total_sz`."""
        return {"total_sz": tuple(range(self.size))}

    @property
    def sectors(self) -> tuple[SumSector, ...]:
        """At fixed total_sz, the levels s - s_z of all sites add up to n_sites * s - total_sz."""
        if self.total_sz is None:
            return ()
        return (SumSector(tuple(range(self.n_sites)), round(self.n_sites * self.s - self.total_sz)),)

    def to_levels(self, sigma: Int[AnyArray, "*batch sites"]) -> Int[AnyArray, "*batch sites"]:
        """Level s - s_z of each site: 0 is +s."""
        return (self._two_s - sigma.astype(np.int32)) // 2

    def from_levels(self, levels: Int[AnyArray, "*batch sites"]) -> Int8[AnyArray, "*batch sites"]:
        """Value 2 s_z of each level."""
        return (self._two_s - 2 * levels).astype(np.int8)

    @property
    def _two_s(self) -> int:
        return round(2 * self.s)


def _twice(value: object, name: str) -> float:
    """Twice `value`, which may or may not come out integral."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(requirement(name, "be a real number", f"{type(value).__name__} ({value!r:.80})"))
    return 2 * float(value)


def _halves(doubled: range) -> str:
    """The halves of these integers in words, the middle ones left out if there are many."""
    shown = [*doubled] if len(doubled) <= 9 else [*doubled[:2], None, *doubled[-2:]]
    return "one of " + ", ".join("..." if value is None else str(Fraction(value, 2)) for value in shown)
