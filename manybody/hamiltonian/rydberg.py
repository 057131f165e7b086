# SPDX-License-Identifier: Apache-2.0
"""Arrays of Rydberg atoms."""

from __future__ import annotations

from typing import Any

import numpy as np

from manybody import _checks
from manybody.hamiltonian.hopping import numbers
from manybody.hamiltonian.spins import check_space
from manybody.hilbert import DiscreteSpace
from manybody.lattice import AbstractLattice
from manybody.operator import DiscreteOperator, LocalOperator

_FLIP = np.array([[0.0, 1.0], [1.0, 0.0]])
_EXCITED = np.diag([0.0, 1.0])


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
    """Omega/2 sum_i X_i - Delta sum_i n_i + V sum_i<j (a / r_ij)^power n_i n_j, with n of level 1 (excited).

    Distances are those of the nearest image, a is the shortest of them. On a space constrained by a `Blockade` the
    flips are projected: with V = 0 this is the PXP model.

    Args:
        space: two-level sites, best `Qubit`; level 1 is the excited state.
        lattice: where the atoms are.
        Omega: Rabi frequency.
        Delta: detuning; a number, or an array with one for each atom.
        V: interaction of atoms at distance a.
        power: how the interaction decays; 6 is van der Waals.
        reach: largest distance in units of a at which atoms interact; all if None.

    Raises:
        ValueError: if the space does not fit the lattice, or has more levels.
    """
    check_space(space, lattice)
    two_level = all(d == 2 for d in space.local_dimensions)
    _checks.require(two_level, "space", "have two levels on each site", space)
    flips = LocalOperator(space, [((i,), _FLIP) for i in range(space.size)], project=True)
    occupied = [((i,), _EXCITED) for i in range(space.size)]
    if np.ndim(Delta):
        detuning = LocalOperator(space, occupied, numbers(Delta))
    else:
        detuning = Delta * LocalOperator(space, occupied)
    distance = lattice.distances()
    i, j = np.triu_indices(space.size, k=1)
    ratio = distance[i, j] / np.min(distance[i, j], initial=np.inf)
    within = ratio <= (np.inf if reach is None else reach * (1 + 1e-9))
    pairs = zip(i[within].tolist(), j[within].tolist(), ratio[within], strict=True)
    repulsion = LocalOperator(space, [((a, b), np.kron(_EXCITED, _EXCITED) * r**-power) for a, b, r in pairs])
    return (0.5 * Omega) * flips - detuning + V * repulsion
