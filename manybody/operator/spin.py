# SPDX-License-Identifier: Apache-2.0
"""Spin operators on one site, for any spin: S^a with [S^x, S^y] = i S^z, and Pauli matrices for two-level sites."""

from __future__ import annotations

import functools

import numpy as np

from manybody import _checks
from manybody.hilbert import DiscreteSpace
from manybody.operator.discrete import DiscreteOperator
from manybody.operator.local import LocalOperator


@functools.lru_cache(maxsize=32)
def spin_matrices(dimension: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """S^x, S^y, S^z of spin s = (dimension - 1) / 2, each (dimension, dimension), basis from +s down to -s."""
    s = (dimension - 1) / 2
    m = s - np.arange(dimension)
    raising = np.diag(np.sqrt(s * (s + 1) - m[1:] * (m[1:] + 1)), k=1)
    matrices = ((raising + raising.T) / 2, (raising - raising.T) / 2j, np.diag(m))
    for matrix in matrices:  # remembered, as they are asked for at each site
        matrix.setflags(write=False)
    return matrices


def sx(space: DiscreteSpace, site: int) -> DiscreteOperator:
    """S^x on one site."""
    return LocalOperator(space, [((site,), spin_matrices(_dimension(space, site))[0])])


def sy(space: DiscreteSpace, site: int) -> DiscreteOperator:
    """S^y on one site."""
    return LocalOperator(space, [((site,), spin_matrices(_dimension(space, site))[1])])


def sz(space: DiscreteSpace, site: int) -> DiscreteOperator:
    """S^z on one site."""
    return LocalOperator(space, [((site,), spin_matrices(_dimension(space, site))[2])])


def sp(space: DiscreteSpace, site: int) -> DiscreteOperator:
    """S^+ = S^x + i S^y on one site."""
    x, y, _ = spin_matrices(_dimension(space, site))
    return LocalOperator(space, [((site,), (x + 1j * y).real)])


def sm(space: DiscreteSpace, site: int) -> DiscreteOperator:
    """S^- = S^x - i S^y on one site."""
    x, y, _ = spin_matrices(_dimension(space, site))
    return LocalOperator(space, [((site,), (x - 1j * y).real)])


def sigmax(space: DiscreteSpace, site: int) -> DiscreteOperator:
    """Pauli matrix X on one two-level site."""
    return _pauli(space, site, 0)


def sigmay(space: DiscreteSpace, site: int) -> DiscreteOperator:
    """Pauli matrix Y on one two-level site."""
    return _pauli(space, site, 1)


def sigmaz(space: DiscreteSpace, site: int) -> DiscreteOperator:
    """Pauli matrix Z on one two-level site."""
    return _pauli(space, site, 2)


def _dimension(space: DiscreteSpace, site: int) -> int:
    """Number of levels of a site that is a spin, or has two levels and no sign of fermions."""
    dimension = space.local_dimensions[_checks.integer(site, "site", minimum=0, maximum=space.size - 1)]
    cure = "Use manybody.operator.fermion, or LocalOperator for a plain matrix."
    is_mode = any(site in modes for modes in space.fermions)
    _checks.require(not is_mode, "site", "be a spin or a qubit", f"fermionic mode {site} of {space}", cure)
    cure = "Use manybody.operator.boson, or LocalOperator for a plain matrix."
    is_occupation = dimension > 2 and space.from_levels(np.zeros(space.size, np.int32))[site] == 0
    _checks.require(not is_occupation, "site", "be a spin or a qubit", f"bosonic site {site} of {space}", cure)
    return dimension


def _pauli(space: DiscreteSpace, site: int, axis: int) -> DiscreteOperator:
    dimension = _dimension(space, site)
    _checks.require(dimension == 2, "site", "have two levels", f"site {site} with {dimension}")
    return LocalOperator(space, [((site,), 2.0 * spin_matrices(2)[axis])])
