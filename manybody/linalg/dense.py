# SPDX-License-Identifier: Apache-2.0
"""Solvers for Hermitian positive semidefinite systems (A + shift) x = b, with result codes."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from manybody._types import Array, Float, Inexact, Int

OK = 0
FAILED = 1
"""Result code of a solve that broke down; its solution is zero."""


def cholesky(
    a: Inexact[Array, "n n"], b: Inexact[Array, "n"], shift: Array
) -> tuple[Inexact[Array, "n"], Int[Array, ""]]:
    """Solve (A + shift) x = b by Cholesky factorisation."""
    shifted = a + shift.astype(a.dtype) * jnp.eye(a.shape[0], dtype=a.dtype)
    factor = jax.scipy.linalg.cho_factor(shifted, lower=True)
    return checked(jax.scipy.linalg.cho_solve(factor, b))


def smooth_pinv(
    a: Inexact[Array, "n n"],
    b: Inexact[Array, "n"],
    shift: Array,
    cutoff: float,
    trust: Callable[[Float[Array, "n"], Inexact[Array, "n n"]], Float[Array, "n"]] | None = None,
) -> tuple[Inexact[Array, "n"], Int[Array, ""]]:
    """Solve (A + shift) x = b in the space of large eigenvalues.

    Eigenvalue l contributes with 1 / (l + shift) times 1 / (1 + (cutoff * l_max / l)^6): a smooth step at cutoff *
    l_max (M. Schmitt and M. Heyl, arXiv:1912.08828, equation 14).

    Args:
        a: A.
        b: b.
        shift: added to the diagonal.
        cutoff: where the step is.
        trust: further factors of the contributions, from eigenvalues and eigenvectors (in columns).
    """
    values, vectors = jnp.linalg.eigh(a)
    weight = smooth_step(jnp.maximum(values, 0.0), cutoff * values[-1]) / (jnp.maximum(values, 0.0) + shift)
    weight = jnp.where(values > 0, weight if trust is None else weight * trust(values, vectors), 0.0)
    return checked(vectors @ (weight.astype(b.dtype) * (vectors.conj().T @ b)))


def smooth_step(x: Float[Array, "*shape"], at: Array) -> Float[Array, "*shape"]:
    """1 / (1 + (at / x)^6) for x >= 0: close to 0 below `at`, close to 1 above it."""
    return 1.0 / (1.0 + (at / jnp.maximum(x, jnp.finfo(x.dtype).tiny)) ** 6)


def checked(x: Array) -> tuple[Array, Int[Array, ""]]:
    """`x` and the code `OK` if it is finite, zero and `FAILED` otherwise."""
    good = jnp.all(jnp.isfinite(x))
    return jnp.where(good, x, jnp.zeros_like(x)), jnp.where(good, OK, FAILED).astype(jnp.int32)
