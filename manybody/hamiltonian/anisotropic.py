# SPDX-License-Identifier: Apache-2.0
"""Spin Hamiltonians beyond the isotropic exchange: Kitaev, Dzyaloshinskii-Moriya, biquadratic."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from manybody import _checks
from manybody.hamiltonian.hopping import numbers
from manybody.hamiltonian.spins import check_space, untwisted_bonds
from manybody.hilbert import DiscreteSpace
from manybody.lattice import AbstractLattice
from manybody.operator import DiscreteOperator, LocalOperator, identity
from manybody.operator.spin import spin_matrices

AXES = ("x", "y", "z")


def kitaev(space: DiscreteSpace, lattice: AbstractLattice, *, K: Any = 1.0) -> DiscreteOperator:
    """Kitaev model sum over x, y, z-bonds of K_a S^a_i S^a_j, for any spin.

    Source: A. Kitaev, Annals of Physics 321, 2 (2006), with Pauli matrices and the opposite sign.

    Args:
        space: spins.
        lattice: with bonds of the kinds "x", "y" and "z", as `honeycomb` has them.
        K: coupling, or three for the x, y and z-bonds.

    Raises:
        ValueError: if the space does not fit the lattice, it lacks a kind of bond, or there are not one or three K.
    """
    check_space(space, lattice)
    missing = [axis for axis in AXES if axis not in lattice.kinds]
    _checks.require(not missing, "lattice", 'have bonds of the kinds "x", "y" and "z"', lattice.kinds)
    _checks.require(np.shape(K) in ((), (3,)), "K", "be one number, or three for the x, y and z-bonds", np.shape(K))
    values = [K, K, K] if np.ndim(K) == 0 else list(K)
    total = identity(space) * 0.0
    for a, axis in enumerate(AXES):
        total = total + values[a] * _on_bonds(space, untwisted_bonds(lattice, kind=axis), functools.partial(_ising, a))
    return total


def dzyaloshinskii_moriya(
    space: DiscreteSpace, lattice: AbstractLattice, *, D: Any = (0.0, 0.0, 1.0), kind: str | None = None
) -> DiscreteOperator:
    """Antisymmetric exchange sum over bonds of D . (S_i x S_j), for any spin.

    A bond i-j has i < j. On a periodic lattice where the bond leads backwards across the boundary, that is where its
    vector is opposite to the one that its kind has elsewhere, D changes its sign, so that the sum is translation
    invariant: bonds count in the direction whose first non-zero Cartesian component is positive.

    Args:
        space: spins.
        lattice: its bonds between nearest neighbours, or of one kind.
        D: vector (3,), or one for each bond (n_bonds, 3).
        kind: name of a bond kind of the lattice.

    Raises:
        ValueError: if the space does not fit the lattice, or D has another shape.
    """
    check_space(space, lattice)
    bonds = untwisted_bonds(lattice, kind=kind)
    shape = np.shape(D)
    _checks.require(shape in ((3,), (len(bonds), 3)), "D", f"have shape (3,) or ({len(bonds)}, 3)", shape)
    direction = _directions(lattice.bond_vectors(kind=kind))
    total = identity(space) * 0.0
    for a in range(3):
        b, c = (a + 1) % 3, (a + 2) % 3
        terms = [(bond, sign * _cross(space, bond, b, c)) for bond, sign in zip(bonds, direction, strict=True)]
        if len(shape) == 2:
            total = total + LocalOperator(space, terms, numbers(D[:, a]))
        else:
            total = total + D[a] * LocalOperator(space, terms)
    return total


def bilinear_biquadratic(
    space: DiscreteSpace, lattice: AbstractLattice, *, J: Any = 1.0, K: Any = 1.0 / 3.0, images: bool = False
) -> DiscreteOperator:
    """J sum_<ij> S_i . S_j + K sum_<ij> (S_i . S_j)^2, for any spin.

    Spins 1 with K = J / 3 are the AKLT model, whose ground state has -2/3 J per bond: I. Affleck, T. Kennedy,
    E. H. Lieb and H. Tasaki, Phys. Rev. Lett. 59, 799 (1987).

    Args:
        space: spins.
        lattice: its bonds.
        J: bilinear coupling.
        K: biquadratic coupling.
        images: keep the winding images of bonds on lattices of extent 2.

    Raises:
        ValueError: if the space does not fit the lattice.
    """
    check_space(space, lattice)
    bonds = untwisted_bonds(lattice, images=images)

    bilinear = _on_bonds(space, bonds, _exchange)
    biquadratic = _on_bonds(space, bonds, lambda one, two: np.linalg.matrix_power(_exchange(one, two), 2))
    return J * bilinear + K * biquadratic


def aklt(space: DiscreteSpace, lattice: AbstractLattice, *, images: bool = False) -> DiscreteOperator:
    """The AKLT model sum_<ij> (S_i . S_j + (S_i . S_j)^2 / 3) of spins 1 (see `bilinear_biquadratic`).

    Raises:
        ValueError: if the space does not fit the lattice, or has other spins.
    """
    spins_1 = all(d == 3 for d in space.local_dimensions)
    _checks.require(spins_1, "space", "have spins 1, i.e. three levels on each site", space)
    return bilinear_biquadratic(space, lattice, images=images)


def _on_bonds(space: DiscreteSpace, bonds: list, matrix: Callable[[tuple, tuple], np.ndarray]) -> DiscreteOperator:
    """Sum over bonds of matrix(S of the first site, S of the second)."""

    def spins(site: int) -> tuple:
        return spin_matrices(space.local_dimensions[site])

    return LocalOperator(space, [(bond, matrix(spins(bond[0]), spins(bond[1]))) for bond in bonds])


def _ising(axis: int, one: tuple, two: tuple) -> np.ndarray:
    """S^a S^a."""
    return np.kron(one[axis], two[axis])


def _exchange(one: tuple, two: tuple) -> np.ndarray:
    """S . S."""
    return np.sum([np.kron(a, b) for a, b in zip(one, two, strict=True)], axis=0).real


def _cross(space: DiscreteSpace, bond: list, b: int, c: int) -> np.ndarray:
    """S^b_i S^c_j - S^c_i S^b_j."""
    one, two = (spin_matrices(space.local_dimensions[site]) for site in bond)
    return np.kron(one[b], two[c]) - np.kron(one[c], two[b])


def _directions(vectors: np.ndarray) -> np.ndarray:
    """+1 for bonds (bonds, dim) whose first non-zero component is positive, -1 for the others."""
    scale = 1e-9 * np.max(np.abs(vectors), initial=1.0)
    significant = np.where(np.abs(vectors) > scale, vectors, 0.0)
    first = np.argmax(significant != 0, axis=1)
    return np.sign(significant[np.arange(len(vectors)), first])
