# SPDX-License-Identifier: Apache-2.0
"""Exact ground state of the Heisenberg chain, in a symmetry sector or without lattice symmetries: QuSpin's side."""

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
    """The periodic chain at J = 1 without magnetisation.

    Args:
        sites: its length.
        basis: "magnetisation" for all such states; "1d" or "general" for those that are even under translation,
            reflection and inversion, in one of QuSpin's two kinds of bases.
    """

    def __init__(self, sites, basis):
        self.sites, self.basis = sites, basis

    def matrix(self):
        """Everything from the chain to its matrix; returns the number of its elements."""
        return self._hamiltonian().tocsr().nnz

    def solve(self):
        """Everything from the chain to its ground state in this basis; returns the energy."""
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
        make_basis = {"magnetisation": spin_basis_general, "1d": even_1d, "general": even_general}[self.basis]
        basis = make_basis(self.sites, Nup=self.sites // 2, pauli=False)
        terms = [[name, [[J, i, j] for i, j in bonds]] for name, J in (("zz", 1.0), ("+-", 0.5), ("-+", 0.5))]
        checks = {"check_symm": False, "check_herm": False, "check_pcon": False}
        return hamiltonian(terms, [], basis=basis, dtype=np.float64, **checks)


def even_1d(n, **spins):
    return spin_basis_1d(n, kblock=0, pblock=1, zblock=1, **spins)


def even_general(n, **spins):
    sites = np.arange(n)
    blocks = {"kblock": ((sites + 1) % n, 0), "pblock": (sites[::-1], 0), "zblock": (-(sites + 1), 0)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # at momentum 0 reflections may stand beside translations
        return spin_basis_general(n, **blocks, **spins)
