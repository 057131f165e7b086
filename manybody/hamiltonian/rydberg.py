# SPDX-License-Identifier: Apache-2.0
"""Arrays of Rydberg atoms."""

from __future__ import annotations

from typing import Any

import numpy as np

from manybody import _checks
from manybody.hamiltonian.hopping import per_site
from manybody.hamiltonian.spins import check_space
from manybody.hilbert import DiscreteSpace
from manybody.lattice import AbstractLattice
from manybody.operator import DiscreteOperator, LocalOperator

_FLIP = np.array([[0.0, 1.0], [1.0, 0.0]])


def rydberg(
    space: DiscreteSpace,
    lattice: AbstractLattice,
    *,
    Omega: Any = 1.0,
    Delta: Any = 1.0,
    V: Any = 1.0,
    power: float = 6.0,
    reach: float | None = None,
) -> DiscreteOperator:
    """Omega/2 sum_i X_i - Delta sum_i n_i + V sum_i<j (a / r_ij)^power n_i n_j, with n = 1 for an excited atom.

    An atom is excited where its value is positive, as for `Blockade`: bit 1, an occupied site, spin up. On a space
    constrained by a `Blockade` the flips are projected: with V = 0 this is the PXP model. Source: H. Bernien et al.,
    Nature 551, 579 (2017), equation 1 (where Delta has the same sign).

    Args:
        space: two-level sites, best `Qubit`.
        lattice: where the atoms are. Distances are `lattice.distances()`, to nearest images; a is the shortest of them.
        Omega: Rabi frequency.
        Delta: detuning; a number, or an array with one for each atom.
        V: interaction of atoms at distance a.
        power: how the interaction decays; 6 is van der Waals.
        reach: largest distance in units of a at which atoms interact; all if None.

    Raises:
        ValueError: if the space does not fit the lattice, has other levels, or fixes the number of excited atoms.
    """
    check_space(space, lattice)
    two_level = all(d == 2 for d in space.local_dimensions)
    _checks.require(two_level, "space", "have two levels on each site", space)
    _checks.require(not space.sectors, "space", "leave the number of excited atoms free", space)
    flips = LocalOperator(space, [((i,), _FLIP) for i in range(space.size)], project=True)
    excited = _excited(space)
    which, detuning = per_site(Delta, space.size, "Delta")
    occupied = LocalOperator(space, [((i,), n) for i, n in enumerate(excited)], detuning[which])
    distance = lattice.distances()
    i, j = np.triu_indices(space.size, k=1)
    ratio = distance[i, j] / np.min(distance[i, j], initial=np.inf)
    within = ratio <= (np.inf if reach is None else reach * (1 + 1e-9))
    pairs = zip(i[within].tolist(), j[within].tolist(), ratio[within], strict=True)
    repulsion = LocalOperator(space, [((a, b), np.kron(excited[a], excited[b]) * r**-power) for a, b, r in pairs])
    return (0.5 * Omega) * flips - occupied + V * repulsion


def _excited(space: DiscreteSpace) -> list[np.ndarray]:
    """For each site the projector (2, 2) on its level of positive value."""
    positive = space.from_levels(np.indices((2, space.size))[0]) > 0  # (2, sites)
    one_each = bool(np.all(positive.sum(axis=0) == 1))
    _checks.require(one_each, "space", "have one level of positive value on each site", space)
    return [np.diag(levels.astype(float)) for levels in positive.T]
