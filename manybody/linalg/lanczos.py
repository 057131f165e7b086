# SPDX-License-Identifier: Apache-2.0
"""The lowest eigenvector of a large Hermitian matrix by plain Lanczos iterations.

The three-term recurrence needs nothing but products and two vectors, and loses orthogonality only where a Ritz vector
has converged (C. C. Paige, Linear Algebra Appl. 34, 235 (1980)) - which is where it ends. So for one extremal vector it
takes fewer products than a restarted method, and none of its orthogonalisations. The vectors that make up the
eigenvector are kept if they are small, else made a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import scipy

from manybody._types import Inexact

_KEPT_BYTES = 2**28
"""Lanczos vectors of this size together are kept."""
_EVERY = 4
"""Steps between two looks at the convergence."""

Product = Callable[[np.ndarray], np.ndarray]


def lowest_eigenvector(
    matvec: Product, start: Inexact[np.ndarray, "n"], *, tolerance: float, max_steps: int
) -> tuple[float, Inexact[np.ndarray, "n"], bool]:
    """The lowest eigenvalue of a Hermitian matrix and its vector.

    Args:
        matvec: x -> A x.
        start: any vector that is not orthogonal to the result.
        tolerance: what is left of the residual |A x - E x|, relative to the largest |Ritz value|.
        max_steps: most products (they double if the vectors are made twice).

    Returns:
        The eigenvalue, the normalised vector, and whether it has converged.
    """
    n_kept = int(_KEPT_BYTES // start.nbytes)
    diagonal: list[float] = []
    beyond: list[float] = []  # beyond[i] couples vectors i and i + 1
    kept: list[np.ndarray] = []
    weights, converged = np.ones(1), False
    for vector, alpha, beta in _recurrence(matvec, start):
        diagonal.append(alpha)
        beyond.append(beta)
        kept = [*kept, vector] if len(diagonal) <= n_kept else []
        last = len(diagonal) == max_steps or beta == 0.0
        if last or len(diagonal) % _EVERY == 0:
            value, weights, scale = _ritz(diagonal, beyond[:-1])
            converged = abs(beta * weights[-1]) <= tolerance * scale
            if converged or last:
                break
    again = zip(weights, kept, strict=True) if len(kept) == len(weights) else _again(matvec, start, weights)
    total = np.zeros_like(start)
    for weight, vector in again:
        total += weight * vector
    return float(value), total / np.linalg.norm(total), bool(converged)


def _recurrence(matvec: Product, start: np.ndarray) -> Iterator[tuple[np.ndarray, float, float]]:
    """Lanczos vectors q_i with <q_i|A|q_i> and the norm of what A q_i adds to their span."""
    vector, before, beta = start / np.linalg.norm(start), np.zeros_like(start), 0.0
    while True:
        image = matvec(vector)
        alpha = float(np.vdot(vector, image).real)
        image = image - alpha * vector
        image -= beta * before
        beta = float(np.linalg.norm(image))
        yield vector, alpha, beta
        before, vector = vector, image / beta


def _again(matvec: Product, start: np.ndarray, weights: np.ndarray) -> Iterator[tuple[float, np.ndarray]]:
    """The same vectors once more, with their weights."""
    for weight, (vector, *_) in zip(weights, _recurrence(matvec, start), strict=False):
        yield weight, vector


def _ritz(diagonal: list[float], beyond: list[float]) -> tuple[float, np.ndarray, float]:
    """Lowest eigenvalue and eigenvector of a tridiagonal matrix, and the size of its largest eigenvalue."""
    (value,), vector = scipy.linalg.eigh_tridiagonal(diagonal, beyond, select="i", select_range=(0, 0))
    sides = np.abs([0.0, *beyond]) + np.abs([*beyond, 0.0])
    return value, vector[:, 0], float(np.max(np.abs(diagonal) + sides))
