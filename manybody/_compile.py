# SPDX-License-Identifier: Apache-2.0
"""How much XLA should do for a program, and what remains of its work."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from typing import Any

ONCE: dict[str, str | int | bool] = {"xla_backend_optimization_level": 0}
"""Compiler options for programs that run once: slower code in half the time."""


def ahead(program: Any, *arguments: Any) -> Any:
    """A jitted function, compiled for these arguments; what that took goes back to the system.

    The compiler takes some hundred megabytes. The C library would keep them, in pieces that are too small for the work
    space of the program.
    """
    program.lower(*arguments).compile()
    give_back()
    return program


def give_back() -> None:
    """Give memory that is free, but still held by this process, back to the system."""
    trim = _trim()
    if trim is not None:
        trim(0)


@functools.cache
def _trim() -> Callable[[int], int] | None:
    """The function of the C library for it, if it has one (that of GNU has)."""
    if os.name != "posix":  # elsewhere a process is no library
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
