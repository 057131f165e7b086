# SPDX-License-Identifier: Apache-2.0
"""Finite groups: numbered elements and their products, and all that follows from these alone."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike

from manybody import _checks
from manybody._struct import read_only
from manybody._types import Complex, Inexact, Int
from manybody.symmetry import characters, representation
from manybody.symmetry.words import Layer, layers


class Classes(NamedTuple):
    """Conjugacy classes, in the order of their first elements; class 0 is that of the identity.

    Attributes:
        of: the class of every element, shape (order,).
        representatives: the first element of each class, shape (n_classes,).
        sizes: numbers of elements, shape (n_classes,).
    """

    of: Int[np.ndarray, " order"]
    representatives: Int[np.ndarray, " classes"]
    sizes: Int[np.ndarray, " classes"]


class FiniteGroup(abc.ABC):
    """A finite group with the elements 0, ..., order - 1; element 0 is the identity.

    A subclass says how many elements there are and how two of them multiply. Everything else is found from that when it
    is first asked for, and kept. Groups are immutable, and compare and hash by content.
    """

    @property
    @abc.abstractmethod
    def order(self) -> int:
        """Number of elements."""

    @abc.abstractmethod
    def multiply(self, a: ArrayLike, b: ArrayLike) -> Int[np.ndarray, "..."]:
        """The element a b (first b, then a) for arrays of elements that broadcast."""

    @property
    @abc.abstractmethod
    def inverse(self) -> Int[np.ndarray, " order"]:
        """The inverse of every element."""

    def __len__(self) -> int:
        return self.order

    # --- elements ----------------------------------------------------------------------------------------------------

    @cached_property
    def product_table(self) -> Int[np.ndarray, "order order"]:
        """product_table[a, b] = a b."""
        every = np.arange(self.order)
        return read_only(self.multiply(every[:, None], every[None, :]).astype(np.int32))

    @cached_property
    def generators(self) -> Int[np.ndarray, " generators"]:
        """A few elements of which all others are products: none of them is a product of those before it."""
        found: list[int] = []
        inside = self._generated(np.array(found, int))
        while not inside.all():
            found.append(int(np.argmin(inside)))
            inside = self._generated(np.array(found))
        return read_only(np.array(found, int))

    @cached_property
    def words(self) -> tuple[Layer, ...]:
        """How every element is a product of generators."""
        return layers(self)

    @cached_property
    def element_orders(self) -> Int[np.ndarray, " order"]:
        """The smallest k > 0 for which g^k is the identity, for every element g."""
        orders, power, every = np.ones(self.order, int), np.arange(self.order), np.arange(self.order)
        while np.any(power):
            orders[power != 0] += 1
            power = np.where(power == 0, 0, self.multiply(power, every))
        return read_only(orders)

    @property
    def exponent(self) -> int:
        """The smallest k > 0 for which g^k is the identity for all elements g."""
        return int(np.lcm.reduce(self.element_orders))

    @cached_property
    def is_abelian(self) -> bool:
        """Whether all elements commute."""
        g = self.generators
        return bool(np.array_equal(self.multiply(g[:, None], g), self.multiply(g, g[:, None])))

    @cached_property
    def classes(self) -> Classes:
        """Sets of elements that are conjugate to each other."""
        every = np.arange(self.order)
        g = self.generators[:, None]
        conjugate = self.multiply(self.multiply(g, every), self.inverse[g])  # (generators, order)
        links = (np.ones(conjugate.size, bool), (np.tile(every, len(g)), conjugate.ravel()))
        _, label = scipy.sparse.csgraph.connected_components(
            scipy.sparse.coo_array(links, shape=2 * (self.order,)), directed=False
        )
        _, first, of, sizes = np.unique(label, return_index=True, return_inverse=True, return_counts=True)
        rank = np.argsort(first)
        return Classes(read_only(np.argsort(rank)[of]), read_only(first[rank]), read_only(sizes[rank]))

    # --- representations ---------------------------------------------------------------------------------------------

    @cached_property
    def character_table(self) -> Complex[np.ndarray, "irreps classes"]:
        """Characters of the irreducible representations by rows.

        The trivial representation comes first, smaller dimensions before larger ones. Found exactly, by the method of
        Burnside and Dixon, and only then written as complex numbers (`manybody.symmetry.characters`).
        """
        return read_only(characters.character_table(self))

    @property
    def n_irreps(self) -> int:
        """Number of irreducible representations, and of conjugacy classes."""
        return len(self.classes.sizes)

    @property
    def irrep_dimensions(self) -> Int[np.ndarray, " irreps"]:
        """Dimensions of the irreducible representations."""
        return np.round(self.character_table[:, 0].real).astype(int)

    def characters(self, irrep: int) -> Complex[np.ndarray, " order"]:
        """The character of an irreducible representation for every element."""
        return self.character_table[self._checked_irrep(irrep)][self.classes.of]

    def irrep(self, irrep: int) -> Inexact[np.ndarray, "order d d"]:
        """Unitary matrices of an irreducible representation for all elements; real (of real dtype) if it can be.

        Raises:
            ValueError: if there is no such representation.
        """
        known = self.__dict__.setdefault("_irreps", {})
        irrep = self._checked_irrep(irrep)
        if irrep not in known:
            known[irrep] = read_only(representation.matrices(self, self.characters(irrep)))
        return known[irrep]

    @property
    def irreps(self) -> tuple[Complex[np.ndarray, "order d d"], ...]:
        """The matrices of all irreducible representations."""
        return tuple(self.irrep(k) for k in range(self.n_irreps))

    def frobenius_schur(self, irrep: int) -> int:
        """1 if the representation can be made real, -1 if only its characters are, and 0 if these are complex."""
        every = np.arange(self.order)
        return round(float(self.characters(irrep)[self.multiply(every, every)].mean().real))

    # --- subgroups ---------------------------------------------------------------------------------------------------

    def generated_by(self, elements: Sequence[int] | np.ndarray) -> Int[np.ndarray, " subgroup"]:
        """The elements, in ascending order, of the smallest subgroup that contains some."""
        return np.flatnonzero(self._generated(self._checked_elements(elements)))

    def is_subgroup(self, elements: Sequence[int] | np.ndarray) -> bool:
        """Whether these elements are a group by themselves."""
        own = np.unique(self._checked_elements(elements))
        return len(own) > 0 and len(self.generated_by(own)) == len(own)

    def is_normal(self, elements: Sequence[int] | np.ndarray) -> bool:
        """Whether these elements are a normal subgroup: a union of conjugacy classes."""
        own = np.unique(self._checked_elements(elements))
        counts = np.bincount(self.classes.of[own], minlength=self.n_irreps)
        return self.is_subgroup(own) and bool(np.all((counts == 0) | (counts == self.classes.sizes)))

    def cosets(self, subgroup: Sequence[int] | np.ndarray, side: str = "left") -> Int[np.ndarray, "cosets subgroup"]:
        """The left cosets a H, or right cosets H a, by rows; the first is the subgroup itself.

        Column j is a H[j] (or H[j] a), where H is the subgroup in ascending order and a the lowest element of the
        coset.

        Raises:
            ValueError: if `subgroup` is none.
        """
        _checks.choice(side, ("left", "right"), "side")
        own = np.unique(self._checked_elements(subgroup))
        _checks.require(self.is_subgroup(own), "subgroup", "be closed under products", f"{own.tolist()!r:.80}")
        rows, seen = [], np.zeros(self.order, bool)
        for a in range(self.order):
            if not seen[a]:
                rows.append(self.multiply(a, own) if side == "left" else self.multiply(own, a))
                seen[rows[-1]] = True
        return np.stack(rows)

    def _generated(self, elements: np.ndarray) -> np.ndarray:
        """Whether each element is a product of some of `elements`."""
        inside = np.zeros(self.order, bool)
        inside[0] = True
        new = np.array([0])
        while len(new) and len(elements):
            reached = np.unique(self.multiply(elements[:, None], new[None, :]))
            new = reached[~inside[reached]]
            inside[new] = True
        return inside

    def _checked_irrep(self, irrep: int) -> int:
        return _checks.integer(irrep, "irrep", minimum=0, maximum=self.n_irreps - 1)

    def _checked_elements(self, elements: Sequence[int] | np.ndarray) -> np.ndarray:
        return np.array([_checks.integer(g, "elements", minimum=0, maximum=self.order - 1) for g in elements], int)


class TableGroup(FiniteGroup):
    """A group given by its product table.

    Args:
        product_table: a b at [a, b], shape (order, order).

    Raises:
        ValueError: if this is no group with the identity as element 0.

    Example:
        >>> TableGroup([[0, 1], [1, 0]]).character_table.real
        array([[ 1.,  1.],
               [ 1., -1.]])
    """

    def __init__(self, product_table: ArrayLike) -> None:
        table = np.array(product_table)
        square = table.ndim == 2 and table.shape[0] == table.shape[1] > 0 and np.issubdtype(table.dtype, np.integer)
        _checks.require(square, "product_table", "be a square matrix of integers", table.shape)
        every = np.arange(len(table))
        latin = all(np.array_equal(np.sort(t, axis=0), np.tile(every[:, None], len(table))) for t in (table, table.T))
        _checks.require(latin, "product_table", "have every element once in each row and column", "other entries")
        unit = np.array_equal(table[0], every) and np.array_equal(table[:, 0], every)
        _checks.require(unit, "product_table", "have the identity as element 0", table[0].tolist())
        self._table = read_only(table)
        g = self.generators  # a (b g) = (a b) g for generators g is enough (Light's test)
        for x in g:
            associative = np.array_equal(table[table[:, x]][:, every], table[:, table[x]])
            _checks.require(associative, "product_table", "be associative", f"a counterexample with element {x}")

    @property
    def order(self) -> int:
        """Number of rows."""
        return len(self._table)

    def multiply(self, a: ArrayLike, b: ArrayLike) -> Int[np.ndarray, "..."]:
        """Look up."""
        return np.asarray(self._table[np.asarray(a), np.asarray(b)])

    @cached_property
    def inverse(self) -> Int[np.ndarray, " order"]:
        """Where each row has the identity."""
        return read_only(np.argmin(self._table, axis=1))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TableGroup) and np.array_equal(self._table, other._table)

    def __hash__(self) -> int:
        return hash(self._table.tobytes())

    def __repr__(self) -> str:
        return f"TableGroup(order={self.order})"


def direct_product(a: FiniteGroup, b: FiniteGroup) -> TableGroup:
    """Pairs of elements: element i of `a` with element j of `b` is number i * b.order + j."""
    _checks.require_type(a, FiniteGroup, "a")
    _checks.require_type(b, FiniteGroup, "b")
    table = a.product_table[:, None, :, None].astype(int) * b.order + b.product_table[None, :, None, :]
    return TableGroup(table.reshape(2 * (a.order * b.order,)))
