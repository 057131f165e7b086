# SPDX-License-Identifier: Apache-2.0
"""Variational Monte Carlo: the ground state by stochastic reconfiguration or any gradient method."""

from __future__ import annotations

import optax

from manybody import _checks
from manybody.driver.base import check_hamiltonian
from manybody.driver.identity import identity
from manybody.driver.minimisation import Minimisation
from manybody.operator import Operator
from manybody.sr import SR, Preconditioner
from manybody.state import VariationalState


class VMC(Minimisation):
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
        TypeError: if the optimizer or the preconditioner is none, or the state no `VariationalState`.
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
        super().__init__(hamiltonian, state, optimizer, preconditioner)

    def _about(self) -> dict[str, str]:
        return identity(self.hamiltonian, self._state, self.preconditioner)
