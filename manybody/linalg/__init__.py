# SPDX-License-Identifier: Apache-2.0
"""Solvers, and what they solve: dense, by QR, and iterative; failures are result codes."""

from manybody.linalg import least_squares
from manybody.linalg.dense import FAILED, OK, cholesky, smooth_pinv, smooth_step
from manybody.linalg.iterative import conjugate_gradients
from manybody.linalg.lanczos import lowest_eigenvector
from manybody.linalg.products import gram, gram_share

__all__ = [
    "FAILED",
    "OK",
    "cholesky",
    "conjugate_gradients",
    "gram",
    "gram_share",
    "least_squares",
    "lowest_eigenvector",
    "smooth_pinv",
    "smooth_step",
]
