# SPDX-License-Identifier: Apache-2.0
"""Compiled operators: rows grouped by the change they make, evaluated for a batch of configurations.

All rows of one group lead from sigma to the same sigma', and different groups lead to different ones, so a sample has
no duplicate connections and an amplitude is a sum over the rows of a group. Couplings enter as an array: other values
need no compilation.
"""

from __future__ import annotations

import abc
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from manybody._struct import dataclass, static
from manybody._types import Array, Inexact, Int, Int8
from manybody.hilbert import DiscreteSpace
from manybody.hilbert.local import levels_of, values_at
from manybody.operator.bits import WORD, BitTerms, pack_sites, packed, unpack_sites, words
from manybody.operator.matrices import MatrixTerms, Place, local_levels
from manybody.operator.permuted import PermutedTerms


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

    @property
    def may_repeat(self) -> bool:
        """Static: whether two connections of a configuration may lead to the same one; their elements add up."""
        return False

    @abc.abstractmethod
    def diagonal(self, sigma: Int8[Array, "samples sites"]) -> Inexact[Array, "samples"]:
        """<sigma|O|sigma>."""

    @abc.abstractmethod
    def elements(self, sigma: Int8[Array, "samples sites"]) -> Inexact[Array, "samples conn"]:
        """<sigma|O|sigma'> of all connections."""

    @abc.abstractmethod
    def change(self, sigma: Int8[Array, "rows sites"], conn: Int[Array, "rows"]) -> tuple[Array, Array]:
        """Sites (rows, changed) and values (rows, changed) of connection number `conn` of each configuration."""

    def changes(self, sigma: Int8[Array, "samples sites"]) -> tuple[Array, Array]:
        """Sites and values (samples, conn, changed) of all connections."""
        n_rows, n_conn = sigma.shape[0], self.n_connections
        conn = jnp.tile(jnp.arange(n_conn, dtype=jnp.int32), n_rows)
        sites, values = self.change(jnp.repeat(sigma, n_conn, axis=0), conn)
        shape = (n_rows, n_conn, sites.shape[-1])
        return sites.reshape(shape), values.reshape(shape)

    def codes(
        self, space: DiscreteSpace, sigma: Int8[Array, "samples sites"], place: np.ndarray
    ) -> Int[Array, "samples conn"]:
        """Mixed-radix numbers, sum(place * level), of all configurations that sigma is connected to.

        Args:
            space: the space of the operator.
            sigma: configurations.
            place: integers (sites,), place values of the digits; 0 for sites that do not count.
        """
        levels, weights = space.to_levels(sigma), jnp.asarray(place)
        sites, values = self.changes(sigma)
        old = jnp.take_along_axis(levels[:, None, :], sites, axis=-1)
        moved = levels_of(space, sites, values) - old
        code = (levels.astype(weights.dtype) * weights[None]).sum(axis=-1, dtype=weights.dtype)
        return code[:, None] + (moved.astype(weights.dtype) * weights[sites]).sum(axis=-1, dtype=weights.dtype)

    def connections(self, sigma: Int8[Array, "samples sites"]) -> Connections:
        """All connections of a batch."""
        return Connections(*self.changes(sigma), self.elements(sigma))


class _Layers(NamedTuple):
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


_MAX_BLOCKS = 8
"""Different widths of layers; if there are more, groups are filled up to powers of two."""


def _in_layers(group: np.ndarray, n_groups: int) -> _Layers:
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
    return _Layers(number, np.concatenate([np.zeros(0, int), *order]), blocks)


def _sum_layers(blocks: tuple[tuple[int, int], ...], rows: Callable[[int, int], Array]) -> Array:
    """Sums over the rows of each group, (samples, groups), of what rows(start, stop) gives, (samples, stop - start)."""
    total, start = None, 0
    for layers, width in blocks:
        stop = start + layers * width
        part = rows(start, stop)
        part = part.reshape(part.shape[0], layers, width).sum(axis=1)
        start = stop
        total = part if total is None else jnp.concatenate([total[:, :width] + part, total[:, width:]], axis=1)
    return rows(0, 0) if total is None else total


# --- two-level sites --------------------------------------------------------------------------------------------------


@dataclass
class _Rows:
    """Masks (words, rows), weights (rows,) and coupling numbers (rows,) of rows on packed bits."""

    need: Array
    value: Array
    sign: Array | None  # None if no row has one
    weight: Array
    coupling: Array

    def part(self, start: int, stop: int) -> _Rows:
        """Some of the rows."""
        return jax.tree.map(lambda field: field[..., start:stop], self)

    def evaluate(self, packed: Array, couplings: Array) -> Array:
        """Packed configurations (samples, words) -> weights of the rows (samples, rows)."""
        legal = jnp.ones((packed.shape[0], self.weight.shape[0]), bool)
        for w in range(self.need.shape[0]):
            legal &= (packed[:, w, None] & self.need[None, w]) == self.value[None, w]
        coefficient = _scaled(self.weight, couplings, self.coupling)[None, :]
        if self.sign is not None:
            coefficient = jnp.where(_is_odd(packed, self.sign), -coefficient, coefficient)
        return jnp.where(legal, coefficient, jnp.zeros((), coefficient.dtype))


@dataclass
class BitOperator(CompiledOperator):
    """Compiled form of `BitTerms`."""

    space: DiscreteSpace = static()
    on_diagonal: _Rows
    off_diagonal: _Rows
    blocks: tuple[tuple[int, int], ...] = static()
    sites: Int[Array, "conn changed"]
    flips: Array  # (conn, changed) whether the site flips or only fills up
    couplings: Array

    def with_couplings(self, couplings: Array) -> Self:
        """The same with other couplings."""
        return self.replace(couplings=couplings)

    @property
    def n_connections(self) -> int:
        return self.sites.shape[0]

    def diagonal(self, sigma: Array) -> Array:
        return self.on_diagonal.evaluate(pack(self.space.to_levels(sigma)), self.couplings).sum(axis=-1)

    def elements(self, sigma: Array) -> Array:
        packed = pack(self.space.to_levels(sigma))
        return _sum_layers(
            self.blocks, lambda start, stop: self.off_diagonal.part(start, stop).evaluate(packed, self.couplings)
        )

    def change(self, sigma: Array, conn: Array) -> tuple[Array, Array]:
        sites = self.sites[conn]
        levels = self.space.to_levels(sigma)
        old = jnp.take_along_axis(levels, sites, axis=-1)
        return sites, values_at(self.space, sites, jnp.where(self.flips[conn], 1 - old, old))

    def changes(self, sigma: Array) -> tuple[Array, Array]:
        old = self.space.to_levels(sigma)[:, self.sites]  # (samples, conn, changed)
        sites = jnp.broadcast_to(self.sites, old.shape)
        return sites, values_at(self.space, sites, jnp.where(self.flips[None], 1 - old, old))

    def codes(self, space: DiscreteSpace, sigma: Array, place: np.ndarray) -> Array:
        weights = jnp.asarray(place)
        code = (space.to_levels(sigma).astype(weights.dtype) * weights[None]).sum(axis=-1, dtype=weights.dtype)
        flip = jnp.where(self.flips, weights[self.sites], 0).sum(axis=-1, dtype=weights.dtype)
        return code[:, None] ^ flip[None]  # the digits of two-level sites are bits


def compile_bits(
    space: DiscreteSpace, pieces: Sequence[BitTerms], moving: Sequence[bool] = (False,)
) -> tuple[BitOperator, np.ndarray]:
    """Group rows by their flip, as tables in NumPy.

    Args:
        space: in a constrained space every flipped site gets a condition where it matters, so that elements to
            configurations outside the sector are exactly zero.
        pieces: the rows; the element <sigma|O|sigma'> of row `|x^f><x|` is read at sigma' and so the adjoint is stored.
            Those of different pieces are not put together.
        moving: for each piece, whether its rows are connections even if they flip nothing.

    Returns:
        The tables, with all couplings 1 (replace them), and the piece of each connection.
    """
    # <sigma|O|sigma'> = conj <sigma'|O^dagger|sigma>: rows that start from sigma
    started = [terms.adjoint() for terms in pieces]
    if space.sectors:
        started = [rows.within(space.sectors) for rows in started]
    piece = np.repeat(np.arange(len(pieces), dtype=np.uint32), [len(rows.weight) for rows in started])
    masks = np.concatenate([rows.masks for rows in started], axis=1)
    coupling = np.concatenate([rows.coupling for rows in started])
    weight = np.conj(np.concatenate([rows.weight for rows in started]))

    def rows(select: np.ndarray) -> _Rows:
        """Rows with these numbers; -1 stands for a row of zeros."""
        _, need, value, sign = (np.ascontiguousarray(mask[select].T) for mask in masks)
        chosen = np.where(select >= 0, weight[select], 0)
        return _Rows(need, value, sign if np.any(sign) else None, chosen, coupling[select])

    diagonal = ~np.any(masks[0] != 0, axis=1) & ~np.array(moving)[piece]
    keys = np.concatenate([piece[:, None], masks[0]], axis=1)
    changes, group = np.unique(keys[~diagonal], axis=0, return_inverse=True)
    layers = _in_layers(group.ravel(), len(changes))
    changes = changes[np.argsort(layers.number)]
    sites, flipped = _pad_sites([unpack_sites(flip) for flip in changes[:, 1:]], space.size)
    operator = BitOperator(
        space,
        rows(np.flatnonzero(diagonal)),
        rows(np.append(np.flatnonzero(~diagonal), -1)[layers.order]),
        layers.blocks,
        sites,
        flipped,
        np.ones(_n_couplings(coupling)),
    )
    return operator, changes[:, 0].astype(np.int32)


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

    def part(self, start: int, stop: int) -> _Tables:
        """Some of the rows."""
        string = None if self.string is None else self.string[:, start:stop]
        rows = {name: getattr(self, name)[start:stop] for name in ("sites", "strides", "offset", "coupling")}
        return self.replace(**rows, string=string)

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
    blocks: tuple[tuple[int, int], ...] = static()
    sites: Int[Array, "conn changed"]
    shifts: Int[Array, "conn changed"]
    dimensions: Int[Array, "sites"]
    couplings: Array

    def with_couplings(self, couplings: Array) -> Self:
        """The same with other couplings."""
        return self.replace(couplings=couplings)

    @property
    def n_connections(self) -> int:
        return self.sites.shape[0]

    def diagonal(self, sigma: Array) -> Array:
        return self.on_diagonal.evaluate(self.space.to_levels(sigma), self.couplings).sum(axis=-1)

    def elements(self, sigma: Array) -> Array:
        levels = self.space.to_levels(sigma)
        return _sum_layers(
            self.blocks, lambda start, stop: self.off_diagonal.part(start, stop).evaluate(levels, self.couplings)
        )

    def change(self, sigma: Array, conn: Array) -> tuple[Array, Array]:
        sites = self.sites[conn]
        old = jnp.take_along_axis(self.space.to_levels(sigma), sites, axis=-1)
        new = (old + self.shifts[conn]) % self.dimensions[sites]
        return sites, values_at(self.space, sites, new)

    def changes(self, sigma: Array) -> tuple[Array, Array]:
        old = self.space.to_levels(sigma)[:, self.sites]  # (samples, conn, changed)
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
    layers = _in_layers(np.array([number[change] for change, *_ in off], int), len(changes))
    changes = [changes[i] for i in np.argsort(layers.number)]
    zeros = (None, Place((), (), 0), [], np.zeros(1))
    off = [off[i] if i >= 0 else zeros for i in layers.order]
    sites, moved = _pad_sites([[s for s, _ in change] for _, change in changes], space.size)
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
        np.ones(_n_couplings(np.array([place.coupling for terms in pieces for place in terms.terms], int))),
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


# --- constrained spaces ----------------------------------------------------------------------------------------------


@dataclass
class ProjectedOperator(CompiledOperator):
    """P (inner) P, where P projects on the legal configurations of a space with more than sums of levels to keep."""

    inner: BitOperator | TableOperator | PermutedOperator
    space: DiscreteSpace = static()

    @property
    def n_connections(self) -> int:
        return self.inner.n_connections

    @property
    def may_repeat(self) -> bool:
        return self.inner.may_repeat

    def diagonal(self, sigma: Array) -> Array:
        return self.inner.diagonal(sigma)

    def elements(self, sigma: Array) -> Array:
        elements = self.inner.elements(sigma)
        return jnp.where(connected_are_legal(self.space, self.inner, sigma), elements, jnp.zeros_like(elements))

    def change(self, sigma: Array, conn: Array) -> tuple[Array, Array]:
        return self.inner.change(sigma, conn)

    def changes(self, sigma: Array) -> tuple[Array, Array]:
        return self.inner.changes(sigma)

    def codes(self, space: DiscreteSpace, sigma: Array, place: np.ndarray) -> Array:
        return self.inner.codes(space, sigma, place)


def connected_are_legal(space: DiscreteSpace, compiled: CompiledOperator, sigma: Array) -> Array:
    """Whether the connections (samples, conn) of configurations lead to legal ones."""
    n_rows, n_conn = sigma.shape[0], compiled.n_connections
    if n_conn == 0:
        return jnp.ones((n_rows, 0), bool)
    return jnp.asarray(space.contains(connected(sigma, *compiled.changes(sigma))))


def connected(sigma: Array, sites: Array, values: Array) -> Array:
    """Configurations (samples, conn, sites) in which `sites` (samples, conn, changed) got other values."""
    n_rows, n_conn, width = sites.shape
    parents = jnp.repeat(sigma, n_conn, axis=0)  # (samples * conn, sites)
    rows, columns = jnp.arange(len(parents))[:, None], sites.reshape(-1, width)
    changed = parents.at[rows, columns].set(values.reshape(-1, width), unique_indices=True)
    return changed.reshape(n_rows, n_conn, sigma.shape[1])


# --- permutations -----------------------------------------------------------------------------------------------------


@dataclass
class PermutedOperator(CompiledOperator):
    """Compiled form of `PermutedTerms`: after the change of the inner operator, the sites move back by U^dagger.

    Connections of different pieces may lead to the same configuration; they add up.
    """

    space: DiscreteSpace = static()
    inner: BitOperator | TableOperator
    origin: Int[Array, "conn sites"]  # site i of sigma' has what site origin[i] had before it moved back
    reversed: Array | None  # bool (conn, sites), of sigma', which levels are reversed; None if none are
    swapped: Array | None  # uint32 (words, conn, sites), masks of the modes that site i changes places with

    @property
    def n_connections(self) -> int:
        return self.inner.n_connections

    @property
    def may_repeat(self) -> bool:
        return True

    @property
    def couplings(self) -> Array:
        """Those of the terms."""
        return self.inner.couplings

    def with_couplings(self, couplings: Array) -> PermutedOperator:
        """The same with other couplings."""
        return self.replace(inner=self.inner.with_couplings(couplings))

    def diagonal(self, sigma: Array) -> Array:
        elements, stays = self._elements(sigma)
        diagonal = self.inner.diagonal(sigma)
        dtype = np.promote_types(diagonal.dtype, elements.dtype)
        zero = jnp.zeros((), dtype)
        return diagonal.astype(dtype) + jnp.where(stays, elements.astype(dtype), zero).sum(axis=-1)

    def elements(self, sigma: Array) -> Array:
        elements, stays = self._elements(sigma)
        return jnp.where(stays, jnp.zeros((), elements.dtype), elements)

    def change(self, sigma: Array, conn: Array) -> tuple[Array, Array]:
        sites, values = self.inner.change(sigma, conn)
        changed = sigma.at[jnp.arange(len(sigma))[:, None], sites].set(values, unique_indices=True)
        levels = self._back(self.space.to_levels(changed), conn)
        every = jnp.broadcast_to(jnp.arange(self.space.size, dtype=jnp.int32), levels.shape)
        return every, self.space.from_levels(levels)

    def _back(self, levels: Array, conn: Array) -> Array:
        """Levels (rows, sites) before U of connection (rows,)."""
        levels = jnp.take_along_axis(levels, self.origin[conn], axis=-1)
        if self.reversed is None:
            return levels
        top = jnp.asarray(np.array(self.space.local_dimensions, np.int32)) - 1
        return jnp.where(self.reversed[conn], top[None] - levels, levels)

    def _elements(self, sigma: Array) -> tuple[Array, Array]:
        """Elements (samples, conn), and where they belong to the diagonal."""
        _, values = self.changes(sigma)
        elements, stays = self.inner.elements(sigma), (values == sigma[:, None]).all(axis=-1)
        if self.swapped is None:
            return elements, stays
        levels = self.space.to_levels(values.reshape(-1, values.shape[-1]))
        words = pack(levels).reshape(*stays.shape, -1)  # (samples, conn, words)
        odd = jnp.zeros(values.shape, jnp.uint32)
        for word in range(self.swapped.shape[0]):
            odd ^= words[:, :, word, None] & self.swapped[word][None]
        pairs = (jax.lax.population_count(odd) & 1) * levels.reshape(values.shape).astype(jnp.uint32)
        return jnp.where(pairs.sum(axis=-1) % 2 == 1, -elements, elements), stays


def compile_permuted(space: DiscreteSpace, terms: PermutedTerms) -> PermutedOperator:
    """Tables in NumPy (all couplings 1)."""
    moves = [u for u, _ in terms.pieces]
    parts, moving = [part for _, part in terms.pieces], [not u.is_identity for u in moves]
    two_level = isinstance(terms.zero, BitTerms)
    compile_terms: Any = compile_bits if two_level else compile_matrices
    inner, piece = compile_terms(space, parts or [terms.zero], moving or [False])
    origin = np.array([u.sites for u in moves], np.int32).reshape(-1, space.size)
    back = [u.inverse().reversed for u in moves]
    reversed_ = np.array([[site in turned for site in range(space.size)] for turned in back], bool)
    pairs = [u.swapped_pairs() for u in moves]
    swapped = np.array([packed(p) for p in pairs], np.uint32).reshape(len(moves), space.size, words(space.size))
    return PermutedOperator(
        space,
        inner,
        origin[piece],
        reversed_[piece] if np.any(reversed_) else None,
        np.moveaxis(swapped[piece], -1, 0) if np.any(swapped) else None,
    )


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
