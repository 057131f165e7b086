# SPDX-License-Identifier: Apache-2.0
"""A random choice between moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._types import Array, PyTree
from manybody.hilbert import DiscreteSpace
from manybody.sampler.law import Law, common_laws
from manybody.sampler.move import Move, Proposal, TwoStage


@dataclass(frozen=True, init=False)
class Mixture(TwoStage):
    """At each step one of several moves is drawn, with fixed probabilities.

    Args:
        moves: the moves.
        probabilities: one for each move; positive, normalised here. Equal by default.
    """

    moves: tuple[Move, ...]
    probabilities: tuple[float, ...]

    def __init__(self, moves: Sequence[Move], probabilities: Sequence[float] | None = None) -> None:
        moves = tuple(moves)
        _checks.require(len(moves) > 0, "moves", "name at least one move", moves)
        for move in moves:
            _checks.require_type(move, Move, "moves")
        weights = [1.0] * len(moves) if probabilities is None else list(probabilities)
        _checks.require(len(weights) == len(moves), "probabilities", f"have {len(moves)} entries", len(weights))
        weights = [_checks.positive(weight, "probabilities") for weight in weights]
        object.__setattr__(self, "moves", moves)
        object.__setattr__(self, "probabilities", tuple(weight / sum(weights) for weight in weights))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for move in self.moves for name in move.names)

    def draw(self, key: Array, space: DiscreteSpace) -> tuple[Array, tuple[PyTree, ...]]:
        key_choice, *keys = jax.random.split(key, len(self.moves) + 1)
        drawn = tuple(move.draw(k, space) for move, k in zip(self.moves, keys, strict=True))
        return jax.random.uniform(key_choice), drawn

    def choose(
        self, drawn: tuple[Array, tuple[PyTree, ...]], sigma: Array, space: DiscreteSpace
    ) -> tuple[Array, Proposal]:
        choice, numbers = drawn
        proposals = [move.choose(x, sigma, space) for move, x in zip(self.moves, numbers, strict=True)]
        width = max(sites.shape[0] for _, (sites, _, _) in proposals)
        first = np.cumsum([0] + [len(move.names) for move in self.moves[:-1]])
        numbered = [
            (kind + int(start), (*_fill_up(sigma, sites, values, width), log_q.astype(float)))
            for start, (kind, (sites, values, log_q)) in zip(first, proposals, strict=True)
        ]
        edges = jnp.asarray(np.cumsum(self.probabilities[:-1]))
        chosen = jnp.sum(choice >= edges, dtype=jnp.int32)
        return jax.tree.map(lambda *options: jnp.stack(options)[chosen], *numbered)

    def laws(self, space: DiscreteSpace) -> set[Law] | None:
        """What all the moves conserve."""
        laws = [move.laws(space) for move in self.moves]
        known = [law for law in laws if law is not None]
        return common_laws(known) if len(known) == len(laws) else None

    def leaves(self, space: DiscreteSpace) -> str | None:
        return next((reason for move in self.moves if (reason := move.leaves(space))), None)


def _fill_up(sigma: Array, sites: Array, values: Array, width: int) -> tuple[Array, Array]:
    """Widen a change to `width` sites with further sites that keep their values."""
    while sites.shape[0] < width:
        # Of the sites 0 .. len(sites), one at least is not in the change.
        candidates = jnp.arange(sites.shape[0] + 1, dtype=sites.dtype)
        free = jnp.argmin(jnp.any(candidates[:, None] == sites[None, :], axis=1)).astype(sites.dtype)
        sites = jnp.append(sites, free)
        values = jnp.append(values, sigma[free])
    return sites, values
