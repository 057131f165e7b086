# SPDX-License-Identifier: Apache-2.0
"""Stopping in good order: when a signal asks for it, or before a time limit."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from manybody import _checks
from manybody.driver.hooks import Hook, Record

if TYPE_CHECKING:
    from manybody.driver.base import Driver

TRY_AGAIN = os.EX_TEMPFAIL
"""Exit code 75: nothing is wrong, the same command goes on from here."""
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def seconds(text: str) -> float:
    """Seconds from a time as batch systems write it ([days-]hours:minutes:seconds), a number of them, or as in 3h50m.

    Raises:
        ValueError: if it is no such time.
    """
    number = re.fullmatch(r"\d+(?:\.\d*)?", text)
    parts = re.findall(r"(\d+(?:\.\d*)?)([dhms])", text)
    clock = re.fullmatch(r"(?:(\d+)-)?(\d+):([0-5]?\d):([0-5]?\d)", text)
    units = [unit for _, unit in parts]
    if number:
        return float(text)
    if clock:
        days, hours, minutes, rest = (int(part or 0) for part in clock.groups())
        return ((24.0 * days + hours) * 60 + minutes) * 60 + rest
    is_whole = text != "" and "".join(map("".join, parts)) == text
    is_sorted = units == [unit for unit in UNITS if unit in units]
    _checks.require(is_whole and is_sorted, "max_time", "be a time such as 3600, 90m, 3h50m or 1-12:30:00", repr(text))
    return sum(float(amount) * UNITS[unit] for amount, unit in parts)


class Stopped(SystemExit):
    """A run was asked to stop before its end. Where nobody catches it, the script ends with exit code `TRY_AGAIN`."""

    def __init__(self, reason: str) -> None:
        super().__init__(TRY_AGAIN)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class StopOnRequest(Hook):
    """Leaves a run after the step during which a signal came or time ran short; what records the run saves it.

    All processes leave after the same step, whichever of them was asked.

    Args:
        max_time: seconds, or a time as the option `--max-time` of programs takes it ("3h50m", "1-12:30:00"); so long
            after the making of this hook the run must have ended. It stops early enough for a step of twice the longest
            interval between two steps so far (saving included).
        signals: which signals ask for it. They are taken over when the run starts, and given back when it ends; or
            from `listen` to `forget`. An interrupt (SIGINT) is taken over once: the second ends the process as usual.

    Raises:
        Stopped: from the run.
    """

    def __init__(self, max_time: float | str | None = None, signals: Sequence[signal.Signals] = SIGNALS) -> None:
        limit = seconds(max_time) if isinstance(max_time, str) else max_time
        self.max_time = None if limit is None else _checks.positive(limit, "max_time")
        self.signals = tuple(signals)
        self._began = time.monotonic()
        self._last: float | None = None
        self._longest = 0.0
        self._caught: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._for_this_run = False

    def listen(self) -> None:
        """Take the signals over from now on (only in the main thread of Python)."""
        for number in self.signals:
            before = signal.signal(number, self._note)
            self._before.setdefault(number, before)  # what was there when this was called first

    def forget(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def check(self, driver: Driver) -> None:
        """Raise `Stopped` if any process was asked to stop; all processes must call this together."""
        reason = self._reason()
        if driver.comm.any(reason is not None):
            raise Stopped(f"stopped after step {driver.step}: {reason or 'another process was asked to'}")

    def on_start(self, driver: Driver, target: int) -> None:
        self._for_this_run = not self._before
        self.listen()
        self._last = None
        try:
            self.check(driver)
        except Stopped:
            self.on_end(driver, None)
            raise

    def on_step(self, driver: Driver, record: Record) -> None:
        now = time.monotonic()
        if self._last is not None:  # the first interval would hold the compilation
            self._longest = max(self._longest, now - self._last)
        self._last = now
        self.check(driver)

    def on_end(self, driver: Driver, error: BaseException | None) -> None:
        if self._for_this_run:
            self.forget()

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._caught = signal.Signals(number)
        if number == signal.SIGINT:
            signal.signal(number, self._before.pop(self._caught))

    def _reason(self) -> str | None:
        if self._caught is not None:
            return f"signal {self._caught.name}"
        spent = time.monotonic() - self._began
        if self.max_time is not None and spent + 2 * self._longest >= self.max_time:
            return f"the time limit of {self.max_time:g} s"
        return None
