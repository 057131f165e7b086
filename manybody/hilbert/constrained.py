# SPDX-License-Identifier: Apache-2.0
"""The part of a space where a condition on the whole configuration holds: blockades, gauge constraints.

No formula counts the configurations that an arbitrary condition leaves over. In a space of moderate size they are
found once, by asking for each; their indices in that space, in ascending order, are a table that numbers them, still in
lexicographic order. In a larger space they cannot be numbered, and random ones come from a walk.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from manybody._checks import require, require_type, requirement
from manybody._struct import FrozenArray
from manybody._types import Array, Bool, Float, Int, Int8, PRNGKey
from manybody.hilbert.arrays import AnyArray, as_integers, constant, namespace
from manybody.hilbert.base import DiscreteSpace
from manybody.hilbert.counting import SumSector
from manybody.hilbert.ranking import BLOCK

Predicate = Callable[[Int8[Array, "batch sites"]], Bool[Array, "batch"]]

MAX_STATES = 2**24
"""The largest space whose states are all asked for."""
TRIES = 2**13
"""Random configurations among which a start is looked for in a larger space."""
SWEEPS = 10
"""Changes that a walk tries, per site."""


@dataclasses.dataclass(frozen=True)
class Constrained(DiscreteSpace):
    """The configurations of `space` for which `predicate` holds.

    If `space` has at most 2^24 states, everything is exact: the legal ones are counted and numbered (once, when the
    first such object is made), in the order that they have in `space`, and random states are uniform.

    Otherwise the space is not indexable and has no `n_states`. A random state is then the end of a walk of 10 steps per
    site from a legal configuration: each step changes one site, or two, at random, if that is legal. Such a walk tends
    to the uniform distribution over what it can reach, but has no time to forget all of its start, and where every
    legal change takes three sites or more it does not move at all.

    Operators see the constraint only through `contains`: `sectors` are those of `space`.

    Example:
        >>> from manybody.hilbert import Blockade, Qubit
        >>> Constrained(Qubit(3), Blockade([(0, 1), (1, 2)])).all_states()
        array([[0, 0, 0],
               [0, 0, 1],
               [0, 1, 0],
               [1, 0, 0],
               [1, 0, 1]], dtype=int8)

    Attributes:
        space: the unconstrained space.
        predicate: a hashable function, of operations that JAX can trace, that takes configurations int8 (batch, sites)
            and tells which of them are legal, bool (batch,). Spaces with the same predicate are equal: the very same
            function, or equal objects such as `Blockade` and `Parity`.
        legal: where walks start in a space of more than 2^24 states: legal configurations (sites,) or (n, sites). By
            default they are looked for among random and constant configurations of `space`. Not compared.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if no configuration is legal, none is found, one in `legal` is not, or the predicate gives anything
            but one bool for each configuration.
    """

    space: DiscreteSpace
    predicate: Predicate
    legal: Any = dataclasses.field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Validate; look for legal configurations."""
        require_type(self.space, DiscreteSpace, "space")
        _check_predicate(self.predicate, self.space.size)
        if self.legal is not None:
            object.__setattr__(self, "legal", FrozenArray(_checked_legal(self.legal, self)))
        if self.is_indexable:
            must = f"hold for some of the {self.space.n_states} configurations of {self.space}"
            require(self.n_states > 0, "predicate", must, "none")
        elif self.legal is None:
            must = "be given: none is among the constant ones and thousands of random ones"
            require(len(_found(self.space, self.predicate)) > 0, "legal", must, None, "Pass legal=... to start from.")

    @property
    def local_dimensions(self) -> tuple[int, ...]:
        """Those of the unconstrained space."""
        return self.space.local_dimensions

    @property
    def sectors(self) -> tuple[SumSector, ...]:
        """Those of the unconstrained space."""
        return self.space.sectors

    @property
    def numbers(self) -> dict[str, tuple[int, ...]]:
        """Those of the unconstrained space."""
        return self.space.numbers

    @property
    def fermions(self) -> tuple[tuple[int, ...], ...]:
        """Those of the unconstrained space."""
        return self.space.fermions

    @property
    def has_only_sectors(self) -> bool:
        """No."""
        return False

    @property
    def n_states(self) -> int:
        """Number of legal configurations.

        Raises:
            ValueError: if the unconstrained space has more than 2^24 states.
        """
        must = "be found by asking for each state, in a space of at most 2^24 states"
        require(self.is_indexable, "n_states", must, str(self.space), "Use random_state instead.")
        return len(_kept(self.space, self.predicate))

    @property
    def is_indexable(self) -> bool:
        """Whether the unconstrained space has at most 2^24 states."""
        return self.space.is_indexable and self.space.n_states <= MAX_STATES

    def to_levels(self, sigma: Int[AnyArray, "*batch sites"]) -> Int[AnyArray, "*batch sites"]:
        """As in the unconstrained space."""
        return self.space.to_levels(sigma)

    def from_levels(self, levels: Int[AnyArray, "*batch sites"]) -> Int8[AnyArray, "*batch sites"]:
        """As in the unconstrained space."""
        return self.space.from_levels(levels)

    def rank_levels(self, levels: Int[AnyArray, "*batch sites"]) -> Int[AnyArray, "*batch"]:
        kept, index = _kept(self.space, self.predicate), self.space.rank_levels(levels)
        if isinstance(index, np.ndarray):
            return np.asarray(np.searchsorted(kept, index))
        return jnp.searchsorted(constant(kept), index).astype(index.dtype)

    def unrank_levels(self, index: Int[AnyArray, "*batch"]) -> Int[AnyArray, "*batch sites"]:
        kept = _kept(self.space, self.predicate)
        chosen = np.asarray(kept[index]) if isinstance(index, np.ndarray) else constant(kept)[index]
        return self.space.unrank_levels(chosen)

    def index_parts(self) -> None:
        """None: legal configurations are looked for in a list."""

    def draw_levels(self, key: PRNGKey, n: int) -> Int[Array, "n sites"]:
        if self.is_indexable:
            return jnp.asarray(self.unrank_levels(jax.random.randint(key, (n,), 0, self.n_states)))
        start = _found(self.space, self.predicate) if self.legal is None else self.legal.array
        return _walk(self, constant(self.to_levels(start)), key, n)

    def are_legal(self, levels: Int[AnyArray, "*batch sites"]) -> Bool[AnyArray, "*batch"]:
        legal = self.space.are_legal(levels) & _holds(self.predicate, self.from_levels(levels))
        return namespace(levels).asarray(legal)


def _checked_legal(legal: Any, space: Constrained) -> np.ndarray:
    """Legal configurations, int8 (n, sites)."""
    sigma = np.asarray(as_integers(np.asarray(legal.array if isinstance(legal, FrozenArray) else legal), "legal"))
    size = space.size
    good = sigma.ndim in (1, 2) and sigma.shape[-1] == size and len(sigma) > 0
    require(good, "legal", f"have shape ({size},) or (n, {size})", sigma.shape)
    rows = sigma.reshape(-1, size)
    right = space.contains(rows)
    require(bool(right.all()), "legal", f"hold configurations of {space}", rows[np.argmin(right)])
    return rows.astype(np.int8)


def _check_predicate(predicate: Any, n_sites: int) -> None:
    try:
        hash(predicate)
    except TypeError:
        got, cure = type(predicate).__name__, "A frozen dataclass of numbers and tuples is."
        raise TypeError(requirement("predicate", "be hashable", got, cure)) from None
    if not callable(predicate):
        raise TypeError(requirement("predicate", "be a function of configurations", type(predicate).__name__))
    result = jax.eval_shape(predicate, jax.ShapeDtypeStruct((2, n_sites), np.int8))
    got = f"{result.dtype} of shape {result.shape}" if hasattr(result, "dtype") else type(result).__name__
    right = got == "bool of shape (2,)"
    require(right, "predicate", f"give bool of shape (2,) for configurations of shape (2, {n_sites})", got)


# --- asking -----------------------------------------------------------------------------------------------------------


@functools.partial(jax.jit, static_argnums=0)
def _ask(predicate: Predicate, sigma: Array) -> Array:
    return jnp.asarray(predicate(sigma))


def _holds(predicate: Predicate, sigma: AnyArray) -> AnyArray:
    """What the predicate says of configurations (..., sites): bool (...)."""
    rows = sigma.reshape(-1, sigma.shape[-1])
    answer = _ask(predicate, rows) if isinstance(rows, jax.Array) else _ask_numpy(predicate, rows)
    return answer.reshape(sigma.shape[:-1])


def _ask_numpy(predicate: Predicate, rows: np.ndarray) -> np.ndarray:
    """The same in blocks of a few sizes only, because each is compiled."""
    block = min(BLOCK, 1 << max(0, len(rows) - 1).bit_length())
    answers = [np.zeros(0, bool)]
    with jax.ensure_compile_time_eval():  # also inside jit
        for start in range(0, len(rows), block):
            part = rows[start : start + block]
            padded = np.concatenate([part, np.repeat(part[:1], block - len(part), axis=0)])
            answers.append(np.asarray(_ask(predicate, jnp.asarray(padded)))[: len(part)])
    return np.concatenate(answers)


@functools.lru_cache(maxsize=16)
def _kept(space: DiscreteSpace, predicate: Predicate) -> np.ndarray:
    """The indices in `space` of the states for which the predicate holds, int64, ascending."""
    blocks = (np.arange(start, min(start + BLOCK, space.n_states)) for start in range(0, space.n_states, BLOCK))
    return np.concatenate([index[_holds(predicate, space.index_to_states(index))] for index in blocks])


# --- walking ----------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=16)
def _found(space: DiscreteSpace, predicate: Predicate, most: int = 256) -> np.ndarray:
    """Legal configurations, int8 (n, sites): random ones if there are any among a few thousand, else constant ones."""

    def legal(sigma: np.ndarray) -> np.ndarray:
        return sigma[np.asarray(space.contains(sigma)) & _holds(predicate, sigma)][:most]

    with jax.ensure_compile_time_eval():  # also inside jit
        random = legal(np.asarray(space.random_state(jax.random.key(0), TRIES)))
    top = np.array(space.local_dimensions, np.int32) - 1
    even = np.minimum(np.arange(top.max() + 1, dtype=np.int32)[:, None], top)
    return random if len(random) else legal(np.asarray(space.from_levels(even)))


@functools.partial(jax.jit, static_argnums=(0, 3))
def _walk(space: DiscreteSpace, start: Int[Array, "starts sites"], key: PRNGKey, n: int) -> Int[Array, "n sites"]:
    """The ends of `n` walks through legal levels."""
    key_start, key_walk = jax.random.split(key)
    dimensions = constant(np.array(space.local_dimensions, np.int32))

    def step(number: Array, levels: Array) -> Array:
        uniform = jax.random.uniform(jax.random.fold_in(key_walk, number), (n, 5), dtype=float)
        proposed = jax.vmap(_changed, (0, 0, None))(levels, uniform, dimensions)
        return jnp.where(space.are_legal(proposed)[:, None], proposed, levels)

    levels = start[_below(len(start), jax.random.uniform(key_start, (n,), dtype=float))]
    return jax.lax.fori_loop(0, SWEEPS * space.size, step, levels)


def _changed(
    levels: Int[Array, "sites"], uniform: Float[Array, "5"], dimensions: Int[Array, "sites"]
) -> Int[Array, "sites"]:
    """Levels with a random change, made from numbers in [0, 1); as likely as the change back.

    One site gets another level. Then a second site, in a third of the cases each, stays, gets another level, or takes
    what the first one gave, so that the sum remains (nothing changes if it cannot).
    """
    n_sites = len(levels)
    first = _below(n_sites, uniform[0])
    sites = jnp.stack([first, (first + 1 + _below(n_sites - 1, uniform[1])) % n_sites])
    old, top = levels[sites], dimensions[sites] - 1
    other = (old + 1 + _below(top, uniform[2:4])) % (top + 1)
    partner = jnp.stack([old[1], other[1], old[0] + old[1] - other[0]])[_below(3, uniform[4])]
    new = jnp.where((partner >= 0) & (partner <= top[1]), jnp.stack([other[0], partner]), old)
    return levels.at[sites].set(new)


def _below(n: int | Array, uniform: Float[Array, "*batch"]) -> Int[Array, "*batch"]:
    """An integer in [0, n) from a number in [0, 1), int32."""
    return (uniform * jnp.asarray(n, uniform.dtype)).astype(np.int32)
