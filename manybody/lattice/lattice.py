# SPDX-License-Identifier: Apache-2.0
"""Bravais lattices with a basis: cells repeated along primitive vectors, with open, periodic or twisted ends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike

from manybody import _checks
from manybody._struct import read_only
from manybody._types import Float, Int
from manybody.lattice import bonds, cluster, momenta, space_group
from manybody.lattice._arrays import real_matrix, tuples
from manybody.lattice.base import AbstractLattice, Bonds
from manybody.lattice.bonds import Rule
from manybody.lattice.cluster import Matrix
from manybody.lattice.space_group import SpaceGroup


@dataclass(frozen=True, init=False, repr=False)
class Lattice(AbstractLattice):
    r"""Sites at r = n_1 a_1 + ... + n_d a_d + offset, with 0 <= n_k < shape_k.

    Sites are numbered cell by cell; cells row by row, i.e. the last axis is the fastest; and offsets fastest of all:
    site = ravel(n, shape) * n_offsets + offset.

    Each axis is open, periodic, or periodic with a twist: a particle that crosses that boundary in the positive
    direction picks up exp(i twist), so pi is antiperiodic. A twist keeps all images (see `AbstractLattice`).

    A skewed cluster is periodic along other vectors than those of the basis, T_k = sum_l extent_kl a_l, as tilted
    clusters of the literature are. It has \|det extent\| cells; a twist belongs to T_k as given. Cells are numbered in
    the box that the Hermite normal form of the matrix spans, which depends on the lattice of the T_k only, so all
    matrices that describe one torus give the same sites and bonds; they are equal as lattices only if they agree.

    The arguments are kept as attributes, as nested tuples.

    Args:
        basis: primitive vectors a_k by rows, shape (dim, dim).
        extent: number of cells along each axis; one number for all axes; or the integer matrix (dim, dim) of a skewed
            cluster by rows. A diagonal matrix is the lattice of the numbers on its diagonal.
        offsets: positions of the sites in the cell, Cartesian, shape (n_offsets, dim); by default one at 0.
        periodic: whether each axis is periodic; one value for all axes.
        twist: phase of each axis in radians, 0 for none; one value for all axes; open axes have none.
        bond_kinds: for each name of a bond kind its rules (a, b, cells): a bond from offset a of every cell to
            offset b of the cell that is `cells` (dim,) away.
        name: a label, shown by `repr`; two lattices that differ in nothing else are equal.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if the basis or the extent is singular, lengths do not match, sites coincide, or an open axis has a
            twist or belongs to a skewed cluster.

    Example:
        >>> ladder = Lattice([[1, 0], [0, 1]], (8, 2), periodic=(True, False), bond_kinds={"rung": [(0, 0, (0, 1))]})
        >>> ladder.n_sites, len(ladder.bonds()), len(ladder.bonds(kind="rung"))
        (16, 24, 8)
        >>> tilted = Lattice([[1, 0], [0, 1]], [[3, 1], [-1, 3]])
        >>> tilted.n_sites, len(tilted.bonds()), tilted.shape
        (10, 20, (1, 10))
    """

    basis: tuple[tuple[float, ...], ...]
    extent: tuple[int, ...] | Matrix
    offsets: tuple[tuple[float, ...], ...]
    periodic: tuple[bool, ...]
    twist: tuple[float, ...]
    bond_kinds: tuple[tuple[str, tuple[Rule, ...]], ...]
    name: str = field(compare=False)

    def __init__(
        self,
        basis: ArrayLike,
        extent: int | Sequence[int] | Sequence[Sequence[int]],
        offsets: ArrayLike | None = None,
        periodic: bool | Sequence[bool] = True,
        twist: float | Sequence[float] = 0.0,
        bond_kinds: Mapping[str, Iterable[Rule]] | Iterable[tuple[str, Iterable[Rule]]] = (),
        name: str = "lattice",
    ) -> None:
        """Validate and store."""
        vectors = real_matrix(basis, "basis")
        dim = len(vectors)
        _checks.require(vectors.shape == (dim, dim), "basis", "be a square matrix of vectors by rows", vectors.shape)
        scale = float(np.linalg.norm(vectors, axis=1).prod())
        volume = abs(float(np.linalg.det(vectors)))
        _checks.require(volume > 1e-9 * scale, "basis", "have linearly independent rows", vectors.tolist())
        sites = np.zeros((1, dim)) if offsets is None else real_matrix(offsets, "offsets")
        _checks.require(sites.shape[1] == dim, "offsets", f"have shape (n_offsets, {dim})", sites.shape)
        values = {
            "basis": tuples(vectors),
            "extent": _extent(extent, dim),
            "offsets": tuples(sites),
            "periodic": tuple(_flag(p) for p in _per_axis(periodic, dim, "periodic")),
            "twist": tuple(_angle(t) for t in _per_axis(twist, dim, "twist")),
            "bond_kinds": _kinds(bond_kinds, dim, len(sites)),
            "name": name,
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)
        for axis, (wraps, angle) in enumerate(zip(self.periodic, self.twist, strict=True)):
            cure = "Make the axis periodic or drop the twist."
            _checks.require(wraps or angle == 0, "twist", f"be 0 along the open axis {axis}", angle, cure)
        closed = not _is_skewed(self.extent) or all(self.periodic)
        _checks.require(closed, "periodic", "be True for all axes of a skewed cluster", self.periodic)
        _require_distinct(self)

    def __repr__(self) -> str:
        """Name and shape, short enough for an error message."""
        twist = f", twist={self.twist}" if any(self.twist) else ""
        periodic = "" if _is_skewed(self.extent) else f", periodic={self.periodic}"
        return f"Lattice({self.name!r}, extent={self.extent}{periodic}{twist}, n_sites={self.n_sites})"

    @property
    def dim(self) -> int:
        """Number of axes, and of Cartesian coordinates."""
        return len(self.basis)

    @property
    def torus(self) -> Matrix:
        """The integer vectors T_k by rows, in units of the primitive ones: the cells n and n + T_k are the same.

        Along an open axis it is the number of cells, though nothing is periodic there.
        """
        if _is_skewed(self.extent):
            return cast(Matrix, self.extent)
        return tuple(tuple(row) for row in np.diag(self.extent).tolist())

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of cells along each axis of the box in which they are numbered; the extent if that is no matrix."""
        return cluster.normal_form(self.torus).shape

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return math.prod(self.shape)

    @property
    def n_sites(self) -> int:
        """Cells times sites in the cell."""
        return self.n_cells * len(self.offsets)

    @property
    def positions(self) -> Float[np.ndarray, "sites dim"]:
        """Cell origin plus offset, in the order of the sites."""
        return cluster.positions(self)

    @property
    def periods(self) -> Float[np.ndarray, "periods dim"]:
        """The vectors T_k of the periodic axes: the primitive vectors times the extent."""
        return read_only(cluster.periods(self))

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names in `bond_kinds`, ascending."""
        return tuple(name for name, _ in self.bond_kinds)

    @property
    def n_shells(self) -> int:
        """Number of distinct minimum-image distances."""
        return bonds.n_shells(self)

    def distances(self) -> Float[np.ndarray, "sites sites"]:
        """Minimum-image distances."""
        return bonds.distances(self)

    def translations(self) -> Int[np.ndarray, "translations sites"]:
        """Translations by whole cells along the periodic axes, as permutations: t moves site i to translations[t, i].

        The first one is the identity; their order is that of the cells they move the first cell to.
        """
        steps = cluster.grid(tuple(n if wraps else 1 for n, wraps in zip(self.shape, self.periodic, strict=True)))
        cells, offsets = cluster.grid(self.shape), np.arange(len(self.offsets))
        reached, _ = cluster.wrap(self.torus, (cells + steps[:, None]).reshape(-1, self.dim))
        images = cluster.numbers(self.torus, reached).reshape(len(steps), -1, 1)  # (translations, cells, 1)
        return (images * len(offsets) + offsets).reshape(len(steps), -1)

    def locate(self, points: ArrayLike) -> tuple[Int[np.ndarray, " points"], Int[np.ndarray, "points dim"]]:
        """The sites that lie at given points, or have an image there.

        Args:
            points: Cartesian, shape (n, dim).

        Returns:
            The sites (n,), -1 where there is none; and the windings (n, dim) from the site to the point along the
            vectors T_k of `torus`, 0 on open axes: point = positions[site] + windings @ torus @ basis.

        Raises:
            ValueError: if the points do not have `dim` coordinates, or are not finite.

        Example:
            >>> from manybody.lattice import square
            >>> sites, windings = square(4).locate([[1, 2], [5, -1], [0.5, 0]])
            >>> sites.tolist(), windings.tolist()
            ([6, 7, -1], [[0, 0], [1, -1], [0, 0]])
        """
        given = real_matrix(points, "points")
        _checks.require(given.shape[1] == self.dim, "points", f"have shape (n, {self.dim})", given.shape)
        return cluster.locate(self, given)

    @property
    def reciprocal(self) -> Float[np.ndarray, "dim dim"]:
        """Primitive vectors b_k of reciprocal space by rows, a_j . b_k = 2 pi delta_jk (read-only)."""
        return momenta.reciprocal(self)

    def _places(self) -> np.ndarray:
        """Whole cells, moved by periods into the parallelepiped that the vectors T_k span."""
        cells, torus = cluster.grid(self.shape), np.array(self.torus)
        windings = np.floor(cells @ np.linalg.inv(torus) + 1e-9).astype(int)
        shifts = windings @ torus @ np.array(self.basis)
        return self.positions - np.repeat(shifts, len(self.offsets), axis=0)

    def momenta(self) -> Float[np.ndarray, "momenta dim"]:
        """The momenta of a particle on the periodic axes, as many as `translations`, Cartesian (read-only).

        They obey k . T_j = twist_j mod 2 pi for the vectors T_j of the torus, and lie in the first Brillouin zone: of
        all equivalent ones the shortest, and of several the one furthest along b_1, then b_2, ... They lie in the span
        of the periodic primitive vectors, so an open axis normal to these has no momentum; an open lattice has k = 0.

        The k-th has the integers m = (k . T - twist) / 2 pi of the k-th place, row by row, in the box of the normal
        form of the transposed torus. Without a skew this is 0 <= m_j < extent_j, the last axis fastest; without a
        twist the first one is 0.

        Example:
            >>> import numpy as np
            >>> from manybody.lattice import square
            >>> (square(2, 4).momenta() / np.pi).tolist()[:4]
            [[0.0, 0.0], [0.0, 0.5], [0.0, 1.0], [0.0, -0.5]]
        """
        return momenta.momenta(self)

    def momentum_index(self, momentum: ArrayLike) -> int:
        """The row of `momenta` that is the given momentum (dim,) or differs from it by a reciprocal vector.

        Raises:
            ValueError: if there is none; it names the nearest one.

        Example:
            >>> from math import pi
            >>> from manybody.lattice import chain
            >>> chain(4).momentum_index([pi]), chain(4).momentum_index([-3 * pi / 2])
            (2, 1)
        """
        given = real_matrix([momentum], "momentum")[0]
        _checks.require(given.shape == (self.dim,), "momentum", f"have {self.dim} components", given.shape)
        return momenta.momentum_index(self, given)

    def translation_group(self) -> SpaceGroup:
        """Translations by whole cells, in the order of `translations`; with both signs at antiperiodic boundaries.

        Raises:
            ValueError: if a twist is no multiple of pi.
        """
        return space_group.translation_group(self)

    def space_group(self, kinds: Literal["permute", "fix", "ignore"] = "permute") -> SpaceGroup:
        """All isometries that map the sites to sites and the boundaries to themselves, as permutations of the sites.

        They are found by trying, so screws, glides and translations within the cell are among them.

        Args:
            kinds: what they may do to bond kinds: "permute" maps each kind to one of them (a rotation of the honeycomb
                takes x-bonds to y-bonds), "fix" to itself, and "ignore" does not look at them.

        Raises:
            ValueError: if a twist is no multiple of pi.

        Example:
            >>> from manybody.lattice import square
            >>> square(6).space_group().order, square(6).space_group(kinds="fix").order
            (288, 144)
        """
        return space_group.space_group(self, kinds)

    def point_group(
        self, center: ArrayLike | None = None, kinds: Literal["permute", "fix", "ignore"] = "permute"
    ) -> SpaceGroup:
        """The isometries that leave a point where it is.

        Args:
            center: Cartesian, shape (dim,); by default a point with as many isometries as possible (the origin, if it
                is one of these).
            kinds: what they may do to bond kinds; see `space_group`.

        Raises:
            ValueError: if a twist is no multiple of pi.

        Example:
            >>> from manybody.lattice import kagome
            >>> kagome(3).point_group().order, kagome(3).point_group(center=(0, 0)).order
            (12, 4)
        """
        return space_group.point_group(space_group.space_group(self, kinds), center)

    def bond_table(self, order: int = 1, kind: str | None = None, images: bool = False) -> Bonds:
        """Bonds between sites at the `order`-th distance, or of a kind."""
        order, kind = self._checked_selection(order, kind)
        return bonds.bond_table(self, order, kind, bool(images))


def _extent(value: Any, dim: int) -> tuple[int, ...] | Matrix:
    """Numbers of cells, or the matrix of a skewed cluster; a matrix that is none becomes the former."""
    listed = isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)
    if not listed or not any(np.ndim(row) for row in value):
        return tuple(_checks.integer(n, "extent", minimum=1) for n in _per_axis(value, dim, "extent"))
    square = [np.shape(row) for row in value] == [(dim,)] * dim
    _checks.require(square, "extent", f"be {dim} numbers, or a matrix of {dim} x {dim} of them", value)
    matrix = tuple(tuple(_checks.integer(n, "extent") for n in row) for row in value)
    cluster.normal_form(matrix)  # raises if it is singular
    numbers = np.diagonal(matrix)
    return tuple(numbers.tolist()) if (numbers > 0).all() and np.count_nonzero(matrix) == dim else matrix


def _is_skewed(extent: tuple[int, ...] | Matrix) -> bool:
    return not isinstance(extent[0], int)


def _per_axis(value: Any, dim: int, name: str) -> tuple[Any, ...]:
    """One entry for each axis; a single value counts for all of them."""
    if np.ndim(value) == 0:
        return (value,) * dim
    _checks.require(len(value) == dim, name, f"have one entry for each of the {dim} axes", value)
    return tuple(value)


def _flag(value: Any) -> bool:
    value = _plain(value)
    _checks.require_type(value, bool, "periodic", "A boundary phase is given by `twist`.")
    return value


def _angle(value: Any) -> float:
    value = _plain(value)
    angle = None if isinstance(value, bool) else value  # True is an int in Python, but not an angle
    _checks.require_type(angle, (float, int), "twist", "It is an angle in radians.")
    _checks.require(bool(np.isfinite(value)), "twist", "be finite", value)
    return float(value)


def _plain(value: Any) -> Any:
    """A NumPy scalar as the Python number it stands for."""
    return value.item() if isinstance(value, np.generic) else value


def _kinds(
    bond_kinds: Mapping[str, Iterable[Rule]] | Iterable[tuple[str, Iterable[Rule]]], dim: int, n_offsets: int
) -> tuple[tuple[str, tuple[Rule, ...]], ...]:
    """Sorted names with sorted rules, each rule in one of its two directions, so that equal content compares equal."""
    checked = {}
    for name, rules in dict(bond_kinds).items():
        _checks.require_type(name, str, "bond_kinds", "Keys are the names of the kinds.")
        checked[name] = tuple(sorted({_rule(rule, dim, n_offsets) for rule in rules}))
        _checks.require(len(checked[name]) > 0, "bond_kinds", "have a rule for every kind", f"none for {name!r}")
    return tuple(sorted(checked.items()))


def _rule(rule: Any, dim: int, n_offsets: int) -> Rule:
    _checks.require(
        isinstance(rule, tuple | list) and len(rule) == 3 and np.shape(rule[2]) == (dim,),
        "bond_kinds",
        f"consist of rules (offset a, offset b, {dim} cells away)",
        rule,
    )
    a, b = (_checks.integer(offset, "offset", minimum=0, maximum=n_offsets - 1) for offset in rule[:2])
    cells = tuple(_checks.integer(n, "cells") for n in rule[2])
    _checks.require(a != b or any(cells), "bond_kinds", "join different sites", rule)
    return min((a, b, cells), (b, a, tuple(-n for n in cells)))


def _require_distinct(lattice: Lattice) -> None:
    """Two offsets coincide if a lattice vector separates them, unless that leads out of an open end."""
    basis, offsets = np.array(lattice.basis), np.array(lattice.offsets)
    between = offsets[:, None] - offsets[None, :]  # (n_offsets, n_offsets, dim)
    cells = np.round(between @ np.linalg.inv(basis))
    apart = np.linalg.norm(between - cells @ basis, axis=-1) > cluster.TOLERANCE * np.linalg.norm(basis, axis=1).min()
    outside = np.any((np.abs(cells) >= lattice.shape) & ~np.array(lattice.periodic), axis=-1)
    pairs = np.argwhere(np.triu(~apart & ~outside, k=1))
    _checks.require(len(pairs) == 0, "offsets", "give every site its own position", f"equal sites {pairs.tolist()}")
