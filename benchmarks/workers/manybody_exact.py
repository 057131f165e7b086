# SPDX-License-Identifier: Apache-2.0
"""Exact ground state of the Heisenberg chain: manybody's side."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the package of this checkout

import numpy as np
from manybody_version import versions

import manybody as mb


def start(options, mark):
    mark("import")
    return Chain(**options)


class Chain:
    """The periodic chain at J = 1 in the sector without magnetisation.

    Args:
        sites: its length.
        matrix_free: find the ground state without the matrix.
    """

    def __init__(self, sites, matrix_free=False):
        self.sites, self.matrix_free = sites, matrix_free

    def matrix(self):
        """Everything from the chain to its matrix; returns the number of its elements."""
        return self._hamiltonian().to_sparse().nnz

    def solve(self):
        """Everything from the chain to its ground state; returns the energy."""
        operator = self._hamiltonian()
        energies, states = mb.exact.ground_state(operator, matrix_free=self.matrix_free)
        self.found = operator, energies[0], states[:, 0]
        return float(energies[0])

    def about(self):
        operator, energy, state = self.found
        return {
            "versions": versions(),
            "n_states": len(state),
            "residual": float(np.linalg.norm(mb.exact.linear_operator(operator) @ state - energy * state)),
        }

    def _hamiltonian(self):
        space = mb.hilbert.Spin(self.sites, total_sz=0)
        return mb.hamiltonian.heisenberg(space, mb.lattice.chain(self.sites))
