# SPDX-License-Identifier: Apache-2.0
"""How much XLA should do for a program."""

from __future__ import annotations

ONCE: dict[str, str | int | bool] = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
"""Compiler options for programs that run once: slower code in a third of the time (jitted random numbers for the first
parameters: 0.1 s instead of 0.45 s)."""
