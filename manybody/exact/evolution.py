# SPDX-License-Identifier: Apache-2.0
"""Exact evolution of states in real and imaginary time, and of density matrices."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from manybody import _checks
from manybody._types import Complex, Inexact
from manybody.hilbert import Doubled
from manybody.ode import Integrator, Slope, solve
from manybody.operator import Operator

Generator = Callable[[float], scipy.sparse.sparray]
"""From the time to the matrix A in d psi / dt = A psi."""


def evolve(
    hamiltonian: Operator | Callable[[float], Operator],
    psi: Inexact[np.ndarray, "*state"],
    times: Sequence[float],
    *,
    imaginary: bool = False,
    rtol: float = 1e-10,
) -> Complex[np.ndarray, "times *state"]:
    """States at some times: d|psi>/dt = -i H |psi>, or -H |psi> in imaginary time, there normalised at each of them.

    An operator on a `Doubled` space is taken for a Liouvillian: d rho / dt = L rho.

    A constant generator is exponentiated (A. H. Al-Mohy and N. J. Higham, SIAM J. Sci. Comput. 33, 488 (2011), as in
    SciPy), to rounding. For one that depends on time the differential equation is solved by a Runge-Kutta method of
    order 8 (`manybody.ode`), with errors of a step up to `rtol` times the norm of the state.

    Args:
        hamiltonian: Hermitian operator H or Liouvillian L, or a function time -> operator.
        psi: amplitudes (n_states,) at times[0], in the order of `space.all_states()`. For a Liouvillian density
            matrices (n, n) of the states of the space that is doubled, or the same row by row (n * n,).
        times: ascending or descending, real.
        imaginary: whether the times are imaginary.
        rtol: for a generator that depends on time; 1e-14 or more.

    Returns:
        The states, each of the shape of `psi`. The traces of density matrices are not touched: L conserves them.

    Raises:
        ValueError: if `psi` has another shape, there are no times, they are not monotonic, or are imaginary for a
            Liouvillian.

    Example:
        >>> import numpy as np
        >>> import manybody as mb
        >>> space = mb.hilbert.Spin(1)
        >>> decay = mb.operator.Liouvillian(mb.operator.spin.sz(space, 0), [mb.operator.spin.sm(space, 0)])
        >>> up = np.array([[1.0, 0.0], [0.0, 0.0]])
        >>> mb.exact.evolve(decay, up, [0.0, np.log(2.0)])[-1].real.round(12)
        array([[0.5, 0. ],
               [0. , 0.5]])
    """
    at = np.asarray(times, float)
    _checks.require(at.ndim == 1 and len(at) > 0, "times", "be a sequence of numbers", times)
    steps = np.diff(at)
    _checks.require(bool(np.all(steps >= 0) or np.all(steps <= 0)), "times", "be monotonic", times)
    _checks.require(rtol >= 1e-14, "rtol", "satisfy rtol >= 1e-14", rtol)
    first = hamiltonian if isinstance(hamiltonian, Operator) else hamiltonian(at[0])
    start = _start(first, psi, imaginary)
    factor = _factor(first, imaginary)
    if isinstance(hamiltonian, Operator):
        states = _exponentiated(factor * hamiltonian.to_sparse(), start, steps, imaginary)
    else:
        states = _integrated(lambda t: factor * hamiltonian(t).to_sparse(), start, at, imaginary, rtol)
    if imaginary:
        states = states / np.linalg.norm(states, axis=1, keepdims=True)
    return states.reshape(len(at), *np.shape(psi))


def _factor(operator: Operator, imaginary: bool) -> complex:
    if isinstance(operator.space, Doubled):
        return 1.0
    return -1.0 if imaginary else -1j


def _start(operator: Operator, psi: np.ndarray, imaginary: bool) -> Complex[np.ndarray, "n_states"]:
    """The first state as a vector."""
    space, start = operator.space, np.asarray(psi, complex)
    shapes = [(space.n_states,)]
    if isinstance(space, Doubled):
        _checks.require(not imaginary, "imaginary", "be False for a Liouvillian", imaginary)
        shapes.append((space.space.n_states,) * 2)
    _checks.require(start.shape in shapes, "psi", f"have shape {' or '.join(map(str, shapes))}", start.shape)
    return start.reshape(-1)


def _exponentiated(
    generator: scipy.sparse.sparray, start: np.ndarray, steps: np.ndarray, normalise: bool
) -> np.ndarray:
    size = scipy.sparse.linalg.norm(generator, 1)
    states = [start]
    for step in steps:
        state = states[-1]
        # Norms grow by e^(size * step) or less, which must not overflow.
        n_parts = max(1, math.ceil(size * abs(step) / 500)) if normalise else 1
        for _ in range(n_parts):
            state = scipy.sparse.linalg.expm_multiply(step / n_parts * generator, state)
            state = state / np.linalg.norm(state) if normalise else state
        states.append(state)
    return np.stack(states)


class _Linear:
    """d psi / ds = A(t) psi with t = direction * s (`ode.Field`); in imaginary time with the norm kept."""

    def __init__(self, generator: Generator, direction: float, keeps_norm: bool) -> None:
        self.generator = generator
        self.direction = direction
        self.keeps_norm = keeps_norm

    def __call__(self, t: float, y: np.ndarray, memory: tuple) -> Slope:
        slope = self.direction * (self.generator(self.direction * t) @ y)
        if self.keeps_norm:  # norms that grow or fall without bound would overflow
            slope = slope - (np.vdot(y, slope).real / np.vdot(y, y).real) * y
        return Slope(slope, memory)

    def norm(self, change: np.ndarray, y: np.ndarray, at: Slope) -> float:
        """In units of the norm of the state."""
        del at
        return float(np.linalg.norm(change) / np.linalg.norm(y))


def _integrated(
    generator: Generator, start: np.ndarray, times: np.ndarray, keeps_norm: bool, rtol: float
) -> np.ndarray:
    direction = -1.0 if times[-1] < times[0] else 1.0
    size = scipy.sparse.linalg.norm(generator(times[0]), 1)
    dt = 1 / size if size > 0 else max(abs(times[-1] - times[0]), 1.0)
    integrator = Integrator("dop853", dt, tolerance=rtol, min_dt=np.finfo(float).tiny)
    return np.stack(solve(_Linear(generator, direction, keeps_norm), start, list(direction * times), integrator))
