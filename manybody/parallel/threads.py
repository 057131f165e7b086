# SPDX-License-Identifier: Apache-2.0
"""Threads of linear algebra: as many as a process has cores to itself.

JAX takes LAPACK on the processor from SciPy, whose OpenBLAS starts a thread for each core that it sees. Where several
processes see the same cores, these threads wait for each other in loops: a Cholesky decomposition of 1,200 rows
takes twenty times as long.
"""

from __future__ import annotations

import contextlib
import os
import socket
import zlib

import numpy as np
import scipy.linalg  # noqa: F401  (loads the library whose threads are counted here)
import threadpoolctl

from manybody.parallel import cluster
from manybody.parallel.comm import Comm

_MASK_BYTES = 512  # 4,096 cores


def share_cores(comm: Comm) -> None:
    """Give each process its part of the cores of its node, unless the environment says how many threads to use."""
    if comm.n_processes == 1:
        return
    every = comm.exchange(_place())
    neighbours = every[(every[:, :4] == every[comm.rank, :4]).all(axis=1)]
    cores = np.unpackbits(np.bitwise_or.reduce(neighbours[:, 4:], axis=0)).sum()
    if not cluster.says_threads():
        threadpoolctl.threadpool_limits(limits=max(1, int(cores) // len(neighbours)), user_api="blas")


def single() -> contextlib.AbstractContextManager[object]:
    """Within it linear algebra uses one thread: for work on vectors, which waits for memory."""
    return threadpoolctl.threadpool_limits(limits=1, user_api="blas")


def count() -> int:
    """Threads that linear algebra uses in this process."""
    return max((library["num_threads"] for library in threadpoolctl.threadpool_info()), default=1)


def cores() -> int:
    """Cores that this process may use."""
    return len(_cores())


def _cores() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _place() -> np.ndarray:
    """The node and the cores of this process, as bytes."""
    node = np.frombuffer(zlib.crc32(socket.gethostname().encode()).to_bytes(4, "little"), np.uint8)
    bits = np.zeros(8 * _MASK_BYTES, np.uint8)
    bits[[core for core in _cores() if core < bits.size]] = 1
    return np.concatenate([node, np.packbits(bits)])
