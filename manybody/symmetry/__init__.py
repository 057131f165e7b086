# SPDX-License-Identifier: Apache-2.0
"""Finite groups, their representations, and the symmetry sectors of states."""

from manybody.symmetry.action import Action, action_on
from manybody.symmetry.group import FiniteGroup, TableGroup, direct_product
from manybody.symmetry.permutation import Permutation, PermutationGroup
from manybody.symmetry.sector import Sector

__all__ = [
    "Action",
    "FiniteGroup",
    "Permutation",
    "PermutationGroup",
    "Sector",
    "TableGroup",
    "action_on",
    "direct_product",
]
