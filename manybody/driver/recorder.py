# SPDX-License-Identifier: Apache-2.0
"""The files of a run: a log and checkpoints, and how a run is taken up again.

A log never runs ahead of what a checkpoint can vouch for: each checkpoint says how long the log was, and a run that is
taken up cuts it to that length. The first checkpoint is written before the first line, so a log without any checkpoint
is not ours to cut.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from manybody import _checks
from manybody.driver.hooks import Hook, Record
from manybody.driver.identity import began_elsewhere, difference
from manybody.driver.stop import Stopped
from manybody.io import CheckpointError, DirectoryLock, JsonLines, load_header, load_tree, newest_first, save_tree
from manybody.stats import Estimate

if TYPE_CHECKING:
    from manybody.driver.base import Driver

LOG = "log.jsonl"
_KEPT = 2
"""Checkpoints kept: the newest, and the one before in case a disk damaged it."""


class NotFinite(ArithmeticError):
    """The energy or the parameters of a run are no longer numbers."""


class OtherRun(CheckpointError):
    """A directory that holds a run of another problem, or with another beginning."""


class MadeBefore(UserWarning):
    """A call of `run` found its steps made, or its end set, by an earlier process."""


class Recorder(Hook):
    """Writes log.jsonl and checkpoints to a directory (only process 0 writes).

    Args:
        directory: made if it does not exist.
        save_every: steps between checkpoints.
        call: number of this call of `run` that writes here, from 0.

    Raises:
        ValueError: if there is a file in its place.
    """

    def __init__(self, directory: Path, save_every: int, call: int) -> None:
        there = next(path for path in (directory, *directory.absolute().parents) if path.exists())
        _checks.require(there.is_dir(), "out", "be a directory, or where one can be made", f"{there}, a file")
        self.directory = directory
        self.save_every = save_every
        self._call = call
        self._target = 0
        self._position: int | None = None  # length of the log at the checkpoint that was taken
        self._damaged: list[Path] = []
        self._lock: DirectoryLock | None = None
        self._log: JsonLines | None = None
        self._saved = -1
        self._taken: int | None = None  # number of the call that was taken up

    # --- taking up a run ---------------------------------------------------------------------------------------------

    def resume(self, driver: Driver, target: int) -> int:
        """Take up an interrupted call of `run`, if there is one; returns the number of the last step to make.

        A script that calls `run` several times with this directory finds its calls by their numbers: those that were
        finished make no steps again.

        Raises:
            CheckpointError: if there are checkpoints, but none of them fits this run; names what differs.
        """
        asked, target = target, self._take_newest(driver, target)
        steps = driver.comm.exchange(np.array(driver.step))
        if (steps != steps[0]).any():
            raise CheckpointError(f"{self.directory} is not the same for all processes; they must share its disk.")
        text = self._made_before(driver.step, asked, target)
        if text and driver.comm.is_root:
            warnings.warn(f"{self.directory}: {text}", MadeBefore, stacklevel=3)
        return target

    def _made_before(self, step: int, asked: int, target: int) -> str | None:
        """What an earlier process has done of this call, where it is not what the call asks for."""
        # Only of the first call it is known to which step it would have led.
        other = self._taken == self._call == 0 and asked != target
        if self._taken is None or target == 0:
            return None
        if step >= target:
            more = f" (asked for: {asked})" if other else ""
            return f"all {target} steps were made before{more}, and no more are made. Another call of `run` makes more."
        return f"goes on to step {target}, as it was told when it began, not to {asked}." if other else None

    def _take_newest(self, driver: Driver, target: int) -> int:
        reasons: list[str] = []
        for path in newest_first(self.directory):
            try:
                target = self._take(driver, path, target)
            except OtherRun:
                raise
            except CheckpointError as error:
                reasons.append(str(error))
                self._damaged.append(path)
                continue
            if reasons and driver.comm.is_root:
                warnings.warn(f"Taking {path.name}, because: {' '.join(reasons)}", stacklevel=4)
            return target
        if reasons:
            raise CheckpointError(" ".join(reasons))
        return target

    def _take(self, driver: Driver, path: Path, target: int) -> int:
        header = load_header(path)
        changed = difference(header.get("problem", {}), driver.identity())
        if changed:
            raise OtherRun(f"{self.directory} holds a run of another problem: {changed}. Choose another directory.")
        if "start" in header and began_elsewhere(header["start"], driver.beginning()):
            raise OtherRun(
                f"{self.directory} holds a run that began elsewhere: with another `seed`, or other parameters or "
                "chains. Choose another directory, or begin as that run did."
            )
        progress, _ = load_tree(path, driver.gathered_progress())
        self._position = header["log_position"]
        if header["call"] < self._call:  # this process has made the earlier calls itself
            return target
        # The size of the buffer for connections decides how sums are split: the same size gives the same bits.
        same_layout = header["workers"] == driver.comm.size
        driver.restore(progress, header["n_buffer"] if same_layout else 0)
        self._saved, self._taken = driver.step, header["call"]
        return header["target"] if header["call"] == self._call else driver.step

    # --- recording ---------------------------------------------------------------------------------------------------

    def on_start(self, driver: Driver, target: int) -> None:
        self._target = target
        if driver.comm.is_root:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock = DirectoryLock(self.directory)
            try:
                self._open(driver)
            except BaseException:
                self._lock.release()
                raise
        elif self._position is None:
            driver.gathered_progress()  # for the first checkpoint, which all take part in

    def _open(self, driver: Driver) -> None:
        for path in self.directory.glob(".checkpoint-*.part"):  # of a process that was killed while it wrote
            path.unlink()
        for path in self._damaged:
            path.rename(path.with_suffix(".damaged"))
        log = self.directory / LOG
        length = log.stat().st_size if log.exists() else 0
        if self._position is None and length > 0:
            raise CheckpointError(
                f"{log} belongs to a run without checkpoints. Move it away, or choose another directory."
            )
        if self._position is not None and length < self._position:
            raise CheckpointError(f"{log} is shorter than at the last checkpoint: lines are missing.")
        if self._position is None:
            self._write(driver, 0)
        self._log = JsonLines(log, self._position or 0)

    def on_step(self, driver: Driver, record: Record) -> None:
        if self._log is not None:
            self._log.write(_without_estimates(record))
        if record["step"] % self.save_every == 0:
            self._save(driver)

    def on_end(self, driver: Driver, error: BaseException | None) -> None:
        # Saving takes all processes. After an error of one of them the others are somewhere else.
        together = error is None or isinstance(error, (NotFinite, Stopped)) or driver.comm.n_processes == 1
        try:
            if together and not isinstance(error, OSError) and self._saved != driver.step:
                self._save(driver)
        finally:
            if self._log is not None:
                self._log.close()
            if self._lock is not None:
                self._lock.release()

    def _save(self, driver: Driver) -> None:
        if self._log is None:
            driver.gathered_progress()
            self._saved = driver.step
        else:
            self._log.sync()
            self._write(driver, self._log.position)

    def _write(self, driver: Driver, log_position: int) -> None:
        header = {
            "call": self._call,
            "target": self._target,
            "log_position": log_position,
            "workers": driver.comm.size,
            "n_buffer": driver.n_buffer,
            "problem": driver.identity(),
            "start": driver.beginning(),
        }
        save_tree(self.directory / f"checkpoint-{driver.step:08d}.npz", driver.gathered_progress(), header)
        self._saved = driver.step
        for old in newest_first(self.directory)[_KEPT:]:
            old.unlink()


def _without_estimates(record: Record) -> Record:
    """A record with the numbers of its estimates in their places."""
    names = ("mean", "error", "variance", "tau", "r_hat")

    def plain(x: Any) -> Any:
        return {name: getattr(x, name) for name in names} if isinstance(x, Estimate) else x

    return jax.tree.map(plain, record, is_leaf=lambda x: isinstance(x, Estimate))
