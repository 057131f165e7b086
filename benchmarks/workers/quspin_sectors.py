# SPDX-License-Identifier: Apache-2.0
"""Ground state of the Heisenberg chain in a symmetry sector: QuSpin's side."""

import importlib.metadata
import sys
import warnings

import numpy as np
from quspin.basis import spin_basis_1d, spin_basis_general
from quspin.operators import hamiltonian


def start(options, mark):
    mark("import")
    return Chain(**options)


class Chain:
    """The periodic chain at J = 1, without magnetisation, even under translation, reflection and inversion.

    Args:
        sites: its length.
        basis: "1d" or "general".
    """

    def __init__(self, sites, basis):
        self.sites, self.basis = sites, basis

    def matrix(self):
        """Everything from the chain to its matrix; returns the number of its elements."""
        return self._hamiltonian().tocsr().nnz

    def solve(self):
        """Everything from the chain to its ground state in the basis of the sector; returns the energy."""
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
        terms = [[name, [[J, i, j] for i, j in bonds]] for name, J in (("zz", 1.0), ("+-", 0.5), ("-+", 0.5))]
        checks = {"check_symm": False, "check_herm": False, "check_pcon": False}
        return hamiltonian(terms, [], basis=self._basis(), dtype=np.float64, **checks)

    def _basis(self):
        n, sites = self.sites, np.arange(self.sites)
        if self.basis == "1d":
            return spin_basis_1d(n, Nup=n // 2, pauli=False, kblock=0, pblock=1, zblock=1)
        blocks = {"kblock": ((sites + 1) % n, 0), "pblock": (sites[::-1], 0), "zblock": (-(sites + 1), 0)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # at momentum 0 reflections may stand beside translations
            return spin_basis_general(n, Nup=n // 2, pauli=False, **blocks)
