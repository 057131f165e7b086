# SPDX-License-Identifier: Apache-2.0
"""Compiled programs outlive a process: a run that goes on, or one like another, does not compile anew."""

from __future__ import annotations

import platform
import zlib
from pathlib import Path

import jax
import platformdirs

FOLDER = "jax_compilation_cache_dir"
LARGEST = 2**30
"""Bytes that the cache may have; what was not used for longest is deleted first."""
WORTH_IT = 0.05
"""Seconds that compilation must have taken."""


def keep_compiled() -> None:
    """Let JAX keep compiled programs in a folder of the user, unless its own settings name another one.

    JAX's `JAX_COMPILATION_CACHE_DIR` chooses the folder, and with it all else; `JAX_ENABLE_COMPILATION_CACHE=0`
    switches the cache off. A folder that cannot be made is no reason to stop: then nothing is kept.
    """
    if getattr(jax.config, FOLDER) is not None:
        return
    try:
        folder().mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    jax.config.update(FOLDER, str(folder()))
    jax.config.update("jax_compilation_cache_max_size", LARGEST)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", WORTH_IT)


def folder() -> Path:
    """One for each kind of processor, which nodes of a cluster with the same home may differ in."""
    return platformdirs.user_cache_path("manybody") / f"{platform.machine()}-{zlib.crc32(_features()):08x}"


def _features() -> bytes:
    """What the processor can do, as far as the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    except OSError:
        return platform.processor().encode()
    return next((line for line in lines if line.lower().startswith((b"flags", b"features"))), b"")
