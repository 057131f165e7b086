# SPDX-License-Identifier: Apache-2.0
"""What a Hilbert space is to the rest of the library.

A space says which configurations are legal, numbers them if they can be numbered, and draws random ones. Operators,
samplers and exact methods see only these two interfaces.
"""

from __future__ import annotations

import abc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from manybody._checks import integer, require, requirement
from manybody._types import Array, Bool, Int, Int8, Num, PRNGKey
from manybody.hilbert.arrays import AnyArray, as_integers, max_index, namespace
from manybody.hilbert.counting import Layout, SumSector, n_configurations
from manybody.hilbert.drawing import draw_levels
from manybody.hilbert.halves import IndexPart
from manybody.hilbert.ranking import BLOCK, index_parts, rank, unrank


class HilbertSpace(abc.ABC):
    """A set of configurations over which wave functions are defined.

    Spaces are immutable and compare and hash by content, so that they can be static arguments of jitted functions.
    """

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """Number of degrees of freedom: the length of the last axis of a configuration."""

    @abc.abstractmethod
    def random_state(self, key: PRNGKey, n: int) -> Num[Array, "n sites"]:
        """Draw `n` independent random configurations; works inside jit and vmap, `n` is static.

        Args:
            key: a typed key, as `jax.random.key` makes it.
            n: number of configurations.

        Returns:
            Legal configurations (n, sites).
        """

    @abc.abstractmethod
    def contains(self, sigma: Num[AnyArray, "*batch sites"]) -> Bool[AnyArray, "*batch"]:
        """Tell which of the configurations (..., sites) are legal; works inside jit."""


class DiscreteSpace(HilbertSpace):
    """Configurations of sites with finitely many levels each, possibly at fixed sums of levels.

    A *level* numbers the values of one site from 0 in the order of the local basis. A subclass says how many levels
    each site has, how values and levels translate, and which sums of levels are fixed; all else follows here. A space
    with other constraints as well, or one made of others, says so in `has_only_sectors`, and counts, numbers, draws and
    judges levels in its own way: it replaces `n_states`, `is_indexable`, `rank_levels`, `unrank_levels`, `index_parts`,
    `draw_levels` and `are_legal`, which expect arguments that are checked.

    States are numbered in lexicographic order of their levels, first site most significant: without sectors this is
    the order of Kronecker products, in a sector the rank among the legal configurations.

    Methods that take configurations work on NumPy arrays, with NumPy, and on JAX arrays, inside jit. NumPy input is
    checked; of JAX input only shape and dtype can be, and an illegal configuration gives an undefined index.
    """

    @property
    @abc.abstractmethod
    def local_dimensions(self) -> tuple[int, ...]:
        """Number of levels of each site."""

    @property
    @abc.abstractmethod
    def sectors(self) -> tuple[SumSector, ...]:
        """The fixed sums of levels, on disjoint sets of sites; empty if every choice of levels is legal."""

    @abc.abstractmethod
    def to_levels(self, sigma: Int[AnyArray, "*batch sites"]) -> Int[AnyArray, "*batch sites"]:
        """Levels, int32 (..., sites), of the values of configurations (..., sites).

        An illegal value gets a level out of range, or one that `from_levels` does not lead back from.
        """

    @abc.abstractmethod
    def from_levels(self, levels: Int[AnyArray, "*batch sites"]) -> Int8[AnyArray, "*batch sites"]:
        """Configurations, int8 (..., sites), with these levels (..., sites)."""

    @property
    def has_only_sectors(self) -> bool:
        """Whether every choice of levels with the right sums is legal; if not, a change must be asked of `contains`."""
        return True

    @property
    def numbers(self) -> dict[str, tuple[int, ...]]:
        """Sums of levels that have a name, and their sites, ascending."""
        return {}

    @property
    def fermions(self) -> tuple[tuple[int, ...], ...]:
        """Sets of sites, ascending, that are fermionic modes; those of one set anticommute with one another."""
        return ()

    @property
    def size(self) -> int:
        """Number of sites."""
        return len(self.local_dimensions)

    @property
    def n_states(self) -> int:
        """Number of legal configurations: exact, a Python integer of any size."""
        return n_configurations(self._layout)

    @property
    def is_indexable(self) -> bool:
        """Whether the states can be numbered by 64-bit integers: n_states < 2**63."""
        return self.n_states < max_index()

    def states_to_index(self, sigma: Int[AnyArray, "*batch sites"]) -> Int[AnyArray, "*batch"]:
        """Index of each configuration.

        Args:
            sigma: legal configurations (..., sites). Illegal ones in a JAX array give an undefined index.

        Returns:
            int64 (...), between 0 and n_states - 1.

        Raises:
            ValueError: if the space is not indexable, or a NumPy configuration is illegal.
        """
        sigma = self._as_configurations(sigma)
        self._require_indexable(sigma)
        if isinstance(sigma, np.ndarray):
            legal = self.contains(sigma)
            if not legal.all():
                first = sigma.reshape(-1, self.size)[np.argmin(legal.reshape(-1))]
                raise ValueError(requirement("sigma", f"hold configurations of {self}", np.array2string(first)))
        return self.rank_levels(self.to_levels(sigma))

    def index_to_states(self, index: Int[AnyArray, "*batch"] | int) -> Int8[AnyArray, "*batch sites"]:
        """The configurations with these indices: the inverse of `states_to_index`.

        Args:
            index: integers (...) between 0 and n_states - 1. Others in a JAX array give undefined configurations.

        Returns:
            int8 (..., sites).

        Raises:
            ValueError: if the space is not indexable, or a NumPy index is out of range.
        """
        index = as_integers(index, "index")
        self._require_indexable(index)
        if isinstance(index, np.ndarray):
            legal = (index >= 0) & (index < self.n_states)
            if not legal.all():
                first = index.reshape(-1)[np.argmin(legal.reshape(-1))]
                raise ValueError(requirement("index", f"satisfy 0 <= index < n_states ({self.n_states})", first))
            index = index.astype(np.int64)
        return self.from_levels(self.unrank_levels(index))

    def all_states(self) -> Int8[np.ndarray, "states sites"]:
        """All legal configurations, int8 (n_states, sites), in the order of their indices.

        Raises:
            ValueError: if the space is not indexable.
        """
        self._require_indexable()
        states = np.empty((self.n_states, self.size), np.int8)
        for start in range(0, self.n_states, BLOCK):
            stop = min(start + BLOCK, self.n_states)
            states[start:stop] = self.index_to_states(np.arange(start, stop))
        return states

    def random_state(self, key: PRNGKey, n: int) -> Int8[Array, "n sites"]:
        """Draw `n` independent configurations, each legal one with the same probability."""
        is_array = isinstance(key, jax.Array)
        if not is_array or key.ndim or not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
            got = f"{key.dtype} of shape {key.shape}" if is_array else type(key).__name__
            raise TypeError(requirement("key", "be one typed key", got, "Make one with jax.random.key(seed)."))
        return jnp.asarray(self.from_levels(self.draw_levels(key, integer(n, "n", minimum=0))))

    def contains(self, sigma: Int[AnyArray, "*batch sites"]) -> Bool[AnyArray, "*batch"]:
        """Tell which of the configurations (..., sites) are legal; works inside jit."""
        sigma = self._as_configurations(sigma)
        levels = self.to_levels(sigma)
        dimensions = np.array(self.local_dimensions, np.int32).reshape((1,) * (sigma.ndim - 1) + (-1,))
        known = (levels >= 0) & (levels < dimensions) & (self.from_levels(levels).astype(sigma.dtype) == sigma)
        legal = known.all(axis=-1) & self.are_legal(levels)
        return legal if isinstance(sigma, jax.Array) else np.asarray(legal)  # a 0-d array, not a scalar

    def rank_levels(self, levels: Int[AnyArray, "*batch sites"]) -> Int[AnyArray, "*batch"]:
        """Index, int64 (...), of legal levels, int32 (..., sites), in an indexable space."""
        return rank(self._layout, levels)

    def unrank_levels(self, index: Int[AnyArray, "*batch"]) -> Int[AnyArray, "*batch sites"]:
        """Levels, int32 (..., sites), from the indices (...) of an indexable space: the inverse of `rank_levels`."""
        return unrank(self._layout, index)

    def index_parts(self) -> tuple[IndexPart, ...] | None:
        """Look-ups whose sum is the index of legal levels, in an indexable space; None if it is not such a sum.

        From these the index of a configuration that differs in a few levels follows without the other levels.
        """
        return index_parts(self._layout)

    def draw_levels(self, key: PRNGKey, n: int) -> Int[Array, "n sites"]:
        """Levels, int32, of `n` random configurations."""
        return draw_levels(self._layout, key, n)

    def are_legal(self, levels: Int[AnyArray, "*batch sites"]) -> Bool[AnyArray, "*batch"]:
        """Tell which levels (..., sites) are those of a legal configuration, given that each is one of its site."""
        xp = namespace(levels)
        legal = xp.ones(levels.shape[:-1], bool)
        for sector in self.sectors:
            legal = legal & (levels[..., np.array(sector.sites)].sum(axis=-1) == sector.total)
        return xp.asarray(legal)

    @property
    def _layout(self) -> Layout:
        return Layout(self.local_dimensions, self.sectors)

    def _as_configurations(self, sigma: Any) -> AnyArray:
        """`sigma` as an array of integers whose last axis has the length of a configuration."""
        sigma = as_integers(sigma, "sigma")
        if sigma.ndim == 0 or sigma.shape[-1] != self.size:
            raise ValueError(requirement("sigma", f"have shape (..., {self.size})", sigma.shape))
        return sigma

    def _require_indexable(self, like: AnyArray | None = None) -> None:
        """Raise unless the integers that go with `like`, NumPy's or JAX's, can number the states."""
        limit, about = max_index(like), f"about 2**{self.n_states.bit_length() - 1}"
        cure = "Use random_state instead." if limit == max_index() else "Switch 64-bit mode on, or pass NumPy arrays."
        must = f"satisfy n_states < 2**{limit.bit_length() - 1} for its states to be numbered"
        require(self.n_states < limit, "n_states", must, about, cure)
