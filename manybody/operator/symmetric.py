# SPDX-License-Identifier: Apache-2.0
"""Whether an operator commutes with a group of permutations.

H commutes with T_g if <g sigma|H|g sigma'> = s_g(sigma) s_g(sigma') <sigma|H|sigma'>. One row of this is an equation
between two sets of numbers in no order. It is tested with a product state phi of random phases, to which no difference
between the sets is orthogonal:

    sum over tau of <g sigma|H|tau> phi(tau) = s_g(sigma) sum over sigma' of <sigma|H|sigma'> s_g(sigma') phi(g sigma')

with phi(sigma) = exp(i sum of angle_i level_i), as different for any two configurations as are generic angles. So
nothing but matrix elements is needed, whatever the operator is made of, and equalities that hold in a sector only (a
field at fixed magnetisation, particles and holes at half filling) are seen as well.
"""

from __future__ import annotations

import jax
import numpy as np

from manybody import _checks
from manybody.hilbert import DiscreteSpace
from manybody.operator.base import Operator
from manybody.symmetry import PermutationGroup, action_on

_ROWS, _ELEMENTS = 2**12, 2**17
"""Configurations, and matrix elements, that are looked at: all of a small space, random ones of a large one."""
_TOLERANCE = 1e-11
"""Relative to the largest sum of the |matrix elements| of a row."""


def is_symmetric(operator: Operator, group: PermutationGroup) -> bool:
    """Whether an operator commutes with all elements of a group, with their signs and inversions (see `Action`).

    See `broken_element` for how this is found out.

    Example:
        >>> import manybody as mb
        >>> from manybody.symmetry import Permutation, PermutationGroup
        >>> shift = PermutationGroup.generated([Permutation([1, 2, 3, 0])])
        >>> space = mb.hilbert.Spin(4)
        >>> chains = [mb.lattice.chain(4), mb.lattice.chain(4, periodic=False)]
        >>> [is_symmetric(mb.hamiltonian.heisenberg(space, lattice), shift) for lattice in chains]
        [True, False]
    """
    return broken_element(operator, group) is None


def broken_element(operator: Operator, group: PermutationGroup) -> int | None:
    """The first generator of a group that does not commute with an operator, or None if all do.

    Rows of the matrix are compared to eleven digits: all of a small space (up to 4096 states, fewer if they have many
    connections), some hundreds or thousands of random ones of a large one, always the same. An element that is returned
    is certainly no symmetry. None is certain for small spaces; in large ones a violation goes unnoticed if hardly any
    configuration has part in it: one wrong bond of a lattice is seen, a projector on a single configuration is not.

    Args:
        operator: the operator.
        group: permutations of its sites, or of a fraction of them.

    Returns:
        Number of an element of the group.

    Raises:
        ValueError: if the group does not act on the operator's space.
    """
    _checks.require_type(operator, Operator, "operator")
    space, action = operator.space, action_on(operator.space, group)
    levels = np.asarray(space.to_levels(_configurations(space, operator.max_connections)))
    angles = 2 * np.pi * np.random.default_rng(0).random(space.size)
    row, connected, elements = _rows(operator, levels)
    size = _sums(row, np.abs(elements), len(levels))
    for g in group.generators:
        moved = action.moved_levels(levels, g)
        their_row, their_connected, their_elements = _rows(operator, moved)
        left = _sums(their_row, their_elements * _product_state(angles, their_connected), len(levels))
        signed = elements * action.level_signs(connected, g)
        right = _sums(row, signed * _product_state(angles, action.moved_levels(connected, g)), len(levels))
        scale = max(size.max(), _sums(their_row, np.abs(their_elements), len(levels)).max())
        if np.abs(left - action.level_signs(levels, g) * right).max() > _TOLERANCE * scale:
            return int(g)
    return None


def _configurations(space: DiscreteSpace, n_connections: int) -> np.ndarray:
    """Those whose rows are compared (rows, size)."""
    n_rows = max(1, min(_ROWS, _ELEMENTS // (n_connections + 1)))
    if space.is_indexable and space.n_states <= n_rows:
        return space.all_states()
    return np.asarray(space.random_state(jax.random.key(0), n_rows))


def _rows(operator: Operator, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All matrix elements of some rows, the diagonal included: numbers of rows, levels (elements, size), values."""
    space = operator.space
    sigma = np.asarray(space.from_levels(levels))
    sites, values, elements = (np.asarray(part) for part in operator.connections(sigma))
    row, conn = np.nonzero(elements)
    there = sigma[row]
    np.put_along_axis(there, sites[row, conn], values[row, conn], axis=1)
    return (
        np.concatenate([np.arange(len(sigma)), row]),
        np.concatenate([levels, np.asarray(space.to_levels(there))]),
        np.concatenate([np.asarray(operator.diagonal(sigma)), elements[row, conn]]),
    )


def _sums(row: np.ndarray, values: np.ndarray, n_rows: int) -> np.ndarray:
    """Sums (n_rows,) of the values of each row."""
    found = np.zeros(n_rows, values.dtype)
    np.add.at(found, row, values)
    return found


def _product_state(angles: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """phi (...) of levels (..., size)."""
    return np.exp(1j * (levels @ angles))
