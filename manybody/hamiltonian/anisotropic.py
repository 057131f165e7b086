# SPDX-License-Identifier: Apache-2.0
"""Spin Hamiltonians beyond the isotropic exchange: Kitaev, Dzyaloshinskii-Moriya, biquadratic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from manybody import _checks
from manybody.hamiltonian.hopping import bond_directions, numbers
from manybody.hamiltonian.spins import check_space, untwisted_bonds
from manybody.hilbert import DiscreteSpace
from manybody.lattice import AbstractLattice
from manybody.operator import DiscreteOperator, LocalOperator
from manybody.operator.discrete import make_operator
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
    values = numbers(K, "K")
    _checks.require(values.shape in ((), (3,)), "K", "be one number, or three for the x, y and z-bonds", values.shape)
    terms = [
        (bond, np.kron(*(spin_matrices(space.local_dimensions[site])[a] for site in bond)), a if values.ndim else 0)
        for a, axis in enumerate(AXES)
        for bond in untwisted_bonds(lattice, kind=axis)
    ]
    return _sum(space, terms, values.reshape(-1))


def dzyaloshinskii_moriya(
    space: DiscreteSpace,
    lattice: AbstractLattice,
    *,
    D: Any = (0.0, 0.0, 1.0),
    kind: str | None = None,
    images: bool = False,
) -> DiscreteOperator:
    """Antisymmetric exchange sum over bonds of D . (S_i x S_j), for any spin.

    The first of the two spins is where the bond begins, and so that the sum is invariant under translations, bonds
    count in the direction whose first non-zero Cartesian component is positive; on lattices without positions from the
    lower to the higher site. Source: T. Moriya, Phys. Rev. 120, 91 (1960).

    Args:
        space: spins.
        lattice: its bonds between nearest neighbours, or of one kind.
        D: vector (3,), or one for each bond (n_bonds, 3).
        kind: name of a bond kind of the lattice.
        images: keep the winding images of bonds on lattices of extent 2.

    Raises:
        ValueError: if the space does not fit the lattice, or D has another shape.
    """
    check_space(space, lattice)
    bonds = untwisted_bonds(lattice, kind=kind, images=images)
    values = numbers(D, "D")
    must = f"have shape (3,) or ({len(bonds)}, 3)"
    _checks.require(values.shape in ((3,), (len(bonds), 3)), "D", must, values.shape)
    direction = bond_directions(lattice.bond_vectors(kind=kind, images=images))
    terms = [
        (bond, sign * _cross(space, bond, a), a + (3 * number if values.ndim == 2 else 0))
        for number, (bond, sign) in enumerate(zip(bonds, direction, strict=True))
        for a in range(3)
    ]
    return _sum(space, terms, values.reshape(-1))


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


def _sum(
    space: DiscreteSpace, terms: Sequence[tuple[Sequence[int], np.ndarray, int]], couplings: Any
) -> DiscreteOperator:
    """Sum of couplings[number] matrix over (sites, matrix, number), checked as a whole to stay in the space."""

    def build(module: Any, first: Any) -> Any:
        return module.concatenate(first, [module.from_matrix(first, tuple(s), m, number) for s, m, number in terms])

    return make_operator(space, build, couplings)


def _exchange(one: tuple, two: tuple) -> np.ndarray:
    """S . S."""
    return np.sum([np.kron(a, b) for a, b in zip(one, two, strict=True)], axis=0).real


def _cross(space: DiscreteSpace, bond: Sequence[int], axis: int) -> np.ndarray:
    """(S_i x S_j)^a = S^b_i S^c_j - S^c_i S^b_j with (a, b, c) in cyclic order."""
    one, two = (spin_matrices(space.local_dimensions[site]) for site in bond)
    b, c = (axis + 1) % 3, (axis + 2) % 3
    return np.kron(one[b], two[c]) - np.kron(one[c], two[b])
