# SPDX-License-Identifier: Apache-2.0
"""Networks in single precision: what is solved in double precision, and what QR is for."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import manybody as mb
from manybody._types import Array
from manybody.ansatz import RBM, MixedPrecision
from manybody.estimator.derivatives import flatten_real

SHIFT = 1e-14
"""Where even double precision does not bear the squared condition of normal equations."""


def tangent(ansatz: RBM | MixedPrecision, n_samples: int) -> tuple[mb.sr.TangentMap, Array]:
    """At random samples, with local energies."""
    space = mb.hilbert.Spin(10)
    sigma = space.random_state(jax.random.key(1), n_samples)
    params = ansatz.init(jax.random.key(0), sigma)["params"]
    log_psi = ansatz.apply({"params": params}, sigma).astype("float64")
    samples = mb.sampler.Samples(sigma[None], log_psi[None], jnp.full((1, n_samples), 1 / n_samples), "chain")
    comm = mb.parallel.Comm()
    values = jax.random.normal(jax.random.key(2), (n_samples,))
    return mb.sr.TangentMap(comm, lambda p, s: ansatz.apply({"params": p}, s), params, samples, None), values


def error(solver: str, ansatz: RBM | MixedPrecision) -> float:
    """Of the direction in the space of parameters, against a singular value decomposition; relative."""
    at, values = tangent(ansatz, 200)
    mean = jnp.mean(values)
    rows, e = np.asarray(at.jacobian()[:, 0]), np.asarray(at.residual(values, mean)[:, 0])
    u, s, vt = np.linalg.svd(rows, full_matrices=False)
    right = vt.T @ (s / (s**2 + SHIFT) * (u.T @ e))
    sr = mb.sr.SR(SHIFT, method="parameters", solver=solver)
    direction, _, info = sr.update(mb.sr.Problem(at, values, mean, jnp.int32(0)), ())
    assert {str(x.dtype) for x in jax.tree.leaves(direction)} == {"float32"}
    found = np.asarray(flatten_real(direction))
    return 1.0 if info["sr_code"] else float(np.linalg.norm(found - right) / np.linalg.norm(right))


@pytest.mark.parametrize("mixed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_qr_bears_shifts_that_cholesky_does_not(mixed: bool) -> None:
    """The parameters are more than the samples tell apart: without shift the metric is singular."""
    ansatz = RBM(alpha=3, param_dtype="float32")
    ansatz = MixedPrecision(ansatz) if mixed else ansatz
    assert error("qr", ansatz) < 1e-4
    assert error("cholesky", ansatz) > 1e-3


@pytest.mark.parametrize("products", [pytest.param("bfloat16", marks=pytest.mark.slow), "float16"])
def test_rows_residuals_and_sums_are_in_double_precision(products: str) -> None:
    """And rows are those of the ansatz in single precision to the rounding of products."""
    ansatz = RBM(alpha=3, param_dtype="float32")
    at, values = tangent(ansatz, 50)
    mixed, _ = tangent(MixedPrecision(ansatz, products), 50)
    mixed = dataclasses.replace(mixed, params={"ansatz": at.params})
    rows, mixed_rows = at.jacobian(), mixed.jacobian()
    assert mixed_rows.dtype == mixed.residual(values, jnp.mean(values)).dtype == "float64"
    assert mixed.apply(mixed.params).dtype == "float64"
    gap = np.linalg.norm(mixed_rows - rows) / np.linalg.norm(rows)
    assert 1e-7 < gap < float(jnp.finfo(products).eps)
