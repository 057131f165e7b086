# SPDX-License-Identifier: Apache-2.0
"""Layers whose value at a position depends on the values of the layer below at that position and before it."""

from __future__ import annotations

import abc
from collections.abc import Callable

import jax
import jax.numpy as jnp

from manybody import _checks
from manybody._types import Array, Float, Int
from manybody.ansatz.autoregressive.base import Autoregressive

Memory = tuple[Array, ...]
"""Activations of the hidden layers, outputs, and what the activations are of, each (rows, positions, width)."""


class Layered(Autoregressive):
    """Masked linear layers with activations between them; the first one does not see the position itself.

    A network has the fields `features` and `activation`, and says what its linear layers are.
    """

    @property
    @abc.abstractmethod
    def hidden(self) -> tuple[tuple[int, ...], Callable[[Array], Array]]:
        """Widths of the hidden layers, and the activation behind each."""

    @abc.abstractmethod
    def linear(self, layer: int, x: Float[Array, "rows positions in"], start: int) -> Float[Array, "rows later out"]:
        """Linear layer number `layer` at the positions from `start` on."""

    @abc.abstractmethod
    def linear_at(
        self, layer: int, x: Float[Array, "rows positions in"], position: Int[Array, ""]
    ) -> Float[Array, "rows out"]:
        """Linear layer number `layer` at one position; of later positions, x holds zeros."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the inputs, the hidden layers and the outputs."""
        return (self.n_features, *self.hidden[0], self.n_outputs)

    def evaluate(
        self, x: Float[Array, "rows positions features"], prefix: Memory, start: int
    ) -> tuple[Float[Array, "rows later outputs"], Memory]:
        activation, memory, before = self.hidden[1], [], []
        for layer in range(len(self.widths) - 2):
            before.append(self.linear(layer, x, start))
            memory.append(activation(before[-1]))
            x = jnp.concatenate([prefix[layer], memory[-1]], axis=1) if start else memory[-1]
        outputs = self.linear(len(memory), x, start)
        return outputs, (*memory, outputs, *before)

    def start_memory(self, n_draws: int) -> Memory:
        """Inputs and activations, (draws, positions, width)."""
        return tuple(jnp.zeros((n_draws, self.space.size, width), self.dtype) for width in self.widths[:-1])

    def step(
        self, memory: Memory, position: Int[Array, ""], x: Float[Array, "draws features"]
    ) -> tuple[Float[Array, "draws outputs"], Memory]:
        place, known = jnp.maximum(position - 1, 0), []
        for layer, before in enumerate(memory):
            known.append(jax.lax.dynamic_update_index_in_dim(before, x, place, axis=1))
            x, place = self.linear_at(layer, known[-1], position), position
            x = self.hidden[1](x) if layer + 1 < len(memory) else x
        return x, tuple(known)


def check_features(features: tuple[int, ...]) -> None:
    """Raise unless `features` is a tuple of widths, possibly empty."""
    _checks.require_type(features, tuple, "features")
    for width in features:
        _checks.integer(width, "features", minimum=1)
