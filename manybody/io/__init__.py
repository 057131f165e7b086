# SPDX-License-Identifier: Apache-2.0
"""Files: logs, checkpoints, and who may write them."""

from manybody.io.checkpoint import CheckpointError, load_header, load_tree, newest_first, save_tree
from manybody.io.lock import DirectoryLock, InUseError
from manybody.io.log import JsonLines, read_log

__all__ = [
    "CheckpointError",
    "DirectoryLock",
    "InUseError",
    "JsonLines",
    "load_header",
    "load_tree",
    "newest_first",
    "read_log",
    "save_tree",
]
