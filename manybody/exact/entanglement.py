# SPDX-License-Identifier: Apache-2.0
"""Parts of exact states: reduced density matrices, entropies, expectation values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from manybody import _checks
from manybody._types import Complex, Inexact
from manybody.hilbert import DiscreteSpace
from manybody.operator import Operator
from manybody.operator.relabelling import Relabelling


def expectation(operator: Operator, psi: Inexact[np.ndarray, "n_states"]) -> complex:
    """<psi|O|psi> / <psi|psi>, real if the operator is Hermitian.

    Raises:
        ValueError: if `psi` has another length.
    """
    state = checked_state(operator.space, psi)
    value = complex(np.vdot(state, operator.to_sparse() @ state))
    return value.real if operator.is_hermitian else value


def reduced_density_matrix(
    space: DiscreteSpace, psi: Inexact[np.ndarray, "n_states"], sites: Sequence[int]
) -> Complex[np.ndarray, "part part"]:
    """Density matrix of some sites, in the Kronecker order of their levels (first of `sites` most significant).

    Fermionic modes are first brought to the front, with the sign that this takes, so that the matrix gives the
    expectation values of all operators made of an even number of their c and c^dagger in the given order.

    Args:
        space: of the state, in any sector.
        psi: amplitudes (n_states,); normalised if it is not.
        sites: the part; distinct.

    Raises:
        ValueError: if `psi` has another length, a site does not exist or occurs twice, or the part is too large.
    """
    amplitudes = _schmidt_form(space, psi, sites)
    return amplitudes @ amplitudes.conj().T


def entanglement_entropy(
    space: DiscreteSpace, psi: Inexact[np.ndarray, "n_states"], sites: Sequence[int], *, alpha: float = 1.0
) -> float:
    """Entropy of the reduced density matrix of some sites, with the natural logarithm.

    Args:
        space: of the state, in any sector.
        psi: amplitudes (n_states,).
        sites: the part.
        alpha: order of the Renyi entropy ln(tr rho^alpha) / (1 - alpha); 1 is von Neumann's -tr rho ln rho.

    Raises:
        ValueError: as `reduced_density_matrix`, and if alpha is not positive.
    """
    _checks.positive(alpha, "alpha")
    p = np.linalg.svd(_schmidt_form(space, psi, sites), compute_uv=False) ** 2
    p = p[p > 1e-300]
    if alpha == 1:
        return float(-np.sum(p * np.log(p)))
    return float(np.log(np.sum(p**alpha)) / (1 - alpha))


def _schmidt_form(space: DiscreteSpace, psi: np.ndarray, sites: Sequence[int]) -> np.ndarray:
    """Amplitudes (levels of the part, configurations of the rest that occur)."""
    chosen = [_checks.integer(site, "site", minimum=0, maximum=space.size - 1) for site in sites]
    _checks.require(len(set(chosen)) == len(chosen), "sites", "be distinct", chosen)
    dimension = math.prod(space.local_dimensions[site] for site in chosen)
    _checks.require(dimension <= 2**14, "sites", "have at most 2^14 joint states", dimension)
    state = checked_state(space, psi)
    levels = np.asarray(space.to_levels(space.all_states()))
    order = [*chosen, *(site for site in range(space.size) if site not in chosen)]
    pairs = Relabelling(tuple(np.argsort(order).tolist()), (), space.fermions).swapped_pairs()
    exchanged = np.einsum("xi,xi->x", levels @ pairs.astype(levels.dtype), levels)
    place = np.array([math.prod(space.local_dimensions[s] for s in chosen[i + 1 :]) for i in range(len(chosen))], int)
    part = levels[:, chosen] @ place
    rest = np.delete(levels, chosen, axis=1)
    _, column = np.unique(rest, axis=0, return_inverse=True)
    amplitudes = np.zeros((dimension, int(column.max(initial=0)) + 1), complex)
    amplitudes[part, column.ravel()] = np.where(exchanged % 2, -state, state)
    return amplitudes


def checked_state(space: DiscreteSpace, psi: np.ndarray) -> np.ndarray:
    """Amplitudes (n_states,), normalised."""
    state = np.asarray(psi)
    _checks.require(state.shape == (space.n_states,), "psi", f"have shape ({space.n_states},)", state.shape)
    norm = np.linalg.norm(state)
    _checks.require(bool(norm > 0), "psi", "not vanish", norm)
    return state / norm
