# SPDX-License-Identifier: Apache-2.0
"""The compiled form of matrices on sites of any dimension: look-ups by the levels of a few sites."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from manybody._struct import dataclass, static
from manybody._types import Array, Int
from manybody.hilbert import DiscreteSpace
from manybody.hilbert.local import levels_at, values_at
from manybody.operator.bits import pack_sites
from manybody.operator.compiled import CompiledOperator
from manybody.operator.compiled_bits import is_odd, pack
from manybody.operator.layers import in_layers, n_couplings, pad_sites, sum_layers
from manybody.operator.matrices import MatrixTerms, Place, local_levels


@dataclass
class _Tables:
    """Terms as look-ups: table[offset + sum of level * stride] * couplings[coupling] * (-1)^(levels of the string)."""

    sites: Array  # (rows, k)
    strides: Array  # (rows, k), 0 for fill-up sites
    offset: Array  # (rows,)
    table: Array  # (entries,)
    coupling: Array  # (rows,)
    string: Array | None  # uint32 (words, rows), None if no row has one

    def part(self, start: int, stop: int) -> _Tables:
        """Some of the rows."""
        string = None if self.string is None else self.string[:, start:stop]
        some = slice(start, stop)
        return _Tables(self.sites[some], self.strides[some], self.offset[some], self.table, self.coupling[some], string)

    def evaluate(self, levels: Array, couplings: Array) -> Array:
        """(samples, sites) -> (samples, rows)."""
        index = self.offset[None, :] + (levels[:, self.sites] * self.strides[None]).sum(axis=-1, dtype=jnp.int32)
        dtype = np.promote_types(self.table.dtype, couplings.dtype)
        value = self.table[index].astype(dtype) * couplings[self.coupling][None, :].astype(dtype)
        return value if self.string is None else jnp.where(is_odd(pack(levels), self.string), -value, value)


@dataclass
class TableOperator(CompiledOperator):
    """Compiled form of `MatrixTerms`: a change adds a fixed shift (modulo the local dimension) to some levels."""

    space: DiscreteSpace = static()
    on_diagonal: _Tables
    off_diagonal: _Tables
    blocks: tuple[tuple[int, int], ...] = static()
    sites: Int[Array, "conn changed"]
    shifts: Int[Array, "conn changed"]
    dimensions: Int[Array, "sites"]
    couplings: Array

    def with_couplings(self, couplings: Array) -> TableOperator:
        """The same with other couplings."""
        return self.replace(couplings=couplings)

    @property
    def n_connections(self) -> int:
        return self.sites.shape[0]

    def diagonal(self, sigma: Array) -> Array:
        return self.on_diagonal.evaluate(jnp.asarray(self.space.to_levels(sigma)), self.couplings).sum(axis=-1)

    def elements(self, sigma: Array) -> Array:
        levels = jnp.asarray(self.space.to_levels(sigma))
        return sum_layers(
            self.blocks, lambda start, stop: self.off_diagonal.part(start, stop).evaluate(levels, self.couplings)
        )

    def change(self, sigma: Array, conn: Array) -> tuple[Array, Array]:
        sites = self.sites[conn]
        old = levels_at(self.space, sigma, sites)
        new = (old + self.shifts[conn]) % self.dimensions[sites]
        return sites, values_at(self.space, sites, new)

    def changes(self, sigma: Array) -> tuple[Array, Array]:
        old = jnp.asarray(self.space.to_levels(sigma))[:, self.sites]  # (samples, conn, changed)
        new = (old + self.shifts[None]) % self.dimensions[self.sites][None]
        sites = jnp.broadcast_to(self.sites, old.shape)
        return sites, values_at(self.space, sites, new)


def compile_matrices(
    space: DiscreteSpace, pieces: Sequence[MatrixTerms], moving: Sequence[bool] = (False,)
) -> tuple[TableOperator, np.ndarray]:
    """Split matrices by the shift of levels they make, as tables in NumPy; for the rest see `compile_bits`."""
    if space.sectors:
        pieces = [terms.within(space.sectors) for terms in pieces]
    dimensions = np.asarray(space.local_dimensions, np.int32)
    rows = [
        ((piece, change), *row)
        for piece, terms in enumerate(pieces)
        for place, matrix in terms.terms.items()
        for change, *row in _shift_rows(place, matrix, dimensions)
    ]
    diagonal = [row for row in rows if not row[0][1] and not moving[row[0][0]]]
    off = [row for row in rows if row[0][1] or moving[row[0][0]]]
    changes = sorted({change for change, *_ in off})
    number = {change: i for i, change in enumerate(changes)}
    layers = in_layers(np.array([number[change] for change, *_ in off], int), len(changes))
    changes = [changes[i] for i in np.argsort(layers.number)]
    zeros: tuple = (None, Place((), (), 0), [], np.zeros(1))
    off = [off[i] if i >= 0 else zeros for i in layers.order]
    sites, moved = pad_sites([[s for s, _ in change] for _, change in changes], space.size)
    shifts = np.zeros_like(sites)
    shifts[moved] = [shift for _, change in changes for _, shift in change]
    operator = TableOperator(
        space,
        _tables(diagonal, space.size),
        _tables(off, space.size),
        layers.blocks,
        sites,
        shifts,
        dimensions,
        np.ones(n_couplings(np.array([place.coupling for terms in pieces for place in terms.terms], int))),
    )
    return operator, np.array([piece for piece, _ in changes], np.int32)


def _shift_rows(place: Place, matrix: np.ndarray, dimensions: np.ndarray) -> list[tuple]:
    """(change, place, strides, table) per pattern of shifts; table[x] = <x| matrix |x + shift>."""
    sites = place.sites
    d = dimensions[list(sites)]
    strides = [int(np.prod(d[i + 1 :])) for i in range(len(d))]
    levels = local_levels(sites, dimensions)
    patterns: dict[tuple, np.ndarray] = {}
    for x, y in np.argwhere(np.abs(matrix) > 1e-14 * np.max(np.abs(matrix), initial=0.0)):
        shift = tuple((levels[y] - levels[x]) % d)
        patterns.setdefault(shift, np.zeros(len(matrix), matrix.dtype))[x] = matrix[x, y]
    return [
        (tuple((int(s), int(t)) for s, t in zip(sites, shift, strict=True) if t), place, strides, table)
        for shift, table in patterns.items()
    ]


def _tables(rows: Sequence[tuple], n_sites: int) -> _Tables:
    width = max((len(place.sites) for _, place, *_ in rows), default=0)
    sites, strides = np.zeros((2, len(rows), width), np.int32)
    offset = np.zeros(len(rows), np.int32)
    end = 0
    for i, (_, place, steps, table) in enumerate(rows):
        sites[i, : len(place.sites)] = place.sites
        strides[i, : len(place.sites)] = steps
        offset[i], end = end, end + len(table)
    table = np.concatenate([row[3] for row in rows]) if rows else np.zeros(0)
    coupling = np.array([place.coupling for _, place, *_ in rows], np.int32)
    has_string = any(place.string for _, place, *_ in rows)
    string = np.stack([pack_sites(place.string, n_sites) for _, place, *_ in rows], axis=1) if has_string else None
    return _Tables(sites, strides, offset, table, coupling, string)
