# SPDX-License-Identifier: Apache-2.0
"""Time evolution of variational states."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax.numpy as jnp

from manybody import _checks
from manybody._struct import dataclass, layout
from manybody._types import Array, Float, Int, PyTree
from manybody.driver.grid import Evolution, check_generator
from manybody.driver.hooks import Record
from manybody.driver.identity import identity, words
from manybody.driver.measured import Measured
from manybody.driver.motion import FACTORS, Kind, Motion
from manybody.ode import Integrator, Slope
from manybody.operator import Operator
from manybody.parallel import REPLICATED
from manybody.sampler import Sampler
from manybody.sr import SR, Preconditioner
from manybody.state import VariationalState

DEFAULT = SR(diag_shift=0.0, solver="pinv", cutoff=1e-8)
"""Small eigenvalues of the metric are switched off, and nothing is added to the others."""


@dataclass
class Course:
    """All that the further evolution depends on; the contents of a checkpoint.

    Attributes:
        params: the parameters.
        constants: collections of the network that are not optimised.
        chains: state of the sampler before the samples at this time are drawn.
        t: the time.
        dt: the next step of time to try.
        residual: R^2, the integral of r^2 over the time.
        step: how many times of the grid have been reached.
    """

    params: PyTree
    constants: PyTree
    chains: PyTree
    t: Float[Array, ""]
    dt: Float[Array, ""]
    residual: Float[Array, ""]
    step: Int[Array, ""]


class TDVP(Evolution):
    r"""Evolves a state in real or imaginary time, or a density matrix in time (time-dependent variational Monte Carlo).

    The parameters move so that the state follows d psi / dt = -i H psi (real), -H psi (imaginary, without its norm) or
    d rho / dt = L rho (dissipative, without its trace) as well as its ansatz allows: `manybody.driver.motion.Motion`.
    The samples are drawn anew for each evaluation of the velocity.

    Args:
        hamiltonian: H, Hermitian; or a `Liouvillian` L; or a function from the time to one.
        state: where to start. For real times log psi must be complex.
        integrator: how the equation of motion is integrated. Its tolerance is an angle between states; it should lie
            above the noise of the samples.
        kind: "real", "imaginary" or "dissipative".
        preconditioner: solves S theta' = -c f; `SR` with the solver "pinv" has a cut of small eigenvalues (`cutoff`)
            and of noisy ones (`snr`), without momentum.
        t: the time now.
        observables: operators whose expectation values are recorded, by name.
        cross_validate: whether to record r^2 on one half of the samples for velocities found from the other half, too:
            if it is much larger, the velocity fits the noise of the samples.
        diagonal: sampler of one copy; with it, observables of a density matrix may be operators on the space of one
            copy, whose expectation values Tr(rho O) / Tr(rho) are found from fresh chains (`state.diagonal`).
        n_diagonal: number of its samples.

    Records, one for each time of the grid, have the time in "t", the energy (<L> for a Liouvillian, which should vanish
    in the steady state) in "energy", the expectation values in "observables", r^2 in "residual" and its integral over
    the time in "residual_integral", the next step of time in "dt", the number of steps since the last record and those
    that were rejected in "n_steps" and "n_rejected".

    Raises:
        TypeError: if log psi is real and the time too, or the preconditioner has momentum.
        ValueError: if H is not Hermitian or L does not preserve the trace, or they act on another space.

    Example:
        >>> import manybody as mb
        >>> from manybody.ode import Integrator
        >>> space = mb.hilbert.Spin(4)
        >>> state = mb.VariationalState(mb.ansatz.RBM(param_dtype=complex), mb.sampler.Exact(space))
        >>> quench = mb.hamiltonian.ising(space, mb.lattice.chain(4), h=0.5)
        >>> driver = mb.driver.TDVP(quench, state, integrator=Integrator("heun", dt=0.01))
        >>> driver.run([0.01, 0.02], progress=False).samples.sigma.shape
        (16, 1, 4)
        >>> driver.t
        0.02

    Reference:
        G. Carleo, F. Becca, M. Schiro and M. Fabrizio, arXiv:1109.2516; G. Carleo and M. Troyer, arXiv:1606.02318;
        M. Schmitt and M. Heyl, arXiv:1912.08828; M. J. Hartmann and G. Carleo, arXiv:1902.05131 (density matrices).
    """

    def __init__(
        self,
        hamiltonian: Operator | Callable[[float], Operator],
        state: VariationalState,
        *,
        integrator: Integrator,
        kind: Kind = "real",
        preconditioner: Preconditioner = DEFAULT,
        t: float = 0.0,
        observables: Mapping[str, Operator] | None = None,
        cross_validate: bool = False,
        diagonal: Sampler | None = None,
        n_diagonal: int | None = None,
    ) -> None:
        _checks.require_type(state, VariationalState, "state")
        _checks.require_type(integrator, Integrator, "integrator")
        _checks.choice(kind, tuple(FACTORS), "kind")
        _check_preconditioner(preconditioner)
        first = hamiltonian if isinstance(hamiltonian, Operator) else hamiltonian(t)
        check_generator(first, state, kind)
        if cross_validate:
            _check_halves(state)
        self.hamiltonian = hamiltonian
        self.integrator = integrator
        self.kind = kind
        self._measured = Measured(state, observables, diagonal, n_diagonal)
        self._first = first
        self._motion = Motion(state, hamiltonian, kind, preconditioner, cross_validate)
        self._here: Slope | None = None
        numbers = (jnp.asarray(x, float) for x in (t, integrator.dt, 0.0))
        start = state.comm.replicate((*numbers, jnp.int32(0)))
        super().__init__(state, Course(state.params, state.constants, state.chains, *start))

    # --- what it knows -----------------------------------------------------------------------------------------------

    @property
    def n_evaluations(self) -> int:
        """How often the velocity was found."""
        return self._motion.n_evaluations

    @property
    def n_traces(self) -> int:
        """How often the function that finds velocities was traced."""
        return self._motion.n_traces

    @property
    def state(self) -> VariationalState:
        """The present state, with the samples from which its velocity is found."""
        slope = self._slope()
        chosen = {"params": self._progress.params, "chains": slope.memory, "samples": slope.report.samples}
        return self._state.replace(**chosen)

    def describe(self) -> str:
        """The choices that the preconditioner makes, in words."""
        return self._motion.describe(self._progress.params, self._slope().report.samples)

    # --- steps -------------------------------------------------------------------------------------------------------

    def advance(self) -> Record:
        """Evolve to the next time of the grid and say what is found there."""
        course, motion = self._progress, self._motion
        t, dt, residual, t_end = float(course.t), float(course.dt), float(course.residual), self._next_time
        y, chains, slope = course.params, course.chains, self._slope()
        n_steps = n_rejected = 0
        while t < t_end:
            step = self.integrator.step(motion, t, y, slope, dt, t_end)
            # At times of the grid it is found anew: so does a run that is taken up there.
            known = step.slope if step.t < t_end else None
            after = motion(step.t, step.y, step.memory) if known is None else known
            residual += (step.t - t) * (_residual(slope) + _residual(after)) / 2
            t, y, dt, slope, chains = step.t, step.y, step.dt, after, step.memory
            n_steps, n_rejected = n_steps + 1, n_rejected + step.n_rejected
        numbers = (jnp.asarray(x, float) for x in (t, dt, residual))
        after_all = self.comm.replicate((*numbers, jnp.int32(self.step + 1)))
        self._progress = Course(y, course.constants, chains, *after_all)
        self._here, self.n_buffer = slope, motion.n_buffer
        state = self.state
        record = self._record(self.step, dict(slope.report.info))
        return record | {
            "t": t,
            "residual_integral": residual,
            "dt": dt,
            "n_steps": n_steps,
            "n_rejected": n_rejected,
            "observables": self._measured(state, self.step),
        }

    def _slope(self) -> Slope:
        """The velocity here and now."""
        if self._here is None:
            self._here = self._motion(self.t, self._progress.params, self._progress.chains)
            self.n_buffer = self._motion.n_buffer
        return self._here

    # --- for recorders -----------------------------------------------------------------------------------------------

    def restore(self, progress: Course, n_buffer: int = 0) -> None:
        super().restore(progress, n_buffer)
        self._motion.use_buffer(n_buffer)
        self._here = None

    def _about(self) -> dict[str, str]:
        about = identity(self._first, self._state, self._motion.preconditioner)
        if not isinstance(self.hamiltonian, Operator):
            about["hamiltonian"] = f"{words(self.hamiltonian)}, at first {about['hamiltonian']}"
        return {**about, "kind": self.kind, "integrator": words(self.integrator)}

    def _spec(self) -> Course:
        chains = self._state.sampler.state_spec
        return layout(Course, REPLICATED, REPLICATED, chains, REPLICATED, REPLICATED, REPLICATED, REPLICATED)


def _check_preconditioner(preconditioner: Preconditioner) -> None:
    momentum = getattr(preconditioner, "momentum", 0.0)
    if momentum:
        raise TypeError(_checks.requirement("preconditioner", "have no momentum", f"momentum {momentum:g}"))


def _check_halves(state: VariationalState) -> None:
    kind = state.sampler.kind
    _checks.require(kind != "exact", "cross_validate", "be False where all states are summed over", True)
    n_rows = state.sampler.n_local(state.comm)
    rows = n_rows if n_rows > 1 else state.draws
    _checks.require(rows >= 2, "cross_validate", "have two chains or draws of each worker", rows)


def _residual(slope: Slope) -> float:
    return float(slope.report.info["residual"])
