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

OFTEN: Options = {
    "xla_cpu_prefer_vector_width": 512,
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT",
}
"""Compiler options for programs that run often, on processors."""


def often() -> Options:
    """Compiler options for programs that run often.

    On processors loops use the longest registers that there are; XLA stops at 256 bits, for processors that slow
    down at 512. And the library that XLA has for products of matrices gets only these: by default it takes what
    surrounds them as well, with functions and sums slower than those of the compiler. What `XLA_FLAGS` says counts.
    """
    said = os.environ.get("XLA_FLAGS", "")
    return {name: x for name, x in OFTEN.items() if name not in said} if jax.default_backend() == "cpu" else {}


def ahead(program: Any, *arguments: Any) -> Any:
    """A jitted function, compiled for these arguments.

    What that took, some hundred megabytes, goes back to the system; what the program takes is kept (see `_allocator`).
    """
    plan = program.lower(*arguments).compile().memory_analysis()
    _allocator.give_back()
    _allocator.keep(0 if plan is None else plan.temp_size_in_bytes)
    return program
