# SPDX-License-Identifier: Apache-2.0
"""What the C library does with memory that is free; only that of GNU is told anything.

A program takes its work space anew whenever it runs, and so do the kernels inside of it. If what is free goes back
to the system in between, every page must be cleared again: up to a fifth of the time of a step. But what the compiler
leaves is in pieces that no work space fits into, and better given back.
"""

from __future__ import annotations

import ctypes
import functools
import os
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGEST_THRESHOLD = 32 * 2**20  # that the library allows for
_KEPT = 2**30


def give_back() -> None:
    """Give memory that is free, but still held by this process, back to the system."""
    if _has("malloc_trim"):
        _library().malloc_trim(0)


@functools.cache
def keep() -> bool:
    """From now on hold up to a gigabyte that is free, in pieces of up to 32 megabytes; whether this could be asked for.

    What the environment says (`MALLOC_...`, `GLIBC_TUNABLES`) counts instead.
    """
    said = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if said or not _has("malloc_trim", "mallopt"):
        return False
    wanted = {_MMAP_THRESHOLD: _LARGEST_THRESHOLD, _TRIM_THRESHOLD: _KEPT}
    return all(_library().mallopt(name, value) == 1 for name, value in wanted.items())


def _has(*names: str) -> bool:
    return all(hasattr(_library(), name) for name in names)


@functools.cache
def _library() -> Any:
    """This process as a library, with the functions of the C library among others."""
    return ctypes.CDLL(None) if os.name == "posix" else None  # elsewhere a process is no library
