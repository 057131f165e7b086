# SPDX-License-Identifier: Apache-2.0
"""Pairs of configurations, on which density matrices are defined."""

from __future__ import annotations

import dataclasses

from manybody._checks import require_type
from manybody._types import Array, Bool, Int, Int8, PRNGKey
from manybody.hilbert.arrays import AnyArray, max_index, namespace
from manybody.hilbert.base import DiscreteSpace
from manybody.hilbert.counting import SumSector
from manybody.hilbert.halves import IndexPart


@dataclasses.dataclass(frozen=True)
class Doubled(DiscreteSpace):
    """Configurations (sigma, eta) that stand for the elements <sigma|rho|eta> of a density matrix on `space`.

    First the sites of sigma, then those of eta; the state (sigma, eta) has the index
    index(sigma) * space.n_states + index(eta), so that a vector over all states is the matrix, row by row.

    Example:
        >>> from manybody.hilbert import Spin
        >>> space = Doubled(Spin(3, total_sz=0.5))
        >>> space.size, space.n_states
        (6, 9)
        >>> space.index_to_states(1)
        array([ 1,  1, -1,  1, -1,  1], dtype=int8)

    Attributes:
        space: the space that the density matrix acts on.

    Raises:
        TypeError: if it is not a discrete space.
    """

    space: DiscreteSpace

    def __post_init__(self) -> None:
        """Validate."""
        require_type(self.space, DiscreteSpace, "space")

    @property
    def local_dimensions(self) -> tuple[int, ...]:
        """Those of the space, twice."""
        return self.space.local_dimensions * 2

    @property
    def sectors(self) -> tuple[SumSector, ...]:
        """Those of sigma, then those of eta."""
        return (*self.space.sectors, *(sector.shifted(self.space.size) for sector in self.space.sectors))

    @property
    def numbers(self) -> dict[str, tuple[int, ...]]:
        """Those of sigma, and those of eta."""
        own, n = self.space.numbers, self.space.size
        left = {f"sigma.{name}": sites for name, sites in own.items()}
        return left | {f"eta.{name}": tuple(site + n for site in sites) for name, sites in own.items()}

    @property
    def fermions(self) -> tuple[tuple[int, ...], ...]:
        """Those of sigma and those of eta."""
        own, n = self.space.fermions, self.space.size
        return (*own, *(tuple(i + n for i in modes) for modes in own))

    @property
    def has_only_sectors(self) -> bool:
        return self.space.has_only_sectors

    @property
    def n_states(self) -> int:
        return self.space.n_states**2

    @property
    def is_indexable(self) -> bool:
        return self.space.is_indexable and self.n_states < max_index()

    def to_levels(self, sigma: Int[AnyArray, "*batch sites"]) -> Int[AnyArray, "*batch sites"]:
        """Levels in the space."""
        return self.space.to_levels(self._apart(sigma)).reshape(sigma.shape)

    def from_levels(self, levels: Int[AnyArray, "*batch sites"]) -> Int8[AnyArray, "*batch sites"]:
        """Values in the space."""
        return self.space.from_levels(self._apart(levels)).reshape(levels.shape)

    def rank_levels(self, levels: Int[AnyArray, "*batch sites"]) -> Int[AnyArray, "*batch"]:
        pair = self.space.rank_levels(self._apart(levels))  # (..., 2)
        return namespace(pair).asarray(pair[..., 0] * self.space.n_states + pair[..., 1])

    def unrank_levels(self, index: Int[AnyArray, "*batch"]) -> Int[AnyArray, "*batch sites"]:
        n = self.space.n_states
        pair = namespace(index).stack([index // n, index % n], axis=-1)
        return self.space.unrank_levels(pair).reshape(*index.shape, self.size)  # (..., 2, sites) -> (..., 2 * sites)

    def index_parts(self) -> tuple[IndexPart, ...] | None:
        own = self.space.index_parts()
        if own is None:
            return None
        n, n_sites = self.space.n_states, self.space.size
        return tuple(p.moved(at * n_sites, 2 * n_sites, n ** (1 - at)) for at in (0, 1) for p in own)

    def draw_levels(self, key: PRNGKey, n: int) -> Int[Array, "n sites"]:
        return self.space.draw_levels(key, 2 * n).reshape(n, self.size)

    def are_legal(self, levels: Int[AnyArray, "*batch sites"]) -> Bool[AnyArray, "*batch"]:
        return namespace(levels).asarray(self.space.are_legal(self._apart(levels)).all(axis=-1))

    def _apart(self, array: AnyArray) -> AnyArray:
        """(..., 2 * sites) -> (..., 2, sites)."""
        return array.reshape(*array.shape[:-1], 2, self.space.size)
