# SPDX-License-Identifier: Apache-2.0
"""Stochastic reconfiguration: metric, kernel, solvers."""

from manybody.sr.precondition import SR, Gradient, Preconditioner, Problem, minsr, spring
from manybody.sr.qgt import kernel, qgt
from manybody.sr.tangent import TangentMap

__all__ = ["SR", "Gradient", "Preconditioner", "Problem", "TangentMap", "kernel", "minsr", "qgt", "spring"]
