# SPDX-License-Identifier: Apache-2.0
"""Stochastic reconfiguration: metric, kernel, solvers."""

from manybody.sr.family import TangentFamily
from manybody.sr.precondition import SR, Forced, Gradient, Preconditioner, Problem, minsr, spring
from manybody.sr.qgt import kernel, qgt
from manybody.sr.tangent import Tangent, TangentMap

__all__ = [
    "SR",
    "Forced",
    "Gradient",
    "Preconditioner",
    "Problem",
    "Tangent",
    "TangentFamily",
    "TangentMap",
    "kernel",
    "minsr",
    "qgt",
    "spring",
]
