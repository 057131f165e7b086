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

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4  # of malloc.h
_LARGEST_THRESHOLD, _MANY = 32 * 2**20, 65536  # the largest that the library allows for; as many as by default
_KEPT, _MODERATE = 2**30, 2**28
_HEAP = 64 * 2**20  # the largest one of a thread; it goes back when it is empty, unless so much is asked for in advance
_largest = 0  # work space so far; what the library is told concerns the process


def give_back() -> None:
    """Give memory that is free, but still held by this process, back to the system."""
    if _has("malloc_trim"):
        _library().malloc_trim(0)


def keep(work_space: int) -> bool:
    """From now on hold up to a gigabyte that is free, for a program that takes so many bytes; whether it was asked for.

    Pieces of more than 32 megabytes come from the system, and go back at once, only if some program so far takes more
    than 256: what lies between its pieces could make the process twice as large.

    What the environment says (`MALLOC_...`, `GLIBC_TUNABLES`) counts instead.
    """
    global _largest
    _largest = max(_largest, work_space)
    said = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if said or not _has("malloc_trim", "mallopt"):
        return False
    n_mapped = _MANY if _largest > _MODERATE else 0
    wanted = {_MMAP_THRESHOLD: _LARGEST_THRESHOLD, _MMAP_MAX: n_mapped, _TRIM_THRESHOLD: _KEPT, _TOP_PAD: _HEAP}
    return all(_library().mallopt(name, value) == 1 for name, value in wanted.items())


def _has(*names: str) -> bool:
    return all(hasattr(_library(), name) for name in names)


@functools.cache
def _library() -> Any:
    """This process as a library, with the functions of the C library among others."""
    return ctypes.CDLL(None) if os.name == "posix" else None  # elsewhere a process is no library
