# SPDX-License-Identifier: Apache-2.0
"""Lattice fermions: Hubbard, t-V and t-J models."""

from __future__ import annotations

from typing import Any

import numpy as np

from manybody.hamiltonian.hopping import amplitudes, check_fermions, densities, hopping, is_traced, per_site
from manybody.hilbert import DiscreteSpace
from manybody.lattice import AbstractLattice
from manybody.operator import DiscreteOperator
from manybody.operator.discrete import from_rows
from manybody.operator.strings import fermion_rows


def hubbard(
    space: DiscreteSpace,
    lattice: AbstractLattice,
    *,
    t: Any = 1.0,
    U: Any = 4.0,
    mu: Any = 0.0,
    images: bool = False,
) -> DiscreteOperator:
    """Hubbard model -t sum_<ij>,s (c_is^dag c_js + h.c.) + U sum_i n_i,up n_i,dn - mu sum_i n_i.

    Twisted and antiperiodic boundaries of the lattice give the hops across them their phase.

    Args:
        space: `Fermion` with two components, one orbital per site.
        lattice: its bonds.
        t: hopping; a number, a list for neighbours of order 1, 2, ..., or an array with one for each bond.
        U: repulsion; a number, or an array with one for each site.
        mu: chemical potential; a number, or an array with one for each site.
        images: keep the winding images of bonds on lattices of extent 2.

    Raises:
        TypeError: if it is no space of fermions.
        ValueError: if the space does not fit the lattice, or there are not as many couplings as bonds or sites.
    """
    n = check_fermions(space, lattice, n_components=2).n_orbitals
    kinetic = hopping(space, amplitudes(lattice, t, images), n, 2)
    site = np.arange(n)
    number, values = per_site(U, n, "U")
    total = -kinetic + densities(space, np.stack([site, site + n], axis=1), number, values)
    return total - _number(space, n, 2, mu) if is_traced(mu) or np.any(mu) else total


def t_v(
    space: DiscreteSpace, lattice: AbstractLattice, *, t: Any = 1.0, V: Any = 1.0, images: bool = False
) -> DiscreteOperator:
    """Spinless fermions -t sum_<ij> (c_i^dag c_j + h.c.) + V sum_<ij> n_i n_j.

    Args:
        space: `Fermion` with one component, one orbital per site.
        lattice: its bonds.
        t: hopping; a number, a list for neighbours of order 1, 2, ..., or an array with one for each bond.
        V: repulsion, likewise.
        images: keep the winding images of bonds on lattices of extent 2.

    Raises:
        TypeError: if it is no space of fermions.
        ValueError: if the space does not fit the lattice, or there are not as many couplings as bonds.
    """
    n = check_fermions(space, lattice, n_components=1).n_orbitals
    bonds = amplitudes(lattice, V, images, "V")
    return -hopping(space, amplitudes(lattice, t, images), n, 1) + densities(
        space, bonds.sites, bonds.number, bonds.values
    )


def t_j(
    space: DiscreteSpace, lattice: AbstractLattice, *, t: Any = 1.0, J: Any = 0.4, images: bool = False
) -> DiscreteOperator:
    """t-J model -t sum_<ij>,s P (c_is^dag c_js + h.c.) P + J sum_<ij> (S_i . S_j - n_i n_j / 4).

    P excludes sites that are occupied twice. The hops ask for the other spin to be absent from both sites, so the
    operator keeps the space without double occupation, and acts on it in the same way on a space that has it.

    Args:
        space: `Fermion` with two components, one orbital per site, best constrained by `NoDoubleOccupation`.
        lattice: its bonds.
        t: hopping; a number, a list for neighbours of order 1, 2, ..., or an array with one for each bond.
        J: exchange, likewise.
        images: keep the winding images of bonds on lattices of extent 2.

    Raises:
        TypeError: if it is no space of fermions.
        ValueError: if the space does not fit the lattice, or there are not as many couplings as bonds.
    """
    n = check_fermions(space, lattice, n_components=2).n_orbitals
    return -_projected_hopping(space, amplitudes(lattice, t, images), n) + _exchange(
        space, amplitudes(lattice, J, images, "J"), n
    )


def _projected_hopping(space: DiscreteSpace, bonds: Any, n: int) -> DiscreteOperator:
    """sum of amplitude (1 - n_j,-s) phase c_js^dag c_is (1 - n_i,-s) + h.c."""
    modes, creates, weights, numbers = [], [], [], []
    for own, other in ((0, n), (n, 0)):
        for (i, j), phase, number in zip(bonds.sites, bonds.phases, bonds.number, strict=True):
            for a, b, factor in ((i, j, phase), (j, i, phase.conj())):
                # (1 - n) = c c^dag; the last factor acts first.
                modes.append([b + other, b + other, b + own, a + own, a + other, a + other])
                creates.append([False, True, True, False, False, True])
                weights.append(factor)
                numbers.append(number)
    weight = np.array(weights)
    weight = weight.real if np.all(weight.imag == 0) else weight
    rows = fermion_rows(space.size, np.array(modes), np.array(creates), np.array(numbers, np.int32), weight)
    return from_rows(space, rows, bonds.values)


def _exchange(space: DiscreteSpace, bonds: Any, n: int) -> DiscreteOperator:
    """sum of amplitude (S_i . S_j - n_i n_j / 4) = amplitude (S+S- + S-S+ - n_up n_dn - n_dn n_up) / 2."""
    i, j = bonds.sites.T
    up, down = (np.stack([i, j], axis=1), np.stack([i, j], axis=1) + n)
    flips = np.stack([up[:, 0], down[:, 0], down[:, 1], up[:, 1]], axis=1)  # S+_i S-_j
    back = np.stack([down[:, 0], up[:, 0], up[:, 1], down[:, 1]], axis=1)
    ising = [np.stack([a[:, 0], a[:, 0], b[:, 1], b[:, 1]], axis=1) for a, b in ((up, down), (down, up))]
    modes = np.concatenate([flips, back, *ising])
    weights = np.repeat([0.5, 0.5, -0.5, -0.5], len(i))
    creates = np.broadcast_to([True, False, True, False], modes.shape)
    rows = fermion_rows(space.size, modes, creates, np.tile(bonds.number, 4).astype(np.int32), weights)
    return from_rows(space, rows, bonds.values)


def _number(space: DiscreteSpace, n_orbitals: int, n_components: int, mu: Any) -> DiscreteOperator:
    """sum of mu_i n_i."""
    number, values = per_site(mu, n_orbitals, "mu")
    modes = np.arange(n_orbitals * n_components)
    rows = fermion_rows(
        space.size,
        np.stack([modes, modes], axis=1),
        np.broadcast_to([True, False], (len(modes), 2)),
        np.tile(number, n_components).astype(np.int32),
        np.ones(len(modes)),
    )
    return from_rows(space, rows, values)
