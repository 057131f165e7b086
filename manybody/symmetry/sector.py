# SPDX-License-Identifier: Apache-2.0
"""Symmetry sectors: the states that transform in one way under a group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from manybody import _checks
from manybody._types import Complex, Inexact
from manybody.symmetry.permutation import PermutationGroup


@runtime_checkable
class HasMomenta(Protocol):
    """A group with translations; see `manybody.lattice.SpaceGroup`."""

    def little_group(self, momentum: ArrayLike) -> PermutationGroup:
        """The elements that map a momentum to itself."""
        ...

    def irreps_at(self, momentum: ArrayLike) -> tuple[int, ...]:
        """The representations in which a translation t is exp(-i k.t)."""
        ...


class Sector:
    r"""An irreducible representation D of a group of permutations, and the states that transform by it.

    The states of the sector come in sets psi_1, ..., psi_d with T_g psi_j = sum_i psi_i D(g)_ij; for d = 1 this is
    T_g psi = chi(g) psi. With a momentum k the group is made the little group of k, and T_t psi = exp(-i k.t) psi for
    translations.

    Args:
        group: permutations of the sites (or orbitals).
        irrep: number of a representation, a row of the group's `character_table`; or the characters of one for all
            elements (order,). With a momentum: a number among those representations of the little group that have this
            momentum. The default is the trivial representation, or the first with this momentum.
        momentum: Cartesian (dim,); the group is then one of a lattice that has momenta.
        inversion: 1 or -1: the inversion of all levels is made a symmetry as well, and states are even or odd under it.

    Attributes:
        group: the group; with a momentum or inversion not the one that was given.
        irrep: the representation's number among those of `group`.

    Raises:
        TypeError: if `group` is no group of permutations, or none with momenta although one is given.
        ValueError: if there is no such representation, or the momentum does not fit the lattice.

    Example:
        >>> import numpy as np
        >>> from manybody.symmetry import Permutation, PermutationGroup
        >>> ring = PermutationGroup.generated([Permutation([1, 2, 3, 0])])
        >>> Sector(ring, irrep=[1, -1, 1, -1]).characters.real
        array([ 1., -1.,  1., -1.])
    """

    group: PermutationGroup
    irrep: int

    def __init__(
        self,
        group: PermutationGroup,
        irrep: int | ArrayLike = 0,
        *,
        momentum: Sequence[float] | None = None,
        inversion: int | None = None,
    ) -> None:
        _checks.require_type(group, PermutationGroup, "group")
        self.group, self.irrep = _of_group(group, irrep) if momentum is None else _at_momentum(group, momentum, irrep)
        if inversion is not None:
            _checks.require(inversion in (1, -1), "inversion", "be 1 or -1", inversion)
            doubled = self.group.with_inversion()
            characters = np.kron(self.group.characters(self.irrep), [1, inversion])
            self.group, self.irrep = _of_group(doubled, characters)

    @property
    def dimension(self) -> int:
        """Dimension d of the representation."""
        return int(self.group.irrep_dimensions[self.irrep])

    @property
    def characters(self) -> Complex[np.ndarray, " order"]:
        """Trace of D(g) for every element."""
        return self.group.characters(self.irrep)

    @property
    def matrices(self) -> Inexact[np.ndarray, "order d d"]:
        """D(g) for every element; unitary, and real if it can be."""
        return self.group.irrep(self.irrep)

    @property
    def is_real(self) -> bool:
        """Whether the matrices are real."""
        return np.isrealobj(self.matrices)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sector) and (self.group, self.irrep) == (other.group, other.irrep)

    def __hash__(self) -> int:
        return hash((self.group, self.irrep))

    def __repr__(self) -> str:
        return f"Sector({self.group!r}, irrep={self.irrep}, dimension={self.dimension})"


def _of_group(group: PermutationGroup, irrep: Any) -> tuple[PermutationGroup, int]:
    if np.ndim(irrep) == 0:
        return group, _checks.integer(irrep, "irrep", minimum=0, maximum=group.n_irreps - 1)
    characters = np.array(irrep)
    must = f"be a number, or the characters of the {group.order} elements of {group!r}"
    _checks.require(characters.shape == (group.order,), "irrep", must, f"shape {characters.shape}")
    of_classes = characters[group.classes.representatives]
    close = np.abs(group.character_table - of_classes).max(axis=1) < 1e-8
    found = close.any() and np.abs(group.characters(int(np.argmax(close))) - characters).max() < 1e-8
    _checks.require(bool(found), "irrep", f"be irreducible characters of {group!r}", f"{characters.tolist()!r:.80}")
    return group, int(np.argmax(close))


def _at_momentum(group: PermutationGroup, momentum: Any, irrep: Any) -> tuple[PermutationGroup, int]:
    if not isinstance(group, HasMomenta):
        cure = "Use `translation_group` or `space_group` of a lattice."
        raise TypeError(_checks.requirement("group", "have momenta", group, cure))
    number = _checks.integer(irrep, "irrep", minimum=0)
    choices = group.irreps_at(momentum)
    must = f"be below {len(choices)}, the number of representations at this momentum"
    _checks.require(number < len(choices), "irrep", must, number)
    return group.little_group(momentum), choices[number]
