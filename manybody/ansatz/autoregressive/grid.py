# SPDX-License-Identifier: Apache-2.0
"""Orders of the sites of a lattice, and which earlier positions are near: tables for networks that look at neighbours.

A lattice is a box of cells with one site each; without a lattice the sites form a row, as they are ordered.
"""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import numpy as np

from manybody import _checks
from manybody._struct import read_only
from manybody._types import Bool, Int
from manybody.lattice import Lattice

MIN_TILE, MOST_TILES = 8, 8
"""Positions of a run that is worked off at once, at least; and the number of runs, at most."""


class Box(NamedTuple):
    """Number of sites along each axis, and whether the axis closes on itself."""

    shape: tuple[int, ...]
    periodic: tuple[bool, ...]


def box(lattice: Lattice | None, n_sites: int) -> Box:
    """The box of a lattice, or a row."""
    return Box((n_sites,), (False,)) if lattice is None else Box(lattice.shape, lattice.periodic)


def order_on(lattice: Lattice, order: tuple[int, ...] | None, n_sites: int, *, is_snake: bool) -> tuple[int, ...]:
    """The site at each position, row by row or as a snake.

    Raises:
        TypeError: if the lattice is none.
        ValueError: if it is no box of `n_sites`, or another `order` is asked for.
    """
    _checks.require_type(lattice, Lattice, "lattice")
    is_box = np.array_equal(lattice.torus, np.diag(np.diagonal(lattice.torus))) and lattice.n_cells == lattice.n_sites
    _checks.require(is_box, "lattice", "be a box of cells with one site each", lattice)
    _checks.require(lattice.n_sites == n_sites, "lattice", f"have the {n_sites} sites of the space", lattice)
    sites = np.arange(n_sites).reshape(-1, lattice.shape[-1])
    if is_snake:
        sites[1::2] = sites[1::2, ::-1]
    own = tuple(sites.ravel().tolist())
    _checks.require(order in (None, own), "order", "be None beside a lattice, which has its own", order)
    return own


def above(n_sites: int, width: int) -> Int[np.ndarray, "positions"]:
    """The position of the site above, in a snake of this width; n_sites in the first row."""
    row, place = np.divmod(np.arange(n_sites), width)
    return read_only(np.where(row > 0, row * width - 1 - place, n_sites).astype(np.int32))


def displacements(box: Box, kernel_size: int, dilation: int, is_first: bool) -> list[tuple[int, ...]]:
    """What lies between a site and those at the taps of a causal kernel, the nearest first."""
    steps = itertools.product(range(1 - kernel_size, kernel_size), repeat=len(box.shape))
    taps = [step for step in steps if step < (0,) * len(box.shape) or (not is_first and not any(step))]
    return [tuple(dilation * n for n in step) for step in reversed(taps)]


@functools.lru_cache(maxsize=64)
def sources(box: Box, kernel_size: int, dilation: int, is_first: bool) -> Int[np.ndarray, "positions taps"]:
    """The position at each tap of a causal kernel, in the order of the sites; n_sites where there is none.

    The taps are a site and the earlier ones fewer than `kernel_size` steps of `dilation` away along each axis, the
    nearest first. In the first layer a site does not see itself. Round periodic axes they lead to earlier sites only.
    """
    taps = displacements(box, kernel_size, dilation, is_first)
    n_sites, shape = int(np.prod(box.shape)), np.array(box.shape)
    here = np.stack(np.unravel_index(np.arange(n_sites), box.shape), axis=-1)  # (sites, dim)
    there = here[:, None] + np.array(taps)[None]  # (sites, taps, dim)
    inside = np.all(np.array(box.periodic) | ((there >= 0) & (there < shape)), axis=-1)
    position = np.ravel_multi_index(tuple(np.moveaxis(there % shape, -1, 0)), box.shape)
    earlier = position <= np.arange(n_sites)[:, None] - is_first
    nearest_first = np.where(inside & earlier, position, n_sites)
    for tap in range(1, len(taps)):  # round a short axis several taps may lead to one site, which is seen once
        repeated = np.any(nearest_first[:, :tap] == nearest_first[:, tap : tap + 1], axis=1)
        nearest_first[repeated, tap] = n_sites
    return read_only(nearest_first.astype(np.int32))


def reached(near: Int[np.ndarray, "positions taps"], changed: Bool[np.ndarray, "origins positions"]) -> np.ndarray:
    """Which positions a layer makes different, bool (origins, positions), given which of its inputs are."""
    padded = np.pad(changed, ((0, 0), (0, 1)))  # nothing is not changed
    return np.asarray(padded[:, near].any(axis=-1))


def as_lists(changed: Bool[np.ndarray, "origins positions"]) -> Int[np.ndarray, "origins most"]:
    """The changed positions of each origin, filled up with n_sites."""
    most, n_sites = changed.sum(axis=1).max(initial=0), changed.shape[1]
    filled = np.where(changed, np.arange(n_sites), n_sites)
    return read_only(np.sort(filled, axis=1)[:, :most].astype(np.int32))


def tiles(start: int, stop: int) -> list[slice]:
    """Runs of positions."""
    n_tiles = min(MOST_TILES, max(1, (stop - start) // MIN_TILE))
    ends = start + (stop - start) * np.arange(n_tiles + 1) // n_tiles
    return [slice(*pair) for pair in itertools.pairwise(ends.tolist())]


def tap_table(near: Int[np.ndarray, "tile taps"], n_sites: int) -> tuple[slice, Int[np.ndarray, "inputs tile"]]:
    """A run of positions that holds all which a tile sees, and the tap that leads to each; n_taps where none does."""
    (n_tile, n_taps), exists = near.shape, near < n_sites
    lowest = int(near.min(initial=n_sites - 1))
    highest = int(near.max(initial=lowest, where=exists))
    tap = np.full((highest + 1 - lowest, n_tile), n_taps, np.int32)
    place, number = np.nonzero(exists)
    tap[near[exists] - lowest, place] = number
    return slice(lowest, highest + 1), tap
