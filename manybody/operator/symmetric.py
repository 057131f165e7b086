# SPDX-License-Identifier: Apache-2.0
"""Whether an operator commutes with a group of permutations.

H commutes with T_g if <g sigma|H|g sigma'> = s_g(sigma) s_g(sigma') <sigma|H|sigma'>. One row of this is an equation
between two sets of numbers in no order. It is tested with a product state phi of random phases, which no difference
between the sets is orthogonal to:

    sum over tau of <g sigma|H|tau> phi(tau) = s_g(sigma) sum over sigma' of <sigma|H|sigma'> s_g(sigma') phi(g sigma').

So nothing but matrix elements is needed, whatever the operator is made of, and equalities that hold in a sector only
(a field at fixed magnetisation, particles and holes at half filling) are seen as well.
"""

from __future__ import annotations

import functools

import jax
import numpy as np

from manybody import _checks
from manybody._types import Int
from manybody.hilbert import DiscreteSpace
from manybody.operator.base import Operator
from manybody.symmetry import Action, PermutationGroup

_ROWS, _ELEMENTS = 2**12, 2**18
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

    Rows of the matrix are compared to eleven digits: all of a space of up to 4096 states, else some thousand random
    ones, always the same. An element that is returned is certainly no symmetry; None is certain for small spaces. In
    large ones a violation goes unnoticed if less than one configuration in a thousand has part in it: one wrong bond of
    a lattice does not, a projector on a single configuration does.

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
    rng = np.random.default_rng(0)
    phases = np.exp(2j * np.pi * rng.random((space.size, max(space.local_dimensions))))
    connected, elements = _row(operator, levels)
    for g in group.generators:
        moved = moved_levels(action, levels, g)
        theirs, their_elements = _row(operator, moved)
        left = (their_elements * _product_state(phases, theirs)).sum(axis=1)
        signed = (
            elements * level_signs(action, connected, g) * _product_state(phases, moved_levels(action, connected, g))
        )
        right = signed.sum(axis=1) * level_signs(action, levels, g)
        scale = max(np.abs(elements).sum(axis=1).max(), np.abs(their_elements).sum(axis=1).max())
        if np.abs(left - right).max() > _TOLERANCE * scale:
            return int(g)
    return None


@functools.lru_cache(maxsize=16)
def action_on(space: DiscreteSpace, group: PermutationGroup) -> Action:
    """The action of a group on a space, whose checks take a moment."""
    return Action(group, space)


def moved_levels(
    action: Action, levels: Int[np.ndarray, "*batch size"], element: int
) -> Int[np.ndarray, "*batch size"]:
    """Levels of g sigma from those of sigma."""
    moved = levels[..., np.argsort(action.sites[element])]
    return np.array(action.space.local_dimensions) - 1 - moved if action.group.inverts[element] else moved


def level_signs(
    action: Action, levels: Int[np.ndarray, "*batch size"], elements: Int[np.ndarray, "*batch"] | int
) -> Int[np.ndarray, "*batch"]:
    """s_g(sigma), 1 or -1, of one element for each configuration, or of the same for all."""
    shape = levels.shape[:-1]
    if not action.has_signs:
        return np.ones(shape, np.int8)
    odd = (levels * action._odd[elements]).sum(axis=-1) & 1
    if action._crossings.any():
        occupied = levels > 0
        crossed = np.bitwise_xor.reduce(np.where(occupied[..., None], action._crossings[elements], 0), axis=-2)
        both = np.bitwise_count(crossed & _packed(occupied)).sum(axis=-1)
        odd = odd ^ (both.astype(odd.dtype) & 1)
    return (1 - 2 * odd).astype(np.int8)


def _packed(occupied: np.ndarray) -> np.ndarray:
    """Bits, uint32 (..., words), of flags (..., size)."""
    pad = [(0, 0)] * (occupied.ndim - 1) + [(0, -occupied.shape[-1] % 32)]
    packed = np.packbits(np.pad(occupied, pad), axis=-1, bitorder="little")
    return packed.view("<u4").astype(np.uint32)


def _configurations(space: DiscreteSpace, n_connections: int) -> np.ndarray:
    """Those whose rows are compared (rows, size)."""
    n_rows = max(1, min(_ROWS, _ELEMENTS // (n_connections + 1)))
    if space.is_indexable and space.n_states <= n_rows:
        return space.all_states()
    return np.asarray(space.random_state(jax.random.key(0), n_rows))


def _row(operator: Operator, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Levels (rows, 1 + conn, size) and elements (rows, 1 + conn) of rows of the matrix, the diagonal first."""
    sigma = np.asarray(operator.space.from_levels(levels))
    sites, values, off_diagonal = (np.asarray(part) for part in operator.connections(sigma))
    there = np.repeat(sigma[:, None, :], 1 + off_diagonal.shape[1], axis=1)
    np.put_along_axis(there[:, 1:], sites, values, axis=-1)
    elements = np.concatenate([np.asarray(operator.diagonal(sigma))[:, None], off_diagonal], axis=1)
    there[elements == 0] = sigma[0]  # what stands there means nothing
    return np.asarray(operator.space.to_levels(there)), elements


def _product_state(phases: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """phi (...) of levels (..., size), a factor from phases (size, levels) for each site."""
    return np.take_along_axis(phases, levels.reshape(-1, len(phases)).T, axis=1).prod(axis=0).reshape(levels.shape[:-1])
