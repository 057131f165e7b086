# SPDX-License-Identifier: Apache-2.0
"""Correlation functions of exact states, at equal and at different times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from manybody import _checks
from manybody._types import Complex, Inexact
from manybody.exact.entanglement import checked_state
from manybody.exact.evolution import evolve
from manybody.operator import Operator


def correlations(
    first: Sequence[Operator],
    second: Sequence[Operator],
    psi: Inexact[np.ndarray, "n_states"],
    *,
    connected: bool = False,
) -> Inexact[np.ndarray, "first second"]:
    """<A_i B_j> in a state, for all operators A_i of `first` and B_j of `second`.

    Args:
        first: operators on one space.
        second: operators on the same space.
        psi: amplitudes (n_states,), normalised here.
        connected: subtract <A_i> <B_j>.

    Raises:
        ValueError: if there are no operators, they act on different spaces, or `psi` has another length.

    Example:
        >>> import manybody as mb
        >>> space = mb.hilbert.Spin(6, total_sz=0)
        >>> psi = mb.exact.ground_state(mb.hamiltonian.heisenberg(space, mb.lattice.chain(6))).states[:, 0]
        >>> s_z = [mb.operator.spin.sz(space, site) for site in range(6)]
        >>> mb.exact.correlations(s_z[:1], s_z, psi).round(4)
        array([[ 0.25  , -0.1557,  0.0693, -0.0773,  0.0693, -0.1557]])
    """
    state = _state([*first], [*second], psi)
    bras = np.stack([a.to_sparse().conj().T @ state for a in first]).conj()  # rows <psi| A_i
    kets = np.stack([b.to_sparse() @ state for b in second], axis=1)
    together = bras @ kets
    return together - (bras @ state)[:, None] * (state.conj() @ kets)[None, :] if connected else together


def dynamical_correlations(
    hamiltonian: Operator,
    first: Sequence[Operator],
    second: Sequence[Operator],
    psi: Inexact[np.ndarray, "n_states"],
    times: Sequence[float],
) -> Complex[np.ndarray, "times first second"]:
    """<A_i(t) B_j> with A(t) = exp(i H t) A exp(-i H t), in any state.

    Args:
        hamiltonian: Hermitian operator.
        first: operators on the same space.
        second: operators on the same space.
        psi: amplitudes (n_states,) at time 0, normalised here.
        times: monotonic.

    Raises:
        ValueError: as `correlations` and `evolve`.
    """
    state = _state([hamiltonian, *first], [*second], psi)
    at = np.asarray(times, float)
    later = np.concatenate([[0.0], at])  # evolution starts at time 0
    matrices = [a.to_sparse() for a in first]

    def evolved(vector: np.ndarray) -> np.ndarray:
        return evolve(hamiltonian, vector, later)[1:]

    bras = evolved(state).conj()
    kets = [evolved(b.to_sparse() @ state) for b in second]
    return np.array([[[bra @ (a @ ket[k]) for ket in kets] for a in matrices] for k, bra in enumerate(bras)])


def _state(first: list[Operator], second: list[Operator], psi: np.ndarray) -> np.ndarray:
    """The normalised state, if all operators act on its space."""
    _checks.require(bool(first and second), "operators", "be one or more", "none")
    space = first[0].space
    for operator in (*first, *second):
        _checks.require(operator.space == space, "operators", f"act on {space} like the first one", operator.space)
    return checked_state(space, psi)
