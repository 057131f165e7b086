# SPDX-License-Identifier: Apache-2.0
"""Damped least squares by QR, without forming the normal equations.

min |O d - e|^2 + shift |d|^2 has the normal equations (O^T O + shift) d = O^T e, whose condition is the square of that
of O. The factor R of [O; sqrt(shift)] is the Cholesky factor of the same matrix, found without squaring: it keeps
small shifts usable (a relative error of 1e-7 at shift 1e-8 in single precision, where Cholesky has 1e-3 or fails).
"""

from __future__ import annotations

import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from manybody._types import Array, Float, Int
from manybody.linalg.dense import checked
from manybody.parallel import Comm


def tall(
    comm: Comm, o: Float[Array, "rows params"], e: Float[Array, "rows"], shift: Array
) -> tuple[Float[Array, "params"], Int[Array, ""]]:
    """Solve with rows sharded over workers (for more rows than parameters): every worker reduces its own rows first."""
    n = o.shape[1]
    local = jnp.linalg.qr(jnp.concatenate([o, e[:, None]], axis=1), mode="r")
    damping = jnp.sqrt(shift) * jnp.eye(n, n + 1, dtype=o.dtype)
    triangle = jnp.linalg.qr(jnp.concatenate([comm.all_gather(local), damping]), mode="r")
    return checked(solve_triangular(triangle[:n, :n], triangle[:n, n]))


def wide(
    comm: Comm, columns: Float[Array, "rows own_params"], e: Float[Array, "rows"], shift: Array
) -> tuple[Float[Array, "rows"], Int[Array, ""]]:
    """a with d = O^T a, from all rows and a worker's own columns of O (for more parameters than rows)."""
    n = columns.shape[0]
    local = jnp.linalg.qr(columns.T, mode="r")
    damping = jnp.sqrt(shift) * jnp.eye(n, dtype=columns.dtype)
    triangle = jnp.linalg.qr(jnp.concatenate([comm.all_gather(local), damping]), mode="r")
    half = solve_triangular(triangle, e, trans="T")
    return checked(solve_triangular(triangle, half))
