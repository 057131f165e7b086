# SPDX-License-Identifier: Apache-2.0
"""Exact methods for spaces small enough to enumerate, and closed forms."""

from manybody.exact.correlation import correlations, dynamical_correlations
from manybody.exact.entanglement import entanglement_entropy, expectation, reduced_density_matrix
from manybody.exact.evolution import evolve
from manybody.exact.free_fermions import ising_chain_energy
from manybody.exact.matrix_free import linear_operator
from manybody.exact.sector import SectorBasis
from manybody.exact.spectrum import Spectrum, ground_state, spectrum
from manybody.exact.thermal import Thermal, steady_state, thermal

__all__ = [
    "SectorBasis",
    "Spectrum",
    "Thermal",
    "correlations",
    "dynamical_correlations",
    "entanglement_entropy",
    "evolve",
    "expectation",
    "ground_state",
    "ising_chain_energy",
    "linear_operator",
    "reduced_density_matrix",
    "spectrum",
    "steady_state",
    "thermal",
]
