# SPDX-License-Identifier: Apache-2.0
r"""How networks store what lives on a group: on a grid, over which convolutions are those of `_convolution`.

Let T be a normal subgroup whose elements commute: a product of cyclic groups, whose elements t(n) form a grid. With one
element r of each coset, every element of the group is some r t(n)^-1. What lives on the group is stored as
x[n, batch, r], so that

.. math:: y(g) = \sum_k V(k g^{-1})\, x(k) \quad\text{becomes}\quad
    y_r[n] = \sum_{s, r'} V(r' t(s)^{-1} r^{-1})\, x_{r'}[n + s] :

sums over a grid, whose cost Fourier transforms reduce. Without such a subgroup, T is the identity and all is one matrix
product. Elements that differ by signs only share their place.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from manybody.ansatz._orbit import effects
from manybody.symmetry import Action, FiniteGroup, PermutationGroup

WORTHWHILE = 6
"""Fewer grid points than this are not worth a transform."""


class Grid(NamedTuple):
    """How the elements of a group are stored.

    Attributes:
        shape: lengths of the cyclic groups.
        elements: the element r t(n)^-1, shape (points, cosets).
        differences: r' t(s)^-1 r^-1, the element whose weight leads from r' to r, shape (points, cosets, cosets).
    """

    shape: tuple[int, ...]
    elements: np.ndarray
    differences: np.ndarray


@functools.lru_cache(maxsize=64)
def grid(group: FiniteGroup, mode: str) -> Grid:
    """By mode: "matrix" for T the identity, "fft" for the largest one found, "auto" for that if it is worthwhile."""
    own = np.array([0]) if mode == "matrix" else commuting_subgroup(group)
    if mode == "auto" and len(own) < WORTHWHILE:
        own = np.array([0])
    shape, points = cyclic_factors(group, own)
    back = group.inverse[points]
    first = np.sort(group.cosets(own.tolist())[:, 0])
    elements = group.multiply(first[None, :], back[:, None])
    differences = group.multiply(elements[:, :, None], group.inverse[first])
    return Grid(shape or (1,), elements, differences)  # a ring of one, where there are none


def commuting_subgroup(group: FiniteGroup) -> np.ndarray:
    """The largest normal subgroup found whose elements commute, ascending.

    Starting from each conjugacy class, others are added as long as all commute: on a lattice this finds translations.
    """
    if group.is_abelian:
        return np.arange(group.order)
    commute = group.product_table == group.product_table.T
    classes = [np.flatnonzero(group.classes.of == c) for c in range(group.n_irreps)]
    classes = [own for own in classes if commute[own[0], own].all()]  # so do their conjugates
    best, tried = np.array([0]), np.zeros(group.order, bool)
    for start in classes:
        if tried[start[0]]:
            continue
        inside = np.zeros(group.order, bool)
        inside[start] = True
        for own in classes:
            if commute[own[0], inside].all():
                inside[own] = True
        tried |= inside
        if inside.sum() > len(best):
            best = np.flatnonzero(inside)
    return best


def cyclic_factors(group: FiniteGroup, own: np.ndarray) -> tuple[tuple[int, ...], np.ndarray]:
    """Lengths of cyclic groups whose product is a commuting subgroup, and its elements in the order of their grid.

    The next generator is the longest of those whose powers meet what is there in the identity only; there is always one
    (the theorem of finite abelian groups).
    """
    shape: list[int] = []
    points = np.array([0])
    while len(points) < len(own):
        inside = np.zeros(group.order, bool)
        inside[points] = True
        lengths, power = np.zeros(len(own), int), own
        for k in range(1, group.exponent + 1):
            lengths = np.where((lengths == 0) & inside[power], k, lengths)
            power = group.multiply(power, own)
        free = np.where(lengths == group.element_orders[own], lengths, 0)
        generator = own[np.argmax(free)]
        powers = [np.array(0)]
        for _ in range(int(free.max()) - 1):
            powers.append(group.multiply(powers[-1], generator))
        shape.append(len(powers))
        points = group.multiply(points[:, None], np.array(powers)).ravel()
    return tuple(shape), points


# --- groups of permutations -------------------------------------------------------------------------------------------


class Layout(NamedTuple):
    """The group without signs as the network stores it.

    Attributes:
        grid: of the convolutions.
        targets: where an element moves each site, shape (points, cosets, sites).
        parities: -1 for elements that invert, shape (points, cosets).
        places: which place an element of the group has, counted along points, then cosets; shape (order,).
        rows: the elements that the rows of weights stand for, ascending, shape (points * cosets,).
    """

    grid: Grid
    targets: np.ndarray
    parities: np.ndarray
    places: np.ndarray
    rows: np.ndarray


@functools.lru_cache(maxsize=64)
def layout(group: PermutationGroup, acting: Action | None, mode: str) -> Layout:
    """For a group; `acting` says how it acts on a space of more sites than its own."""
    _, first, label = np.unique(effects(group), return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))  # the quotient has the order of the lowest elements
    first = np.sort(first)
    quotient = PermutationGroup(group.sites[first], inverts=group.inverts[first])
    on = grid(quotient, mode)
    sites = (group if acting is None else acting).sites[first]
    place = np.empty(len(first), int)
    place[on.elements.ravel()] = np.arange(len(first))
    return Layout(on, sites[on.elements], 1 - 2 * quotient.inverts[on.elements].astype(int), place[rank[label]], first)
