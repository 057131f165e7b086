# SPDX-License-Identifier: Apache-2.0
"""Derivatives of log psi, configuration by configuration, as real numbers."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from manybody._precision import widen
from manybody._types import Array, Float, Inexact, Int8, PyTree
from manybody.estimator.expect import LogPsi


def jacobian_rows(
    log_psi: LogPsi, params: PyTree, sigma: Int8[Array, "samples sites"], n_parts: int
) -> Float[Array, "samples parts params"]:
    """Derivatives of the real part of log psi, and of the imaginary one if `n_parts` is 2, flattened."""

    def one(sigma: Array) -> Array:
        return jnp.stack([flatten_real(g) for g in gradients(log_psi, params, sigma, n_parts)])

    return jax.vmap(one)(sigma)


def gradients(log_psi: LogPsi, params: PyTree, sigma: Array, n_parts: int) -> list[PyTree]:
    """Gradients of the real (and imaginary) part of log psi of one configuration, conjugated: d/dRe + i d/dIm."""
    value, pullback = jax.vjp(lambda p: log_psi(p, sigma[None])[0], params)
    return [jax.tree.map(jnp.conj, pullback(c)[0]) for c in cotangents(value, n_parts)]


def cotangents(value: Inexact[Array, ""], n_parts: int) -> list[Array]:
    """Those for which JAX gives the gradients d/dRe - i d/dIm of the real (and imaginary) part of a value."""
    one = jnp.ones_like(value)  # a cotangent c gives that of Re(c * value), and Im(value) = Re(-i * value)
    return [one, -1j * one] if n_parts == 2 else [one]


def flatten_real(tree: PyTree) -> Float[Array, "params"]:
    """One real vector: leaf after leaf, of complex leaves the real parts and then the imaginary parts."""
    pieces = []
    for x in jax.tree.leaves(tree):
        x = widen(x)
        pieces += [x.real.ravel(), x.imag.ravel()] if jnp.iscomplexobj(x) else [x.ravel()]
    return jnp.concatenate(pieces)
