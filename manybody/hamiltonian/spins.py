# SPDX-License-Identifier: Apache-2.0
"""Spin Hamiltonians: functions of (space, lattice, couplings as keywords)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from manybody import _checks
from manybody.hamiltonian.hopping import numbers
from manybody.hamiltonian.marshall import marshall as rotate
from manybody.hilbert import DiscreteSpace
from manybody.lattice import AbstractLattice
from manybody.operator import DiscreteOperator, LocalOperator
from manybody.operator.spin import spin_matrices


def ising(space: DiscreteSpace, lattice: AbstractLattice, *, J: Any = 1.0, h: Any = 1.0) -> DiscreteOperator:
    """Transverse-field Ising model -J sum_<ij> Z_i Z_j - h sum_i X_i, Pauli matrices, nearest neighbours.

    Args:
        space: two-level sites.
        lattice: its bonds; one site each.
        J: coupling; positive is ferromagnetic.
        h: transverse field.

    Raises:
        TypeError: if a coupling is no real number.
        ValueError: if the space does not fit the lattice, has other than two levels, or fixes the magnetisation; or a
            coupling is not finite.
    """
    check_space(space, lattice)
    two_level = all(d == 2 for d in space.local_dimensions)
    _checks.require(two_level, "space", "have two levels on every site", space)
    must, cure = "have no fixed magnetisation, which the field changes", "Build it on the unconstrained space."
    _checks.require(not space.sectors, "space", must, space, cure)
    J, h = numbers(J, "J"), numbers(h, "h")
    x, _, z = (2.0 * m for m in spin_matrices(2))
    zz = LocalOperator(space, [(bond, np.kron(z, z)) for bond in untwisted_bonds(lattice)])
    field = LocalOperator(space, [((site,), x) for site in range(space.size)])
    return -(J * zz) - h * field


def heisenberg(
    space: DiscreteSpace,
    lattice: AbstractLattice,
    *,
    J: Any | Sequence[Any] = 1.0,
    marshall: bool = False,
    images: bool = False,
) -> DiscreteOperator:
    """Heisenberg model J sum_<ij> S_i . S_j (each bond once), for any spin.

    Args:
        space: spins.
        lattice: its bonds; one site each.
        J: coupling of nearest neighbours, or a sequence (J1, J2, ...) for the bonds of order 1, 2, ...; positive is
            antiferromagnetic.
        marshall: rotate one sublattice by pi about z, which makes the ground state of a bipartite antiferromagnet
            positive.
        images: keep the winding images of bonds on lattices of extent 2.

    Raises:
        ValueError: if the space does not fit the lattice, or the lattice is not bipartite and `marshall` is set.
    """
    return xxz(space, lattice, J=J, Delta=1.0, marshall=marshall, images=images)


def xxz(
    space: DiscreteSpace,
    lattice: AbstractLattice,
    *,
    J: Any | Sequence[Any] = 1.0,
    Delta: Any = 1.0,
    marshall: bool = False,
    images: bool = False,
) -> DiscreteOperator:
    """XXZ model J sum_<ij> (S^x_i S^x_j + S^y_i S^y_j + Delta S^z_i S^z_j), for any spin.

    Args:
        space: spins.
        lattice: its bonds; one site each.
        J: coupling, or a sequence of couplings for the bonds of order 1, 2, ....
        Delta: anisotropy.
        marshall: rotate one sublattice by pi about z.
        images: keep the winding images of bonds.

    Raises:
        TypeError: if a coupling is no real number.
        ValueError: if the space does not fit the lattice, or the lattice is not bipartite and `marshall` is set; or a
            coupling is not finite, or there are more than distances on the lattice.
    """
    check_space(space, lattice)
    couplings, Delta = numbers(J, "J"), numbers(Delta, "Delta")
    must = "be one number, or one for each order of bonds"
    _checks.require(couplings.ndim <= 1, "J", must, f"shape {couplings.shape}")
    _checks.require(couplings.size > 0, "J", "name at least one coupling", J)
    if couplings.size > 1 and not images:
        must = f"name at most {lattice.n_shells} couplings, as many as there are distances between sites"
        _checks.require(len(couplings) <= lattice.n_shells, "J", must, len(couplings))
    terms = []
    for order, coupling in enumerate(couplings.reshape(-1), start=1):
        bonds = untwisted_bonds(lattice, order, images)
        flip = LocalOperator(space, [(bond, _exchange(space, bond)) for bond in bonds])
        diagonal = LocalOperator(space, [(bond, _sz_sz(space, bond)) for bond in bonds])
        terms.append(coupling * (flip + Delta * diagonal))
    total = sum(terms)
    return rotate(total, lattice) if marshall else total


def j1j2(
    space: DiscreteSpace,
    lattice: AbstractLattice,
    *,
    J1: Any = 1.0,
    J2: Any = 0.5,
    marshall: bool = False,
    images: bool = False,
) -> DiscreteOperator:
    """J1 sum_<ij> S_i . S_j + J2 sum_<<ij>> S_i . S_j over first and second neighbours (see `heisenberg`)."""
    return heisenberg(space, lattice, J=(J1, J2), marshall=marshall, images=images)


def untwisted_bonds(
    lattice: AbstractLattice, order: int = 1, images: bool = False, kind: str | None = None
) -> list[list[int]]:
    """Bonds of a lattice without a twist: the sign and the axis of a twist of spins are nobody's convention.

    Raises:
        ValueError: if the lattice has a twist.
    """
    table = lattice.bond_table(order, kind, images)
    cure = "Write the boundary terms as a LocalOperator."
    _checks.require(bool(np.all(table.phases == 1)), "lattice", "have no twisted boundary for spins", lattice, cure)
    return table.sites.tolist()


def _exchange(space: DiscreteSpace, bond: Sequence[int]) -> np.ndarray:
    """S^x S^x + S^y S^y of two sites."""
    (x1, y1, _), (x2, y2, _) = (spin_matrices(space.local_dimensions[site]) for site in bond)
    return (np.kron(x1, x2) + np.kron(y1, y2)).real


def _sz_sz(space: DiscreteSpace, bond: Sequence[int]) -> np.ndarray:
    (*_, z1), (*_, z2) = (spin_matrices(space.local_dimensions[site]) for site in bond)
    return np.kron(z1, z2)


def check_space(space: DiscreteSpace, lattice: AbstractLattice) -> None:
    """Raise `ValueError` unless the space has a site for each of the lattice."""
    _checks.require_type(space, DiscreteSpace, "space")
    _checks.require_type(lattice, AbstractLattice, "lattice")
    _checks.require(
        space.size == lattice.n_sites, "space", f"have {lattice.n_sites} sites like the lattice", space.size
    )
