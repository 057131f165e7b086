# SPDX-License-Identifier: Apache-2.0
"""Autoregressive wave functions: normalised, and drawn from site by site without a chain."""

from manybody.ansatz.autoregressive.conv import ARConv
from manybody.ansatz.autoregressive.dense import ARDense
from manybody.ansatz.autoregressive.recurrent import ARRNN
from manybody.ansatz.autoregressive.transformer import ARTransformer

__all__ = ["ARRNN", "ARConv", "ARDense", "ARTransformer"]
