# SPDX-License-Identifier: Apache-2.0
"""Bosonic operators on one site of occupations 0 ... n_max: matrices cut off at n_max."""

from __future__ import annotations

import numpy as np

from manybody import _checks
from manybody.hilbert import DiscreteSpace
from manybody.operator.discrete import DiscreteOperator
from manybody.operator.local import LocalOperator


def annihilation_matrix(dimension: int) -> np.ndarray:
    """b with b |n> = sqrt(n) |n - 1>, (dimension, dimension)."""
    return np.diag(np.sqrt(np.arange(1.0, dimension)), k=1)


def create(space: DiscreteSpace, site: int) -> DiscreteOperator:
    """b^dagger on one site; it takes n_max to nothing."""
    return LocalOperator(space, [((site,), annihilation_matrix(_bosons(space, site)).T)])


def destroy(space: DiscreteSpace, site: int) -> DiscreteOperator:
    """b on one site."""
    return LocalOperator(space, [((site,), annihilation_matrix(_bosons(space, site)))])


def number(space: DiscreteSpace, site: int) -> DiscreteOperator:
    """n = b^dagger b on one site."""
    return LocalOperator(space, [((site,), np.diag(np.arange(float(_dimension(space, site)))))])


def _dimension(space: DiscreteSpace, site: int) -> int:
    return space.local_dimensions[_checks.integer(site, "site", minimum=0, maximum=space.size - 1)]


def _bosons(space: DiscreteSpace, site: int) -> int:
    """Number of levels of a site whose levels are occupation numbers, without signs of fermions."""
    dimension = _dimension(space, site)
    cure = "Use manybody.operator.fermion, or LocalOperator for a plain matrix."
    is_mode = any(site in modes for modes in space.fermions)
    _checks.require(not is_mode, "site", "hold bosons", f"fermionic mode {site} of {space}", cure)
    cure = "Use manybody.operator.spin (sp, sm), or LocalOperator for a plain matrix."
    empty = space.from_levels(np.zeros(space.size, np.int32))[site]
    _checks.require(bool(empty == 0), "site", "hold bosons", f"spin {site} of {space}", cure)
    return dimension
