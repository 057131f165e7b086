# SPDX-License-Identifier: Apache-2.0
"""Ordinary differential equations dy/dt = f(t, y) by explicit Runge-Kutta methods.

One integrator serves exact evolution, time-dependent variational Monte Carlo and dissipative evolution; they differ in
the field f alone, and in how they measure an error. y is any tree of arrays, and f may remember something from one
evaluation to the next, such as the state of Markov chains.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import scipy

from manybody import _checks
from manybody._types import PyTree

__all__ = ["METHODS", "Field", "Integrator", "Slope", "Step", "StepTooSmall", "Tableau", "solve", "tableau_of"]

SAFETY, SHRINK, GROW = 0.9, 0.2, 5.0
"""A step is chosen for an error of this power of the tolerance, and changes by these factors at most."""


class Slope(NamedTuple):
    """An evaluation of the field.

    Attributes:
        value: dy/dt, a tree like y.
        memory: what the next evaluation is given.
        report: what else came out of it.
    """

    value: PyTree
    memory: PyTree
    report: Any = None


@runtime_checkable
class Field(Protocol):
    """A differential equation."""

    def __call__(self, t: float, y: PyTree, memory: PyTree) -> Slope:
        """dy/dt at a time and place."""
        ...

    def norm(self, change: PyTree, y: PyTree, at: Slope) -> float:
        """The length of a small change of y, in the metric at y, where `at` is the slope."""
        ...


@dataclasses.dataclass(frozen=True)
class Tableau:
    """Coefficients of an explicit Runge-Kutta method.

    Attributes:
        a: (stages, stages), strictly lower triangular: where slopes are evaluated.
        b: (stages,), how they make the step.
        order: of the step.
        error: (stages,), how they make the difference to the step of an embedded method; None if there is none.
        coarse: the same for a second, cruder one, by which the first is judged; None if there is none.
    """

    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    order: int
    error: tuple[float, ...] | None = None
    coarse: tuple[float, ...] | None = None

    @property
    def ends_in_next(self) -> bool:
        """Whether the last slope is that at the end of the step, and so the first one of the next."""
        return self.a[-1] == self.b

    def time(self, stage: int) -> float:
        """When a slope is evaluated, in units of the step."""
        return math.fsum(self.a[stage])


def _embedded(method: Any, error: np.ndarray, coarse: np.ndarray | None = None) -> Tableau:
    """A method of SciPy; its error needs the slope at the end of the step, which is a stage here."""
    n = method.n_stages + 1
    a = np.zeros((n, n))
    a[: n - 1, : method.A.shape[1]] = method.A
    a[-1, :-1] = method.B
    rows, weights = tuple(map(tuple, a.tolist())), tuple(a[-1].tolist())
    return Tableau(rows, weights, method.order, *(None if e is None else tuple(e.tolist()) for e in (error, coarse)))


FIXED = {
    "euler": Tableau(((0.0,),), (1.0,), 1),
    "heun": Tableau(((0.0, 0.0), (1.0, 0.0)), (0.5, 0.5), 2),
    "rk4": Tableau(
        ((0.0, 0.0, 0.0, 0.0), (0.5, 0.0, 0.0, 0.0), (0.0, 0.5, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0)),
        (1 / 6, 1 / 3, 1 / 3, 1 / 6),
        4,
    ),
}
"""Euler, Heun and Kutta (order 4)."""

EMBEDDED = {"rk23": ("RK23", "E"), "rk45": ("RK45", "E"), "dop853": ("DOP853", "E5", "E3")}
"""Where SciPy has the coefficients and those of the error: the pairs of Bogacki and Shampine (orders 3 and 2) and of
Dormand and Prince (5 and 4), and their method of order 8 with errors of orders 5 and 3."""

METHODS = (*FIXED, *EMBEDDED)


@functools.cache
def tableau_of(method: str) -> Tableau:
    """The coefficients of one of `METHODS`."""
    if method in FIXED:
        return FIXED[method]
    name, *errors = EMBEDDED[method]
    found = getattr(scipy.integrate, name)
    return _embedded(found, *(getattr(found, error) for error in errors))


class StepTooSmall(RuntimeError):
    """An adaptive step became smaller than allowed.

    Attributes:
        t: the time reached.
    """

    def __init__(self, t: float, dt: float, error: float, tolerance: float) -> None:
        self.t = t
        super().__init__(
            f"The time step became too small ({dt:.3g}) at time {t:.6g}: its error is {error:.3g}, the tolerance "
            f"{tolerance:.3g}. Errors that do not fall with the step are noise of the samples, or of a metric that is "
            "nearly singular: take more samples, a larger tolerance or more regularisation, or a start without "
            "vanishing amplitudes."
        )


class Step(NamedTuple):
    """A step that was made.

    Attributes:
        t: the time after it.
        y: the solution after it.
        dt: a good size for the next step.
        slope: that at its end if the method has found it, else None.
        memory: what the next evaluation of the field is given.
        error: estimated, in the metric of the field; nan for a method without an error estimate.
        n_rejected: how often it was tried with larger steps.
    """

    t: float
    y: PyTree
    dt: float
    slope: Slope | None
    memory: PyTree
    error: float
    n_rejected: int


@dataclasses.dataclass(frozen=True)
class Integrator:
    """How an equation is integrated.

    Args:
        method: "euler", "heun", "rk4", "rk23", "rk45", "dop853".
        dt: the step; with `tolerance` the first one.
        tolerance: largest error of a step in the metric of the field, which for states is the angle between them;
            None for steps of one size. Only for "rk23", "rk45" and "dop853".
        min_dt: steps must not become smaller.
        max_dt: nor larger.

    Raises:
        ValueError: for an unknown method, a number that is not positive, or a tolerance without an error estimate.

    Reference:
        E. Hairer, S. P. Nørsett and G. Wanner, Solving Ordinary Differential Equations I, sections II.1, II.4, II.10.
    """

    method: str
    dt: float
    tolerance: float | None = None
    min_dt: float = 1e-8
    max_dt: float = math.inf

    def __post_init__(self) -> None:
        _checks.choice(self.method, METHODS, "method")
        for name in ("dt", "min_dt", "max_dt"):
            _checks.positive(getattr(self, name), name)
        if self.tolerance is not None:
            _checks.positive(self.tolerance, "tolerance")
            must = "be left out for a method without an error estimate"
            _checks.require(self.tableau.error is not None, "tolerance", must, self.tolerance, 'Use "rk23" or "rk45".')

    @property
    def tableau(self) -> Tableau:
        """The coefficients."""
        return tableau_of(self.method)

    def step(self, field: Field, t: float, y: PyTree, first: Slope, dt: float, t_end: float) -> Step:
        """One step, not beyond `t_end`.

        Args:
            field: the equation.
            t: the time now.
            y: the solution now.
            first: the slope here.
            dt: the step to try; longer or shorter by a rounding error if it then ends at `t_end`.
            t_end: at least t.

        Raises:
            StepTooSmall: if the error stays above the tolerance.
        """
        n_rejected = 0
        while True:
            left = t_end - t
            is_last = dt >= left * (1 - 1e-12)
            size = left if is_last else dt
            slopes = self._stages(field, t, y, first, size)
            new_t, new_y = t_end if is_last else t + size, _moved(y, slopes, self.tableau.b, size)
            error = self._error(field, slopes, size, y)
            proposed = self._next(size, error)
            if self.tolerance is None or error <= self.tolerance:
                # What was cut off for the sake of t_end says nothing against the step that was tried.
                proposed = max(proposed, dt) if is_last else proposed
                end = slopes[-1] if self.tableau.ends_in_next else None
                return Step(new_t, new_y, proposed, end, slopes[-1].memory, error, n_rejected)
            if proposed < self.min_dt:
                raise StepTooSmall(t, proposed, error, self.tolerance)
            n_rejected, dt = n_rejected + 1, proposed
            first = first._replace(memory=slopes[-1].memory)

    def _stages(self, field: Field, t: float, y: PyTree, first: Slope, dt: float) -> list[Slope]:
        slopes = [first]
        for stage in range(1, len(self.tableau.b)):
            place = _moved(y, slopes, self.tableau.a[stage], dt)
            slopes.append(field(t + self.tableau.time(stage) * dt, place, slopes[-1].memory))
        return slopes

    def _error(self, field: Field, slopes: Sequence[Slope], dt: float, y: PyTree) -> float:
        if self.tolerance is None or self.tableau.error is None:
            return math.nan
        fine = self._length(field, slopes, self.tableau.error, dt, y)
        if self.tableau.coarse is None or fine == 0:
            return fine
        # In proportion to dt^order, as the step's own error, although either estimate is of a lower power.
        return fine**2 / math.hypot(fine, 0.1 * self._length(field, slopes, self.tableau.coarse, dt, y))

    def _length(self, field: Field, slopes: Sequence[Slope], weights: Sequence[float], dt: float, y: PyTree) -> float:
        zero = jax.tree.map(lambda x: (np if _is_on_host(x) else jnp).zeros_like(x), y)
        return float(field.norm(_moved(zero, slopes, weights, dt), y, slopes[0]))

    def _next(self, dt: float, error: float) -> float:
        """The step whose error would be a little below the tolerance, as the order of the lower method says."""
        if self.tolerance is None:
            return dt
        if not math.isfinite(error):
            return SHRINK * dt
        wanted = SAFETY * (self.tolerance / max(error, 1e-300)) ** (1 / self.tableau.order)
        return min(self.max_dt, dt * min(GROW, max(SHRINK, wanted)))


def solve(field: Field, y: PyTree, times: Sequence[float], integrator: Integrator, memory: PyTree = ()) -> list[PyTree]:
    """The solution at some ascending times, beginning with `y` at the first of them.

    Raises:
        StepTooSmall: if the error stays above the tolerance.
    """
    found, dt, slope = [y], integrator.dt, None
    for t, t_end in itertools.pairwise(times):
        while t < t_end:
            first = field(t, y, memory) if slope is None else slope
            step = integrator.step(field, t, y, first, dt, t_end)
            t, y, dt, slope, memory = step.t, step.y, step.dt, step.slope, step.memory
        found.append(y)
    return found


def _moved(y: PyTree, slopes: Sequence[Slope], weights: Sequence[float], dt: float) -> PyTree:
    """y + dt sum_j weights_j slope_j."""
    used = [(slope.value, weight * dt) for slope, weight in zip(slopes, weights, strict=False) if weight != 0]
    if not used:
        return y
    values, factors = zip(*used, strict=True)
    if all(_is_on_host(x) for x in jax.tree.leaves(y)):
        return _combined(y, values, np.asarray(factors, float))
    return _compiled(y, values, jnp.asarray(factors, float))


def _is_on_host(x: Any) -> bool:
    """Whether NumPy shall add it up: there is nothing to compile, and nothing to be sent to a device."""
    return isinstance(x, np.ndarray)


def _combined(y: PyTree, slopes: tuple[PyTree, ...], factors: Any) -> PyTree:
    def sum_up(x: Any, *changes: Any) -> Any:
        return x + sum(factor.astype(x.dtype) * change for factor, change in zip(factors, changes, strict=True))

    return jax.tree.map(sum_up, y, *slopes)


_compiled = jax.jit(_combined)
