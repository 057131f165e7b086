# SPDX-License-Identifier: Apache-2.0
"""Plaquettes: the polygons into which the bonds of a two-dimensional lattice divide it.

Every bond is walked along in both directions, and at its end the next one to the right of where it came from is
taken. So each walk keeps one polygon on its left; this is the rotation system of a graph drawn on a surface
(J. Edmonds, Notices Amer. Math. Soc. 7, 646 (1960)). Directed bonds are numbered: 2 b leads along bond b, 2 b + 1 back.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Hashable
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import scipy

from manybody import _checks
from manybody._struct import read_only
from manybody._types import Float, Int

TOLERANCE = 1e-6
"""Relative to the length of a bond: smaller differences of positions do not count."""


class Plaquette(NamedTuple):
    """A polygon, walked round counterclockwise from its lowest site; read-only NumPy arrays.

    On small periodic lattices several plaquettes may have the same sites, and differ in their bonds.

    Attributes:
        sites: the corners in order, shape (n,).
        bonds: numbers of the bonds from each corner to the next, shape (n,).
        directions: +1 where the bond i-j, i < j, is walked along from i to j, and -1 where from j to i, shape (n,).
    """

    sites: Int[np.ndarray, " corners"]
    bonds: Int[np.ndarray, " corners"]
    directions: Int[np.ndarray, " corners"]


class Drawing(NamedTuple):
    """Bonds drawn in the plane.

    Attributes:
        sites: the pairs (i, j), shape (n_bonds, 2).
        vectors: from i to the image of j that is meant, shape (n_bonds, 2).
    """

    sites: Int[np.ndarray, "bonds 2"]
    vectors: Float[np.ndarray, "bonds 2"]


@runtime_checkable
class Planar(Hashable, Protocol):
    """What is read of a lattice here."""

    @property
    def positions(self) -> Float[np.ndarray, "sites dim"]: ...

    @property
    def periods(self) -> Float[np.ndarray, "periods dim"]: ...

    def bond_table(self, order: int = 1, kind: str | None = None, images: bool = False) -> Drawing: ...


@functools.lru_cache(maxsize=64)
def plaquettes(lattice: Planar, kinds: tuple[str, ...] | None) -> tuple[Plaquette, ...]:
    """The plaquettes of the nearest-neighbour bonds, or of those of some kinds; see `AbstractLattice.plaquettes`."""
    dim = lattice.positions.shape[1]
    cure = "Positions in a graph are the node attribute `pos`." if dim == 0 else ""
    _checks.require(dim == 2, "lattice", "have sites with two coordinates", f"{dim}", cure)
    tables = [lattice.bond_table(images=True)] if kinds is None else [lattice.bond_table(1, k, True) for k in kinds]
    drawing = Drawing(*(np.concatenate([getattr(t, field) for t in tables]) for field in Drawing._fields))
    _require_no_crossing(drawing, lattice)
    ends = np.stack([drawing.sites, drawing.sites[:, ::-1]], axis=1).reshape(-1, 2)  # (directed bonds, 2)
    vectors = np.stack([drawing.vectors, -drawing.vectors], axis=1).reshape(-1, 2)
    found, dropped = [], 0
    for walk in _walks(ends[:, 0], vectors):
        if _is_left_inside(vectors[walk]):
            found.append(_from_lowest(ends[walk, 0], walk))
        else:
            dropped += 1
    torus = len(lattice.periods) == 2
    cure = "Its bonds must join all sites, and every extent must be 2 or more where bonds join cell to cell."
    _checks.require(not (torus and dropped), "lattice", "be divided into polygons by its bonds", lattice, cure)
    return tuple(sorted(found, key=lambda p: (p.sites.tolist(), p.bonds.tolist())))


def _walks(starts: np.ndarray, vectors: np.ndarray) -> list[np.ndarray]:
    """All closed walks that turn to the right of where they came from, each directed bond in one of them."""
    angles = np.arctan2(vectors[:, 1], vectors[:, 0])
    rank = np.lexsort((angles, starts))  # round each site counterclockwise
    place = np.argsort(rank)
    first = np.searchsorted(starts[rank], starts[rank])  # where the directed bonds of this site begin, and end
    last = np.searchsorted(starts[rank], starts[rank], side="right") - 1
    back = place[np.arange(len(starts)) ^ 1]
    following = rank[np.where(back == first[back], last[back], back - 1)]
    walks, seen = [], np.zeros(len(starts), bool)
    for start in range(len(starts)):
        walk, here = [], start
        while not seen[here]:
            seen[here] = True
            walk.append(here)
            here = following[here]
        if walk:
            walks.append(np.array(walk))
    return walks


def _is_left_inside(steps: np.ndarray) -> bool:
    """Whether a walk (n, 2) closes without winding round a boundary, and the area on its left is a polygon."""
    corners = np.cumsum(steps, axis=0)
    scale = np.linalg.norm(steps, axis=1).max()
    if np.linalg.norm(corners[-1]) > TOLERANCE * scale * len(steps):
        return False
    area = _cross(corners, steps).sum() / 2
    return bool(area > TOLERANCE * scale**2)


def _from_lowest(sites: np.ndarray, walk: np.ndarray) -> Plaquette:
    """The walk, begun at its lowest site, there along its lowest bond."""
    start = np.lexsort((walk, sites))[0]
    sites, walk = np.roll(sites, -start), np.roll(walk, -start)
    return Plaquette(read_only(sites), read_only(walk // 2), read_only(1 - 2 * (walk % 2)))


def _require_no_crossing(drawing: Drawing, lattice: Planar) -> None:
    """Raise `ValueError` if two bonds have more than an end in common."""
    if len(drawing.sites) == 0:
        return
    starts, vectors = lattice.positions[drawing.sites[:, 0]], drawing.vectors
    middles = starts + vectors / 2
    longest = np.linalg.norm(vectors, axis=1).max()
    shifts = _shifts(middles, lattice.periods, longest)  # (shifts, 2)
    tree = scipy.spatial.cKDTree((middles + shifts[:, None, :]).reshape(-1, 2))
    near = scipy.spatial.cKDTree(middles).query_ball_tree(tree, longest * (1 + TOLERANCE))
    one = np.repeat(np.arange(len(near)), [len(found) for found in near])
    image, other = np.divmod(np.concatenate(near).astype(int), len(middles))
    itself = (one == other) & ~np.any(shifts[image], axis=1)
    one, other, image = one[~itself], other[~itself], image[~itself]
    crossing = _cross_each_other(starts[one], vectors[one], starts[other] + shifts[image], vectors[other])
    pairs = [drawing.sites[which[crossing][0]].tolist() for which in (one, other) if crossing.any()]
    cure = "Choose those that do not by `kinds`." if lattice.periods.size else ""
    _checks.require(not pairs, "lattice", "have bonds that do not cross each other", f"bonds {pairs}", cure)


def _shifts(points: np.ndarray, periods: np.ndarray, reach: float) -> np.ndarray:
    """Translations (shifts, 2) by periods that may bring two of the points (n, 2) as near as `reach`; 0 is among them.

    A translation by w periods changes the coordinate along the k-th by w_k.
    """
    inverse = np.linalg.pinv(periods)  # (2, periods)
    along = points @ inverse
    most = np.ceil(np.ptp(along, axis=0) + reach * np.linalg.norm(inverse, axis=0)).astype(int)
    windings = list(itertools.product(*(range(-n, n + 1) for n in most)))
    return np.array(windings, float).reshape(len(windings), len(periods)) @ periods


def _cross_each_other(p: np.ndarray, v: np.ndarray, q: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Whether the segments from p along v and from q along w (n, 2) have more than an end in common."""
    between, lengths = q - p, (np.linalg.norm(v, axis=1), np.linalg.norm(w, axis=1))
    area = _cross(v, w)
    parallel = np.abs(area) <= TOLERANCE * lengths[0] * lengths[1]
    safe = np.where(parallel, 1.0, area)
    meets = [_cross(between, w) / safe, _cross(between, v) / safe]  # where on either segment the lines meet
    touches = [(x > -TOLERANCE) & (x < 1 + TOLERANCE) for x in meets]
    inside = [(x > TOLERANCE) & (x < 1 - TOLERANCE) for x in meets]
    crossing = ~parallel & touches[0] & touches[1] & (inside[0] | inside[1])
    on_line = np.abs(_cross(between, v)) <= TOLERANCE * lengths[0] ** 2
    ends = np.sort(np.stack([(between * v).sum(1), ((between + w) * v).sum(1)]) / lengths[0] ** 2, axis=0)
    overlap = np.minimum(ends[1], 1) - np.maximum(ends[0], 0) > TOLERANCE
    return crossing | (parallel & on_line & overlap)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a x b of vectors (n, 2) in the plane."""
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
