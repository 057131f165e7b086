# SPDX-License-Identifier: Apache-2.0
"""The lowest eigenvector by Lanczos iterations, against dense diagonalisation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from manybody.linalg import lanczos, lowest_eigenvector


def hermitian(n: int, dtype: type) -> np.ndarray:
    rng = np.random.default_rng(n)
    matrix = rng.normal(size=(n, n)).astype(dtype)
    if np.iscomplexobj(matrix):
        matrix = matrix + 1j * rng.normal(size=(n, n))
    return (matrix + matrix.conj().T) / 2


@pytest.mark.parametrize("dtype", [float, complex])
def test_dense_diagonalisation(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the vectors are kept or made twice, which takes twice the products."""
    matrix = hermitian(300, dtype)
    energies, states = np.linalg.eigh(matrix)
    start = np.random.default_rng(0).normal(size=300).astype(dtype)
    products = []
    for kept in (2**28, 0):
        monkeypatch.setattr(lanczos, "_KEPT_BYTES", kept)
        count = itertools.count()
        value, vector, converged = lowest_eigenvector(
            lambda x, count=count: (next(count), matrix @ x)[1], start, tolerance=1e-14, max_steps=300
        )
        products.append(next(count))
        assert converged
        assert value == pytest.approx(energies[0], rel=0, abs=1e-12)
        assert abs(np.vdot(states[:, 0], vector)) == pytest.approx(1.0, rel=0, abs=1e-12)
        np.testing.assert_allclose(matrix @ vector, value * vector, rtol=0, atol=1e-11)
    assert products[1] == 2 * products[0] < 400


def test_a_start_in_an_invariant_space_ends_there() -> None:
    matrix = np.diag([3.0, -1.0, 2.0, -5.0])
    value, vector, converged = lowest_eigenvector(
        lambda x: matrix @ x, np.array([1.0, 1.0, 0.0, 0.0]), tolerance=1e-14, max_steps=10
    )
    assert converged
    assert value == pytest.approx(-1.0)
    np.testing.assert_allclose(np.abs(vector), [0, 1, 0, 0], atol=1e-12)


def test_too_few_steps_are_admitted() -> None:
    matrix = hermitian(300, float)
    _, _, converged = lowest_eigenvector(lambda x: matrix @ x, np.ones(300), tolerance=1e-14, max_steps=12)
    assert not converged
