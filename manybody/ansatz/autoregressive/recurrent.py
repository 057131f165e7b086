# SPDX-License-Identifier: Apache-2.0
"""Recurrent networks."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._types import Array, Float, Int
from manybody.ansatz._numerics import Initializer
from manybody.ansatz.autoregressive.affine import Affine, affine
from manybody.ansatz.autoregressive.base import Autoregressive, check_space
from manybody.ansatz.autoregressive.grid import above, order_on
from manybody.lattice import Lattice

CELLS = {"lstm": 2, "gru": 1}
"""How many numbers each unit of a cell remembers."""

States = tuple[Array, ...]
"""What each layer remembers: at one position (rows, state), or at all of them (rows, positions, state)."""

Carry = tuple[States, tuple[Array, ...]]
"""States at the position before; and on a lattice the inputs and states of all positions, (rows, positions, ...)."""


class ARRNN(Autoregressive):
    r"""A recurrent network that walks along the sites and remembers what it saw.

    x_p is the encoded level and h_p the hidden state at position p. The neighbours N(p) that p sees are the position
    before, and on a lattice also the site above: there the order is a snake that winds down row by row. With the
    concatenations x and h of what the neighbours have, and the logistic function s,

    .. math::
        \text{LSTM:}\quad & c_p = \sum_{q \in N(p)} s(F_q(x, h))\, c_q + s(I(x, h)) \tanh G(x, h), \qquad
            h_p = s(O(x, h)) \tanh c_p \\
        \text{GRU:}\quad & h_p = s(Z(x, h))\, \bar h + (1 - s(Z(x, h))) \tanh(G(x) + s(R(x, h))\, U(h)), \qquad
            \bar h = \frac{1}{|N|} \sum_{q \in N(p)} h_q

    where capital letters are affine functions. Further layers take the new h_p of the layer below for x. An affine
    function of the last h_p gives the logits (and phases) of the levels.

    Args:
        space: the configurations; sites may have different numbers of levels, and sums of levels may be fixed.
        features: units of each layer.
        layers: number of layers.
        cell: "lstm" or "gru".
        lattice: a chain, or a box of two dimensions with one site in each cell; None for a row.
        kernel_init: initialiser of weights (features in, features out).
        phase: whether there are phases; otherwise psi is positive.
        order: the site at each position; by default 0, 1, ..., or the snake. Not beside a lattice.
        param_dtype: type of the parameters, real; computations are made in it.

    Raises:
        ValueError: if the space has constraints other than fixed sums, there is no such cell, the lattice is no box,
            has other sites or more than two dimensions, or `order` does not name each site once.
        TypeError: if an argument is of the wrong type, `param_dtype` for instance no real floating-point type.

    Example:
        >>> import jax, jax.numpy as jnp, manybody as mb
        >>> from manybody.ansatz import ARRNN
        >>> space = mb.hilbert.Spin(6, total_sz=0)
        >>> ansatz, sigma = ARRNN(space, 8, lattice=mb.lattice.rectangle(2, 3)), jnp.asarray(space.all_states())
        >>> log_psi = ansatz.apply(ansatz.init(jax.random.key(0), sigma), sigma)
        >>> round(float(jnp.sum(jnp.exp(2 * log_psi))), 12)
        1.0

    Reference:
        Hibat-Allah et al. (2020), arXiv:2002.02973. LSTM: Hochreiter, Schmidhuber (1997), Neural Comput. 9, 1735, with
        several predecessors Graves et al. (2007), arXiv:0705.2011. GRU: Cho et al. (2014), arXiv:1406.1078.
    """

    features: int = 32
    layers: int = 1
    cell: str = "lstm"
    lattice: Lattice | None = None
    kernel_init: Initializer = nn.initializers.lecun_normal()

    def __post_init__(self) -> None:
        _checks.integer(self.features, "features", minimum=1)
        _checks.integer(self.layers, "layers", minimum=1)
        _checks.choice(self.cell, CELLS, "cell")
        check_space(self.space)
        if self.lattice is not None:
            order = order_on(self.lattice, self.order, self.space.size, is_snake=True)
            _checks.require(self.lattice.dim <= 2, "lattice", "have one or two dimensions", self.lattice)
            object.__setattr__(self, "order", order)
        super().__post_init__()

    def setup(self) -> None:
        n, f = 1 if self._above is None else 2, self.features
        n_gates = 3 + n if self.cell == "lstm" else 2
        widths = [n * self.n_features] + [f] * (self.layers - 1)  # what each layer takes for x
        self.gates = [self._affine(f"gates_{i}", width + n * f, n_gates * f) for i, width in enumerate(widths)]
        if self.cell == "gru":
            self.inputs = [self._affine(f"inputs_{i}", width, f) for i, width in enumerate(widths)]
            self.recurrences = [self._affine(f"recurrence_{i}", n * f, f) for i in range(self.layers)]
        self.head = self._affine("head", f, self.n_outputs)

    def evaluate(
        self, x: Float[Array, "rows positions features"], prefix: States, start: int
    ) -> tuple[Float[Array, "rows later outputs"], States]:
        before = jnp.pad(x, ((0, 0), (1, 0), (0, 0)))[:, start:-1]  # (rows, later, features)
        positions = jnp.arange(start, self.space.size, dtype=jnp.int32)

        def walk(carry: Carry, here: tuple[Array, Array]) -> tuple[Carry, States]:
            carry = self._advance(carry, *here)
            return carry, carry[0]

        _, states = jax.lax.scan(walk, self._carry_at(x, prefix, start), (jnp.swapaxes(before, 0, 1), positions))
        states = tuple(jnp.swapaxes(state, 0, 1) for state in states)  # (rows, later, state)
        return self._outputs(states), states

    def start_memory(self, n_draws: int) -> Carry:
        return self._carry_at(jnp.zeros((n_draws, self.space.size, self.n_features), self.dtype), (), 0)

    def step(
        self, memory: Carry, position: Int[Array, ""], x: Float[Array, "draws features"]
    ) -> tuple[Float[Array, "draws outputs"], Carry]:
        memory = self._advance(memory, x, position)
        return self._outputs(memory[0]), memory

    def _carry_at(self, x: Float[Array, "rows positions features"], prefix: States, start: int) -> Carry:
        """What is known before position `start`."""
        # A multiple of the levels, as the values of a loop are: so it may differ between workers as they do.
        nothing = jnp.tile(0 * x[:, :, :1], (1, 1, CELLS[self.cell] * self.features))  # (rows, positions, state)
        states: States = (nothing,) * self.layers
        if start:
            states = tuple(old.at[:, :start].set(known) for old, known in zip(states, prefix, strict=True))
        last = tuple(state[:, max(start - 1, 0)] for state in states)
        return last, (() if self._above is None else (x, *states))

    def _advance(self, carry: Carry, x: Float[Array, "rows features"], position: Int[Array, ""]) -> Carry:
        """One position further, where x is the encoded level of the position before."""
        last, known = carry
        neighbours: list[States] = [(state,) for state in last]
        if self._above is not None:
            known = _written(known[:1], (x,), jnp.maximum(position - 1, 0)) + known[1:]
            x_above, *above = (_at(k, jnp.asarray(self._above)[position]) for k in known)
            x, neighbours = jnp.concatenate([x, x_above], axis=-1), list(zip(last, above, strict=True))
        new: States = ()
        for layer, states in enumerate(neighbours):
            new = (*new, self._cell(layer, x, states))
            x = new[-1][:, : self.features]
        return new, known and known[:1] + _written(known[1:], new, position)

    def _cell(self, layer: int, x: Float[Array, "rows in"], states: States) -> Float[Array, "rows state"]:
        """The new state of a layer, given those of the neighbours."""
        f, n = self.features, len(states)
        h = jnp.concatenate([state[:, :f] for state in states], axis=-1)
        gates = self.gates[layer](jnp.concatenate([x, h], axis=-1))
        if self.cell == "lstm":
            candidate, *opened = jnp.split(gates, 3 + n, axis=-1)
            let_in, let_out, *keep = map(nn.sigmoid, opened)
            c = let_in * jnp.tanh(candidate)
            for gate, state in zip(keep, states, strict=True):
                c = c + gate * state[:, f:]
            return jnp.concatenate([let_out * jnp.tanh(c), c], axis=-1)
        update, reset = map(nn.sigmoid, jnp.split(gates, 2, axis=-1))
        new = jnp.tanh(self.inputs[layer](x) + reset * self.recurrences[layer](h))
        return update * sum(states[1:], states[0]) / n + (1 - update) * new

    def _outputs(self, states: States) -> Float[Array, "*shape outputs"]:
        return self.head(states[-1][..., : self.features])

    def _affine(self, name: str, n_in: int, n_out: int) -> Affine:
        return affine(self, name, n_in, n_out, self.kernel_init, self.dtype)

    @property
    def _above(self) -> Int[np.ndarray, "positions"] | None:
        """The position of the site above, of lattices with two dimensions."""
        if self.lattice is None or self.lattice.dim == 1:
            return None
        return above(self.space.size, self.lattice.shape[1])


def _at(x: Float[Array, "rows positions width"], position: Int[Array, ""]) -> Float[Array, "rows width"]:
    """Values at one position, 0 if there is no such one."""
    return x.at[:, position].get(mode="fill", fill_value=0)


def _written(arrays: States, rows: States, position: Int[Array, ""]) -> States:
    """Arrays (rows, positions, ...) with new values at one position."""
    update = jax.lax.dynamic_update_index_in_dim
    return tuple(update(array, new, position, axis=1) for array, new in zip(arrays, rows, strict=True))
