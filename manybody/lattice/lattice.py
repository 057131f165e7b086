# SPDX-License-Identifier: Apache-2.0
"""Bravais lattices with a basis: cells repeated along primitive vectors, with open, periodic or twisted ends."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from manybody import _checks
from manybody._types import Float, Int
from manybody.lattice import bonds
from manybody.lattice._arrays import read_only, real_matrix, tuples
from manybody.lattice.base import AbstractLattice, Bonds
from manybody.lattice.bonds import Rule


@dataclass(frozen=True, init=False, repr=False)
class Lattice(AbstractLattice):
    r"""Sites at r = n_1 a_1 + ... + n_d a_d + offset, with 0 <= n_k < extent_k.

    Sites are numbered cell by cell; cells row by row, i.e. the last axis is the fastest; and offsets fastest of all:
    site = ravel(n, extent) * n_offsets + offset.

    Each axis is open, periodic, or periodic with a twist: a particle that crosses that boundary in the positive
    direction picks up exp(i twist), so pi is antiperiodic. A twist keeps all images (see `AbstractLattice`).

    The arguments are kept as attributes, as nested tuples.

    Args:
        basis: primitive vectors a_k by rows, shape (dim, dim).
        extent: number of cells along each axis; one number for all axes.
        offsets: positions of the sites in the cell, Cartesian, shape (n_offsets, dim); by default one at 0.
        periodic: whether each axis is periodic; one value for all axes.
        twist: phase of each axis in radians, 0 for none; one value for all axes; open axes have none.
        bond_kinds: for each name of a bond kind its rules (a, b, cells): a bond from offset a of every cell to
            offset b of the cell that is `cells` (dim,) away.
        name: a label, shown by `repr`; two lattices that differ in nothing else are equal.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if the basis is singular, lengths do not match, sites coincide or an open axis has a twist.

    Example:
        >>> ladder = Lattice([[1, 0], [0, 1]], (8, 2), periodic=(True, False), bond_kinds={"rung": [(0, 0, (0, 1))]})
        >>> ladder.n_sites, len(ladder.bonds()), len(ladder.bonds(kind="rung"))
        (16, 24, 8)
    """

    basis: tuple[tuple[float, ...], ...]
    extent: tuple[int, ...]
    offsets: tuple[tuple[float, ...], ...]
    periodic: tuple[bool, ...]
    twist: tuple[float, ...]
    bond_kinds: tuple[tuple[str, tuple[Rule, ...]], ...]
    name: str = field(compare=False)

    def __init__(
        self,
        basis: ArrayLike,
        extent: int | Sequence[int],
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
            "extent": tuple(_checks.integer(n, "extent", minimum=1) for n in _per_axis(extent, dim, "extent")),
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
        _require_distinct(self)

    def __repr__(self) -> str:
        """Name and shape, short enough for an error message."""
        twist = f", twist={self.twist}" if any(self.twist) else ""
        return f"Lattice({self.name!r}, extent={self.extent}, periodic={self.periodic}{twist}, n_sites={self.n_sites})"

    @property
    def dim(self) -> int:
        """Number of axes, and of Cartesian coordinates."""
        return len(self.basis)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(np.prod(self.extent))

    @property
    def n_sites(self) -> int:
        """Cells times sites in the cell."""
        return self.n_cells * len(self.offsets)

    @property
    def positions(self) -> Float[np.ndarray, "sites dim"]:
        """Cell origin plus offset, in the order of the sites."""
        return bonds.positions(self)

    @property
    def periods(self) -> Float[np.ndarray, "periods dim"]:
        """The primitive vectors times the extent, along the periodic axes."""
        vectors = np.array(self.extent)[:, None] * np.array(self.basis)
        return read_only(vectors[np.array(self.periodic)])

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
        steps = [range(n) if wraps else range(1) for n, wraps in zip(self.extent, self.periodic, strict=True)]
        sites = np.arange(self.n_sites).reshape(*self.extent, len(self.offsets))
        axes = tuple(range(self.dim))
        # Rolling backwards puts at each place the number of the site that a forward translation moves it to.
        moved = [np.roll(sites, [-n for n in step], axes).ravel() for step in itertools.product(*steps)]
        return np.stack(moved)

    def bond_table(self, order: int = 1, kind: str | None = None, images: bool = False) -> Bonds:
        """Bonds between sites at the `order`-th distance, or of a kind."""
        order, kind = self._checked_selection(order, kind)
        return bonds.bond_table(self, order, kind, bool(images))


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
    apart = np.linalg.norm(between - cells @ basis, axis=-1) > bonds.TOLERANCE * np.linalg.norm(basis, axis=1).min()
    outside = np.any((np.abs(cells) >= lattice.extent) & ~np.array(lattice.periodic), axis=-1)
    pairs = np.argwhere(np.triu(~apart & ~outside, k=1))
    _checks.require(len(pairs) == 0, "offsets", "give every site its own position", f"equal sites {pairs.tolist()}")
