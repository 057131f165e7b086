# SPDX-License-Identifier: Apache-2.0
"""Solvers: dense, by QR, and iterative; failures are result codes."""

from manybody.linalg import least_squares
from manybody.linalg.dense import FAILED, OK, cholesky, gram, smooth_pinv, smooth_step
from manybody.linalg.iterative import conjugate_gradients
from manybody.linalg.lanczos import lowest_eigenvector

__all__ = [
    "FAILED",
    "OK",
    "cholesky",
    "conjugate_gradients",
    "gram",
    "least_squares",
    "lowest_eigenvector",
    "smooth_pinv",
    "smooth_step",
]
