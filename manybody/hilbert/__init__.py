# SPDX-License-Identifier: Apache-2.0
"""Hilbert spaces: which configurations are legal, their numbering, and random ones."""

from manybody.hilbert.base import DiscreteSpace, HilbertSpace
from manybody.hilbert.counting import SumSector
from manybody.hilbert.qubit import Qubit
from manybody.hilbert.spin import Spin

__all__ = ["DiscreteSpace", "HilbertSpace", "Qubit", "Spin", "SumSector"]
