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
from manybody.operator.conversion import off_diagonal_rows

_BLOCK = 2**18
"""Matrix elements, zeros included, that are computed at a time."""


def linear_operator(operator: Operator) -> scipy.sparse.linalg.LinearOperator:
    """The operator as SciPy's `LinearOperator` (n_states, n_states), in the order of `space.all_states()`.

    Every product computes the matrix elements anew, block by block of rows; what is kept are the configurations.

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
    sigma = jnp.asarray(space.all_states())
    kinds = jax.eval_shape(lambda c, s: (c.diagonal(s), c.elements(s)), compiled, sigma[:1])
    dtype = np.promote_types(*(kind.dtype for kind in kinds))
    adjoint = operator.adjoint().compile() if hasattr(operator, "adjoint") else None

    def apply(which: CompiledOperator | None, vector: np.ndarray) -> np.ndarray:
        if which is None:
            raise NotImplementedError("The operator does not know its adjoint.")
        out_type = np.promote_types(dtype, vector.dtype)
        return np.asarray(_apply(space, which, sigma, jnp.asarray(vector.ravel(), out_type)))

    return scipy.sparse.linalg.LinearOperator(
        (n_states, n_states),
        matvec=functools.partial(apply, compiled),
        rmatvec=functools.partial(apply, adjoint),
        dtype=dtype,
    )


@functools.partial(jax.jit, static_argnums=0)
def _apply(space: DiscreteSpace, compiled: CompiledOperator, sigma: Array, vector: Array) -> Array:
    n_states = len(vector)
    n_rows = max(1, min(n_states, _BLOCK // (compiled.n_connections + 1)))

    def block(number: Array) -> Array:
        start = jnp.minimum(number * n_rows, n_states - n_rows)  # the last block reaches back into the one before
        rows = jax.lax.dynamic_slice_in_dim(sigma, start, n_rows)
        target, element = off_diagonal_rows(space, compiled, rows)
        there = vector.at[jnp.clip(target, 0, n_states - 1)].get(mode="promise_in_bounds")
        here = jax.lax.dynamic_slice_in_dim(vector, start, n_rows)
        products = jnp.where(element != 0, element.astype(vector.dtype) * there, jnp.zeros((), vector.dtype))
        return compiled.diagonal(rows).astype(vector.dtype) * here + products.sum(axis=1)

    n_blocks = math.ceil(n_states / n_rows)
    blocks = jax.lax.map(block, jnp.arange(n_blocks)).reshape(-1)
    last = n_states - (n_blocks - 1) * n_rows
    return jnp.concatenate([blocks[: n_states - last], blocks[len(blocks) - last :]])
