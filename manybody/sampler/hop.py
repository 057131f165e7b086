# SPDX-License-Identifier: Apache-2.0
"""Moves of one particle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._types import Array
from manybody.hilbert import Constrained, DiscreteSpace, Fermion
from manybody.hilbert.local import values_at
from manybody.sampler.law import Law
from manybody.sampler.move import Proposal, TwoStage, random_bits
from manybody.sampler.pairs import Pairs, checked_pairs, choose_active, conserved_by, pairs_in, why_not


@dataclass(frozen=True, init=False)
class Hop(TwoStage):
    """One particle hops from one site of a pair to the other, or one quantum of the level does.

    Of the hops that are possible one is chosen uniformly: from a site that is not empty to one that is not full. The
    different number of choices on the way back is accounted for. In a `Fermion` space of several components the bonds
    of a lattice are taken in each of them, so that spins are conserved.

    Args:
        pairs: a lattice (then its nearest-neighbour bonds), an array of pairs (n_pairs, 2), or "all": any two sites
            in the same sector of the space, or both in none.
        n_orbitals: the pairs are pairs of orbitals, and hold in each component of fermions with so many; by default the
            sites of a lattice.

    Raises:
        ValueError: if a pair has one site twice, or there are no pairs.

    Example:
        >>> import manybody as mb
        >>> lattice = mb.lattice.square(4, 4)
        >>> space = mb.hilbert.Fermion(16, n_per_component=(7, 7), n_components=2)
        >>> sampler = mb.sampler.Metropolis(space, mb.sampler.Hop(lattice), n_chains=16)
    """

    pairs: Pairs | str
    n_orbitals: int | None

    def __init__(self, pairs: Any, n_orbitals: int | None = None) -> None:
        n_orbitals = getattr(pairs, "n_sites", None) if n_orbitals is None else n_orbitals
        object.__setattr__(self, "pairs", checked_pairs(pairs))
        known = None if n_orbitals is None else _checks.integer(n_orbitals, "n_orbitals", minimum=1)
        object.__setattr__(self, "n_orbitals", known)

    def draw(self, key: Array, space: DiscreteSpace) -> Array:
        del space
        return random_bits(key)

    def choose(self, drawn: Array, sigma: Array, space: DiscreteSpace) -> tuple[Array, Proposal]:
        bonds = self._pairs(space)
        hops = jnp.asarray(np.concatenate([bonds, bonds[:, ::-1]]), jnp.int32)  # (hops, 2): from, to
        levels = jnp.asarray(space.to_levels(sigma))
        hop, n_possible = choose_active(drawn, _possible(levels, hops, space))
        sites = hops[hop]
        step = jnp.where(n_possible > 0, jnp.array([-1, 1], jnp.int32), 0)
        new = levels[sites] + step
        n_back = jnp.sum(_possible(levels.at[sites].set(new), hops, space), dtype=jnp.int32)
        log_q = jnp.log(jnp.maximum(n_possible, 1).astype(float)) - jnp.log(jnp.maximum(n_back, 1).astype(float))
        return jnp.int32(0), (sites, values_at(space, sites, new), log_q)

    def laws(self, space: DiscreteSpace) -> set[Law]:
        """The sum of levels on each connected component of the pairs."""
        return conserved_by(self._pairs(space), space)

    def leaves(self, space: DiscreteSpace) -> str | None:
        return why_not(self._pairs(space), space)

    def _pairs(self, space: DiscreteSpace) -> np.ndarray:
        """The pairs (n_pairs, 2); those of a lattice once for each component of fermions."""
        pairs = pairs_in(self.pairs, space)
        fermions = space.space if isinstance(space, Constrained) else space
        if self.n_orbitals is None or not isinstance(fermions, Fermion) or fermions.n_orbitals != self.n_orbitals:
            return pairs
        return np.concatenate([pairs + component * self.n_orbitals for component in range(fermions.n_components)])


def _possible(levels: Array, hops: Array, space: DiscreteSpace) -> Array:
    """Which hops (hops,) have a particle where they begin and room where they end."""
    top = jnp.asarray(space.local_dimensions, jnp.int32) - 1
    return (levels[hops[:, 0]] > 0) & (levels[hops[:, 1]] < top[hops[:, 1]])
