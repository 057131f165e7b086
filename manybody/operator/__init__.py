# SPDX-License-Identifier: Apache-2.0
"""Operators: sums of local terms, their algebra, and their compiled form."""

from manybody.operator import spin
from manybody.operator.base import Operator
from manybody.operator.compiled import CompiledOperator, Connections
from manybody.operator.discrete import DiscreteOperator, identity
from manybody.operator.local import LocalOperator

__all__ = ["CompiledOperator", "Connections", "DiscreteOperator", "LocalOperator", "Operator", "identity", "spin"]
