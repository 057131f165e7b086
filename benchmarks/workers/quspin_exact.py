# SPDX-License-Identifier: Apache-2.0
"""Exact ground state of the Heisenberg chain: QuSpin's side, with its general basis."""

import importlib.metadata
import sys

import numpy as np
from quspin.basis import spin_basis_general
from quspin.operators import hamiltonian


def start(options, mark):
    mark("import")
    return Chain(**options)


class Chain:
    """The periodic chain at J = 1 in the sector without magnetisation.

    Args:
        sites: its length.
    """

    def __init__(self, sites):
        self.sites = sites

    def matrix(self):
        """Everything from the chain to its matrix; returns the number of its elements."""
        return self._hamiltonian().tocsr().nnz

    def solve(self):
        """Everything from the chain to its ground state; returns the energy."""
        operator = self._hamiltonian()
        energies, states = operator.eigsh(k=1, which="SA")
        self.found = operator, energies[0], states[:, 0]
        return float(energies[0])

    def about(self):
        operator, energy, state = self.found
        return {
            "versions": {"quspin": importlib.metadata.version("quspin"), "python": sys.version.split()[0]},
            "n_states": len(state),
            "residual": float(np.linalg.norm(operator.dot(state) - energy * state)),
        }

    def _hamiltonian(self):
        bonds = [(i, (i + 1) % self.sites) for i in range(self.sites)]
        basis = spin_basis_general(self.sites, Nup=self.sites // 2, pauli=False)
        terms = [[name, [[J, i, j] for i, j in bonds]] for name, J in (("zz", 1.0), ("+-", 0.5), ("-+", 0.5))]
        checks = {"check_symm": False, "check_herm": False, "check_pcon": False}
        return hamiltonian(terms, [], basis=basis, dtype=np.float64, **checks)
