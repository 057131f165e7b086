# SPDX-License-Identifier: Apache-2.0
"""Observables with error bars: functions of a state with samples, and of a lattice."""

from manybody.observables.correlation import Correlations, correlation_function
from manybody.observables.dimer import DimerCorrelations, dimer_correlations
from manybody.observables.entanglement import renyi2
from manybody.observables.fidelity import fidelity, overlap
from manybody.observables.order import OrderParameter, order_parameter
from manybody.observables.purity import purity
from manybody.observables.structure_factor import StructureFactor, structure_factor
from manybody.observables.susceptibility import fidelity_susceptibility
from manybody.observables.symmetry import irrep_weights, symmetry_expectation
from manybody.observables.total_spin import total_spin, total_spin_squared
from manybody.observables.zone import allowed_momenta, extended_reciprocal

__all__ = [
    "Correlations",
    "DimerCorrelations",
    "OrderParameter",
    "StructureFactor",
    "allowed_momenta",
    "correlation_function",
    "dimer_correlations",
    "extended_reciprocal",
    "fidelity",
    "fidelity_susceptibility",
    "irrep_weights",
    "order_parameter",
    "overlap",
    "purity",
    "renyi2",
    "structure_factor",
    "symmetry_expectation",
    "total_spin",
    "total_spin_squared",
]
