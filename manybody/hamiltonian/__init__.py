# SPDX-License-Identifier: Apache-2.0
"""Hamiltonians of lattice models."""

from manybody.hamiltonian.anisotropic import aklt, bilinear_biquadratic, dzyaloshinskii_moriya, kitaev
from manybody.hamiltonian.bosons import bose_hubbard, holstein, ssh
from manybody.hamiltonian.fermions import hubbard, t_j, t_v
from manybody.hamiltonian.integrals import Integrals
from manybody.hamiltonian.marshall import marshall
from manybody.hamiltonian.molecule import molecule
from manybody.hamiltonian.rydberg import rydberg
from manybody.hamiltonian.spins import heisenberg, ising, j1j2, xxz
from manybody.hamiltonian.toric_code import toric_code

__all__ = [
    "Integrals",
    "aklt",
    "bilinear_biquadratic",
    "bose_hubbard",
    "dzyaloshinskii_moriya",
    "heisenberg",
    "holstein",
    "hubbard",
    "ising",
    "j1j2",
    "kitaev",
    "marshall",
    "molecule",
    "rydberg",
    "ssh",
    "t_j",
    "t_v",
    "toric_code",
    "xxz",
]
