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
    return LocalOperator(space, [((site,), annihilation_matrix(_dimension(space, site)).T)])


def destroy(space: DiscreteSpace, site: int) -> DiscreteOperator:
    """b on one site."""
    return LocalOperator(space, [((site,), annihilation_matrix(_dimension(space, site)))])


def number(space: DiscreteSpace, site: int) -> DiscreteOperator:
    """n = b^dagger b on one site."""
    return LocalOperator(space, [((site,), np.diag(np.arange(float(_dimension(space, site)))))])


def _dimension(space: DiscreteSpace, site: int) -> int:
    return space.local_dimensions[_checks.integer(site, "site", minimum=0, maximum=space.size - 1)]
