# SPDX-License-Identifier: Apache-2.0
"""Space groups, found from a lattice: all isometries that map its sites, its images and its bond kinds to themselves.

Nothing is assumed about them: every rotation that maps the primitive vectors to lattice vectors is tried with every
translation that moves one site to another. So screws and glides are found as well, and translations within the cell.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Hashable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from manybody import _checks
from manybody._struct import read_only
from manybody._types import Float, Int
from manybody.lattice.automorphisms import kind_test
from manybody.symmetry import PermutationGroup

TOLERANCE = 1e-6
"""Relative to the shortest primitive vector; smaller differences do not count."""


@runtime_checkable
class Crystal(Hashable, Protocol):
    """What is read of a `Lattice` here."""

    basis: tuple[tuple[float, ...], ...]
    periodic: tuple[bool, ...]
    twist: tuple[float, ...]

    @property
    def positions(self) -> np.ndarray: ...
    @property
    def periods(self) -> np.ndarray: ...
    @property
    def kinds(self) -> tuple[str, ...]: ...

    def bonds(self, order: int = 1, kind: str | None = None, images: bool = False) -> np.ndarray: ...
    def translations(self) -> np.ndarray: ...
    def locate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...


class Isometry(NamedTuple):
    """r -> rotation @ r + vector, and what it does to the sites: images (n_sites,) with signs (n_sites,)."""

    rotation: np.ndarray
    vector: np.ndarray
    sites: np.ndarray
    signs: np.ndarray


class SpaceGroup(PermutationGroup):
    """Isometries of a lattice as permutations of its sites.

    Made by `Lattice.space_group`, `point_group` and `translation_group`. Elements are ordered by their rotation; those
    with the same one differ by translations, in the order of `Lattice.translations`. With antiperiodic boundaries
    every element is there with both signs, those with a factor -1 in the second half: a translation all the way round
    is -1 to the number of particles.

    Attributes:
        rotations: orthogonal matrices R of r -> R r + t, shape (order, dim, dim).
        vectors: t, shape (order, dim).
    """

    rotations: Float[np.ndarray, "order dim dim"]
    vectors: Float[np.ndarray, "order dim"]
    _lattice: Crystal

    @classmethod
    def _of(cls, lattice: Crystal, group: PermutationGroup, rotations: np.ndarray, vectors: np.ndarray) -> SpaceGroup:
        made = cls.__new__(cls)
        made.__dict__.update(group.__dict__)
        made._lattice, made.rotations, made.vectors = lattice, read_only(rotations), read_only(vectors)
        return made

    def subgroup(self, elements: Sequence[int]) -> SpaceGroup:
        """Some of the elements as a group, in ascending order.

        Raises:
            ValueError: if they are not closed under products.
        """
        own = np.unique(np.array(elements, int))
        return SpaceGroup._of(self._lattice, super().subgroup(own), self.rotations[own], self.vectors[own])

    @property
    def translations(self) -> Int[np.ndarray, " translations"]:
        """Elements that only translate (of those with both signs, the positive ones)."""
        still = np.all(np.abs(self.rotations - np.eye(self.rotations.shape[1])) < TOLERANCE, axis=(1, 2))
        half = self.order // 2 if self._has_both_signs else self.order
        return np.flatnonzero(still & (np.arange(self.order) < half))

    @property
    def _has_both_signs(self) -> bool:
        minus = (self.sites == np.arange(self.n_sites)).all(axis=1) & (self.signs == -1).all(axis=1)
        return bool(minus.any())

    def star(self, momentum: ArrayLike) -> Float[np.ndarray, "arms dim"]:
        """The different momenta to which the rotations of the group map one; the first is itself.

        Raises:
            ValueError: if no translation of the lattice has this momentum.
        """
        k = self._checked_momentum(momentum)
        arms: list[np.ndarray] = []
        for arm in self.rotations @ k:
            if not any(self._are_equivalent(arm, other) for other in arms):
                arms.append(arm)
        return np.stack(arms)

    def little_group(self, momentum: ArrayLike) -> SpaceGroup:
        """The elements whose rotations map a momentum to itself, up to a reciprocal vector.

        Raises:
            ValueError: if no translation of the lattice has this momentum.
        """
        k = self._checked_momentum(momentum)
        keeps: dict[bytes, bool] = {}
        for rotation in self.rotations:
            keeps.setdefault(rotation.tobytes(), self._are_equivalent(rotation @ k, k))
        return self.subgroup(np.flatnonzero([keeps[rotation.tobytes()] for rotation in self.rotations]).tolist())

    def irreps_at(self, momentum: ArrayLike) -> tuple[int, ...]:
        """Representations of `little_group(momentum)` in which the translations t are exp(-i k.t).

        Raises:
            ValueError: if no translation of the lattice has this momentum.
        """
        k = self._checked_momentum(momentum)
        group = self.little_group(momentum)
        here = group.translations
        phases = np.exp(-1j * group.vectors[here] @ k)
        table = group.character_table[:, group.classes.of[here]]  # (irreps, translations)
        fits = np.abs(table - group.irrep_dimensions[:, None] * phases).max(axis=1) < 1e-8
        return tuple(np.flatnonzero(fits).tolist())

    def _are_equivalent(self, k: np.ndarray, q: np.ndarray) -> bool:
        """Whether two momenta are the same for all translations of the group."""
        turns = self.vectors[self.translations] @ (k - q) / (2 * np.pi)
        return bool(np.all(np.abs(turns - np.round(turns)) < TOLERANCE))

    def _checked_momentum(self, momentum: ArrayLike) -> np.ndarray:
        """The momentum, if a plane wave with it fits the boundaries: one of an even or odd number of particles."""
        k = np.array(momentum, float)
        dim = self.vectors.shape[1]
        _checks.require(k.shape == (dim,), "momentum", f"have {dim} components", k.shape)
        around = self._lattice.periods @ k / (2 * np.pi)
        twist = np.array(self._lattice.twist)[np.array(self._lattice.periodic)] / (2 * np.pi)
        fits = any(np.all(np.abs(x - np.round(x)) < TOLERANCE) for x in (around, around - twist))
        must = "fit the boundaries: k.T a multiple of 2 pi for each period T (see `momenta`)"
        _checks.require(fits, "momentum", must, f"{k.tolist()}, k.T / 2 pi = {np.round(around, 6).tolist()}")
        moves = self.vectors[self.translations]
        moves = (
            np.concatenate([moves, self._lattice.periods]) if len(moves) > 1 else moves
        )  # a skewed torus may be 1 x n
        free = k - (k @ np.linalg.pinv(moves)) @ moves
        still = np.linalg.norm(free) <= TOLERANCE * max(1.0, float(np.linalg.norm(k)))
        _checks.require(still, "momentum", "be along the translations of the group", k.tolist())
        return k


# --- groups of a lattice ----------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=32)
def translation_group(lattice: Crystal) -> SpaceGroup:
    """All translations; see `Lattice.translation_group`."""
    return _group(lattice, _translations(lattice, _signs(lattice)))


@functools.lru_cache(maxsize=32)
def space_group(lattice: Crystal, kinds: str) -> SpaceGroup:
    """All isometries; see `Lattice.space_group`."""
    same_kinds = kind_test(lattice, kinds)
    signs = _signs(lattice)
    whole = _translations(lattice, signs)
    within = [one for one in _isometries(lattice, np.eye(len(lattice.basis)), signs, whole) if same_kinds(one.sites)]
    shifts = [_after(shift, one) for one in within for shift in whole]
    found = []
    seen = np.zeros(len(lattice.positions), bool)
    for rotation in _rotations(lattice, np.stack([one.vector for one in within])):
        seen[:] = False
        for isometry in _isometries(lattice, rotation, signs, whole):
            if not seen[isometry.sites[0]] and same_kinds(isometry.sites):
                with_shifts = [_after(shift, isometry) for shift in shifts]
                seen[[one.sites[0] for one in with_shifts]] = True
                found += with_shifts
    return _group(lattice, found)


def point_group(group: SpaceGroup, center: ArrayLike | None) -> SpaceGroup:
    """The isometries that leave a point where it is; see `Lattice.point_group`."""
    dim = group.vectors.shape[1]
    if center is not None:
        point = np.array(center, float)
        _checks.require(point.shape == (dim,), "center", f"have {dim} coordinates", point.shape)
        return group.subgroup(_fixing(group, point).tolist())
    return group.subgroup(max((_fixing(group, point).tolist() for point in _special_points(group)), key=len))


def _fixing(group: SpaceGroup, point: np.ndarray) -> np.ndarray:
    """The elements that move a point (dim,) to itself or to an image of itself, without going round a boundary."""
    periods = group._lattice.periods
    moved = group.rotations @ point + group.vectors - point  # (order, dim)
    windings = np.round(moved @ np.linalg.pinv(periods)) if len(periods) else np.zeros((group.order, 0))
    scale = np.linalg.norm(group._lattice.basis, axis=1).min()
    fixed = np.linalg.norm(moved - windings @ periods, axis=1) < 1e-4 * scale
    return np.flatnonzero(fixed)


def _special_points(group: SpaceGroup) -> np.ndarray:
    """Points (n, dim) among which the most symmetric one is: the origin, sites, and centres of rotations."""
    dim = group.vectors.shape[1]
    turned = np.eye(dim) - group.rotations
    alone = np.abs(np.linalg.det(turned)) > 0.1
    centers = np.linalg.solve(turned[alone], group.vectors[alone][:, :, None])[:, :, 0]
    points = np.concatenate([np.zeros((1, dim)), group._lattice.positions, centers])
    _, first = np.unique(np.round(points, 6), axis=0, return_index=True)
    return points[np.sort(first)]


# --- isometries -------------------------------------------------------------------------------------------------------


def _rotations(lattice: Crystal, within: np.ndarray) -> list[np.ndarray]:
    """Orthogonal matrices, the identity first, that map the primitive vectors to translations and images to images.

    They keep all scalar products of the primitive vectors. `within` (n, dim) are translations within the cell, if the
    lattice could be written with a smaller one; 0 is among them.
    """
    basis = np.array(lattice.basis)
    gram = basis @ basis.T
    scale = np.diag(gram).min()
    longest = np.sqrt(np.diag(gram).max()) + np.linalg.norm(within, axis=1).max()
    reach = np.floor(longest * np.sqrt(np.diag(np.linalg.inv(gram))) + TOLERANCE).astype(int)
    cells = np.array(list(itertools.product(*(range(-n, n + 1) for n in reach))))
    vectors = (cells @ basis + within[:, None, :]).reshape(-1, len(basis))
    lengths = (vectors**2).sum(axis=1)
    candidates = [vectors[np.abs(lengths - gram[k, k]) < TOLERANCE * scale] for k in range(len(basis))]
    partial = [np.zeros((0, len(basis)))]
    for k, images in enumerate(candidates):  # row by row, keeping the scalar products with the rows before
        longer = [np.concatenate([rows, image[None, :]]) for rows in partial for image in images]
        partial = [rows for rows in longer if np.allclose(rows @ rows[-1], gram[: k + 1, k], atol=1e-5 * scale)]
    rotations = [np.linalg.solve(basis, rows).T for rows in partial]
    kept = [_polished(rotation) for rotation in rotations if _keeps_images(lattice, rotation)]
    return sorted(kept, key=lambda r: (-round(np.trace(r), 6), -round(np.linalg.det(r)), np.round(-r, 6).tolist()))


def _polished(rotation: np.ndarray) -> np.ndarray:
    """The orthogonal matrix next to one that is so to the digits of the primitive vectors."""
    u, _, v = np.linalg.svd(rotation)
    polished = u @ v
    whole = np.abs(polished - np.round(2 * polished) / 2) < 1e-12
    return np.where(whole, np.round(2 * polished) / 2 + 0.0, polished)


def _keeps_images(lattice: Crystal, rotation: np.ndarray) -> bool:
    """Whether the periods are mapped to periods, and those of an antiperiodic boundary to such."""
    periods = lattice.periods
    if len(periods) == 0:
        return True
    turned = periods @ rotation.T
    windings = turned @ np.linalg.pinv(periods)
    whole = np.round(windings)
    scale = np.linalg.norm(periods, axis=1).min()
    if np.abs(whole @ periods - turned).max() > 1e-4 * scale:
        return False
    odd = _antiperiodic(lattice)
    return bool(np.array_equal(whole @ odd % 2, odd))


def _isometries(lattice: Crystal, rotation: np.ndarray, signs: _Signs, whole: list[Isometry]) -> list[Isometry]:
    """With this rotation: one for each site that the first site can go to, up to the translations `whole`."""
    positions = lattice.positions
    turned = positions @ rotation.T
    found, seen = [], np.zeros(len(positions), bool)
    shifts = np.stack([shift.sites for shift in whole])
    for j in range(len(positions)):
        if seen[j]:
            continue
        seen[shifts[:, j]] = True
        vector = positions[j] - turned[0]
        sites, windings = lattice.locate(turned + vector)
        if np.all(sites >= 0):
            found.append(Isometry(rotation, vector, sites, signs(windings)))
    return found


def _translations(lattice: Crystal, signs: _Signs) -> list[Isometry]:
    """By whole cells."""
    positions, still = lattice.positions, np.eye(len(lattice.basis))
    vectors = positions[lattice.translations()[:, 0]] - positions[0]
    sites, windings = lattice.locate((positions + vectors[:, None, :]).reshape(-1, len(still)))
    rows = zip(vectors, sites.reshape(len(vectors), -1), np.split(windings, len(vectors)), strict=True)
    return [Isometry(still, vector, moved, signs(winding)) for vector, moved, winding in rows]


def _after(second: Isometry, first: Isometry) -> Isometry:
    return Isometry(
        second.rotation @ first.rotation,
        second.rotation @ first.vector + second.vector,
        second.sites[first.sites],
        first.signs * second.signs[first.sites],
    )


def _group(lattice: Crystal, elements: list[Isometry]) -> SpaceGroup:
    """The group; of isometries that do the same to all sites (on lattices of extent 2) only the first is kept."""
    # up to the sign, because both signs of each come in where there are any
    kept: dict[bytes, Isometry] = {}
    for one in elements:
        kept.setdefault(one.sites.tobytes() + (one.signs * one.signs[0]).tobytes(), one)
    rotations, vectors, sites, signs = (np.array(column) for column in zip(*kept.values(), strict=True))
    if _antiperiodic(lattice).any():
        rotations, vectors, sites = (np.concatenate([x, x]) for x in (rotations, vectors, sites))
        signs = np.concatenate([signs, -signs])
    return SpaceGroup._of(lattice, PermutationGroup(sites, signs), rotations, vectors)


# --- boundaries ----------------------------------------------------------------------------------------


class _Signs(NamedTuple):
    """The sign of a particle that winds round boundaries; `odd` (dim,) is 1 for axes with antiperiodic ones."""

    odd: np.ndarray

    def __call__(self, windings: np.ndarray) -> np.ndarray:
        return 1 - 2 * (windings @ self.odd % 2).astype(int)


def _signs(lattice: Crystal) -> _Signs:
    odd = np.zeros(len(lattice.basis), int)
    odd[np.array(lattice.periodic)] = _antiperiodic(lattice)
    return _Signs(odd)


def _antiperiodic(lattice: Crystal) -> np.ndarray:
    """1 for each antiperiodic period, 0 for each periodic one, shape (periods,)."""
    half_turns = np.array(lattice.twist)[np.array(lattice.periodic)] / np.pi
    whole = np.round(half_turns)
    cure = "With other twists translations are no permutations; remove the twist, or use momenta without a group."
    signs = bool(np.all(np.abs(half_turns - whole) < 1e-9))
    _checks.require(signs, "twist", "be a multiple of pi for a symmetry group", lattice.twist, cure)
    return (whole % 2).astype(int)
