# SPDX-License-Identifier: Apache-2.0
"""One writer per directory: a job that is queued again may start while its first form still saves."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from pathlib import Path

NAME = ".lock"
_NOT_SUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


class InUseError(RuntimeError):
    """Another process writes to the directory."""


class DirectoryLock:
    """Holds a directory until `release`, or until the process ends in whatever way.

    File systems that know no locks are used without.

    Raises:
        InUseError: if another process holds it; names that process.
    """

    def __init__(self, directory: Path) -> None:
        self._file = (directory / NAME).open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NOT_SUPPORTED:
                return
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            if not isinstance(error, BlockingIOError):
                raise
            raise InUseError(f"{directory} is in use by {holder}.") from error
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._file.flush()

    def release(self) -> None:
        """Let others in."""
        self._file.close()
