# SPDX-License-Identifier: Apache-2.0
"""Tensor networks."""

from manybody.ansatz.tensor.mps import MPS

__all__ = ["MPS"]
