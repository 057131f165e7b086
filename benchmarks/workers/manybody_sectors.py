# SPDX-License-Identifier: Apache-2.0
"""Ground state of the Heisenberg chain in a symmetry sector: manybody's side."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the package of this checkout

import numpy as np
from manybody_version import versions

import manybody as mb
from manybody.exact import orbits
from manybody.lattice import space_group
from manybody.operator import symmetric


def start(options, mark):
    mark("import")
    return Chain(**options)


class Chain:
    """The periodic chain at J = 1, without magnetisation, even under translation, reflection and inversion.

    Args:
        sites: its length, a multiple of 4.
    """

    def __init__(self, sites):
        self.sites = sites

    def matrix(self):
        """Everything from the chain to its matrix; returns the number of its elements."""
        operator, sector = self._problem()
        return mb.exact.SectorBasis(operator.space, sector).matrix(operator).nnz

    def solve(self):
        """Everything from the chain to its ground state in the basis of the sector; returns the energy."""
        operator, sector = self._problem()
        energies, states = mb.exact.ground_state(operator, sector=sector, expand=False)
        self.found = operator, sector, energies, states
        return float(energies[0])

    def about(self):
        operator, sector, energies, states = self.found
        matrix = mb.exact.SectorBasis(operator.space, sector).matrix(operator)
        return {
            "versions": versions(),
            "n_states": len(states),
            "n_elements": matrix.nnz,
            "residual": float(np.linalg.norm(matrix @ states - energies * states)),
        }

    def _problem(self):
        """Operator and sector, with nothing of the group and its orbits kept from the time before."""
        for table in (orbits.moves, orbits.representatives, symmetric.action_on, space_group.space_group):
            table.cache_clear()
        lattice = mb.lattice.chain(self.sites)
        space = mb.hilbert.Spin(self.sites, total_sz=0)
        return mb.hamiltonian.heisenberg(space, lattice), mb.symmetry.Sector(lattice.space_group(), inversion=1)
