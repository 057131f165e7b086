# SPDX-License-Identifier: Apache-2.0
"""Several spaces side by side."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from manybody._checks import integer, require, require_type
from manybody._types import Array, Bool, Int, Int8, PRNGKey
from manybody.hilbert.arrays import AnyArray, max_index, namespace
from manybody.hilbert.base import DiscreteSpace
from manybody.hilbert.counting import SumSector
from manybody.hilbert.halves import IndexPart


@dataclasses.dataclass(frozen=True, init=False, repr=False)
class Product(DiscreteSpace):
    """The tensor product of spaces: their sites one after the other, each space with its own values and sectors.

    The first space is the most significant one, as in Kronecker products: the index of a state is that of a number
    whose digits are the indices of its parts. A product among the spaces is taken apart into its own.

    Example:
        >>> from manybody.hilbert import Fock, Spin
        >>> space = Product(Spin(2, total_sz=0), Fock(1, n_max=2))
        >>> space.all_states()[:3]
        array([[ 1, -1,  0],
               [ 1, -1,  1],
               [ 1, -1,  2]], dtype=int8)
        >>> space.part([1, -1, 2], 1)
        array([2])

    Attributes:
        spaces: the spaces, none of them a product.

    Raises:
        TypeError: if an argument is not a discrete space.
        ValueError: if there is none.
    """

    spaces: tuple[DiscreteSpace, ...]

    def __init__(self, *spaces: DiscreteSpace) -> None:
        require(len(spaces) > 0, "spaces", "be one space or more", "none")
        for space in spaces:
            require_type(space, DiscreteSpace, "spaces")
        flat = (space.spaces if isinstance(space, Product) else (space,) for space in spaces)
        object.__setattr__(self, "spaces", sum(flat, ()))

    def __repr__(self) -> str:
        return f"Product({', '.join(map(repr, self.spaces))})"

    @property
    def offsets(self) -> tuple[slice, ...]:
        """The sites of each space."""
        stops = [0]
        for space in self.spaces:
            stops.append(stops[-1] + space.size)
        return tuple(map(slice, stops[:-1], stops[1:]))

    def part(self, sigma: Int[AnyArray, "*batch sites"], i: int) -> Int[AnyArray, "*batch part"]:
        """What configurations (..., sites) are on the sites of space number `i`."""
        sites = self.offsets[integer(i, "i", minimum=0, maximum=len(self.spaces) - 1)]
        return self._as_configurations(sigma)[..., sites]

    @property
    def local_dimensions(self) -> tuple[int, ...]:
        """Those of the spaces."""
        return sum((space.local_dimensions for space in self.spaces), ())

    @property
    def sectors(self) -> tuple[SumSector, ...]:
        """Those of the spaces."""
        parts = zip(self.spaces, self.offsets, strict=True)
        return tuple(sector.shifted(sites.start) for space, sites in parts for sector in space.sectors)

    @property
    def numbers(self) -> dict[str, tuple[int, ...]]:
        """Those of the spaces; `spaces[1].n_particles` is that of the second one."""
        return {
            f"spaces[{i}].{name}": tuple(site + at.start for site in sites)
            for i, (space, at) in enumerate(zip(self.spaces, self.offsets, strict=True))
            for name, sites in space.numbers.items()
        }

    @property
    def fermions(self) -> tuple[tuple[int, ...], ...]:
        """Those of the spaces: fermions of different spaces commute."""
        parts = zip(self.spaces, self.offsets, strict=True)
        return tuple(tuple(i + sites.start for i in modes) for space, sites in parts for modes in space.fermions)

    @property
    def has_only_sectors(self) -> bool:
        return all(space.has_only_sectors for space in self.spaces)

    @property
    def n_states(self) -> int:
        return math.prod(space.n_states for space in self.spaces)

    @property
    def is_indexable(self) -> bool:
        return all(space.is_indexable for space in self.spaces) and self.n_states < max_index()

    def to_levels(self, sigma: Int[AnyArray, "*batch sites"]) -> Int[AnyArray, "*batch sites"]:
        """Levels in each space."""
        return self._of_parts("to_levels", sigma)

    def from_levels(self, levels: Int[AnyArray, "*batch sites"]) -> Int8[AnyArray, "*batch sites"]:
        """Values in each space."""
        return self._of_parts("from_levels", levels)

    def rank_levels(self, levels: Int[AnyArray, "*batch sites"]) -> Int[AnyArray, "*batch"]:
        index: Any = 0
        for space, sites in zip(self.spaces, self.offsets, strict=True):
            index = index * space.n_states + space.rank_levels(levels[..., sites])
        return namespace(levels).asarray(index)

    def unrank_levels(self, index: Int[AnyArray, "*batch"]) -> Int[AnyArray, "*batch sites"]:
        xp, parts = namespace(index), []
        for space in reversed(self.spaces):
            parts.append(space.unrank_levels(xp.asarray(index % space.n_states)))
            index = index // space.n_states
        return xp.concatenate(parts[::-1], axis=-1)

    def index_parts(self) -> tuple[IndexPart, ...] | None:
        parts: list[IndexPart] = []
        stride = self.n_states
        for space, sites in zip(self.spaces, self.offsets, strict=True):
            stride //= space.n_states
            own = space.index_parts()
            if own is None:
                return None
            parts += [part.moved(sites.start, self.size, stride) for part in own]
        return tuple(parts)

    def draw_levels(self, key: PRNGKey, n: int) -> Int[Array, "n sites"]:
        keys = jax.random.split(key, len(self.spaces))
        return jnp.concatenate([space.draw_levels(k, n) for space, k in zip(self.spaces, keys, strict=True)], axis=-1)

    def are_legal(self, levels: Int[AnyArray, "*batch sites"]) -> Bool[AnyArray, "*batch"]:
        xp = namespace(levels)
        parts = zip(self.spaces, self.offsets, strict=True)
        return xp.asarray(xp.stack([space.are_legal(levels[..., sites]) for space, sites in parts]).all(axis=0))

    def _of_parts(self, method: str, array: AnyArray) -> AnyArray:
        """What a method of each space makes of its sites."""
        parts = zip(self.spaces, self.offsets, strict=True)
        return namespace(array).concatenate([getattr(space, method)(array[..., at]) for space, at in parts], axis=-1)
