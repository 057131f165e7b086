# SPDX-License-Identifier: Apache-2.0
"""Exact evolution in real and imaginary time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.integrate
import scipy.sparse.linalg

from manybody import _checks
from manybody._types import Complex, Inexact
from manybody.operator import Operator


def evolve(
    hamiltonian: Operator | Callable[[float], Operator],
    psi: Inexact[np.ndarray, "n_states"],
    times: Sequence[float],
    *,
    imaginary: bool = False,
    rtol: float = 1e-10,
) -> Complex[np.ndarray, "times n_states"]:
    """States at some times: d|psi>/dt = -i H |psi>, or -H |psi> in imaginary time, there normalised at each of them.

    A constant Hamiltonian is exponentiated (A. H. Al-Mohy and N. J. Higham, SIAM J. Sci. Comput. 33, 488 (2011), as in
    SciPy), to rounding. For one that depends on time the differential equation is solved by a Runge-Kutta method of
    order 8 to the relative tolerance `rtol`.

    Args:
        hamiltonian: Hermitian operator, or a function time -> operator.
        psi: amplitudes (n_states,) at times[0], in the order of `space.all_states()`.
        times: ascending or descending, real.
        imaginary: whether the times are imaginary.
        rtol: for a Hamiltonian that depends on time.

    Raises:
        ValueError: if `psi` has another length, there are no times, or they are not monotonic.
    """
    at = np.asarray(times, float)
    _checks.require(at.ndim == 1 and len(at) > 0, "times", "be a sequence of numbers", times)
    steps = np.diff(at)
    _checks.require(bool(np.all(steps >= 0) or np.all(steps <= 0)), "times", "be monotonic", times)
    first = hamiltonian if isinstance(hamiltonian, Operator) else hamiltonian(at[0])
    n_states = first.space.n_states
    start = np.asarray(psi, complex)
    _checks.require(start.shape == (n_states,), "psi", f"have shape ({n_states},)", start.shape)
    factor = -1.0 if imaginary else -1j
    if isinstance(hamiltonian, Operator):
        states = _exponentiated(factor * hamiltonian.to_sparse(), start, steps, imaginary)
    else:
        states = _integrated(lambda t: factor * hamiltonian(t).to_sparse(), start, at, rtol)
    return states / np.linalg.norm(states, axis=1, keepdims=True) if imaginary else states


def _exponentiated(generator: object, start: np.ndarray, steps: np.ndarray, normalise: bool) -> np.ndarray:
    states = [start]
    for step in steps:
        state = scipy.sparse.linalg.expm_multiply(step * generator, states[-1])
        states.append(state / np.linalg.norm(state) if normalise else state)
    return np.stack(states)


def _integrated(generator: Callable, start: np.ndarray, times: np.ndarray, rtol: float) -> np.ndarray:
    if len(times) == 1:
        return start[None]
    solution = scipy.integrate.solve_ivp(
        lambda t, psi: generator(t) @ psi,
        (times[0], times[-1]),
        start,
        method="DOP853",
        t_eval=times,
        rtol=rtol,
        atol=rtol * np.linalg.norm(start) / np.sqrt(len(start)),
    )
    if not solution.success:
        raise RuntimeError(f"The evolution failed: {solution.message}")
    return solution.y.T
