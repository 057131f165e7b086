# SPDX-License-Identifier: Apache-2.0
"""Time evolution by projections: each factor of an expansion of the propagator is applied, and the result fitted."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from manybody import _checks
from manybody._struct import dataclass, layout
from manybody._types import Array, Float, Int, PyTree
from manybody.driver import expansion
from manybody.driver.grid import Evolution, check_complex, check_generator
from manybody.driver.hooks import Record
from manybody.driver.identity import identity, words
from manybody.driver.measured import Measured
from manybody.driver.overlap import Wave, prepared
from manybody.driver.parts import present
from manybody.driver.projection import Projection
from manybody.driver.recorder import NotFinite
from manybody.driver.target import as_wave
from manybody.ode import StepTooSmall
from manybody.operator import CompiledOperator, DiscreteOperator, Operator
from manybody.parallel import REPLICATED
from manybody.sr import SR, Gradient, Preconditioner
from manybody.state import VariationalState
from manybody.stats import Estimate

KINDS: dict[str, complex] = {"real": -1j, "imaginary": -1.0}
"""z / (dt (H - E)) in psi(t + dt) = e^z psi(t)."""
DEFAULT = SR(diag_shift=1e-3)
"""Enough that the second iteration does not undo what the first one has done: most of what is left then is not in the
tangent space."""
SHRINK, GROW = 0.5, 1.5
"""By these factors a step changes after a projection that failed, and at most after a step that was made."""


@dataclass
class Path:
    """All that the further evolution depends on; the contents of a checkpoint.

    Attributes:
        params: the parameters.
        constants: collections of the network that are not optimised.
        chains: state of the sampler.
        t: the time.
        dt: the next step of time to try.
        error: what the errors of all steps add up to.
        step: how many times of the grid have been reached.
    """

    params: PyTree
    constants: PyTree
    chains: PyTree
    t: Float[Array, ""]
    dt: Float[Array, ""]
    error: Float[Array, ""]
    step: Int[Array, ""]


class Fit(NamedTuple):
    """What projections have come to.

    Attributes:
        state: the last state.
        distances: square root of the infidelity of each of them.
        n_iterations: of all of them.
        reached: whether each of them reached its infidelity.
    """

    state: VariationalState
    distances: tuple[float, ...]
    n_iterations: int
    reached: bool


class ProjectedEvolution(Evolution):
    r"""Evolves a state in real or imaginary time by minimising infidelities (p-tVMC).

    In a step of time the propagator is a product of factors,

    .. math:: e^{-i\,dt\,(H - E)} \approx \prod_{j=1}^p \bigl(1 - i\, a_j\, dt\,(H - E)\bigr),

    right to order p, where E is the energy measured (which changes the phase alone). One after the other is applied to
    the present state, and the state projected on the result by `Projection`, until the infidelity is below
    `infidelity`. With `whole`, the product is one operator, and the only projection of a step is that on what it makes
    of the state: nearly the evolved state, which networks fit better than what single factors make, for about as many
    connections of a configuration as H has to the power p. No equation with the metric has to be solved accurately, and
    a step may be large.

    The error of a step is estimated as an angle between states: what the expansion leaves out
    (`manybody.driver.expansion.truncation`, from the variance of the energy, as if energies were distributed normally),
    plus the square roots of the infidelities that the projections reached. With `tolerance` the step is as large as
    that allows, and halved if a projection does not reach its infidelity; without, all steps are `dt`, and projections
    that fell short are counted.

    A Hamiltonian that depends on the time is taken at the middle of a step: that is of order 2 whatever `order` is (1
    for order 1), and the estimated error does not know of it.

    Args:
        hamiltonian: H, Hermitian, or a function from the time to one (always of the same terms).
        state: where to start. For real times, and for orders above 1, log psi must be complex.
        dt: the step of time; with `tolerance` the first one to try.
        order: of the expansion, and without `whole` the number of projections in a step, 1 to 4.
        kind: "real" or "imaginary".
        infidelity: at which a projection ends.
        max_iterations: steps of a projection.
        tolerance: largest error of a step; above sqrt(infidelity) times the number of projections in it. None for steps
            of one size.
        whole: whether a step has one projection, on the whole polynomial of H (a `DiscreteOperator`).
        min_dt: steps must not become smaller.
        optimizer: of the projections.
        preconditioner: of the projections.
        t: the time now.
        observables: operators whose expectation values are recorded, by name.

    Records, one for each time of the grid, have the time in "t", the energy in "energy", the expectation values in
    "observables", the next step of time in "dt", errors of all steps so far, added up, in "error" (the angle to the
    right state is not larger, as far as the estimates are right: evolution in real time conserves angles); and of the
    steps since the last record the largest infidelity left in "infidelity_left", the number of them, of steps that were
    rejected, of iterations and of steps with projections that fell short in "n_steps", "n_rejected", "n_iterations" and
    "n_missed".

    Raises:
        TypeError: if log psi is real and the time too, or the order above 1; or, with `whole`, if H is no
            `DiscreteOperator`.
        ValueError: if H is not Hermitian or acts on another space, the order is not 1 to 4, or the tolerance is below
            what the projections leave.

    Example:
        >>> import manybody as mb
        >>> space = mb.hilbert.Spin(4)
        >>> state = mb.VariationalState(mb.ansatz.RBM(param_dtype=complex), mb.sampler.Exact(space))
        >>> quench = mb.hamiltonian.ising(space, mb.lattice.chain(4), h=0.5)
        >>> driver = mb.driver.ProjectedEvolution(quench, state, dt=0.01)
        >>> driver.run([0.01, 0.02], progress=False).samples.sigma.shape
        (16, 1, 4)
        >>> driver.t
        0.02

    Reference:
        A. Sinibaldi, C. Giuliani, G. Carleo and F. Vicentini, arXiv:2305.14294; L. Gravina, V. Savona and F. Vicentini,
        arXiv:2410.10720 (expansions).
    """

    def __init__(
        self,
        hamiltonian: Operator | Callable[[float], Operator],
        state: VariationalState,
        *,
        dt: float,
        order: int = 2,
        kind: str = "real",
        infidelity: float = 1e-6,
        max_iterations: int = 100,
        tolerance: float | None = None,
        min_dt: float = 1e-6,
        whole: bool = False,
        optimizer: optax.GradientTransformation = optax.sgd(1.0),
        preconditioner: Preconditioner | None = DEFAULT,
        t: float = 0.0,
        observables: Mapping[str, Operator] | None = None,
    ) -> None:
        _checks.require_type(state, VariationalState, "state")
        _checks.choice(kind, tuple(KINDS), "kind")
        self.order = _checks.integer(order, "order", minimum=expansion.ORDERS[0], maximum=expansion.ORDERS[-1])
        first = hamiltonian if isinstance(hamiltonian, Operator) else hamiltonian(t)
        check_generator(first, state, "real" if kind == "real" else "imaginary")
        if order > 1:
            check_complex(state, f"for order {order}", "Its factors are complex.")
        self.hamiltonian = hamiltonian
        self.kind = kind
        self.infidelity = _checks.positive(infidelity, "infidelity")
        self.max_iterations = _checks.integer(max_iterations, "max_iterations", minimum=1)
        self.tolerance = None if tolerance is None else _checks.positive(tolerance, "tolerance")
        self.whole = bool(whole)
        if self.whole:
            _checks.require_type(first, DiscreteOperator, "hamiltonian")
        n, left = self.n_projections, self.n_projections * math.sqrt(self.infidelity)
        enough = self.tolerance is None or self.tolerance > left
        _checks.require(enough, "tolerance", f"be above {n} * sqrt(infidelity) = {left:.2g}", tolerance)
        self.min_dt = _checks.positive(min_dt, "min_dt")
        self._measured = Measured(state, observables, None, None)
        self._first = first
        self._optimizer = optimizer
        self._preconditioner = Gradient() if preconditioner is None else preconditioner
        self._compiled: CompiledOperator | None = None
        self._projection: Projection | None = None
        self.dt = _checks.positive(dt, "dt")
        numbers = (jnp.asarray(x, float) for x in (t, self.dt, 0.0))
        start = state.comm.replicate((*numbers, jnp.int32(0)))
        super().__init__(state, Path(state.params, state.constants, state.chains, *start))

    # --- what it knows -----------------------------------------------------------------------------------------------

    @property
    def n_projections(self) -> int:
        """How many a step has."""
        return 1 if self.whole else self.order

    @property
    def n_traces(self) -> int:
        """How often the step of a projection was traced."""
        return 0 if self._projection is None else self._projection.n_traces

    @property
    def state(self) -> VariationalState:
        """The present state, with samples of it (the chains of the run do not move on)."""
        progress = self._progress
        self._state = present(self._state, progress.params, progress.chains)
        return self._state

    # --- steps -------------------------------------------------------------------------------------------------------

    def advance(self) -> Record:
        """Evolve to the next time of the grid and say what is found there."""
        path, t_end = self._progress, self._next_time
        t, dt, error = float(path.t), float(path.dt), float(path.error)
        state = self._state.replace(params=path.params, chains=path.chains)
        counts = dict.fromkeys(("n_steps", "n_rejected", "n_iterations", "n_missed"), 0)
        worst = 0.0
        while t < t_end:
            state = state if state.samples is not None else state.sample()
            size, energy = self._size(state, t, dt, t_end)
            left_out = expansion.truncation(self.order, size, math.sqrt(float(energy.variance)))
            fit = self._step(state, t, size, float(jnp.real(energy.mean)))
            counts["n_iterations"] += fit.n_iterations
            if self.tolerance is not None and not fit.reached:
                counts["n_rejected"] += 1
                dt = SHRINK * size
                if dt < self.min_dt:
                    raise StepTooSmall(t, dt, left_out + sum(fit.distances), self.tolerance)
                continue
            counts["n_steps"] += 1
            counts["n_missed"] += not fit.reached
            worst = max(worst, *(x**2 for x in fit.distances))
            error += left_out + sum(fit.distances)
            dt = dt if self.tolerance is None else max(dt, GROW * size)
            t, state = t_end if size == t_end - t else t + size, fit.state
        numbers = (jnp.asarray(x, float) for x in (t, dt, error))
        after = self.comm.replicate((*numbers, jnp.int32(self.step + 1)))
        self._progress = Path(state.params, path.constants, state.chains, *after)
        self.n_buffer = 0 if self._projection is None else self._projection.n_buffer
        found = {"t": t, "dt": dt, "error": error, "infidelity_left": worst, **counts}
        return {
            "step": self.step,
            "energy": self.state.expect(self._operator(t)),
            **found,
            "observables": self._measured(self.state, self.step),
        }

    def _size(self, state: VariationalState, t: float, dt: float, t_end: float) -> tuple[float, Estimate]:
        """The step to try, and the energy of a state with samples."""
        left = t_end - t
        energy = state.expect(self._operator(t + min(dt, left) / 2))
        if self.tolerance is not None:
            allowed = self.tolerance - self.n_projections * math.sqrt(self.infidelity)
            dt = min(dt, expansion.largest_step(self.order, allowed, math.sqrt(float(energy.variance))))
        # Equal steps up to the end of the interval, none of them larger: a last tiny one would be a waste.
        return left / math.ceil(left / dt * (1 - 1e-12)), energy

    def _step(self, state: VariationalState, t: float, dt: float, energy: float) -> Fit:
        """One step of time, from a state with samples."""
        distances: list[float] = []
        n_iterations, reached = 0, True
        for compiled, scale, shift in self._factors(t, dt, energy):
            state, infidelity, n = self._factor(state, as_wave(state, compiled, scale, shift))
            distances.append(math.sqrt(max(infidelity, 0.0)))
            n_iterations += n
            reached = reached and infidelity <= self.infidelity
            if self.tolerance is not None and not reached:
                break
        return Fit(state, tuple(distances), n_iterations, reached)

    def _factors(self, t: float, dt: float, energy: float) -> list[tuple[CompiledOperator, complex, complex]]:
        """(O, scale, shift) of the factors scale O + shift that are applied in a step, the first one first."""
        z, hamiltonian = KINDS[self.kind] * dt, self._operator(t + dt / 2)
        if self.whole:
            # H - E first: powers of H are large numbers that nearly cancel.
            shifted = cast(DiscreteOperator, hamiltonian) - energy
            product = functools.reduce(operator.matmul, [1.0 + a * z * shifted for a in expansion.factors(self.order)])
            return [(self.comm.replicate(product.compile()), 1.0, 0.0)]
        compiled = self._compile(hamiltonian)
        return [(compiled, a * z, 1.0 - a * z * energy) for a in expansion.factors(self.order)]

    def _factor(self, state: VariationalState, wave: Wave) -> tuple[VariationalState, float, int]:
        """A state projected on a wave: with its infidelity and the number of iterations.

        An iteration that makes the infidelity larger, by more than its error, is halved until it does not.
        """
        state = state if state.samples is not None else state.sample()
        projection = self._projector(state)
        projection.aim(prepared(wave, state.samples, state), state.params, state.chains)
        best, lowest, noise = state.params, math.inf, 0.0
        for number in range(self.max_iterations + 1):
            here = projection.progress.params
            try:
                found = projection.advance()["infidelity"]
                infidelity, error = float(found.mean), float(found.error)
            except NotFinite:
                if number == 0:
                    raise
                infidelity, error = math.inf, 0.0
            if infidelity > lowest + 2 * math.hypot(error, noise):  # too far: half the way
                projection.go_to(_between(best, here))
                continue
            best, lowest, noise = here, infidelity, error
            if infidelity <= self.infidelity:
                break
        return state.replace(params=best, chains=projection.progress.chains.own), lowest, number

    def _projector(self, state: VariationalState) -> Projection:
        """What makes the projections, compiled once."""
        if self._projection is None:
            self._projection = Projection(
                state, state, optimizer=self._optimizer, preconditioner=self._preconditioner
            )  # `aim` says on what
            self._projection.n_buffer = self.n_buffer
        return self._projection

    def _operator(self, t: float) -> Operator:
        """H at a time."""
        return self.hamiltonian if isinstance(self.hamiltonian, Operator) else self.hamiltonian(t)

    def _compile(self, operator: Operator) -> CompiledOperator:
        """H on all workers."""
        if operator is not self._first:
            return self.comm.replicate(operator.compile())
        if self._compiled is None:
            self._compiled = self.comm.replicate(operator.compile())
        return self._compiled

    # --- for recorders -----------------------------------------------------------------------------------------------

    def restore(self, progress: Path, n_buffer: int = 0) -> None:
        super().restore(progress, n_buffer)
        if self._projection is not None and self._projection.n_buffer != n_buffer:
            self._projection = None  # another one is made, and compiled, for this buffer

    def _about(self) -> dict[str, str]:
        about = identity(self._first, self._state, self._preconditioner)
        if not isinstance(self.hamiltonian, Operator):
            about["hamiltonian"] = f"{words(self.hamiltonian)}, at first {about['hamiltonian']}"
        numbers = ("kind", "order", "dt", "infidelity", "max_iterations", "tolerance", "min_dt", "whole")
        return about | {name: str(getattr(self, name)) for name in numbers}

    def _spec(self) -> Path:
        chains = self._state.sampler.state_spec
        return layout(Path, REPLICATED, REPLICATED, chains, REPLICATED, REPLICATED, REPLICATED, REPLICATED)


@jax.jit
def _between(one: PyTree, other: PyTree) -> PyTree:
    """The mean of two sets of parameters."""
    return jax.tree.map(lambda a, b: (a + b) / 2, one, other)
