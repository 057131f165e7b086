# SPDX-License-Identifier: Apache-2.0
"""Thermal equilibrium from the full spectrum, and steady states of open systems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import scipy.special

from manybody import _checks
from manybody._types import Complex, Float
from manybody.exact.spectrum import spectrum
from manybody.hilbert import Doubled
from manybody.operator import Operator


class Thermal(NamedTuple):
    """The canonical ensemble at some inverse temperatures; k_B = 1.

    Attributes:
        beta: inverse temperatures (temperatures,).
        energy: <H> (temperatures,).
        heat_capacity: beta^2 (<H^2> - <H>^2).
        entropy: ln Z + beta <H>.
        free_energy: -ln Z / beta, -inf at beta = 0.
        values: <O> of each observable (observables, temperatures).
    """

    beta: Float[np.ndarray, "temperatures"]
    energy: Float[np.ndarray, "temperatures"]
    heat_capacity: Float[np.ndarray, "temperatures"]
    entropy: Float[np.ndarray, "temperatures"]
    free_energy: Float[np.ndarray, "temperatures"]
    values: Complex[np.ndarray, "observables temperatures"]


def thermal(hamiltonian: Operator, beta: Any, observables: Sequence[Operator] = ()) -> Thermal:
    """Expectation values in exp(-beta H) / Z, in the sector of the space, from the full spectrum.

    Args:
        hamiltonian: Hermitian operator.
        beta: inverse temperature, or several, not negative.
        observables: other operators on the same space.

    Raises:
        ValueError: if the operator is not Hermitian, the space is too large for a dense matrix, or beta is negative.
    """
    at = np.atleast_1d(np.asarray(beta, float))
    _checks.require(bool(np.all(at >= 0)), "beta", "be 0 or more", beta)
    energies, states = spectrum(hamiltonian)
    log_weight = -at[:, None] * (energies - energies[0])[None, :]
    log_z = scipy.special.logsumexp(log_weight, axis=1)
    weight = np.exp(log_weight - log_z[:, None])  # (temperatures, states)
    energy = weight @ energies
    log_z = log_z - at * energies[0]
    with np.errstate(divide="ignore"):
        free_energy = np.where(at > 0, -log_z / at, -np.inf)
    values = [weight @ _diagonal(operator, states) for operator in observables]
    return Thermal(
        beta=at,
        energy=energy,
        heat_capacity=at**2 * (weight @ energies**2 - energy**2),
        entropy=log_z + at * energy,
        free_energy=free_energy,
        values=np.array(values, complex).reshape(len(values), len(at)),
    )


def _solve(matrix: scipy.sparse.csc_array, right: np.ndarray) -> np.ndarray:
    """The solution of a sparse system, if it is unique."""
    try:
        factors = scipy.sparse.linalg.splu(matrix)
    except RuntimeError:  # exactly singular
        pivots = np.zeros(1)
    else:
        pivots = np.abs(factors.U.diagonal())
    unique = bool(pivots.min() > 1e-13 * pivots.max())
    _checks.require(unique, "liouvillian", "have one steady state", "several, i.e. a conserved quantity")
    return factors.solve(right)


def _diagonal(operator: Operator, states: np.ndarray) -> np.ndarray:
    """<n|O|n> for the columns n of `states`."""
    return np.einsum("in,in->n", states.conj(), operator.to_sparse() @ states)


def steady_state(liouvillian: Operator) -> Complex[np.ndarray, "n_states n_states"]:
    """The density matrix that does not change, of trace 1: L rho = 0.

    One row of the singular system is replaced by the condition on the trace, and it is solved by a sparse LU
    decomposition.

    Args:
        liouvillian: on a `Doubled` space.

    Raises:
        TypeError: if the space is not doubled.
        ValueError: if there is no unique steady state.
    """
    space = liouvillian.space
    if not isinstance(space, Doubled):
        raise TypeError(_checks.requirement("liouvillian", "act on a Doubled space", space))
    n = space.space.n_states
    matrix = liouvillian.to_sparse().tolil().astype(complex)
    trace = np.zeros(n * n)
    trace[:: n + 1] = 1.0
    matrix[0] = trace
    right = np.zeros(n * n, complex)
    right[0] = 1.0
    rho = _solve(scipy.sparse.csc_array(matrix), right).reshape(n, n)
    return (rho + rho.conj().T) / 2
