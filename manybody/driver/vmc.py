# SPDX-License-Identifier: Apache-2.0
"""Variational Monte Carlo: the ground state by stochastic reconfiguration or any gradient method."""

from __future__ import annotations

from collections.abc import Callable

import jax
import optax

from manybody import _checks
from manybody.driver.base import check_hamiltonian
from manybody.driver.descent import Descent, Progress
from manybody.driver.hooks import Record
from manybody.driver.identity import identity
from manybody.driver.parts import first_count, tangent_map
from manybody.estimator import expect, local_values
from manybody.operator import CompiledOperator, Operator
from manybody.parallel import REPLICATED
from manybody.sr import SR, Preconditioner, Problem
from manybody.state import VariationalState


class VMC(Descent[VariationalState]):
    """Minimises the energy of a Hamiltonian.

    One step draws samples, evaluates local energies, turns them into a direction and hands it to the optimizer; it is
    one jitted function that runs on all workers.

    Args:
        hamiltonian: Hermitian operator on the space of the state.
        state: where to start.
        optimizer: any optax optimizer (with its schedules); its learning rate is the step of imaginary time.
        preconditioner: turns local energies into a direction; None for the plain force.

    Attributes:
        step: number of steps made.
        n_buffer: size of a worker's buffer for connections, 0 before the first step.
        n_traces: how often the step was traced (once, and once more whenever the buffer for connections grew).
        n_regrowths: how often that buffer grew.

    Raises:
        ValueError: if the Hamiltonian is not Hermitian, acts on another space, or does not commute with the symmetries
            of an ansatz that says by an attribute `sector` which these are.
    """

    def __init__(
        self,
        hamiltonian: Operator,
        state: VariationalState,
        *,
        optimizer: optax.GradientTransformation,
        preconditioner: Preconditioner | None = SR(),
    ) -> None:
        _checks.require_type(state, VariationalState, "state")
        check_hamiltonian(hamiltonian, state)
        self.hamiltonian = hamiltonian
        super().__init__(state, hamiltonian.compile(), state.params, state.chains, optimizer, preconditioner)

    @property
    def state(self) -> VariationalState:
        """The present state, with samples of it (drawn now if need be; the chains of the run do not move on)."""
        progress = self._progress
        if self._state.params is not progress.params:
            self._state = self._state.replace(params=progress.params, chains=progress.chains)
        if self._state.samples is None:
            self._state = self._state.sample()
        return self._state

    def describe(self) -> str:
        """The choices that the preconditioner makes, in words."""
        state = self._state
        samples = jax.eval_shape(lambda s: s.sample(), state).samples
        local = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((state.comm.rows_per_worker(x), *x.shape[1:]), x.dtype), samples
        )
        return self.preconditioner.describe(tangent_map(state, self._progress.params, self._progress.constants, local))

    def _about(self) -> dict[str, str]:
        return identity(self.hamiltonian, self._state, self.preconditioner)

    def _spec(self) -> Progress:
        return self._layout(self._state.sampler.state_spec)

    def _first_count(self) -> int:
        return first_count(self._state, self._progress.chains, self._operator)

    def _make_step(self, n_buffer: int) -> Callable:
        state, comm = self._state, self._state.comm

        def step(old: Progress, operator: CompiledOperator) -> tuple[Progress, Record]:
            self.n_traces += 1  # runs when traced, not when executed
            amplitude = state.network.bind(old.params, old.constants)
            chains, samples, info = state.sampler.sample(comm, amplitude, old.chains, state.draws)
            values, n_rows = local_values(comm, amplitude, operator, samples.flat_sigma, n_buffer, state.chunk_size)
            energy = expect(comm, values, samples, hermitian=True)
            problem = Problem(tangent_map(state, old.params, old.constants, samples), values, energy.mean, old.step)
            return self._updated(old, chains, problem, {**info, "energy": energy, "n_connections": n_rows})

        spec = self._spec()
        return comm.spmd(step, (spec, REPLICATED), (spec, REPLICATED))
