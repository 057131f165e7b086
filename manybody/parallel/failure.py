# SPDX-License-Identifier: Apache-2.0
"""One failing process ends all: the others would wait for it in the next collective, for ever."""

from __future__ import annotations

import os
import stat
import struct
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import NoReturn, TextIO

from manybody.parallel.comm import Comm


def install(comm: Comm) -> None:
    """Let an exception that nobody catches end all processes (of several)."""
    if comm.n_processes == 1:
        return

    def hook(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        fail(comm, "".join(traceback.format_exception(kind, error, where)))

    sys.excepthook = hook
    threading.excepthook = lambda arguments: hook(
        arguments.exc_type, arguments.exc_value or arguments.exc_type(), arguments.exc_traceback
    )


@contextmanager
def guard(comm: Comm) -> Iterator[None]:
    """Let any exception, and `sys.exit` with an error, end all processes; without others it goes its usual way.

    Python tells nobody about `sys.exit`, so a script that calls it with an error needs this around its work.
    """
    try:
        yield
    except SystemExit as leaving:
        if leaving.code in (None, 0) or comm.n_processes == 1:
            raise
        fail(comm, f"sys.exit({leaving.code!r})\n", leaving.code if isinstance(leaving.code, int) else 1)
    except BaseException:
        if comm.n_processes == 1:
            raise
        fail(comm, traceback.format_exc())


def fail(comm: Comm, message: str, code: int = 1) -> NoReturn:
    """Say why, and end all processes.

    An error is often the same in all processes. Each waits for those before it to have said so; they end it.
    """
    time.sleep(min(comm.rank, 20) * 0.25)
    sys.stdout.flush()
    where = f"[process {comm.rank} of {comm.n_processes}] " if comm.rank else ""
    sys.stderr.write(where + message)
    sys.stderr.flush()
    _wait_until_read(sys.stderr)
    comm.abort(code)


def _wait_until_read(stream: TextIO, patience: float = 5.0) -> None:
    """Wait until the launcher has taken what a pipe holds: mpiexec may throw away what it has not read when it ends."""
    deadline = time.monotonic() + patience
    try:
        if not stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode):
            return
        while _unread(stream.fileno()) and time.monotonic() < deadline:
            time.sleep(0.001)
    except (ImportError, OSError, ValueError):  # no file behind it, or a system that does not count
        return


def _unread(pipe: int) -> int:
    """Bytes that nobody has read yet."""
    import fcntl
    import termios

    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]
