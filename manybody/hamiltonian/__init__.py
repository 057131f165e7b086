# SPDX-License-Identifier: Apache-2.0
"""Hamiltonians of lattice models."""

from manybody.hamiltonian.marshall import marshall
from manybody.hamiltonian.spins import heisenberg, ising, j1j2, xxz

__all__ = ["heisenberg", "ising", "j1j2", "marshall", "xxz"]
