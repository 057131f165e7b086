# SPDX-License-Identifier: Apache-2.0
"""What a picture of a lattice shows: where sites and bonds are, and which numbers they carry. `picture` paints it."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import scipy
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from manybody import _checks
from manybody._lazy import networkx as nx
from manybody.lattice import picture
from manybody.lattice.base import AbstractLattice
from manybody.lattice.cluster import TOLERANCE, shortest


class Layout(NamedTuple):
    """Cartesian positions (n_sites, dim) and periods (n_periods, dim), dim 2 or 3; `unit` parts the nearest sites."""

    sites: np.ndarray
    periods: np.ndarray
    unit: float


class BondSet(NamedTuple):
    """Bonds of one name: pairs (n, 2), and vectors (n, dim) from the first site to the image of the second."""

    name: str
    pairs: np.ndarray
    vectors: np.ndarray


def figure(
    lattice: AbstractLattice,
    positions: np.ndarray,
    bonds: Any,
    values: Any,
    bond_values: Any,
    labels: bool,
    view: tuple[float, float],
    ax: Axes | None,
) -> Figure:
    """The figure of `AbstractLattice.plot`, with the sites at `positions`."""
    layout = _layout(lattice, positions)
    sets = _bond_sets(lattice, layout, bonds)
    n_bonds = sum(len(one.pairs) for one in sets)
    bars = {}
    if values is not None:
        bars["sites"] = picture.Scale.of(_vector(values, lattice.n_sites, "values", "site"))
    if bond_values is not None:
        bars["bonds"] = picture.Scale.of(_vector(bond_values, n_bonds, "bond_values", "bond"))
    radius = layout.unit * (picture.LABELLED if labels else picture.RADIUS)
    project = picture.projection(layout.sites, layout.unit, view)
    points, edges = project(layout.sites), picture.outline(layout.sites, layout.periods, project)
    canvas = picture.canvas(ax, points, edges, layout.unit, len(bars))
    picture.bonds(canvas, [picture.lines(one, layout.sites, radius, project) for one in sets], bars.get("bonds"))
    picture.sites(canvas, points, radius, bars.get("sites"), labels)
    picture.keys(canvas, [one.name for one in sets], bars)
    return canvas.figure


def _layout(lattice: AbstractLattice, positions: np.ndarray) -> Layout:
    """A chain lies on a line, and a graph without positions is held by springs."""
    dim, periods = positions.shape[1], lattice.periods
    _checks.require(dim <= 3, "lattice", "have at most three dimensions to be drawn", dim)
    if dim == 0:
        springs = nx.spring_layout(lattice.to_networkx(), seed=0, iterations=300)
        positions = np.array([springs[site] for site in range(lattice.n_sites)])
        periods = np.empty((0, 2))
    if dim == 1:
        positions, periods = (np.hstack([x, np.zeros_like(x)]) for x in (positions, periods))
    return Layout(positions, periods, _spacing(positions, periods))


def _spacing(positions: np.ndarray, periods: np.ndarray) -> float:
    """The distance of a site to its nearest neighbour: the middle one, as springs leave some sites very close."""
    if len(positions) > 1:
        return float(np.median(scipy.spatial.cKDTree(positions).query(positions, k=2)[0][:, 1]))
    return float(np.linalg.norm(periods, axis=1).min()) if len(periods) else 1.0


def _bond_sets(lattice: AbstractLattice, layout: Layout, bonds: Any) -> list[BondSet]:
    """What `bonds` selects, one set for each name."""
    if bonds is None:
        bonds = 1 if lattice.n_shells > 0 else np.empty((0, 2), dtype=int)
    if isinstance(bonds, list | tuple) and bonds and all(isinstance(kind, str) for kind in bonds):
        bonds = {kind: kind for kind in bonds}
    if isinstance(bonds, Mapping):
        _checks.require(len(bonds) > 0, "bonds", "name at least one set of bonds", bonds)
        return [_bond_set(lattice, layout, choice, str(name)) for name, choice in bonds.items()]
    return [_bond_set(lattice, layout, bonds, "")]


def _bond_set(lattice: AbstractLattice, layout: Layout, choice: Any, name: str) -> BondSet:
    """An order, a kind, or pairs."""
    if isinstance(choice, str):
        pairs, vectors, _ = lattice.bond_table(kind=choice)
    elif isinstance(choice, numbers.Number):
        pairs, vectors, _ = lattice.bond_table(choice)
    else:
        pairs, vectors = _pairs(choice, lattice.n_sites), np.empty((0, 0))
    direct = layout.sites[pairs[:, 1]] - layout.sites[pairs[:, 0]]
    if len(vectors) < len(pairs) or vectors.shape[1] == 0:
        vectors = direct + shortest(direct, layout.periods) @ layout.periods
    elif vectors.shape[1] == 1:
        vectors = np.hstack([vectors, np.zeros_like(vectors)])
    # Of equally near images the one that is drawn is taken, unless the others are bonds of their own.
    single = len(np.unique(np.sort(pairs, axis=1), axis=0)) == len(pairs)
    near = np.linalg.norm(direct, axis=1) <= np.linalg.norm(vectors, axis=1) * (1 + TOLERANCE)
    return BondSet(name, pairs, np.where((near & single)[:, None], direct, vectors.reshape(direct.shape)))


def _pairs(choice: Any, n_sites: int) -> np.ndarray:
    """Pairs of sites, if they are some."""
    try:
        pairs = np.asarray(choice)
    except ValueError:  # lists of different lengths
        pairs = np.empty(0)
    is_list = pairs.ndim == 2 and pairs.shape[1] == 2
    must = "be an order, a kind, several kinds, pairs of shape (n_bonds, 2), or a mapping to these"
    _checks.require(is_list, "bonds", must, f"{choice!r:.80}")
    if not np.issubdtype(pairs.dtype, np.integer):
        raise TypeError(_checks.requirement("bonds", "be pairs of site numbers", f"dtype {pairs.dtype}"))
    wrong = (pairs < 0).any(axis=1) | (pairs >= n_sites).any(axis=1) | (pairs[:, 0] == pairs[:, 1])
    _checks.require(not wrong.any(), "bonds", f"join different sites below {n_sites}", f"{pairs[wrong].tolist()!r:.80}")
    return pairs


def _vector(given: Any, count: int, name: str, what: str) -> np.ndarray:
    """Finite real numbers, one for each of what is drawn."""
    array = np.asarray(given)
    if array.dtype.kind not in "fiub":
        raise TypeError(_checks.requirement(name, "be real numbers", f"dtype {array.dtype}"))
    must = f"have one entry for each of the {count} {what}s that are drawn"
    _checks.require(array.shape == (count,), name, must, f"shape {array.shape}")
    _checks.require(bool(np.isfinite(array).all()), name, "be finite", "nan or inf")
    return array.astype(float)
