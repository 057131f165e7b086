# SPDX-License-Identifier: Apache-2.0
"""Hopping of fermions over the bonds of a lattice, as arrays of products."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody.hilbert import Constrained, DiscreteSpace, Fermion
from manybody.lattice import AbstractLattice
from manybody.operator import DiscreteOperator
from manybody.operator.discrete import from_rows
from manybody.operator.strings import fermion_rows


class Amplitudes(NamedTuple):
    """Bonds with the amplitude of each.

    Attributes:
        sites: (bonds, 2).
        phases: (bonds,) of the hop from the first site to the second.
        number: (bonds,) which of `values` is the amplitude of the bond.
        values: (amplitudes,) real numbers.
    """

    sites: np.ndarray
    phases: np.ndarray
    number: np.ndarray
    values: Any


def amplitudes(lattice: AbstractLattice, t: Any, images: bool, name: str = "t") -> Amplitudes:
    """The bonds of a lattice with their amplitudes.

    Args:
        lattice: the lattice.
        t: a number for nearest neighbours; a list or tuple of numbers for neighbours of order 1, 2, ...; or an array
            (n_bonds,) with a number for each bond between nearest neighbours, in the order of `lattice.bonds()`.
        images: keep the winding images of bonds.
        name: of the argument, for messages.

    Raises:
        ValueError: if there are not as many numbers as bonds.
    """
    _checks.require_type(lattice, AbstractLattice, "lattice")
    values = numbers(t, name)
    if isinstance(t, (list, tuple)):
        tables = [lattice.bond_table(order, images=images) for order in range(1, len(t) + 1)]
        _checks.require(len(tables) > 0, name, "name at least one amplitude", t)
        number = np.repeat(np.arange(len(tables)), [len(table.sites) for table in tables])
        sites, phases = (np.concatenate([getattr(x, field) for x in tables]) for field in ("sites", "phases"))
        return Amplitudes(sites, phases, number, values)
    table = lattice.bond_table(images=images)
    n_bonds = len(table.sites)
    if values.ndim == 0:
        return Amplitudes(table.sites, table.phases, np.zeros(n_bonds, int), values[None])
    _checks.require(values.shape == (n_bonds,), name, f"be one number, or {n_bonds} for the bonds", values.shape)
    return Amplitudes(table.sites, table.phases, np.arange(n_bonds), values)


def hopping(space: DiscreteSpace, bonds: Amplitudes, n_orbitals: int, n_components: int) -> DiscreteOperator:
    """sum over bonds and components of amplitude (phase c_j^dagger c_i + h.c.), without a sign before it."""
    i, j = bonds.sites.T
    shift = n_orbitals * np.repeat(np.arange(n_components), len(i))
    i, j = np.tile(i, n_components) + shift, np.tile(j, n_components) + shift
    phases, number = np.tile(_real(bonds.phases), n_components), np.tile(bonds.number, n_components)
    modes = np.concatenate([np.stack([j, i], axis=1), np.stack([i, j], axis=1)])
    creates = np.broadcast_to([True, False], modes.shape)
    weights = np.concatenate([phases, phases.conj()])
    rows = fermion_rows(space.size, modes, creates, np.tile(number, 2).astype(np.int32), weights)
    return from_rows(space, rows, bonds.values)


def densities(space: DiscreteSpace, pairs: np.ndarray, number: np.ndarray, values: Any) -> DiscreteOperator:
    """sum over pairs of modes of values[number] n_a n_b."""
    modes = np.stack([pairs[:, 0], pairs[:, 0], pairs[:, 1], pairs[:, 1]], axis=1)
    creates = np.broadcast_to([True, False, True, False], modes.shape)
    rows = fermion_rows(space.size, modes, creates, number.astype(np.int32), np.ones(len(pairs)))
    return from_rows(space, rows, values)


def check_fermions(space: DiscreteSpace, lattice: AbstractLattice, n_components: int | None = None) -> Fermion:
    """The fermions of a space, which may be constrained, if they live on the sites of the lattice.

    Raises:
        TypeError: if it is no space of fermions.
        ValueError: if there are not as many orbitals as sites, or another number of components.
    """
    _checks.require_type(lattice, AbstractLattice, "lattice")
    return check_orbitals(space, lattice.n_sites, n_components)


def check_orbitals(space: DiscreteSpace, n_orbitals: int, n_components: int | None = None) -> Fermion:
    """The fermions of a space, which may be constrained, if they have these orbitals and components.

    Raises:
        TypeError: if it is no space of fermions.
        ValueError: if there is another number of orbitals or components.
    """
    fermions = space.space if isinstance(space, Constrained) else space
    if not isinstance(fermions, Fermion):
        raise TypeError(_checks.requirement("space", "be a space of fermions", space))
    must = f"have n_orbitals = {n_orbitals}, one for each site or orbital"
    _checks.require(fermions.n_orbitals == n_orbitals, "space", must, fermions.n_orbitals)
    fits = n_components is None or fermions.n_components == n_components
    _checks.require(fits, "space", f"have n_components = {n_components}", fermions.n_components)
    return fermions


def per_site(value: Any, n_sites: int, name: str) -> tuple[np.ndarray, Any]:
    """For each site the number of its coupling, and the couplings: one for all, or one for each.

    Raises:
        ValueError: if there are not as many as sites.
    """
    values = numbers(value, name)
    if values.ndim == 0:
        return np.zeros(n_sites, int), values[None]
    _checks.require(values.shape == (n_sites,), name, f"be one number, or {n_sites} for the sites", values.shape)
    return np.arange(n_sites), values


def numbers(values: Any, name: str) -> Any:
    """An array of couplings; NumPy's unless some are traced, because JAX would compile for each number of them.

    Raises:
        TypeError: if they are not real numbers.
        ValueError: if one of them is nan or infinite.
    """
    leaves = jax.tree.leaves(values)
    if any(isinstance(x, str) for x in leaves):
        raise TypeError(_checks.requirement(name, "be real", repr(values)))
    if any(isinstance(x, complex) or np.iscomplexobj(x) for x in leaves):
        cure = "Phases are those of a twisted lattice, or of a FermionOperator."
        raise TypeError(_checks.requirement(name, "be real", repr(values), cure))
    if is_traced(values):
        return jnp.asarray(values, jax.dtypes.canonicalize_dtype(float))
    array = np.asarray(values, float)
    _checks.require(bool(np.isfinite(array).all()), name, "be finite", values)
    return array


def is_traced(values: Any) -> bool:
    """Whether some of the numbers are not known while a function is compiled."""
    return any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(values))


def bond_directions(vectors: np.ndarray) -> np.ndarray:
    """+1 for bonds (bonds, dim) whose first non-zero component is positive, or that have none; -1 for the others."""
    scale = 1e-9 * np.max(np.abs(vectors), initial=1.0)
    sign = np.sign(np.where(np.abs(vectors) > scale, vectors, 0.0))
    # the first component that is not 0 outweighs all behind it
    return np.where(sign @ 3.0 ** -np.arange(vectors.shape[1]) < 0, -1.0, 1.0)


def _real(phases: np.ndarray) -> np.ndarray:
    return phases.real if np.all(phases.imag == 0) else phases
