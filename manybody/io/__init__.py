# SPDX-License-Identifier: Apache-2.0
"""Files: logs and checkpoints."""

from manybody.io.checkpoint import CheckpointError, load_tree, newest_first, save_tree
from manybody.io.log import JsonLines, read_log

__all__ = ["CheckpointError", "JsonLines", "load_tree", "newest_first", "read_log", "save_tree"]
