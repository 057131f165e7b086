# SPDX-License-Identifier: Apache-2.0
"""Logs of runs: one JSON object a line."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


class JsonLines:
    """Appends records to a file, a line at a time; a line that cannot be written whole is taken back.

    Args:
        path: the file.
        position: length in bytes to which an existing file is cut first, None to leave it.
    """

    def __init__(self, path: Path, position: int | None = None) -> None:
        self._file = path.open("ab", buffering=0)
        if position is not None:
            self._file.truncate(position)

    @property
    def position(self) -> int:
        """Length in bytes."""
        return self._file.seek(0, os.SEEK_END)

    def write(self, record: dict[str, Any]) -> None:
        """Append one record; arrays become lists, and what JSON has no number for becomes null."""
        line = memoryview((json.dumps(_plain(record)) + "\n").encode())
        start = self.position
        try:
            while line:  # a disk that is nearly full takes a part
                line = line[self._file.write(line) :]
        except OSError:
            self._file.truncate(start)
            raise

    def sync(self) -> None:
        """Wait until the disk has all of it."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a log."""
    with path.open() as file:
        for line in file:
            yield json.loads(line)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(np.asarray(value).tolist())
    if isinstance(value, complex):
        return {"re": _plain(value.real), "im": _plain(value.imag)}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
