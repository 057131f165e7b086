# SPDX-License-Identifier: Apache-2.0
"""Exact diagonalisation."""

from manybody.exact.free_fermions import ising_chain_energy
from manybody.exact.spectrum import Spectrum, ground_state

__all__ = ["Spectrum", "ground_state", "ising_chain_energy"]
