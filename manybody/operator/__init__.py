# SPDX-License-Identifier: Apache-2.0
"""Operators: sums of local terms, their algebra, and their compiled form."""

from manybody.operator import boson, fermion, spin
from manybody.operator.base import Operator
from manybody.operator.compiled import CompiledOperator, Connections
from manybody.operator.discrete import DiscreteOperator, identity
from manybody.operator.fermion import FermionOperator
from manybody.operator.lindblad import Liouvillian, trace_defect
from manybody.operator.local import LocalOperator
from manybody.operator.openfermion import from_openfermion, to_openfermion
from manybody.operator.parts import on_part
from manybody.operator.pauli import PauliStrings
from manybody.operator.permutation import permutation, spin_inversion
from manybody.operator.qutip import from_qutip, to_qutip
from manybody.operator.sparse import from_sparse
from manybody.operator.symmetric import broken_element, is_symmetric

__all__ = [
    "CompiledOperator",
    "Connections",
    "DiscreteOperator",
    "FermionOperator",
    "Liouvillian",
    "LocalOperator",
    "Operator",
    "PauliStrings",
    "boson",
    "broken_element",
    "fermion",
    "from_openfermion",
    "from_qutip",
    "from_sparse",
    "identity",
    "is_symmetric",
    "on_part",
    "permutation",
    "spin",
    "spin_inversion",
    "to_openfermion",
    "to_qutip",
    "trace_defect",
]
