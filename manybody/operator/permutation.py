# SPDX-License-Identifier: Apache-2.0
"""Permutations of the sites and the inversion of all spins, as operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from manybody import _checks
from manybody.hilbert import Constrained, DiscreteSpace, Fermion, Product, Qubit, Spin
from manybody.operator import bits, matrices
from manybody.operator.discrete import DiscreteOperator, from_terms
from manybody.operator.permuted import collected
from manybody.operator.relabelling import Relabelling


def permutation(space: DiscreteSpace, sites: Sequence[int]) -> DiscreteOperator:
    """The unitary operator that moves site i to site sites[i].

    Of fermions, it moves the modes: P c_i P^-1 = c_{sites[i]}, which gives configurations a sign. Sums and products
    with any other operators make momentum projectors, exchange operators and so on.

    Args:
        space: the space.
        sites: where each site goes (sites,). Of a `Fermion` with several components these are modes.

    Raises:
        ValueError: if `sites` is no permutation, a site goes to one with another number of levels, or to a mode of
            other fermions, or the permutation leads out of the space.

    Example:
        >>> import manybody as mb
        >>> space = mb.hilbert.Spin(4, total_sz=0)
        >>> shift = mb.operator.permutation(space, [1, 2, 3, 0])
        >>> ising = mb.hamiltonian.heisenberg(space, mb.lattice.chain(4))
        >>> bool(abs((shift @ ising - ising @ shift).to_dense()).max() < 1e-14)
        True
    """
    _checks.require_type(space, DiscreteSpace, "space")
    target = [_checks.integer(site, "sites", minimum=0, maximum=space.size - 1) for site in sites]
    must = f"name each of the sites 0, ..., {space.size - 1} once"
    _checks.require(sorted(target) == list(range(space.size)), "sites", must, target)
    dimensions = space.local_dimensions
    same = all(dimensions[i] == dimensions[site] for i, site in enumerate(target))
    _checks.require(same, "sites", "move sites to sites with as many levels", target)
    images = {tuple(sorted(target[i] for i in modes)) for modes in space.fermions}
    _checks.require(images == set(space.fermions), "sites", "keep fermions together", target)
    return _relabelling(space, Relabelling(tuple(target), (), space.fermions))


def spin_inversion(space: DiscreteSpace) -> DiscreteOperator:
    """The operator that turns all spins over: S^z -> -S^z, up <-> down.

    It reverses the levels of `Spin` and `Qubit`, and exchanges the components of a `Fermion` with two of them, with
    c_up -> c_down -> c_up. In a `Product` it acts on all parts that have spins.

    Raises:
        ValueError: if the space has no spins, or the inversion leads out of it.
    """
    _checks.require_type(space, DiscreteSpace, "space")
    move, turned = np.arange(space.size), []
    for part, start in _parts(space):
        here = np.arange(start, start + part.size)
        if isinstance(part, (Spin, Qubit)):
            turned += here.tolist()
        elif isinstance(part, Fermion) and part.n_components == 2:
            move[here] = np.roll(here, part.n_orbitals)
    inverts = bool(turned) or bool(np.any(move != np.arange(space.size)))
    _checks.require(inverts, "space", "have spins: Spin, Qubit, or a Fermion of two components", space)
    return _relabelling(space, Relabelling(tuple(move.tolist()), tuple(turned), space.fermions))


def _parts(space: DiscreteSpace) -> list[tuple[DiscreteSpace, int]]:
    """The spaces side by side that a space is made of, and their first sites."""
    if isinstance(space, Constrained):
        return _parts(space.space)
    if isinstance(space, Product):
        return [(p, at.start) for p, at in zip(space.spaces, space.offsets, strict=True)]
    return [(space, 0)]


def _relabelling(space: DiscreteSpace, u: Relabelling) -> DiscreteOperator:
    two_level = all(d == 2 for d in space.local_dimensions)
    module, first = (bits, space.size) if two_level else (matrices, space.local_dimensions)
    one = module.from_matrix(first, (), np.ones((1, 1)))
    if two_level and u.sites == tuple(range(space.size)):  # one row of masks
        return from_terms(space, bits.flipped(one, u.reversed), np.ones(1))
    return from_terms(space, collected(one.scale(0.0), [(u, one)]), np.ones(1))
