# SPDX-License-Identifier: Apache-2.0
"""How XLA should compile a program, and what remains of its work."""

from __future__ import annotations

import os
from typing import Any

import jax

from manybody import _allocator

Options = dict[str, str | int | bool]

ONCE: Options = {"xla_backend_optimization_level": 0}
"""Compiler options for programs that run once: slower code in half the time."""

_WIDTH = "xla_cpu_prefer_vector_width"


def often() -> Options:
    """Compiler options for programs that run often.

    Loops are written for the longest registers that a processor has, while XLA stops at 256 bits, for processors whose
    clock slowed down at 512. What is said in `XLA_FLAGS` counts.
    """
    is_open = jax.default_backend() == "cpu" and _WIDTH not in os.environ.get("XLA_FLAGS", "")
    return {_WIDTH: 512} if is_open else {}


def ahead(program: Any, *arguments: Any) -> Any:
    """A jitted function, compiled for these arguments.

    What that took, some hundred megabytes, goes back to the system; what the program takes is kept (see `_allocator`).
    """
    program.lower(*arguments).compile()
    _allocator.give_back()
    _allocator.keep()
    return program
