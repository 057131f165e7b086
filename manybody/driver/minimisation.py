# SPDX-License-Identifier: Apache-2.0
"""Drivers that lower the mean of a Hermitian operator in one state."""

from __future__ import annotations

from collections.abc import Callable

import jax
import optax

from manybody.driver.descent import Descent, Progress
from manybody.driver.hooks import Record
from manybody.driver.parts import first_count, present, tangent_map
from manybody.estimator import expect, local_values
from manybody.operator import CompiledOperator, Operator
from manybody.sr import Preconditioner, Problem
from manybody.state import VariationalState


class Minimisation(Descent[VariationalState]):
    """Lowers <O>: a step draws samples, turns local values into a direction and hands it to the optimizer.

    A driver of its own says which operators it takes, and what the run is about.

    Args:
        operator: O, Hermitian, on the space of the state.
        state: where to start.
        optimizer: makes updates from directions.
        preconditioner: makes directions from local values; None for the plain force.
    """

    def __init__(
        self,
        operator: Operator,
        state: VariationalState,
        optimizer: optax.GradientTransformation,
        preconditioner: Preconditioner | None,
    ) -> None:
        super().__init__(state, operator.compile(), state.params, state.chains, optimizer, preconditioner)

    @property
    def state(self) -> VariationalState:
        """The present state, with samples of it (drawn now if need be; the chains of the run do not move on)."""
        progress = self._progress
        self._state = present(self._state, progress.params, progress.chains)
        return self._state

    def describe(self) -> str:
        """The choices that the preconditioner makes, in words."""
        state = self._state
        samples = jax.eval_shape(lambda s: s.sample(), state).samples
        local = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((state.comm.rows_per_worker(x), *x.shape[1:]), x.dtype), samples
        )
        return self.preconditioner.describe(tangent_map(state, self._progress.params, self._progress.constants, local))

    def _spec(self) -> Progress:
        return self._layout(self._state.sampler.state_spec)

    def _first_count(self) -> int:
        return first_count(self._state, self._progress.chains, self._operator)

    def _make_step(self, n_buffer: int) -> Callable:
        state, comm = self._state, self._state.comm

        def step(old: Progress, operator: CompiledOperator) -> tuple[Progress, Record]:
            amplitude = state.network.bind(old.params, old.constants)
            chains, samples, info = state.sampler.sample(comm, amplitude, old.chains, state.draws)
            values, n_rows = local_values(comm, amplitude, operator, samples.flat_sigma, n_buffer, state.chunk_size)
            mean = expect(comm, values, samples, hermitian=True)
            problem = Problem(tangent_map(state, old.params, old.constants, samples), values, mean.mean, old.step)
            return self._updated(old, chains, problem, {**info, self.quantity: mean, "n_connections": n_rows})

        return step
