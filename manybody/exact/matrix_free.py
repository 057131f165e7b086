# SPDX-License-Identifier: Apache-2.0
"""The action of an operator on a vector over all states, without its matrix: memory of a few vectors."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg

from manybody import _checks
from manybody._types import Array
from manybody.hilbert import DiscreteSpace
from manybody.operator import CompiledOperator, Operator
from manybody.operator.conversion import matrix_rows

_BLOCK = 2**18
"""Matrix elements, zeros included, that are computed at a time."""


def linear_operator(operator: Operator) -> scipy.sparse.linalg.LinearOperator:
    """The operator as SciPy's `LinearOperator` (n_states, n_states), in the order of `space.all_states()`.

    Every product computes the matrix elements anew, block by block of rows.

    Raises:
        ValueError: if the states cannot be numbered by 31 bits.

    Example:
        >>> import numpy as np, manybody as mb
        >>> space = mb.hilbert.Spin(8, total_sz=0)
        >>> operator = mb.hamiltonian.heisenberg(space, mb.lattice.chain(8))
        >>> vector = np.arange(70.0)
        >>> bool(np.allclose(mb.exact.linear_operator(operator) @ vector, operator.to_sparse() @ vector))
        True
    """
    _checks.require_type(operator, Operator, "operator")
    space, compiled = operator.space, operator.compile()
    n_states = space.n_states
    _checks.require(n_states < 2**31, "space", "have fewer than 2^31 states", n_states)
    dtype = jax.eval_shape(lambda c, i: matrix_rows(space, c, i)[1], compiled, jnp.zeros(1, int)).dtype
    adjoint = operator.adjoint().compile() if hasattr(operator, "adjoint") else None

    def apply(which: CompiledOperator | None, vector: np.ndarray) -> np.ndarray:
        if which is None:
            raise NotImplementedError("The operator does not know its adjoint.")
        out_type = np.promote_types(dtype, vector.dtype)
        return np.asarray(_apply(space, n_states, which, jnp.asarray(vector.ravel(), out_type)))

    return scipy.sparse.linalg.LinearOperator(
        (n_states, n_states),
        matvec=functools.partial(apply, compiled),
        rmatvec=functools.partial(apply, adjoint),
        dtype=dtype,
    )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _apply(space: DiscreteSpace, n_states: int, compiled: CompiledOperator, vector: Array) -> Array:
    n_rows = max(1, min(n_states, _BLOCK // (compiled.n_connections + 1)))
    n_blocks = math.ceil(n_states / n_rows)

    def block(number: Array) -> Array:
        index = jnp.minimum(number * n_rows + jnp.arange(n_rows), n_states - 1)
        target, element = matrix_rows(space, compiled, index)
        value = jnp.where(element != 0, vector[jnp.clip(target, 0, n_states - 1)], jnp.zeros((), vector.dtype))
        return (element.astype(vector.dtype) * value).sum(axis=1)

    return jax.lax.map(block, jnp.arange(n_blocks)).reshape(-1)[:n_states]
