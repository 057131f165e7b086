# SPDX-License-Identifier: Apache-2.0
"""Proposals of sparse changes, and the question whether they reach every configuration."""

from __future__ import annotations

import abc

import jax
import jax.numpy as jnp
import numpy as np

from manybody._compile import ONCE
from manybody._types import Array, Float, Int, Int8, PRNGKey, PyTree, UInt
from manybody.hilbert import DiscreteSpace
from manybody.sampler.law import Law, obstruction_by_laws

Proposal = tuple[Int[Array, "changed"], Int8[Array, "changed"], Float[Array, ""]]


class Move(abc.ABC):
    """A Metropolis proposal; immutable and hashable.

    A new move implements `propose`. One that knows its conservation laws overrides `laws` and `leaves` as well, so that
    it is checked at any size (`obstruction`). `TwoStage` is for moves whose random numbers are worth being drawn for
    many steps at once.
    """

    @abc.abstractmethod
    def propose(self, key: PRNGKey, sigma: Int8[Array, "sites"], space: DiscreteSpace) -> Proposal:
        """Propose a change of one configuration.

        Args:
            key: randomness.
            sigma: the configuration.
            space: its space.

        Returns:
            `sites` (changed,), distinct, always equally many; `values` (changed,), their new values (old ones may
            occur, but a proposal that changes nothing is a wasted evaluation); and log q(sigma|sigma') -
            log q(sigma'|sigma), zero for a symmetric proposal.
        """

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the kinds of proposals it makes, for the acceptance in the log."""
        return (type(self).__name__,)

    def draw(self, key: PRNGKey, space: DiscreteSpace) -> PyTree:
        """The random numbers of a proposal, which do not depend on the configuration; by default the key itself."""
        del space
        return key

    def choose(
        self, drawn: PyTree, sigma: Int8[Array, "sites"], space: DiscreteSpace
    ) -> tuple[Int[Array, ""], Proposal]:
        """The proposal that these random numbers make, with the number of its kind (in `names`) before it."""
        return jnp.int32(0), self.propose(drawn, sigma, space)

    def laws(self, space: DiscreteSpace) -> set[Law] | None:
        """The sums of levels that no proposal changes, or None if they are not known."""
        del space
        return None

    def leaves(self, space: DiscreteSpace) -> str | None:
        """How the move leads out of `space`, or None if it does not; asked only of moves that know their laws."""
        del space
        return None

    def obstruction(self, space: DiscreteSpace) -> str | None:
        """Why this move cannot sample `space`, or None if nothing speaks against it.

        A move that knows its laws is judged by them. Any other is tried out: whether it leaves the space, from random
        configurations, and on spaces of up to 512 states whether it connects them. On spaces with constraints that are
        no sums of levels, from which proposals may lead away because they are rejected, all are tried out.
        """
        laws = self.laws(space) if space.has_only_sectors else None
        if laws is None:
            return _try_out(self, space)
        return self.leaves(space) or obstruction_by_laws(laws, space)


class TwoStage(Move):
    """A move that is made of its two halves, `draw` and `choose`."""

    @abc.abstractmethod
    def draw(self, key: PRNGKey, space: DiscreteSpace) -> PyTree: ...

    @abc.abstractmethod
    def choose(
        self, drawn: PyTree, sigma: Int8[Array, "sites"], space: DiscreteSpace
    ) -> tuple[Int[Array, ""], Proposal]: ...

    def propose(self, key: PRNGKey, sigma: Int8[Array, "sites"], space: DiscreteSpace) -> Proposal:
        return self.choose(self.draw(key, space), sigma, space)[1]


def uniform_index(key: PRNGKey, n: int | Array) -> Int[Array, ""]:
    """An integer in [0, n) from 32 random bits; the bias is below n / 2^32."""
    return index_below(n, random_bits(key))


def random_bits(key: PRNGKey) -> UInt[Array, ""]:
    """32 of them, for `index_below`."""
    return jax.random.bits(key, dtype=jnp.uint32)


def index_below(n: int | Array, bits: UInt[Array, ""]) -> Int[Array, ""]:
    """The integer in [0, n) that 32 random bits choose."""
    return ((bits.astype(jnp.uint64) * jnp.asarray(n, jnp.uint64)) >> jnp.uint64(32)).astype(jnp.int32)


def _try_out(move: Move, space: DiscreteSpace) -> str | None:
    small = space.is_indexable and space.n_states <= 512
    n_trials = max(64, 2**15 // space.n_states) if small else 64
    start = jnp.asarray(space.all_states()) if small else space.random_state(jax.random.key(0), 128)
    keys = jax.random.split(jax.random.key(1), (start.shape[0], n_trials))

    def one(key: PRNGKey, sigma: Array) -> Array:
        sites, values, _ = move.propose(key, sigma, space)
        return sigma.at[sites].set(values)

    reached = np.asarray(jax.jit(jax.vmap(jax.vmap(one, (0, None))), compiler_options=ONCE)(keys, start))
    legal = np.asarray(space.contains(reached))
    if not space.has_only_sectors:
        reached = np.where(legal[..., None], reached, np.asarray(start)[:, None])
    elif not legal.all():
        source = np.argwhere(~legal)[0]
        return f"it leads from {np.asarray(start)[source[0]]} to {reached[tuple(source)]}, which is not in {space}"
    if small and not _connected(space.states_to_index(reached)):
        return f"it cannot connect the {space.n_states} configurations of {space}"
    return None


def _connected(targets: np.ndarray) -> bool:
    """Whether the graph with edges i -> targets[i, :] (and back) is connected."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n, m = targets.shape
    source = np.repeat(np.arange(n), m)
    graph = coo_array((np.ones(n * m), (source, targets.ravel())), shape=(n, n)).tocsr()
    return connected_components(graph, directed=False)[0] == 1
