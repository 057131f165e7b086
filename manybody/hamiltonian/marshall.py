# SPDX-License-Identifier: Apache-2.0
"""The Marshall sign rule as a change of basis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from manybody.lattice import AbstractLattice
from manybody.lattice.base import as_sublattices
from manybody.operator import DiscreteOperator


def marshall(operator: DiscreteOperator, sublattice: AbstractLattice | Sequence[int]) -> DiscreteOperator:
    """Conjugate any operator with U = prod over sites of one sublattice of (-1)^level.

    For spins U rotates the sublattice by pi about the z axis. A bipartite antiferromagnet rotated this way has a
    positive ground state (W. Marshall, Proc. R. Soc. A 232, 48 (1955)); observables must be rotated as well.

    Args:
        operator: the operator, for instance the Hamiltonian or an observable.
        sublattice: a bipartite lattice, or for every site the number 0 or 1 of its sublattice.

    Raises:
        ValueError: if the lattice is not bipartite, or the numbers do not fit the space.
    """
    colours = as_sublattices(sublattice, operator.space.size)
    sites = np.flatnonzero(colours == 1).tolist()
    return operator.replace(terms=operator.terms.conjugate_signs(sites))
