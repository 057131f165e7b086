# SPDX-License-Identifier: Apache-2.0
"""How much memory a worker may still take, how much a program takes, and how many rows of it fit.

What is free is known to the device, or else to the node and to the control groups that a batch system or a container
puts around its processes; they are asked, nothing is tried. What a program takes is in the compiler's plan for it.
"""

from __future__ import annotations

import functools
import os
import socket
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import jax
import numpy as np

from manybody import _checks
from manybody._compile import ONCE, Options
from manybody.parallel.comm import Comm
from manybody.parallel.mesh import MeshComm

_OPEN: Options = {**ONCE, "xla_cpu_experimental_ynn_fusion_type": ""}
"""Compiler options for processors: the library that evaluates whole layers there takes memory that no plan shows."""

_CURE = "Give it, in bytes for each worker, or a number as `chunk_size`."


def free(comm: Comm, root: Path = Path("/")) -> int:
    """Bytes that each worker may still take, the same number on all processes: that of the worker with the least.

    Args:
        comm: the workers. Those that run on processors share what is left of their node, or of their control groups.
        root: where the files of the system are.

    Raises:
        ValueError: if neither devices nor the system say it.
    """
    devices = list(comm.mesh.local_devices) if isinstance(comm, MeshComm) and comm.mesh else jax.local_devices()[:1]
    if devices[0].platform == "cpu":
        node = zlib.crc32(socket.gethostname().encode())
        every = _of_all(comm, node, _of_host(root), len(devices))
    else:
        every = _of_all(comm, comm.rank, _of_devices(devices), 1)
    shares = []
    for place in np.unique(every[:, 0]):
        _, left, workers = every[every[:, 0] == place].T
        shares.append(int(left.min() // workers.sum()))
    _checks.require(min(shares) > 0, "memory_limit", "be given where no memory is known to be free", None, _CURE)
    return min(shares)


def taken(function: Callable, *arguments: Any) -> int:
    """Bytes that a program takes for its work space and its results, beside its arguments.

    Args:
        function: to be jitted; it is compiled, and not run.
        *arguments: trees of arrays, or of their shapes.

    Raises:
        ValueError: if the compiler does not say it.
    """
    options = _OPEN if jax.default_backend() == "cpu" else ONCE
    plan = jax.jit(function).lower(*arguments).compile(compiler_options=options).memory_analysis()
    if plan is None:
        must = "be a number where the compiler does not say what a program takes"
        raise ValueError(_checks.requirement("chunk_size", must, "'auto'"))
    return plan.temp_size_in_bytes + plan.output_size_in_bytes


def fit(need: Callable[[int], int], whole: int, limit: int, most: int) -> int:
    """The number of rows of a program that fit into `limit` bytes: all, a smaller power of two, or 0.

    Programs take a + b * rows bytes for all but the smallest numbers of rows, so two sizes tell what fits, and a third
    that it does.

    Args:
        need: bytes that so many rows take, in a compilation.
        whole: all rows.
        limit: bytes.
        most: the most rows to take if not all fit.
    """
    need = functools.cache(need)
    if need(whole) <= limit:
        return whole
    few, more = max(1, whole // 16), max(2, whole // 4)
    each = max(1.0, (need(more) - need(few)) / (more - few))
    rows = max(1, min(int((limit - need(few)) // each) + few, whole - 1, most))
    rows = 2 ** (rows.bit_length() - 1)
    while rows > 0 and need(rows) > limit:
        rows //= 2
    return rows


# --- what is free -----------------------------------------------------------------------------------------------------


def _of_all(comm: Comm, *numbers: int) -> np.ndarray:
    """Integers of this process, and those of all others: (n_processes, numbers)."""
    own = np.array(numbers, np.int64).view(np.uint8)  # as bytes: JAX may cut integers of 64 bits
    return np.ascontiguousarray(comm.exchange(own)).view(np.int64)


def _of_devices(devices: list[jax.Device]) -> int:
    """Bytes left on the fullest accelerator, 0 if it does not say."""
    stats = [device.memory_stats() or {} for device in devices]
    return min(each.get("bytes_limit", 0) - each.get("bytes_in_use", 0) for each in stats)


def _of_host(root: Path) -> int:
    """Bytes left for this process and its neighbours on the node, 0 if that is not known."""
    system = _field(root / "proc/meminfo", "MemAvailable:") * 1024 or _pages()
    return max(0, min([system, *_of_groups(root)]))


def _pages() -> int:
    """Bytes of free pages, or of all pages where a system counts only these; 0 where it counts none."""
    known = getattr(os, "sysconf_names", {})
    name = next((name for name in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES") if name in known), None)
    return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE") if name else 0


def _of_groups(root: Path) -> Iterator[int]:
    """Bytes left in each control group around this process that has a limit; a limit may be on any level."""
    groups = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            folder, files = groups, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            folder, files = groups / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        own = PurePosixPath(path.lstrip("/"))
        # A container sees its own group as the top, whatever the path says.
        for level in (own, *own.parents):
            yield from _left(folder / level, *files)


def _left(group: Path, limit_file: str, usage_file: str, cached: str) -> Iterator[int]:
    """Bytes left in one group, if it has a limit: copies of files that nobody uses give way."""
    limit, usage = _text(group / limit_file).strip(), _text(group / usage_file).strip()
    if limit.isdecimal() and usage.isdecimal():  # not "max"
        yield int(limit) - int(usage) + _field(group / "memory.stat", cached)


def _field(path: Path, name: str) -> int:
    """The number behind a name in a file of names and numbers, 0 if it is not there."""
    rows = (line.split() for line in _text(path).splitlines())
    return next((int(row[1]) for row in rows if row[:1] == [name]), 0)


def _text(path: Path) -> str:
    """A file, empty if it is not there or may not be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
