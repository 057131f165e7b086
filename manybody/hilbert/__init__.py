# SPDX-License-Identifier: Apache-2.0
"""Hilbert spaces: which configurations are legal, their numbering, and random ones."""

from manybody.hilbert.base import DiscreteSpace, HilbertSpace
from manybody.hilbert.constrained import Constrained
from manybody.hilbert.counting import SumSector
from manybody.hilbert.doubled import Doubled
from manybody.hilbert.fermion import Fermion
from manybody.hilbert.fock import Fock
from manybody.hilbert.predicates import Blockade, NoDoubleOccupation, Parity
from manybody.hilbert.product import Product
from manybody.hilbert.qubit import Qubit
from manybody.hilbert.spin import Spin

__all__ = [
    "Blockade",
    "Constrained",
    "DiscreteSpace",
    "Doubled",
    "Fermion",
    "Fock",
    "HilbertSpace",
    "NoDoubleOccupation",
    "Parity",
    "Product",
    "Qubit",
    "Spin",
    "SumSector",
]
