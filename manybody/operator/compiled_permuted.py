# SPDX-License-Identifier: Apache-2.0
"""The compiled form of terms times permutations."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from manybody._struct import dataclass, static
from manybody._types import Array, Int
from manybody.hilbert import DiscreteSpace
from manybody.operator import bits
from manybody.operator.compiled import CompiledOperator
from manybody.operator.compiled_bits import BitOperator, compile_bits, pack
from manybody.operator.compiled_matrices import TableOperator, compile_matrices
from manybody.operator.permuted import PermutedTerms


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
        return every, jnp.asarray(self.space.from_levels(levels))

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
        packed = pack(levels).reshape(*stays.shape, -1)  # (samples, conn, words)
        odd = jnp.zeros(values.shape, jnp.uint32)
        for word in range(self.swapped.shape[0]):
            odd ^= packed[:, :, word, None] & self.swapped[word][None]
        pairs = (jax.lax.population_count(odd) & 1) * levels.reshape(values.shape).astype(jnp.uint32)
        return jnp.where(pairs.sum(axis=-1) % 2 == 1, -elements, elements), stays


def compile_permuted(space: DiscreteSpace, terms: PermutedTerms) -> PermutedOperator:
    """Tables in NumPy (all couplings 1)."""
    moves = [u for u, _ in terms.pieces]
    parts, moving = [part for _, part in terms.pieces], [not u.is_identity for u in moves]
    two_level = isinstance(terms.zero, bits.BitTerms)
    compile_terms: Any = compile_bits if two_level else compile_matrices
    inner, piece = compile_terms(space, parts or [terms.zero], moving or [False])
    origin = np.array([u.sites for u in moves], np.int32).reshape(-1, space.size)
    back = [u.inverse().reversed for u in moves]
    reversed_ = np.array([[site in turned for site in range(space.size)] for turned in back], bool)
    pairs = [u.swapped_pairs() for u in moves]
    swapped = np.array([bits.packed(p) for p in pairs], np.uint32).reshape(
        len(moves), space.size, bits.words(space.size)
    )
    return PermutedOperator(
        space,
        inner,
        origin[piece],
        reversed_[piece] if np.any(reversed_) else None,
        np.moveaxis(swapped[piece], -1, 0) if np.any(swapped) else None,
    )
