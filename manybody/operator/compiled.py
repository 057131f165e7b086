# SPDX-License-Identifier: Apache-2.0
"""Compiled operators: rows grouped by the change they make, evaluated for a batch of configurations.

All rows of one group lead from sigma to the same sigma', and different groups lead to different ones, so a sample has
no duplicate connections and an amplitude is a sum over the rows of a group. Couplings enter as an array: other values
need no compilation.
"""

from __future__ import annotations

import abc
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from manybody._struct import dataclass, static
from manybody._types import Array, Inexact, Int, Int8
from manybody.hilbert import DiscreteSpace
from manybody.hilbert.local import values_at
from manybody.operator.bits import WORD, BitTerms, pack_sites, unpack_sites
from manybody.operator.matrices import MatrixTerms, Place, local_levels


class Connections(NamedTuple):
    """What an operator does to configurations, the diagonal apart: <sigma| O |sigma'> and how sigma' differs.

    Attributes:
        sites: int32 (..., conn, changed) sites that change; distinct.
        values: int8 (..., conn, changed) their values in sigma'. A connection that changes fewer sites than the widest
            one is filled up with sites that keep their value.
        elements: (..., conn) matrix elements <sigma|O|sigma'>; zero for connections that sigma does not have (their
            sites and values mean nothing then).
    """

    sites: Int[Array, "... conn changed"]
    values: Int8[Array, "... conn changed"]
    elements: Inexact[Array, "... conn"]


class CompiledOperator(abc.ABC):
    """What samplers and estimators see of an operator; a pytree."""

    if TYPE_CHECKING:

        def replace(self, **changes: Any) -> Self: ...

    @property
    @abc.abstractmethod
    def n_connections(self) -> int:
        """Static: number of connections per configuration, the unused ones included."""

    @abc.abstractmethod
    def diagonal(self, sigma: Int8[Array, "samples sites"]) -> Inexact[Array, "samples"]:
        """<sigma|O|sigma>."""

    @abc.abstractmethod
    def elements(self, sigma: Int8[Array, "samples sites"]) -> Inexact[Array, "samples conn"]:
        """<sigma|O|sigma'> of all connections."""

    @abc.abstractmethod
    def change(self, sigma: Int8[Array, "rows sites"], conn: Int[Array, "rows"]) -> tuple[Array, Array]:
        """Sites (rows, changed) and values (rows, changed) of connection number `conn` of each configuration."""

    def connections(self, sigma: Int8[Array, "samples sites"]) -> Connections:
        """All connections of a batch."""
        shape = (sigma.shape[0], self.n_connections)
        conn = jnp.tile(jnp.arange(self.n_connections, dtype=jnp.int32), shape[0])
        sites, values = self.change(jnp.repeat(sigma, self.n_connections, axis=0), conn)
        width = sites.shape[1:]  # (samples * conn, changed) -> (samples, conn, changed)
        return Connections(sites.reshape(shape + width), values.reshape(shape + width), self.elements(sigma))


@dataclass
class _Group:
    """Sums rows into groups. Rows are sorted by group; with equally many in each the sum is a reshape."""

    index: Int[Array, "rows"]
    n_groups: int = static()
    uniform: bool = static()

    def sum(self, rows: Array) -> Array:
        """(samples, rows) -> (samples, groups)."""
        if self.uniform:
            return rows.reshape(rows.shape[0], self.n_groups, -1).sum(axis=-1)
        return jax.ops.segment_sum(rows.T, self.index, self.n_groups, indices_are_sorted=True).T


def _group(index: np.ndarray, n_groups: int) -> _Group:
    counts = np.bincount(index, minlength=n_groups)
    uniform = n_groups > 0 and bool(np.all(counts == counts[0]))
    return _Group(index.astype(np.int32), n_groups, uniform)


# --- two-level sites --------------------------------------------------------------------------------------------------


@dataclass
class _Rows:
    """Masks (words, rows), weights (rows,) and coupling numbers (rows,) of rows on packed bits."""

    need: Array
    value: Array
    sign: Array
    weight: Array
    coupling: Array

    def evaluate(self, packed: Array, couplings: Array) -> Array:
        """Packed configurations (samples, words) -> weights of the rows (samples, rows)."""
        legal = jnp.ones((packed.shape[0], self.weight.shape[0]), bool)
        for w in range(self.need.shape[0]):
            legal &= (packed[:, w, None] & self.need[None, w]) == self.value[None, w]
        negative = _is_odd(packed, self.sign)
        coefficient = _scaled(self.weight, couplings, self.coupling)[None, :]
        return jnp.where(legal, jnp.where(negative, -coefficient, coefficient), jnp.zeros((), coefficient.dtype))


@dataclass
class BitOperator(CompiledOperator):
    """Compiled form of `BitTerms`."""

    space: DiscreteSpace = static()
    on_diagonal: _Rows
    off_diagonal: _Rows
    group: _Group
    sites: Int[Array, "conn changed"]
    flips: Array  # (conn, changed) whether the site flips or only fills up
    couplings: Array

    @property
    def n_connections(self) -> int:
        return self.sites.shape[0]

    def diagonal(self, sigma: Array) -> Array:
        return self.on_diagonal.evaluate(pack(self.space.to_levels(sigma)), self.couplings).sum(axis=-1)

    def elements(self, sigma: Array) -> Array:
        return self.group.sum(self.off_diagonal.evaluate(pack(self.space.to_levels(sigma)), self.couplings))

    def change(self, sigma: Array, conn: Array) -> tuple[Array, Array]:
        sites = self.sites[conn]
        levels = self.space.to_levels(sigma)
        old = jnp.take_along_axis(levels, sites, axis=-1)
        return sites, values_at(self.space, sites, jnp.where(self.flips[conn], 1 - old, old))


def compile_bits(space: DiscreteSpace, terms: BitTerms) -> BitOperator:
    """Group rows by their flip, as tables in NumPy.

    Args:
        space: in a constrained space every flipped site gets a condition where it matters, so that elements to
            configurations outside the sector are exactly zero.
        terms: the rows; the element <sigma|O|sigma'> of row `|x^f><x|` is read at sigma' and so the adjoint is stored.

    Returns:
        The tables, with all couplings 1 (replace them).
    """
    rows = terms.adjoint()  # <sigma|O|sigma'> = conj <sigma'|O^dagger|sigma>: rows that start from sigma
    if space.sectors:
        rows = rows.within(space.sectors)
    diagonal = ~np.any(rows.flip != 0, axis=1)
    flips, index = np.unique(rows.flip[~diagonal], axis=0, return_inverse=True)
    sites, flipped = _pad_sites([unpack_sites(f) for f in flips], space.size)
    order = np.argsort(index.ravel(), kind="stable")
    return BitOperator(
        space,
        _rows(rows, np.flatnonzero(diagonal)),
        _rows(rows, np.flatnonzero(~diagonal)[order]),
        _group(index.ravel()[order], len(flips)),
        sites,
        flipped,
        np.ones(_n_couplings(terms.coupling)),
    )


def _rows(terms: BitTerms, select: np.ndarray) -> _Rows:
    _, need, value, sign = (np.ascontiguousarray(mask[select].T) for mask in terms.masks)
    return _Rows(need, value, sign, np.conj(terms.weight[select]), terms.coupling[select])


def pack(levels: Int[Array, "samples sites"]) -> Array:
    """Levels modulo 2 as bits: uint32 (samples, words)."""
    bit = levels.astype(jnp.uint32) & 1
    n_sites = bit.shape[1]
    words = [
        (bit[:, start : start + WORD] << jnp.arange(min(WORD, n_sites - start), dtype=jnp.uint32)[None]).sum(
            axis=-1, dtype=jnp.uint32
        )
        for start in range(0, n_sites, WORD)
    ]
    return jnp.stack(words, axis=-1)


def _is_odd(packed: Array, masks: Array) -> Array:
    """Whether an odd number of bits (samples, words) is set among those of each mask (words, rows): (samples, rows)."""
    odd = jnp.zeros((packed.shape[0], masks.shape[1]), jnp.uint32)
    for w in range(masks.shape[0]):
        odd ^= packed[:, w, None] & masks[None, w]
    return (jax.lax.population_count(odd) & 1) == 1


# --- sites of any dimension -------------------------------------------------------------------------------------------


@dataclass
class _Tables:
    """Terms as look-ups: table[offset + sum of level * stride] * couplings[coupling] * (-1)^(levels of the string)."""

    sites: Array  # (rows, k)
    strides: Array  # (rows, k), 0 for fill-up sites
    offset: Array  # (rows,)
    table: Array  # (entries,)
    coupling: Array  # (rows,)
    string: Array | None  # uint32 (words, rows), None if no row has one

    def evaluate(self, levels: Array, couplings: Array) -> Array:
        """(samples, sites) -> (samples, rows)."""
        index = self.offset[None, :] + (levels[:, self.sites] * self.strides[None]).sum(axis=-1, dtype=jnp.int32)
        dtype = np.promote_types(self.table.dtype, couplings.dtype)
        value = self.table[index].astype(dtype) * couplings[self.coupling][None, :].astype(dtype)
        return value if self.string is None else jnp.where(_is_odd(pack(levels), self.string), -value, value)


@dataclass
class TableOperator(CompiledOperator):
    """Compiled form of `MatrixTerms`: a change adds a fixed shift (modulo the local dimension) to some levels."""

    space: DiscreteSpace = static()
    on_diagonal: _Tables
    off_diagonal: _Tables
    group: _Group
    sites: Int[Array, "conn changed"]
    shifts: Int[Array, "conn changed"]
    dimensions: Int[Array, "sites"]
    couplings: Array

    @property
    def n_connections(self) -> int:
        return self.sites.shape[0]

    def diagonal(self, sigma: Array) -> Array:
        return self.on_diagonal.evaluate(self.space.to_levels(sigma), self.couplings).sum(axis=-1)

    def elements(self, sigma: Array) -> Array:
        return self.group.sum(self.off_diagonal.evaluate(self.space.to_levels(sigma), self.couplings))

    def change(self, sigma: Array, conn: Array) -> tuple[Array, Array]:
        sites = self.sites[conn]
        old = jnp.take_along_axis(self.space.to_levels(sigma), sites, axis=-1)
        new = (old + self.shifts[conn]) % self.dimensions[sites]
        return sites, values_at(self.space, sites, new)


def compile_matrices(space: DiscreteSpace, terms: MatrixTerms) -> TableOperator:
    """Split matrices by the shift of levels they make, as tables in NumPy (all couplings 1)."""
    if space.sectors:
        terms = terms.within(space.sectors)
    dimensions = np.asarray(space.local_dimensions, np.int32)
    rows = [row for place, matrix in terms.terms.items() for row in _shift_rows(place, matrix, dimensions)]
    changes = sorted({change for change, *_ in rows if change})
    number = {change: i for i, change in enumerate(changes)}
    diagonal = [row for row in rows if not row[0]]
    off = sorted((row for row in rows if row[0]), key=lambda row: number[row[0]])
    sites, moved = _pad_sites([[s for s, _ in change] for change in changes], space.size)
    shifts = np.zeros_like(sites)
    shifts[moved] = [shift for change in changes for _, shift in change]
    return TableOperator(
        space,
        _tables(diagonal, space.size),
        _tables(off, space.size),
        _group(np.array([number[row[0]] for row in off], int), len(changes)),
        sites,
        shifts,
        dimensions,
        np.ones(_n_couplings(np.array([place.coupling for place in terms.terms], int))),
    )


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


# --- constrained spaces ----------------------------------------------------------------------------------------------


@dataclass
class ProjectedOperator(CompiledOperator):
    """P (inner) P, where P projects on the legal configurations of a space with more than sums of levels to keep."""

    inner: BitOperator | TableOperator
    space: DiscreteSpace = static()

    @property
    def n_connections(self) -> int:
        return self.inner.n_connections

    def diagonal(self, sigma: Array) -> Array:
        return self.inner.diagonal(sigma)

    def elements(self, sigma: Array) -> Array:
        elements = self.inner.elements(sigma)
        return jnp.where(connected_are_legal(self.space, self.inner, sigma), elements, jnp.zeros_like(elements))

    def change(self, sigma: Array, conn: Array) -> tuple[Array, Array]:
        return self.inner.change(sigma, conn)


def connected_are_legal(space: DiscreteSpace, compiled: CompiledOperator, sigma: Array) -> Array:
    """Whether the connections (samples, conn) of configurations lead to legal ones."""
    n_rows, n_conn = sigma.shape[0], compiled.n_connections
    if n_conn == 0:
        return jnp.ones((n_rows, 0), bool)
    parents = jnp.repeat(sigma, n_conn, axis=0)  # (samples * conn, sites)
    sites, values = compiled.change(parents, jnp.tile(jnp.arange(n_conn, dtype=jnp.int32), n_rows))
    changed = parents.at[jnp.arange(len(parents))[:, None], sites].set(values, unique_indices=True)
    return jnp.asarray(space.contains(changed)).reshape(n_rows, n_conn)


# --- shared -----------------------------------------------------------------------------------------------------------


def _pad_sites(changes: Sequence[Sequence[int]], n_sites: int) -> tuple[np.ndarray, np.ndarray]:
    """Sites of every change, filled up to equal length with sites that stay: (conn, changed), and which ones move."""
    width = max((len(change) for change in changes), default=0)
    sites = np.zeros((len(changes), width), np.int32)
    moved = np.zeros((len(changes), width), bool)
    for i, change in enumerate(changes):
        fill = itertools.islice((s for s in range(n_sites) if s not in change), width - len(change))
        sites[i] = [*change, *fill]
        moved[i, : len(change)] = True
    return sites, moved


def _scaled(weight: Array, couplings: Array, index: Array) -> Array:
    """weight * couplings[index], real if both are."""
    dtype = np.promote_types(weight.dtype, couplings.dtype)
    return weight.astype(dtype) * couplings.astype(dtype)[index]


def _n_couplings(index: np.ndarray) -> int:
    return int(np.max(index, initial=-1)) + 1
