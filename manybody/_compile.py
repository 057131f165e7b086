# SPDX-License-Identifier: Apache-2.0
"""How much XLA should do for a program."""

from __future__ import annotations

ONCE: dict[str, str | int | bool] = {"xla_backend_optimization_level": 0}
"""Compiler options for programs that run once: slower code in half the time."""
