# SPDX-License-Identifier: Apache-2.0
"""Projection of a state onto another wave function: minimisation of the infidelity."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax.numpy as jnp
import optax

from manybody import _checks
from manybody._types import PyTree
from manybody.driver.descent import Descent, Progress
from manybody.driver.hooks import Record
from manybody.driver.identity import identity_of_state
from manybody.driver.overlap import Chains, Overlap, Wave
from manybody.driver.parts import first_count, present, tangent_map
from manybody.driver.target import Target, as_target
from manybody.sr import SR, Preconditioner, Problem
from manybody.state import VariationalState


class Projection(Descent[VariationalState]):
    r"""Makes a state as similar as possible to a target.

    Minimises the infidelity

    .. math:: I = 1 - \frac{|\langle\phi|\psi\rangle|^2}{\langle\phi|\phi\rangle\langle\psi|\psi\rangle} ,

    whose force is that of an energy with the local values :math:`-F_{loc}(\sigma) = -\phi(\sigma)/\psi(\sigma)\;
    \langle\psi/\phi\rangle_\phi` (`manybody.estimator.fidelity`): stochastic reconfiguration is natural gradient
    descent. With learning rate 1 and no regularisation a step projects phi on the tangent space of psi, times F.

    Args:
        target: another state, `Applied` for an operator applied to one, or `Data`.
        state: where to start. Data take the place of its samples.
        optimizer: any optax optimizer.
        preconditioner: turns local values into a direction; None for the plain force.
        refresh: whether samples of the target are drawn anew in every step, too; otherwise they are drawn once.

    Attributes:
        step: number of steps made.
        n_traces: how often the step was traced (once, and once more whenever the buffer for connections grew).
        n_regrowths: how often that buffer grew.

    Records have the infidelity before the step in "infidelity" (`Estimate`), whether the control variate made its error
    smaller in "controlled", and the effective number of samples of an operator or data, over their number, in
    "target_effective".

    Raises:
        TypeError: if the target is none.
        ValueError: if it is on another space, or data are not.

    Example:
        >>> import optax
        >>> import manybody as mb
        >>> space = mb.hilbert.Spin(4)
        >>> one, other = (mb.VariationalState(mb.ansatz.RBM(), mb.sampler.Exact(space), seed=i) for i in (0, 1))
        >>> driver = mb.driver.Projection(one, other, optimizer=optax.sgd(0.5))
        >>> state = driver.run(20, progress=False)
        >>> bool(driver.advance()["infidelity"].mean < 1e-4)
        True

    Reference:
        A. Sinibaldi, C. Giuliani, G. Carleo and F. Vicentini, arXiv:2305.14294; L. Gravina, V. Savona and F. Vicentini,
        arXiv:2410.10720 (natural gradient).
    """

    quantity = "infidelity"

    def __init__(
        self,
        target: Target | VariationalState,
        state: VariationalState,
        *,
        optimizer: optax.GradientTransformation,
        preconditioner: Preconditioner | None = SR(),
        refresh: bool = False,
    ) -> None:
        _checks.require_type(state, VariationalState, "state")
        self.target = as_target(target)
        self.refresh = refresh
        overlap, chains = self.target.overlap(state, refresh)
        super().__init__(state, (), state.params, Chains(state.chains, chains), optimizer, preconditioner)
        self._operator: Overlap = overlap  # of which a part is not the same on all workers

    # --- what it knows -----------------------------------------------------------------------------------------------

    @property
    def state(self) -> VariationalState:
        """The present state, with samples of it (the chains of the run do not move on)."""
        progress = self._progress
        self._state = present(self._state, progress.params, progress.chains.own)
        return self._state

    # --- steps -------------------------------------------------------------------------------------------------------

    def aim(self, overlap: Overlap, params: PyTree, chains: PyTree) -> None:
        """Begin anew: another target of the same kind, whose samples are drawn, other parameters and chains."""
        self._operator = overlap
        optimizer, own, step = self._state.comm.replicate(
            (self.optimizer.init(params), self.preconditioner.init(params), jnp.int32(0))
        )
        constants = self._progress.constants
        self._progress = Progress(params, constants, Chains(chains, ()), optimizer, own, step)

    def go_to(self, params: PyTree) -> None:
        """Go on from other parameters."""
        self._progress = self._progress.replace(params=params)

    def _first_count(self) -> int:
        if not isinstance(self._operator, Wave) or self._operator.operator is None:
            return 0
        return math.ceil(first_count(self._state, self._progress.chains.own, self._operator.operator))

    def _make_step(self, n_buffer: int) -> Callable:
        state, comm = self._state, self._state.comm

        def step(old: Progress, overlap: Overlap) -> tuple[Progress, Record]:
            amplitude = state.network.bind(old.params, old.constants)
            found = overlap.compare(comm, state, amplitude, old.chains, n_buffer)
            tangent = tangent_map(state, old.params, old.constants, found.samples)
            problem = Problem(tangent, -found.overlap.values, -found.overlap.mean, old.step)
            record = {
                **found.info,
                "infidelity": found.overlap.infidelity,
                "controlled": found.overlap.controlled,
                "n_connections": found.n_connections,
            }
            return self._updated(old, found.chains, problem, record)

        return step

    @property
    def _operand_spec(self) -> PyTree:
        return self._operator.spec

    # --- for recorders -----------------------------------------------------------------------------------------------

    def _about(self) -> dict[str, str]:
        about = {"target": self.target.about(), **identity_of_state(self._state, self.preconditioner)}
        return {"space": about.pop("space"), **about, "refresh": str(self.refresh)}

    def _spec(self) -> Progress:
        return self._layout(Chains(self._state.sampler.state_spec, self._operator.chains_spec))

    def _remembered(self, progress: Progress, chains: PyTree) -> Progress:
        moves = self._operator.chains_spec != ()
        return progress if moves else super()._remembered(progress, chains)
