# SPDX-License-Identifier: Apache-2.0
"""Correlations of dimers, S_i . S_j on bonds: four sites at a time."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._types import Array, Float, Int
from manybody.hilbert import DiscreteSpace
from manybody.lattice import AbstractLattice
from manybody.observables.correlation import displacements
from manybody.observables.sites import checked, spin_components, stacked, total
from manybody.operator import DiscreteOperator
from manybody.state import VariationalState
from manybody.stats import Estimate


class DimerCorrelations(NamedTuple):
    """Dimers D_b = S_i . S_j on bonds b = (i, j) and their correlations.

    Attributes:
        bonds: (n_bonds, 2).
        centres: of the bonds (n_bonds, dim).
        vectors: from the centre of the reference to those of all bonds, to the nearest image (n_bonds, dim); without a
            reference from each to each (n_bonds, n_bonds, dim).
        dimers: <D_b>, leaves (n_bonds,).
        estimate: <D_a D_b> - <D_a> <D_b>, leaves (n_bonds,) or (n_bonds, n_bonds).
    """

    bonds: Int[np.ndarray, "bonds 2"]
    centres: Float[np.ndarray, "bonds dim"]
    vectors: Float[np.ndarray, "..."]
    dimers: Estimate
    estimate: Estimate


def dimer_correlations(
    state: VariationalState, lattice: AbstractLattice, bonds: int | str = 1, *, reference: int | None = 0
) -> DimerCorrelations:
    """<D_a D_b> - <D_a> <D_b> of D_b = S_i . S_j, between one bond and all others, or between all.

    Bonds that share a site do not commute; of their product the Hermitian part is taken. Errors know of all
    correlations (delta method).

    Args:
        state: of spins, with samples.
        lattice: with one site for each spin.
        bonds: an order, or a kind.
        reference: number of the bond a in `lattice.bonds`; None for all pairs, which takes n_bonds / 2 times as many
            terms.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: as `correlation_function`, and if there are no such bonds.
    """
    checked(state, lattice, "ss")
    _checks.require_type(bonds, (int, str), "bonds")
    table = lattice.bond_table(kind=bonds) if isinstance(bonds, str) else lattice.bond_table(bonds)
    n_bonds = len(table.sites)
    if reference is None:
        pairs = np.stack(np.triu_indices(n_bonds), axis=1)
    else:
        reference = _checks.integer(reference, "reference", minimum=0, maximum=n_bonds - 1)
        pairs = np.stack([np.full(n_bonds, reference), np.arange(n_bonds)], axis=1)
    sites, products = (tuple(map(tuple, rows.tolist())) for rows in (table.sites, pairs))
    operator = _dimer_products(state.observed, sites, products)
    function = jax.tree_util.Partial(_connected, jnp.asarray(pairs))
    found = jax.tree.map(np.asarray, state.expect_terms(operator, None, function))
    centres = lattice.positions[table.sites[:, 0]] + table.vectors / 2
    numbers = _numbers(pairs, n_bonds) if reference is None else np.arange(n_bonds)
    vectors = centres - (centres[:, None] if reference is None else centres[reference])
    return DimerCorrelations(
        table.sites,
        centres,
        displacements(lattice, vectors.reshape(-1, centres.shape[1])).reshape(vectors.shape),
        jax.tree.map(lambda leaf: leaf[:n_bonds], found),
        jax.tree.map(lambda leaf: leaf[n_bonds + numbers], found),
    )


def _numbers(pairs: np.ndarray, n_bonds: int) -> np.ndarray:
    """Which pair it is (n_bonds, n_bonds), in either order."""
    numbers = np.zeros((n_bonds, n_bonds), int)
    numbers[tuple(pairs.T)] = np.arange(len(pairs))
    return np.maximum(numbers, numbers.T)


@functools.lru_cache(maxsize=8)
def _dimer_products(
    space: DiscreteSpace, bonds: tuple[tuple[int, int], ...], pairs: tuple[tuple[int, int], ...]
) -> DiscreteOperator:
    """A coupling for each dimer, then for each product of two."""
    spins = spin_components(space)
    dimers = [total([s[i].product(s[j]) for s in spins]) for i, j in bonds]
    products = [dimers[a].product(dimers[b]) for a, b in pairs]
    return stacked(space, [*dimers, *(p.add(p.adjoint(), 0).scale(0.5) for p in products)])


def _connected(pairs: Array, x: Array) -> Array:
    """The dimers, and their products less the products of their means."""
    n_dimers = x.shape[0] - pairs.shape[0]
    return x.at[n_dimers:].add(-x[pairs[:, 0]] * x[pairs[:, 1]])
