# SPDX-License-Identifier: Apache-2.0
"""The files of a run: a log and checkpoints, and how a run is taken up again."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from manybody.driver.hooks import Hook, Record
from manybody.io import CheckpointError, JsonLines, load_tree, newest_first, save_tree

if TYPE_CHECKING:
    from manybody.driver.vmc import VMC

_KEPT = 2
"""Checkpoints kept: the newest, and the one before in case a disk damaged it."""


class Recorder(Hook):
    """Writes log.jsonl and checkpoints to a directory (only process 0 writes).

    Args:
        directory: made if it does not exist.
        save_every: steps between checkpoints.
        call: number of this call of `run` that writes here, from 0.
    """

    def __init__(self, directory: Path, save_every: int, call: int) -> None:
        self.directory = directory
        self.save_every = save_every
        self._call = call
        self._target = 0
        self._position = 0
        self._log: JsonLines | None = None
        self._saved = -1

    def resume(self, driver: VMC, target: int) -> int:
        """Take up an interrupted call of `run`, if there is one; returns the number of the last step to make.

        A script that calls `run` several times with this directory finds its calls by their numbers: those that were
        finished make no steps again.

        Raises:
            CheckpointError: if there are checkpoints, but none of them fits this run.
        """
        reasons = []
        for path in newest_first(self.directory):
            try:
                progress, header = load_tree(path, driver.gathered_progress())
            except CheckpointError as error:
                reasons.append(str(error))
                continue
            if reasons:
                warnings.warn(f"Taking {path.name}, because: {' '.join(reasons)}", stacklevel=3)
            self._position = header["log_position"]
            if header["call"] < self._call:  # this process has made the earlier calls itself
                return target
            driver.restore(progress)
            self._saved = driver.step
            return header["target"] if header["call"] == self._call else driver.step
        if reasons:
            raise CheckpointError(" ".join(reasons))
        return target

    def on_start(self, driver: VMC, target: int) -> None:
        self._target = target
        if not driver.is_root:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        self._log = JsonLines(self.directory / "log.jsonl", self._position)

    def on_step(self, driver: VMC, record: Record) -> None:
        if self._log is not None:
            energy = record["energy"]
            names = ("mean", "error", "variance", "tau", "r_hat")
            self._log.write({**record, "energy": {name: getattr(energy, name) for name in names}})
        if record["step"] % self.save_every == 0:
            self._save(driver)

    def on_end(self, driver: VMC) -> None:
        if self._saved != driver.step:
            self._save(driver)
        if self._log is not None:
            self._log.close()

    def _save(self, driver: VMC) -> None:
        progress = driver.gathered_progress()
        self._saved = driver.step
        if self._log is None:
            return
        header = {"call": self._call, "target": self._target, "log_position": self._log.position}
        save_tree(self.directory / f"checkpoint-{driver.step:08d}.npz", progress, header)
        for old in newest_first(self.directory)[_KEPT:]:
            old.unlink()
