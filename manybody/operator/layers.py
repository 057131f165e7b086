# SPDX-License-Identifier: Apache-2.0
"""Rows of a compiled operator, grouped by the change they make, in an order in which each group is quickly summed.

All rows of one group lead from sigma to the same sigma', and different groups lead to different ones, so a sample has
no duplicate connections and an amplitude is a sum over the rows of a group.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from manybody._types import Array


class Layers(NamedTuple):
    """How rows are put in an order in which those of a group can be added up without looking up where they belong.

    The first rows of all groups stand first, then the second rows of all that have two, and so on. Groups with more
    rows have lower numbers, so each layer belongs to the first groups.

    Attributes:
        number: int (groups,), the new number of each group.
        order: int (rows,), which row stands where; -1 for a row of zeros that fills up.
        blocks: (layers, groups) of neighbouring layers of the same width.
    """

    number: np.ndarray
    order: np.ndarray
    blocks: tuple[tuple[int, int], ...]


_MAX_UNROLLED = 8
"""Layers of a block that are added up term by term."""
_MAX_BLOCKS = 8
"""Different widths of layers; if there are more, groups are filled up to powers of two."""


def in_layers(group: np.ndarray, n_groups: int) -> Layers:
    """The layers of rows with these group numbers (rows,)."""
    count = np.bincount(group, minlength=n_groups)
    length = count if len(set(count.tolist())) <= _MAX_BLOCKS else 2 ** np.ceil(np.log2(count)).astype(int)
    by_length = np.argsort(-length, kind="stable")
    number = np.empty(n_groups, int)
    number[by_length] = np.arange(n_groups)
    rows = np.argsort(group, kind="stable")
    first = np.cumsum(count) - count
    width = [int(np.sum(length > layer)) for layer in range(int(length.max(initial=0)))]
    order = [
        np.where(layer < count[by_length[:w]], rows[np.minimum(first[by_length[:w]] + layer, len(rows) - 1)], -1)
        for layer, w in enumerate(width)
    ]
    blocks = tuple((len(list(same)), w) for w, same in itertools.groupby(width))
    return Layers(number, np.concatenate([np.zeros(0, int), *order]), blocks)


def sum_layers(blocks: tuple[tuple[int, int], ...], rows: Callable[[int, int], Array]) -> Array:
    """Sums over the rows of each group, (samples, groups), of what rows(start, stop) gives, (samples, stop - start)."""
    total, start = rows(0, 0), 0
    for number, (layers, width) in enumerate(blocks):
        part = _sum_block(layers, width, start, rows)
        start += layers * width
        total = part if number == 0 else jnp.concatenate([total[:, :width] + part, total[:, width:]], axis=1)
    return total


def _sum_block(layers: int, width: int, start: int, rows: Callable[[int, int], Array]) -> Array:
    """The sum of neighbouring layers; of a few of them term by term, which the compiler vectorises."""
    if layers > _MAX_UNROLLED:
        every = rows(start, start + layers * width)
        return every.reshape(every.shape[0], layers, width).sum(axis=1)
    begins = range(start, start + layers * width, width)
    return functools.reduce(jnp.add, [rows(begin, begin + width) for begin in begins])


def pad_sites(changes: Sequence[Sequence[int]], n_sites: int) -> tuple[np.ndarray, np.ndarray]:
    """Sites of every change, filled up to equal length with sites that stay: (conn, changed), and which ones move."""
    width = max((len(change) for change in changes), default=0)
    sites = np.zeros((len(changes), width), np.int32)
    moved = np.zeros((len(changes), width), bool)
    for i, change in enumerate(changes):
        fill = itertools.islice((s for s in range(n_sites) if s not in change), width - len(change))
        sites[i] = [*change, *fill]
        moved[i, : len(change)] = True
    return sites, moved


def scaled(weight: Array, couplings: Array, index: Array) -> Array:
    """weight * couplings[index], real if both are."""
    dtype = np.promote_types(weight.dtype, couplings.dtype)
    if couplings.shape[0] == 1:
        return weight.astype(dtype) * couplings.astype(dtype)
    return weight.astype(dtype) * couplings.astype(dtype)[index]


def n_couplings(index: np.ndarray) -> int:
    """How many couplings rows with these coupling numbers need."""
    return int(np.max(index, initial=-1)) + 1
