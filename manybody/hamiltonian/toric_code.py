# SPDX-License-Identifier: Apache-2.0
"""The toric code, and the surface code on lattices with open ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from manybody import _checks
from manybody.hamiltonian.spins import untwisted_bonds
from manybody.hilbert import DiscreteSpace
from manybody.lattice import AbstractLattice
from manybody.operator import DiscreteOperator, PauliStrings


def toric_code(space: DiscreteSpace, lattice: AbstractLattice, *, Js: Any = 1.0, Jp: Any = 1.0) -> DiscreteOperator:
    """Toric code -Js sum_s A_s - Jp sum_p B_p of spins on the bonds of a lattice.

    A_s is the product of sigma^x over the bonds at site s, and B_p that of sigma^z over the bonds of plaquette p. All
    of them commute, so that for positive couplings the ground state has -Js n_sites - Jp n_plaquettes; on a torus there
    are four of them. Source: A. Kitaev, Annals of Physics 303, 2 (2003), section 1, where Js = Jp = 1.

    Site b of the space is bond b of `lattice.bonds(images=True)`: on small tori two sites may be joined by several.

    Args:
        space: two-level sites, one for each of these bonds.
        lattice: a two-dimensional one, whose bonds do not cross.
        Js: coupling of the stars.
        Jp: coupling of the plaquettes.

    Raises:
        ValueError: if the space does not have a two-level site for each bond, the lattice has no plaquettes to speak
            of (see `AbstractLattice.plaquettes`) or a twist, or a star or plaquette leads out of the space.

    Example:
        >>> import manybody as mb
        >>> lattice = mb.lattice.square(2)
        >>> space = mb.hilbert.Spin(len(lattice.bonds(images=True)))
        >>> mb.exact.ground_state(mb.hamiltonian.toric_code(space, lattice), k=5).energies.round(8)
        array([-8., -8., -8., -8., -4.])
    """
    _checks.require_type(space, DiscreteSpace, "space")
    _checks.require_type(lattice, AbstractLattice, "lattice")
    bonds = np.array(untwisted_bonds(lattice, images=True))
    must = f"have {len(bonds)} sites, one for each of `lattice.bonds(images=True)`"
    _checks.require(space.size == len(bonds), "space", must, space.size)
    stars = [np.flatnonzero((bonds == site).any(axis=1)) for site in range(lattice.n_sites)]
    # a bond with the same plaquette on both its sides drops out of the product
    sides = [np.bincount(plaquette.bonds, minlength=len(bonds)) for plaquette in lattice.plaquettes()]
    loops = [np.flatnonzero(count % 2) for count in sides]
    return -(Js * _products(space, "X", stars)) - Jp * _products(space, "Z", loops)


def _products(space: DiscreteSpace, letter: str, sets: Iterable[np.ndarray]) -> DiscreteOperator:
    """Sum over sets of sites of the products of one Pauli matrix."""
    return PauliStrings(space, [" ".join(f"{letter}{site}" for site in sites) for sites in sets])
