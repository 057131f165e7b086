# SPDX-License-Identifier: Apache-2.0
"""Solvers against NumPy, and how they fail: with a code and never with nan."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody import linalg
from manybody.linalg import FAILED, OK, least_squares
from manybody.parallel import REPLICATED, SHARD, Comm, mesh_comm

N_ROWS, N_PARAMS = 12, 7


def problem(n_rows=N_ROWS, n_params=N_PARAMS, rank=None, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_rows, n_params))
    if rank is not None:
        rows = rng.normal(size=(n_rows, rank)) @ rng.normal(size=(rank, n_params))
    return rows, rng.normal(size=n_rows)


def cg(a, b, shift, **options):
    options = {"tolerance": 1e-12, "max_iterations": 200, **options}
    return linalg.conjugate_gradients(lambda x: a @ x + shift * x, b, dot=jnp.vdot, **options)


SOLVERS = {
    "cholesky": linalg.cholesky,
    "pinv": functools.partial(linalg.smooth_pinv, cutoff=1e-12),
    "cg": lambda a, b, shift: cg(a, b, shift)[::2],
}


@pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS)
@pytest.mark.parametrize("shift", [1e-8, 0.3])
def test_shifted_systems(solve, shift):
    rows, e = problem()
    a, b = rows.T @ rows, rows.T @ e
    x, code = jax.jit(solve)(a, b, shift)
    np.testing.assert_allclose(x, np.linalg.solve(a + shift * np.eye(len(a)), b), rtol=1e-9)
    assert code == OK


@pytest.mark.parametrize("n_workers", [1, 2, 4])
@pytest.mark.parametrize("shift", [1e-6, 0.3])
def test_least_squares(n_workers, shift):
    """More rows than parameters by rows, more parameters than rows by columns; R of every worker is joined."""
    comm = Comm() if n_workers == 1 else mesh_comm(jax.devices()[:n_workers])
    rows, e = problem()
    right = np.linalg.solve(rows.T @ rows + shift * np.eye(N_PARAMS), rows.T @ e)
    tall = comm.spmd(functools.partial(least_squares.tall, comm), (SHARD, SHARD, REPLICATED), REPLICATED)
    x, code = tall(comm.scatter(rows), comm.scatter(e), jnp.float64(shift))
    np.testing.assert_allclose(x, right, rtol=1e-8)
    assert code == OK
    wide = rows.T  # 7 rows, 12 parameters
    e = e[:N_PARAMS]

    def own_columns(columns, e, shift):
        return least_squares.wide(comm, columns.T, e, shift)

    solve = comm.spmd(own_columns, (SHARD, REPLICATED, REPLICATED), REPLICATED)
    x, code = solve(comm.scatter(wide.T), e, jnp.float64(shift))
    np.testing.assert_allclose(
        wide.T @ x, np.linalg.solve(wide.T @ wide + shift * np.eye(N_ROWS), wide.T @ e), rtol=1e-7
    )
    assert code == OK


def test_qr_keeps_small_shifts_in_single_precision():
    """Singular values from 1 to 1e-4 and shift 1e-8: an error below 1e-3, where that of Cholesky is above 1e-2."""
    rng = np.random.default_rng(0)
    u, _ = np.linalg.qr(rng.normal(size=(40, 10)))
    v, _ = np.linalg.qr(rng.normal(size=(10, 10)))
    narrow = jnp.asarray(u * np.logspace(0, -4, 10) @ v.T, jnp.float32)
    e, shift = jnp.asarray(rng.normal(size=40), jnp.float32), jnp.float32(1e-8)
    rows = np.asarray(narrow, float)
    right = np.linalg.solve(rows.T @ rows + 1e-8 * np.eye(10), rows.T @ np.asarray(e, float))

    def error(x):
        return np.linalg.norm(np.asarray(x, float) - right) / np.linalg.norm(right)

    x, code = least_squares.tall(Comm(), narrow, e, shift)
    assert code == OK
    assert error(x) < 1e-3
    y, code = linalg.cholesky(narrow.T @ narrow, narrow.T @ e, shift)
    assert code == FAILED or error(y) > 1e-2


def test_smooth_cutoff():
    """Each eigenvalue l with 1/(l + shift)/(1 + (cutoff l_max / l)^6); those that are not positive do not count."""
    values = np.array([-1e-3, 0.0, 1e-4, 0.05, 0.1, 0.2, 10.0])
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(7, 7)))
    b = np.random.default_rng(1).normal(size=7)
    x, code = linalg.smooth_pinv(jnp.asarray((q * values) @ q.T), jnp.asarray(b), jnp.float64(0.02), 0.01)
    weight = np.zeros(7)
    weight[2:] = 1 / (values[2:] + 0.02) / (1 + (0.1 / values[2:]) ** 6)
    np.testing.assert_allclose(x, q @ (weight * (q.T @ b)), rtol=1e-8, atol=1e-10)
    assert code == OK
    assert weight[4] == pytest.approx(0.5 / 0.12)


def test_smooth_pinv_without_shift_on_a_singular_matrix():
    rows, e = problem(rank=3)
    x, code = linalg.smooth_pinv(jnp.asarray(rows.T @ rows), jnp.asarray(rows.T @ e), jnp.float64(0.0), 1e-10)
    np.testing.assert_allclose(x, np.linalg.pinv(rows) @ e, rtol=1e-8)
    assert code == OK


def test_failures_are_codes():
    """An indefinite matrix, nan in the matrix, too few iterations, a singular system without a solution."""
    b = jnp.ones(3)
    for a in (-jnp.eye(3), jnp.full((3, 3), jnp.nan)):
        x, code = linalg.cholesky(a, b, jnp.float64(0.1))
        assert code == FAILED
        np.testing.assert_array_equal(x, 0)
    x, code = linalg.smooth_pinv(jnp.full((3, 3), jnp.nan), b, jnp.float64(0.1), 1e-10)
    assert code == FAILED
    np.testing.assert_array_equal(x, 0)
    x, code = least_squares.tall(Comm(), jnp.zeros((4, 3)), jnp.ones(4), jnp.float64(0.0))
    assert code == FAILED
    np.testing.assert_array_equal(x, 0)
    rows, e = problem()
    x, n, code = cg(rows.T @ rows, rows.T @ e, 1e-8, max_iterations=3)
    assert (n, code) == (3, FAILED)
    assert np.isfinite(x).all()
    x, n, code = cg(jnp.zeros((3, 3)), b, 0.0)
    assert code == FAILED
    np.testing.assert_array_equal(x, 0)
    x, n, code = cg(jnp.eye(3), b * jnp.nan, 0.0)
    assert code == FAILED
    np.testing.assert_array_equal(x, 0)


def test_conjugate_gradients_stop_at_their_tolerance():
    rows, e = problem(60, 40)
    a, b = rows.T @ rows, rows.T @ e
    previous = 0
    for tolerance in (1e-2, 1e-6, 1e-10):
        x, n, code = cg(a, b, 0.1, tolerance=tolerance)
        assert code == OK
        assert np.linalg.norm(a @ x + 0.1 * x - b) <= 1.01 * tolerance * np.linalg.norm(b)
        assert n > previous
        previous = n
    assert np.linalg.norm(a @ cg(a, b, 0.1, tolerance=1e-2)[0] + 0.1 * x - b) > 1e-4 * np.linalg.norm(b)


def test_conjugate_gradients_of_nothing():
    x, n, code = cg(jnp.eye(3), jnp.zeros(3), 0.0)
    assert (n, code) == (0, OK)
    np.testing.assert_array_equal(x, 0)
