# SPDX-License-Identifier: Apache-2.0
"""Lattice bosons, and electrons coupled to phonons."""

from __future__ import annotations

from typing import Any

import numpy as np

from manybody import _checks
from manybody.hamiltonian.hopping import amplitudes, bond_directions, check_fermions, hopping, is_traced, per_site
from manybody.hilbert import Constrained, DiscreteSpace, Fock, Product
from manybody.lattice import AbstractLattice
from manybody.operator import DiscreteOperator, FermionOperator, LocalOperator, on_part
from manybody.operator.boson import annihilation_matrix


def bose_hubbard(
    space: DiscreteSpace,
    lattice: AbstractLattice,
    *,
    t: Any = 1.0,
    U: Any = 4.0,
    mu: Any = 0.0,
    images: bool = False,
) -> DiscreteOperator:
    """Bose-Hubbard model -t sum_<ij> (b_i^dag b_j + h.c.) + U/2 sum_i n_i (n_i - 1) - mu sum_i n_i.

    Args:
        space: `Fock`, one site per site of the lattice; it may be constrained.
        lattice: its bonds.
        t: hopping; a number, a list for neighbours of order 1, 2, ..., or an array with one for each bond.
        U: repulsion; a number, or an array with one for each site.
        mu: chemical potential, likewise.
        images: keep the winding images of bonds on lattices of extent 2.

    Raises:
        TypeError: if it is no space of bosons.
        ValueError: if the space does not fit the lattice, or there are not as many couplings as bonds or sites.
    """
    n = _check_bosons(space, lattice)
    bonds = amplitudes(lattice, t, images)
    lower = [annihilation_matrix(d) for d in space.local_dimensions]
    hops = []
    for (i, j), phase in zip(bonds.sites.tolist(), bonds.phases, strict=True):
        hop = phase * np.kron(lower[i], lower[j].T)  # phase b_j^dag b_i
        hops.append(((i, j), hop + hop.conj().T))
    total = -LocalOperator(space, hops, couplings=bonds.values[bonds.number])
    counts = [np.diag(np.arange(float(d))) for d in space.local_dimensions]
    pairs = [((i,), m @ (m - np.eye(len(m))) / 2) for i, m in enumerate(counts)]
    number, values = per_site(U, n, "U")
    total = total + LocalOperator(space, pairs, couplings=values[number])
    if is_traced(mu) or np.any(mu):
        number, values = per_site(mu, n, "mu")
        total = total - LocalOperator(space, [((i,), m) for i, m in enumerate(counts)], couplings=values[number])
    return total


def holstein(
    space: Product, lattice: AbstractLattice, *, t: Any = 1.0, omega: Any = 1.0, g: Any = 1.0, images: bool = False
) -> DiscreteOperator:
    """Holstein model -t sum (c_is^dag c_js + h.c.) + omega sum b_i^dag b_i + g sum n_i (b_i^dag + b_i).

    Args:
        space: `Product(Fermion, Fock)`, an orbital (of any number of components) and an oscillator for each site.
        lattice: its bonds.
        t: hopping; a number, a list for neighbours of order 1, 2, ..., or an array with one for each bond.
        omega: frequency.
        g: coupling of the density to the displacement b + b^dag.
        images: keep the winding images of bonds on lattices of extent 2.

    Raises:
        TypeError: if it is no such product.
        ValueError: if the spaces do not fit the lattice, or there are not as many couplings as bonds.
    """
    n, n_components = _check_phonons(space, lattice)
    fermions = space.spaces[0]
    kinetic = on_part(hopping(fermions, amplitudes(lattice, t, images), n, n_components), space, 0)
    modes = [[i + n * component for component in range(n_components)] for i in range(n)]
    density = [FermionOperator(fermions, [((m, True), (m, False)) for m in own]) for own in modes]
    coupling = sum(on_part(density[i], space, 0) @ _displacement(space, i) for i in range(n))
    return -kinetic + omega * _quanta(space, n) + g * coupling


def ssh(
    space: Product, lattice: AbstractLattice, *, t: Any = 1.0, omega: Any = 1.0, alpha: Any = 0.5, images: bool = False
) -> DiscreteOperator:
    """Su-Schrieffer-Heeger model -sum (t - alpha (x_j - x_i)) (c_is^dag c_js + h.c.) + omega sum b_i^dag b_i.

    The displacement is x = b + b^dag. A bond leads from i to j in the direction whose first non-zero Cartesian
    component is positive, also across a periodic boundary, so that the sum is invariant under translations; on lattices
    without positions from the lower to the higher site. Source: W. P. Su, J. R. Schrieffer and A. J. Heeger, Phys. Rev.
    B 22, 2099 (1980), here with an independent oscillator on each site.

    Args:
        space: `Product(Fermion, Fock)`, an orbital (of any number of components) and an oscillator for each site.
        lattice: its bonds.
        t: hopping; a number, a list for neighbours of order 1, 2, ..., or an array with one for each bond.
        omega: frequency.
        alpha: change of the hopping with the distance of its sites, for nearest neighbours.
        images: keep the winding images of bonds on lattices of extent 2.

    Raises:
        TypeError: if it is no such product.
        ValueError: if the spaces do not fit the lattice, or there are not as many couplings as bonds.
    """
    n, n_components = _check_phonons(space, lattice)
    fermions = space.spaces[0]
    kinetic = on_part(hopping(fermions, amplitudes(lattice, t, images), n, n_components), space, 0)
    bonds = amplitudes(lattice, 1.0, images)
    direction = bond_directions(lattice.bond_vectors(images=images))
    stretched = []
    for number, ((i, j), sign) in enumerate(zip(bonds.sites.tolist(), direction, strict=True)):
        one = bonds._replace(sites=bonds.sites[[number]], phases=bonds.phases[[number]], number=np.zeros(1, int))
        hop = on_part(hopping(fermions, one, n, n_components), space, 0)
        stretched.append(sign * hop @ (_displacement(space, j) - _displacement(space, i)))
    return -kinetic + alpha * sum(stretched) + omega * _quanta(space, n)


def _displacement(space: Product, site: int) -> DiscreteOperator:
    """b + b^dag of one oscillator."""
    position = space.offsets[1].start + site
    lower = annihilation_matrix(space.local_dimensions[position])
    return LocalOperator(space, [((position,), lower + lower.T)])


def _quanta(space: Product, n: int) -> DiscreteOperator:
    """Number of quanta in all oscillators."""
    positions = [space.offsets[1].start + site for site in range(n)]
    return LocalOperator(space, [((p,), np.diag(np.arange(float(space.local_dimensions[p])))) for p in positions])


def _check_phonons(space: Product, lattice: AbstractLattice) -> tuple[int, int]:
    """Number of sites and of components of the fermions."""
    _checks.require_type(space, Product, "space")
    _checks.require(len(space.spaces) == 2, "space", "be a product of two: Fermion and Fock", space)
    fermions = check_fermions(space.spaces[0], lattice)
    _check_bosons(space.spaces[1], lattice)
    return fermions.n_orbitals, fermions.n_components


def _check_bosons(space: DiscreteSpace, lattice: AbstractLattice) -> int:
    """Number of sites."""
    _checks.require_type(space.space if isinstance(space, Constrained) else space, Fock, "space")
    _checks.require_type(lattice, AbstractLattice, "lattice")
    _checks.require(
        space.size == lattice.n_sites, "space", f"have {lattice.n_sites} sites like the lattice", space.size
    )
    return space.size
