# SPDX-License-Identifier: Apache-2.0
"""Fermions in orbitals, with spin or more components, optionally at fixed numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from manybody._checks import integer, require, requirement
from manybody._types import Int, Int8
from manybody.hilbert.arrays import AnyArray
from manybody.hilbert.base import DiscreteSpace
from manybody.hilbert.counting import SumSector


@dataclasses.dataclass(frozen=True)
class Fermion(DiscreteSpace):
    """Fermionic modes: the value of a mode is its occupation, 0 or 1 (int8).

    Modes are ordered by component: all orbitals of component 0, then all of component 1, and so on. With
    ``n_components=2`` these are spin up and spin down.

    Example:
        >>> space = Fermion(4, n_per_component=(2, 1), n_components=2)
        >>> space.size, space.n_states
        (8, 24)
        >>> space.mode(3, component=1)
        7

    Attributes:
        n_orbitals: number of orbitals of each component.
        n_fermions: the number of fermions in all legal configurations, or None if it is not fixed in this way.
        n_per_component: the number of fermions of each component, or None; for a single component it says the same as
            `n_fermions`, and is stored there.
        n_components: number of components, such as 2 for spin 1/2.

    Raises:
        TypeError: if an argument is not an integer, or `n_per_component` not a sequence of them.
        ValueError: if an argument is out of range, both numbers are given, or the sector does not exist.
    """

    n_orbitals: int
    n_fermions: int | None = None
    n_per_component: tuple[int, ...] | None = None
    n_components: int = 1

    def __post_init__(self) -> None:
        """Validate, and store numbers that compare and hash alike however they were written."""
        n_orbitals = integer(self.n_orbitals, "n_orbitals", minimum=1)
        n_components = integer(self.n_components, "n_components", minimum=1)
        n_fermions, each = self.n_fermions, self.n_per_component
        if each is not None:
            require(n_fermions is None, "n_per_component", "be None if n_fermions is given", each)
            each = _checked_numbers(each, n_orbitals, n_components)
            n_fermions, each = (each[0], None) if n_components == 1 else (None, each)
        elif n_fermions is not None:
            n_fermions, most = integer(n_fermions, "n_fermions"), n_orbitals * n_components
            must = f"satisfy 0 <= n_fermions <= {most}, what {n_components} x {n_orbitals} modes can hold"
            require(0 <= n_fermions <= most, "n_fermions", must, n_fermions, "There is no such sector.")
        for name, value in zip(
            ("n_orbitals", "n_fermions", "n_per_component", "n_components"),
            (n_orbitals, n_fermions, each, n_components),
            strict=True,
        ):
            object.__setattr__(self, name, value)

    def mode(self, orbital: int, component: int = 0) -> int:
        """The site of an orbital of a component.

        Raises:
            TypeError: if an argument is not an integer.
            ValueError: if there is no such orbital or component.
        """
        orbital = integer(orbital, "orbital", minimum=0, maximum=self.n_orbitals - 1)
        return integer(component, "component", minimum=0, maximum=self.n_components - 1) * self.n_orbitals + orbital

    @property
    def local_dimensions(self) -> tuple[int, ...]:
        """Two levels of each mode: empty and occupied."""
        return (2,) * (self.n_orbitals * self.n_components)

    @property
    def numbers(self) -> dict[str, tuple[int, ...]]:
        """The number of fermions, and that of each component if there are several."""
        every = tuple(range(self.size))
        own = np.split(np.arange(self.size), self.n_components) if self.n_components > 1 else []
        return {"n_fermions": every} | {f"n_per_component[{i}]": tuple(map(int, modes)) for i, modes in enumerate(own)}

    @property
    def fermions(self) -> tuple[tuple[int, ...], ...]:
        """All modes, those of all components together."""
        return (tuple(range(self.size)),)

    @property
    def sectors(self) -> tuple[SumSector, ...]:
        """The fixed number of fermions: of all modes, or of the modes of each component."""
        if self.n_fermions is not None:
            return (SumSector(tuple(range(self.size)), self.n_fermions),)
        first = tuple(range(self.n_orbitals))
        numbers = enumerate(self.n_per_component or ())
        return tuple(SumSector(first, n).shifted(component * self.n_orbitals) for component, n in numbers)

    def to_levels(self, sigma: Int[AnyArray, "*batch sites"]) -> Int[AnyArray, "*batch sites"]:
        """The occupations themselves."""
        return sigma.astype(np.int32)

    def from_levels(self, levels: Int[AnyArray, "*batch sites"]) -> Int8[AnyArray, "*batch sites"]:
        """The occupations themselves."""
        return levels.astype(np.int8)


def _checked_numbers(value: Any, n_orbitals: int, n_components: int) -> tuple[int, ...]:
    """The numbers of fermions of all components."""
    name = "n_per_component"
    if not isinstance(value, Iterable):
        raise TypeError(requirement(name, "be a tuple of integers", f"{type(value).__name__} ({value!r:.80})"))
    each = tuple(integer(n, name) for n in value)
    must = f"be one number for each of {n_components} components (n_components)"
    require(len(each) == n_components, name, must, each, f"For {len(each)} components pass n_components={len(each)}.")
    must = f"hold numbers from 0 to n_orbitals ({n_orbitals})"
    require(all(0 <= n <= n_orbitals for n in each), name, must, each, "There is no such sector.")
    return each
