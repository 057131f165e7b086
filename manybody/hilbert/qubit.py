# SPDX-License-Identifier: Apache-2.0
"""Qubits: spins 1/2 written as bits."""

from __future__ import annotations

import dataclasses

import numpy as np

from manybody._checks import integer
from manybody._types import Int, Int8
from manybody.hilbert.arrays import AnyArray
from manybody.hilbert.base import DiscreteSpace
from manybody.hilbert.counting import SumSector


@dataclasses.dataclass(frozen=True)
class Qubit(DiscreteSpace):
    """Qubits with values 0 and 1 (int8); bit 0 is spin up, the +1 eigenstate of sigma_z.

    The index of a state is the binary number it spells, first qubit most significant.

    Example:
        >>> Qubit(3).index_to_states([6])
        array([[1, 1, 0]], dtype=int8)

    Attributes:
        n_sites: number of qubits.

    Raises:
        TypeError: if `n_sites` is not an integer.
        ValueError: if `n_sites` is below 1.
    """

    n_sites: int

    def __post_init__(self) -> None:
        """Validate and store a plain integer."""
        object.__setattr__(self, "n_sites", integer(self.n_sites, "n_sites", minimum=1))

    @property
    def local_dimensions(self) -> tuple[int, ...]:
        """Two levels on each site."""
        return (2,) * self.n_sites

    @property
    def sectors(self) -> tuple[SumSector, ...]:
        """None: every string of bits is legal."""
        return ()

    def to_levels(self, sigma: Int[AnyArray, "*batch sites"]) -> Int[AnyArray, "*batch sites"]:
        """The bits themselves."""
        return sigma.astype(np.int32)

    def from_levels(self, levels: Int[AnyArray, "*batch sites"]) -> Int8[AnyArray, "*batch sites"]:
        """The bits themselves."""
        return levels.astype(np.int8)
