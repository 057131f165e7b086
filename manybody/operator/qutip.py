# SPDX-License-Identifier: Apache-2.0
"""Operators and superoperators from QuTiP and to it.

States are in the same order: first site most significant, spin up and the empty site first. Density matrices are not:
QuTiP stacks their columns, and `Doubled` has them row by row.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy

from manybody import _checks
from manybody.hilbert import DiscreteSpace, Doubled
from manybody.operator.base import Operator
from manybody.operator.discrete import DiscreteOperator
from manybody.operator.optional import load
from manybody.operator.sparse import from_sparse


def to_qutip(operator: Operator) -> Any:
    """The operator as a sparse `qutip.Qobj` (extra `interop`).

    Its dims are the local dimensions of all sites; in a sector or under a constraint, where there is no tensor product,
    the number of states. On `Doubled` it is a superoperator on matrices with these dims, for columns stacked as QuTiP
    does: that of a `Liouvillian` is `qutip.liouvillian` of the same Hamiltonian and jump operators.

    Fermions are modes of two levels with the signs of Jordan and Wigner, as of `qutip.fdestroy`.

    Raises:
        ImportError: if QuTiP is not installed.
        ValueError: if the states cannot be numbered by 31 bits.

    Example:
        >>> import manybody as mb
        >>> space = mb.hilbert.Spin(2)
        >>> mb.operator.to_qutip(mb.operator.spin.sz(space, 1)).dims
        [[2, 2], [2, 2]]
    """
    qutip = load("qutip", "interop")
    _checks.require_type(operator, Operator, "operator")
    matrix = operator.to_sparse()
    if isinstance(operator.space, Doubled):
        n_states = operator.space.space.n_states
        matrix = _stacked_otherwise(matrix, n_states)
    return qutip.Qobj(scipy.sparse.csr_matrix(matrix), dims=_dims(operator.space))


def from_qutip(operator: Any, space: DiscreteSpace) -> DiscreteOperator:
    """The operator of a `qutip.Qobj` on a space (extra `interop`).

    As from a matrix: see `from_sparse` for what it costs.

    Args:
        operator: an operator whose dims are those that `to_qutip` gives on this space, or the number of states; on
            `Doubled` a superoperator (its representation "super"), on matrices with such dims.
        space: a space whose states can be numbered.

    Raises:
        ImportError: if QuTiP is not installed.
        TypeError: if it is no `Qobj`.
        ValueError: for other dims, an element that is not finite, or a space that is too large for `from_sparse`.

    Example:
        >>> import qutip, manybody as mb
        >>> space = mb.hilbert.Qubit(2)
        >>> flip = mb.operator.from_qutip(qutip.tensor(qutip.qeye(2), qutip.sigmax()), space)
        >>> flip == mb.operator.spin.sigmax(space, 1)
        True
    """
    qutip = load("qutip", "interop")
    _checks.require_type(space, DiscreteSpace, "space")
    _checks.require_type(operator, qutip.Qobj, "operator")
    flat = [space.n_states] if not isinstance(space, Doubled) else [[space.space.n_states]] * 2
    allowed = [_dims(space), [flat, flat]]
    _checks.require(operator.dims in allowed, "operator", f"have dims {allowed[0]}, those of {space}", operator.dims)
    matrix = operator.to("CSR").data.as_scipy()
    if isinstance(space, Doubled):
        must = "stack the columns of matrices (superrep 'super')"
        _checks.require(operator.superrep == "super", "operator", must, operator.superrep, "Call qutip.to_super.")
        matrix = _stacked_otherwise(matrix, space.space.n_states)
    return from_sparse(space, matrix)


def _dims(space: DiscreteSpace) -> list:
    """The dims of an operator on a space."""
    if isinstance(space, Doubled):
        return [_dims(space.space)] * 2
    is_product = space.n_states == math.prod(space.local_dimensions)
    states = list(space.local_dimensions) if is_product else [space.n_states]
    return [states, states]


def _stacked_otherwise(matrix: Any, n_states: int) -> scipy.sparse.csr_array:
    """A superoperator for matrices row by row, from one for matrices column by column, or the other way round."""
    order = np.arange(n_states**2).reshape(n_states, n_states).T.ravel()
    return scipy.sparse.csr_array(matrix)[order][:, order]
