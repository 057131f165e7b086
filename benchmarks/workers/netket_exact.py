# SPDX-License-Identifier: Apache-2.0
"""Exact ground state of the Heisenberg chain: NetKet's side."""

import sys

import netket as nk
import numpy as np
import scipy
from scipy.sparse.linalg import eigsh


def start(options, mark):
    mark("import")
    return Chain(**options)


class Chain:
    """The periodic chain at J = 1 in the sector without magnetisation.

    Args:
        sites: its length.
        form: "jax" or "numba" for `to_sparse` of such an operator and SciPy's eigsh; "lanczos_ed" for NetKet's own.
    """

    def __init__(self, sites, form):
        self.sites, self.form = sites, form

    def matrix(self):
        """Everything from the chain to its matrix; returns the number of its elements."""
        return self._hamiltonian().to_sparse().nnz

    def solve(self):
        """Everything from the chain to its ground state; returns the energy."""
        operator = self._hamiltonian()
        if self.form == "lanczos_ed":
            energies, states = nk.exact.lanczos_ed(operator, k=1, compute_eigenvectors=True)
        else:
            energies, states = eigsh(operator.to_sparse(), k=1, which="SA")
        self.found = operator, energies[0], states[:, 0]
        return float(energies[0])

    def about(self):
        operator, energy, state = self.found
        return {
            "versions": {"netket": nk.__version__, "scipy": scipy.__version__, "python": sys.version.split()[0]},
            "n_states": len(state),
            "residual": float(np.linalg.norm(operator.to_sparse() @ state - energy * state)),
        }

    def _hamiltonian(self):
        space = nk.hilbert.Spin(0.5, self.sites, total_sz=0)
        make = nk.operator.LocalOperatorNumba if self.form == "numba" else nk.operator.LocalOperatorJax
        # NetKet's coupling multiplies Pauli matrices; the sign rule would rotate a sublattice.
        return nk.operator.Heisenberg(space, nk.graph.Chain(self.sites), J=1 / 4, sign_rule=False, cls=make)
