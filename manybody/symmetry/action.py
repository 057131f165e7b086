# SPDX-License-Identifier: Apache-2.0
"""What permutations do to configurations: T_g |sigma> = sign |g sigma>, with the signs of fermions and boundaries."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._types import Array, Int, Int8
from manybody.symmetry.permutation import PermutationGroup

WORD = 32
PROBES = 8
"""Random configurations with which it is checked that signs multiply as the elements do."""


@runtime_checkable
class Space(Hashable, Protocol):
    """What is read of a space here; see `manybody.hilbert.DiscreteSpace`."""

    @property
    def size(self) -> int: ...
    @property
    def local_dimensions(self) -> tuple[int, ...]: ...
    @property
    def fermions(self) -> tuple[tuple[int, ...], ...]: ...

    def to_levels(self, sigma: Any) -> Any: ...
    def from_levels(self, levels: Any) -> Any: ...
    def random_state(self, key: Any, n: int) -> Any: ...
    def contains(self, sigma: Any) -> Any: ...


class Action:
    """A group of permutations acting on the configurations of a space.

    T_g |sigma> = s_g(sigma) |g sigma>, where g sigma has at g(i) the level that sigma has at i, or the inverted one.
    The sign s_g is the product of the signs of the element for each quantum (each level above the lowest), and for
    fermions of that of the permutation of the occupied modes: T_g c_i^dag T_g^-1 = s_i c_g(i)^dag. An inversion of
    fermions exchanges particles and holes, T c_i^dag T^-1 = s_i c_g(i), and makes the full state from the empty one.

    Args:
        group: permutations of the sites of the space, or of a fraction of them: those of a lattice then act alike on
            every component of fermions and every part of a product that has one site for each of the lattice.
        space: the space.

    Raises:
        ValueError: if the sites do not fit, an element moves a site to one with another number of levels or a mode to
            one of other fermions, leads out of the space, or the signs do not multiply as the elements do.
    """

    def __init__(self, group: PermutationGroup, space: Space) -> None:
        _checks.require_type(group, PermutationGroup, "group")
        fits = space.size % group.n_sites == 0
        must = f"act on {space.size} sites, or a fraction of them"
        _checks.require(fits, "group", must, f"{group.n_sites} sites")
        self.group, self.space = group, space
        _check_sites(self)
        _check_space(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Action) and (self.group, self.space) == (other.group, other.space)

    def __hash__(self) -> int:
        return hash((self.group, self.space))

    @cached_property
    def sites(self) -> Int[np.ndarray, "order size"]:
        """Where each site of the space goes."""
        return _repeated(self.group.sites, self.space.size, shift=True)

    @cached_property
    def has_signs(self) -> bool:
        """Whether any configuration may get the sign -1."""
        return bool(self._odd.any() or self._crossings.any())

    def images(
        self, sigma: Int8[Array, "*batch size"], elements: Sequence[int] | None = None
    ) -> Int8[Array, "*batch elements size"]:
        """g sigma for all elements, or some of them."""
        chosen = np.arange(self.group.order) if elements is None else np.asarray(elements)
        back = np.argsort(self.sites[chosen], axis=1)
        inverts = self.group.inverts[chosen]
        if not inverts.any() and len(set(self.space.local_dimensions)) == 1 and self._values_are_alike:
            return jnp.asarray(sigma)[..., back]
        top = jnp.asarray(np.array(self.space.local_dimensions) - 1, jnp.int32)[None, :]
        turns = jnp.asarray(inverts)[:, None]

        def of_one(levels: Array) -> Array:
            moved = levels[back]  # (elements, size)
            return jnp.where(turns, top - moved, moved)

        levels = jnp.asarray(self.space.to_levels(sigma))
        return jnp.asarray(self.space.from_levels(jnp.vectorize(of_one, signature="(n)->(g,n)")(levels)))

    def signs(
        self, sigma: Int8[Array, "*batch size"], elements: Sequence[int] | None = None
    ) -> Int8[Array, "*batch elements"]:
        """s_g(sigma) for all elements, or some of them, 1 or -1."""
        chosen = np.arange(self.group.order) if elements is None else np.asarray(elements)
        odd, crossings = jnp.asarray(self._odd[chosen]), jnp.asarray(self._crossings[chosen])
        fermions = bool(self.space.fermions)

        def of_one(levels: Array) -> Array:
            exponent = jnp.sum(levels[None, :] * odd, axis=1, dtype=jnp.int32)
            if fermions:
                occupied = (levels > 0)[None, :, None]
                passed = jax.lax.reduce_xor(jnp.where(occupied, crossings, jnp.uint32(0)), (1,))  # (elements, words)
                pairs = jax.lax.population_count(passed & _packed(levels)[None, :])
                exponent = exponent + jnp.sum(pairs.astype(jnp.int32), axis=1, dtype=jnp.int32)
            return (1 - 2 * (exponent & 1)).astype(jnp.int8)

        levels = jnp.asarray(self.space.to_levels(sigma)).astype(jnp.int32)
        return jnp.vectorize(of_one, signature="(n)->(g)")(levels)

    # --- in NumPy, one element for each configuration ----------------------------------------------------------------

    def moved_levels(self, levels: Int[np.ndarray, "*batch size"], element: int) -> Int[np.ndarray, "*batch size"]:
        """Levels of g sigma from those of sigma."""
        moved = levels[..., np.argsort(self.sites[element])]
        return np.array(self.space.local_dimensions) - 1 - moved if self.group.inverts[element] else moved

    def level_signs(
        self, levels: Int[np.ndarray, "*batch size"], elements: Int[np.ndarray, "*batch"] | int
    ) -> Int[np.ndarray, "*batch"]:
        """s_g(sigma), 1 or -1, of elements and configurations that broadcast."""
        shape = np.broadcast_shapes(levels.shape[:-1], np.shape(elements))
        if not self.has_signs:
            return np.ones(shape, np.int8)
        odd = (levels * self._odd[elements]).sum(axis=-1) & 1
        if self._crossings.any():
            occupied = levels > 0
            passed = np.zeros((*shape, self._crossings.shape[2]), np.uint32)
            for site in range(levels.shape[-1]):  # one by one, to need little memory
                passed ^= np.where(occupied[..., site, None], self._crossings[elements, site], np.uint32(0))
            pairs = np.bitwise_count(passed & _packed_rows(occupied)).sum(axis=-1)
            odd = odd ^ (pairs.astype(odd.dtype) & 1)
        return (1 - 2 * odd).astype(np.int8)

    @property
    def _values_are_alike(self) -> bool:
        """Whether a level has the same value on all sites, so that values can be moved as they are."""
        levels = np.zeros((max(self.space.local_dimensions), self.space.size), int)
        levels += np.arange(len(levels))[:, None]
        values = np.asarray(self.space.from_levels(levels))
        return bool(np.all(values == values[:, :1]))

    @cached_property
    def _odd(self) -> np.ndarray:
        """1 where a quantum on a site gives a sign, (order, size)."""
        odd = (_repeated(self.group.signs, self.space.size, shift=False) < 0).astype(np.int32)
        place = np.zeros(self.space.size, np.int32)
        for modes in self.space.fermions:
            place[list(modes)] = np.arange(len(modes)) % 2  # a hole passes the modes before it
        return odd ^ (self.group.inverts[:, None] & (place == 1))

    @cached_property
    def _crossings(self) -> np.ndarray:
        """For every element and mode the modes before it that get behind it, as bits, (order, size, words)."""
        n_words = -(-self.space.size // WORD)
        found = np.zeros((self.group.order, self.space.size, n_words), np.uint32)
        for modes in map(np.array, self.space.fermions):
            targets = self.sites[:, modes]  # (order, modes)
            for i, mode in enumerate(modes):
                behind = targets[:, :i] > targets[:, i : i + 1]  # (order, i)
                for j, other in enumerate(modes[:i]):
                    found[:, mode, other // WORD] |= behind[:, j].astype(np.uint32) << np.uint32(other % WORD)
        return found


@functools.lru_cache(maxsize=64)
def action_on(space: Space, group: PermutationGroup) -> Action:
    """The action of a group on a space, made once: its checks take a moment."""
    return Action(group, space)


def _repeated(rows: np.ndarray, size: int, shift: bool) -> np.ndarray:
    """Rows (order, n_sites) for each of the size / n_sites parts of a space; sites are shifted to their part."""
    n_sites = rows.shape[1]
    return np.concatenate([rows + shift * start for start in range(0, size, n_sites)], axis=1)


def _packed_rows(occupied: np.ndarray) -> np.ndarray:
    """Bits, uint32 (..., words), of flags (..., size)."""
    pad = [(0, 0)] * (occupied.ndim - 1) + [(0, -occupied.shape[-1] % WORD)]
    packed = np.packbits(np.pad(occupied, pad), axis=-1, bitorder="little")
    return np.ascontiguousarray(packed).view("<u4").astype(np.uint32)


def _packed(levels: Array) -> Array:
    """Bits (words,) of the sites that are not empty (size,)."""
    bits = jnp.pad(levels > 0, (0, -levels.shape[0] % WORD)).reshape(-1, WORD).astype(jnp.uint32)
    return jnp.sum(bits << jnp.arange(WORD, dtype=jnp.uint32)[None, :], axis=1, dtype=jnp.uint32)


def _check_sites(action: Action) -> None:
    """Raise `ValueError` if levels or fermions are mixed up."""
    dimensions = np.array(action.space.local_dimensions)
    same = bool(np.all(dimensions[action.sites] == dimensions))
    _checks.require(same, "group", "move sites to sites with as many levels", action.group)
    for modes in action.space.fermions:
        together = np.isin(action.sites[:, list(modes)], modes).all()
        _checks.require(bool(together), "group", "keep fermions together", action.group)


def _check_space(action: Action) -> None:
    """Raise `ValueError` if random configurations leave the space, or show that the signs are no representation."""
    group = action.group
    with jax.ensure_compile_time_eval():  # an ansatz may make its action while it is traced
        sigma = np.asarray(action.space.random_state(jax.random.key(0), PROBES))
    levels = np.asarray(action.space.to_levels(sigma))
    products = group.multiply(np.arange(group.order), group.generators[:, None])  # T_h T_g = T_hg
    every = np.arange(group.order)[:, None]
    own = action.level_signs(levels[None], every) if action.has_signs else None  # (order, probes)
    for g, product in zip(group.generators, products, strict=True):
        moved = action.moved_levels(levels, g)
        inside = bool(np.all(np.asarray(action.space.contains(action.space.from_levels(moved)))))
        _checks.require(inside, "group", f"not lead out of {action.space!r}", group)
        if own is not None:
            same = np.array_equal(action.level_signs(moved[None], every) * own[g], own[product])
            cure = "For another number of fermions, or boundaries of the other kind, it may be."
            _checks.require(same, "group", f"be represented on {action.space!r} with its signs", group, cure)
