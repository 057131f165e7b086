# SPDX-License-Identifier: Apache-2.0
"""The compiled form of rows of masks: integer operations on packed bits."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from manybody._struct import dataclass, static
from manybody._types import Array, Int
from manybody.hilbert import DiscreteSpace
from manybody.hilbert.local import levels_at, values_at
from manybody.operator.bits import WORD, BitTerms, unpack_sites
from manybody.operator.compiled import CompiledOperator
from manybody.operator.layers import in_layers, n_couplings, pad_sites, scaled, sum_layers

_FEW_WORDS = 8
"""Up to so many words a bit is read by asking each of them."""


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

    def scaled(self, couplings: Array) -> _Rows:
        """The rows with their couplings made part of the weights."""
        return _Rows(self.need, self.value, self.sign, scaled(self.weight, couplings, self.coupling), self.coupling)

    def evaluate(self, packed: Array) -> Array:
        """Packed configurations (samples, words) -> weights of the rows (samples, rows)."""
        legal = jnp.ones((packed.shape[0], self.weight.shape[0]), bool)
        for w in range(self.need.shape[0]):
            legal &= (packed[:, w, None] & self.need[None, w]) == self.value[None, w]
        coefficient = self.weight[None, :]
        if self.sign is not None:
            coefficient = jnp.where(is_odd(packed, self.sign), -coefficient, coefficient)
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
    never_vanishes: bool = static(default=False)

    def with_couplings(self, couplings: Array) -> BitOperator:
        """The same with other couplings."""
        return self.replace(couplings=couplings)

    @property
    def n_connections(self) -> int:
        return self.sites.shape[0]

    def diagonal(self, sigma: Array) -> Array:
        packed = pack(jnp.asarray(self.space.to_levels(sigma)))
        return self.on_diagonal.scaled(self.couplings).evaluate(packed).sum(axis=-1)

    def elements(self, sigma: Array) -> Array:
        packed = pack(jnp.asarray(self.space.to_levels(sigma)))
        every = self.off_diagonal.scaled(self.couplings)
        return sum_layers(self.blocks, lambda start, stop: every.part(start, stop).evaluate(packed))

    def change(self, sigma: Array, conn: Array) -> tuple[Array, Array]:
        sites = self.sites[conn]
        old = levels_at(self.space, sigma, sites)
        return sites, values_at(self.space, sites, jnp.where(self.flips[conn], 1 - old, old))

    def changes(self, sigma: Array) -> tuple[Array, Array]:
        old = _bits_at(pack(jnp.asarray(self.space.to_levels(sigma))), self.sites)  # (samples, conn, changed)
        sites = jnp.broadcast_to(self.sites, old.shape)
        return sites, values_at(self.space, sites, jnp.where(self.flips[None], 1 - old, old))

    def codes(self, space: DiscreteSpace, sigma: Array, place: np.ndarray) -> Array:
        weights = jnp.asarray(place)
        code = (jnp.asarray(space.to_levels(sigma)).astype(weights.dtype) * weights[None]).sum(
            axis=-1, dtype=weights.dtype
        )
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
    layers = in_layers(group.ravel(), len(changes))
    changes = changes[np.argsort(layers.number)]
    sites, flipped = pad_sites([unpack_sites(flip) for flip in changes[:, 1:]], space.size)
    off_diagonal = rows(np.append(np.flatnonzero(~diagonal), -1)[layers.order])
    operator = BitOperator(
        space,
        rows(np.flatnonzero(diagonal)),
        off_diagonal,
        layers.blocks,
        sites,
        flipped,
        np.ones(n_couplings(coupling)),
        len(group) == len(changes) and not off_diagonal.need.any() and bool(off_diagonal.weight.all()),
    )
    return operator, changes[:, 0].astype(np.int32)


def pack(levels: Int[Array, "samples sites"]) -> Array:
    """Levels modulo 2 as bits: uint32 (samples, words)."""
    bit = jnp.pad(levels.astype(jnp.uint32) & 1, ((0, 0), (0, -levels.shape[1] % WORD)))
    place = jnp.arange(WORD, dtype=jnp.uint32)
    return (bit.reshape(len(bit), -1, WORD) << place[None, None]).sum(axis=-1, dtype=jnp.uint32)


def _bits_at(packed: Array, sites: Array) -> Array:
    """Bits, int32 (samples, conn, changed), of packed configurations (samples, words) at sites (conn, changed)."""
    word, place = sites // WORD, (sites % WORD).astype(jnp.uint32)
    shifted = (packed[:, w, None, None] >> place[None] for w in range(packed.shape[1]))
    if packed.shape[1] <= _FEW_WORDS:  # arithmetic is cheaper than a look-up
        chosen = [jnp.where(word[None] == w, bits, jnp.uint32(0)) for w, bits in enumerate(shifted)]
        return (functools.reduce(jnp.bitwise_or, chosen) & 1).astype(jnp.int32)
    return (packed[:, word] >> place[None] & 1).astype(jnp.int32)


def is_odd(packed: Array, masks: Array) -> Array:
    """Whether an odd number of bits (samples, words) is set among those of each mask (words, rows): (samples, rows)."""
    odd = jnp.zeros((packed.shape[0], masks.shape[1]), jnp.uint32)
    for w in range(masks.shape[0]):
        odd ^= packed[:, w, None] & masks[None, w]
    return (jax.lax.population_count(odd) & 1) == 1
