# SPDX-License-Identifier: Apache-2.0
"""Variational many-body quantum physics with JAX."""

import os

import jax

if os.environ.get("MANYBODY_X64", "1") != "0":
    jax.config.update("jax_enable_x64", True)

from manybody import (  # 64-bit mode is set first
    ansatz,
    driver,
    exact,
    hamiltonian,
    hilbert,
    io,
    lattice,
    observables,
    operator,
    parallel,
    sampler,
    sr,
    stats,
    symmetry,
)
from manybody.state import VariationalState

__all__ = [
    "VariationalState",
    "ansatz",
    "driver",
    "exact",
    "hamiltonian",
    "hilbert",
    "io",
    "lattice",
    "observables",
    "operator",
    "parallel",
    "sampler",
    "sr",
    "stats",
    "symmetry",
]
