# SPDX-License-Identifier: Apache-2.0
"""Conditions on configurations that spaces are often constrained by."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np

from manybody._checks import integer, require, require_type, requirement
from manybody._types import Array, Bool, Int8
from manybody.hilbert.arrays import constant
from manybody.hilbert.base import DiscreteSpace


@dataclasses.dataclass(frozen=True)
class Blockade:
    """No two sites of a pair are excited at once, as among Rydberg atoms.

    A site is excited if its value is positive: bit 1, an occupied site or mode, a spin up.

    Example:
        >>> from manybody.hilbert import Constrained, Qubit
        >>> Constrained(Qubit(6), Blockade([(i, (i + 1) % 6) for i in range(6)])).n_states
        18

    Attributes:
        pairs: pairs of sites (n_pairs, 2), such as the bonds of a lattice; in any order.

    Raises:
        TypeError: if a site is not an integer.
        ValueError: if there is no pair, or one has the same site twice.
    """

    pairs: Iterable[Iterable[int]]

    def __post_init__(self) -> None:
        """Validate, and store each pair once, in ascending order."""
        pairs = [_checked_sites(pair, "pairs") for pair in _listed(self.pairs, "pairs")]
        wrong = next((pair for pair in pairs if len(pair) != 2), None)
        require(wrong is None, "pairs", "join two different sites each", wrong)
        object.__setattr__(self, "pairs", tuple(sorted(set(pairs))))

    def __call__(self, sigma: Int8[Array, "batch sites"]) -> Bool[Array, "batch"]:
        """Tell for which configurations it holds."""
        one, other = np.array(self.pairs).T
        _check_reach(int(other.max()), "pairs", sigma.shape[-1])
        excited = sigma > 0
        return ~jnp.any(excited[:, one] & excited[:, other], axis=-1)


@dataclasses.dataclass(frozen=True)
class NoDoubleOccupation:
    """No orbital holds fermions of two components: the space of the t-J model.

    Example:
        >>> from manybody.hilbert import Constrained, Fermion, NoDoubleOccupation
        >>> electrons = Fermion(4, n_per_component=(2, 1), n_components=2)
        >>> electrons.n_states, Constrained(electrons, NoDoubleOccupation(4)).n_states
        (24, 12)

    Attributes:
        n_orbitals: number of orbitals; the modes are all of them for the first component, then for the second, ....

    Raises:
        TypeError: if it is not an integer.
        ValueError: if it is below 1, or the modes of a configuration are no multiple of it.
    """

    n_orbitals: int

    def __post_init__(self) -> None:
        """Validate and store a plain integer."""
        object.__setattr__(self, "n_orbitals", integer(self.n_orbitals, "n_orbitals", minimum=1))

    def __call__(self, sigma: Int8[Array, "batch sites"]) -> Bool[Array, "batch"]:
        """Tell for which configurations it holds."""
        n_modes = sigma.shape[-1]
        must = f"divide the number of modes ({n_modes})"
        require(n_modes % self.n_orbitals == 0, "n_orbitals", must, self.n_orbitals)
        occupied = jnp.reshape(sigma > 0, (*sigma.shape[:-1], -1, self.n_orbitals))  # (batch, components, orbitals)
        return jnp.all(occupied.sum(axis=-2) <= 1, axis=-1)


@dataclasses.dataclass(frozen=True)
class Parity:
    """The sum of levels on each of some sets of sites is even, or odd: gauge constraints.

    On spins 1/2 the level counts spins down, so that an even sum says that the product of sigma_z over the set is +1;
    on qubits, sites and modes it counts ones and particles.

    Example:
        >>> from manybody.hilbert import Constrained, Spin
        >>> space = Spin(4)
        >>> Constrained(space, Parity(space, [(0, 1, 2), (2, 3)])).all_states()
        array([[ 1,  1,  1,  1],
               [ 1, -1, -1, -1],
               [-1,  1, -1, -1],
               [-1, -1,  1,  1]], dtype=int8)

    Attributes:
        space: the space whose levels are meant.
        sets: sets of sites.
        parity: 0 for even sums and 1 for odd ones; one number, or one for each set.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if there is no set, one is empty or names a site twice, or a number is out of range.
    """

    space: DiscreteSpace
    sets: Iterable[Iterable[int]]
    parity: int | Iterable[int] = 0

    def __post_init__(self) -> None:
        """Validate, and store tuples."""
        require_type(self.space, DiscreteSpace, "space")
        sets = tuple(_checked_sites(sites, "sets") for sites in _listed(self.sets, "sets"))
        _check_reach(max(max(sites) for sites in sets), "sets", self.space.size)
        given = self.parity if isinstance(self.parity, Iterable) else (self.parity,) * len(sets)
        parity = tuple(integer(p, "parity", minimum=0, maximum=1) for p in given)
        require(len(parity) == len(sets), "parity", f"be one number, or one for each of {len(sets)} sets", parity)
        object.__setattr__(self, "sets", sets)
        object.__setattr__(self, "parity", parity)

    def __call__(self, sigma: Int8[Array, "batch sites"]) -> Bool[Array, "batch"]:
        """Tell for which configurations it holds."""
        member = np.zeros((self.space.size, len(self.sets)), np.int32)
        for number, sites in enumerate(self.sets):
            member[list(sites), number] = 1
        sums = jnp.asarray(self.space.to_levels(sigma)) @ constant(member)  # (batch, sets)
        return jnp.all(sums % 2 == constant(np.array(self.parity, np.int32))[None], axis=-1)


def _listed(value: Any, name: str) -> list:
    """The entries of a sequence that is not empty."""
    if not isinstance(value, Iterable):
        raise TypeError(requirement(name, "be a sequence of tuples of sites", type(value).__name__))
    entries = list(value)
    require(len(entries) > 0, name, "have an entry or more", "none")
    return entries


def _checked_sites(value: Any, name: str) -> tuple[int, ...]:
    """Distinct sites in ascending order."""
    entries = value if isinstance(value, Iterable) else (value,)
    sites = tuple(sorted(integer(site, name, minimum=0) for site in entries))
    require(len(set(sites)) == len(sites) > 0, name, "name each site of an entry once", sites)
    return sites


def _check_reach(largest: int, name: str, n_sites: int) -> None:
    require(largest < n_sites, name, f"name sites below {n_sites}", largest)
