# SPDX-License-Identifier: Apache-2.0
"""Tori of one infinite lattice: what sites and isometries of a torus are there, and on another torus.

An isometry of the infinite lattice is one of each torus whose periods it maps to periods. So a group that has all
translations is unfolded, from one torus, and folded again, by the periods of another one.
"""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple, cast

import numpy as np

from manybody import _checks
from manybody._struct import read_only
from manybody.lattice.base import AbstractLattice
from manybody.lattice.cluster import TOLERANCE, grid, reduction, shortest
from manybody.lattice.lattice import Lattice
from manybody.lattice.space_group import SpaceGroup
from manybody.symmetry import PermutationGroup, Sector

Place = tuple[int, ...]
"""A site of the infinite lattice: the number of its offset, then its cell."""


def lattice_of(group: PermutationGroup) -> Lattice | None:
    """The lattice whose isometries a group consists of; none for other groups."""
    return cast(Lattice, group._lattice) if isinstance(group, SpaceGroup) else None


# --- labels -----------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def places(lattice: Lattice) -> tuple[frozenset[Place], ...]:
    """For each site its images nearest to the first site: several, if the torus ends half-way between them."""
    vectors, periods = lattice.positions - lattice.positions[0], lattice.periods
    change = reduction(periods)
    gram = change @ periods @ periods.T @ change.T
    # The nearest images lie in the Voronoi cell of the periods A_k, |v . A_k| <= |A_k|^2 / 2, which bounds how far they
    # are apart.
    reach = np.floor(np.abs(np.linalg.inv(gram)) @ np.diag(gram) + TOLERANCE).astype(int)
    steps = np.array(list(itertools.product(*(range(-r, r + 1) for r in reach))), int) @ change
    windings = shortest(vectors, periods)[:, None] + steps  # (sites, steps, periods)
    lengths = np.linalg.norm(vectors[:, None] + windings @ periods, axis=-1)
    near = lengths <= lengths.min(axis=1, keepdims=True) * (1 + TOLERANCE)
    n_offsets, torus = len(lattice.offsets), np.array(lattice.torus)[np.array(lattice.periodic)]
    cells = np.repeat(grid(lattice.shape), n_offsets, axis=0)[:, None] + windings @ torus  # (sites, steps, dim)
    return tuple(frozenset((i % n_offsets, *cell) for cell in cells[i, near[i]].tolist()) for i in range(len(cells)))


def labels(group: PermutationGroup) -> tuple[list[frozenset], list[frozenset]]:
    """What its sites and its elements are on the infinite lattice: several things, where these are equally near.

    An isometry is a rotation and the place to which it moves the first site. The sites and elements of a group without
    a lattice are what they are in that group only.
    """
    if not isinstance(group, SpaceGroup):
        sites, elements = ([frozenset([(group, i)]) for i in range(n)] for n in (group.n_sites, group.order))
        return sites, elements
    near = places(cast(Lattice, group._lattice))
    rotations = np.round(group.rotations, 6).reshape(group.order, -1).tolist()
    moves = zip(rotations, group.sites[:, 0].tolist(), strict=True)
    return list(near), [frozenset((tuple(rotation), place) for place in near[site]) for rotation, site in moves]


# --- groups -----------------------------------------------------------------------------------------------------------


def group_on(group: PermutationGroup, lattice: AbstractLattice) -> SpaceGroup:
    """The same isometries on another torus.

    Raises:
        ValueError: if the group is none of a lattice, has signs, or not all translations; or the other torus is one of
            another lattice, not as symmetric, or so small that isometries that differ do the same.
    """
    return _folded(group, lattice).group


def sector_on(sector: Sector, lattice: AbstractLattice) -> Sector:
    """The sector with the same characters of the same isometries on another torus.

    Raises:
        ValueError: if there is none.
    """
    folded = _folded(sector.group, lattice)
    fits = bool(np.all(np.abs(sector.characters[folded.periods] - sector.dimension) < 1e-8))
    _checks.require(fits, "lattice", f"have the momenta of {sector!r}", lattice)
    return Sector(folded.group, sector.characters[folded.image])


class Folded(NamedTuple):
    """A group on another torus, and what it was on the first one.

    Attributes:
        group: on the other torus.
        image: the element of the first group that each of its elements is there, shape (order,).
        periods: the elements of the first group that translate by the periods of the other torus, shape (periods,).
    """

    group: SpaceGroup
    image: np.ndarray
    periods: np.ndarray


@functools.lru_cache(maxsize=32)
def _folded(group: PermutationGroup, lattice: AbstractLattice) -> Folded:
    if not isinstance(group, SpaceGroup) or np.any(group.signs != 1):
        raise ValueError(_checks.requirement("group", "be of isometries of a lattice, without signs", group))
    own, translations = cast(Lattice, group._lattice), group.translations
    _checks.require(len(translations) == len(own.translations()), "group", "have all translations", group)
    must = f"have the cell and the boundaries of {own!r}"
    if not isinstance(lattice, Lattice) or _cell(lattice) != _cell(own):
        raise ValueError(_checks.requirement("lattice", must, lattice))
    every = lattice.space_group("ignore")
    image = _elements(group, every.rotations, every.vectors)
    found = np.flatnonzero(image >= 0)
    reached = np.unique(group.multiply(image[found, None], translations))
    as_many = len(found) * len(translations) == group.order * len(lattice.translations())
    must = f"have the same rotations and reflections as {group!r}"
    _checks.require(as_many and len(reached) == group.order, "lattice", must, lattice)
    still = np.tile(np.eye(lattice.dim), (len(lattice.periods), 1, 1))
    periods = _elements(group, still, lattice.periods)
    return Folded(every.subgroup(found.tolist()), read_only(image[found]), read_only(periods))


def _cell(lattice: Lattice) -> tuple:
    return lattice.basis, lattice.offsets, lattice.periodic, lattice.twist


def _elements(group: SpaceGroup, rotations: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """The numbers (n,) of isometries r -> R r + t; -1 for those that are not in the group."""
    positions = group._lattice.positions
    points = np.einsum("nij,sj->nsi", rotations, positions) + vectors[:, None]
    sites, _ = group._lattice.locate(points.reshape(-1, positions.shape[1]))
    numbers = {moves.tobytes(): number for number, moves in enumerate(group.sites.astype(int))}
    return np.array([numbers.get(moves.tobytes(), -1) for moves in sites.reshape(points.shape[:2])], int)
