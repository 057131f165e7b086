# SPDX-License-Identifier: Apache-2.0
"""What a failing process does before it ends the job."""

from __future__ import annotations

import io
import os
import sys
import threading
import time

import pytest

from manybody.parallel import failure

REASON = "the reason\n"


class Ended(Exception):
    """In place of the end of the process."""


class Job:
    """Two processes, of which this is the first."""

    rank = 0
    n_processes = 2

    def abort(self, code: int) -> None:
        raise Ended(code)


def test_the_reason_is_read_before_the_job_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The launcher throws away what it has not read."""
    reading, writing = os.pipe()
    read: list[bytes] = []

    def launcher() -> None:
        time.sleep(0.2)
        read.append(os.read(reading, 1000))

    with os.fdopen(writing, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        thread = threading.Thread(target=launcher)
        thread.start()
        with pytest.raises(Ended, match="7"):
            failure.fail(Job(), REASON, 7)
        assert read == [REASON.encode()]
        thread.join()
    os.close(reading)


def test_a_launcher_that_does_not_read_is_not_waited_for_for_ever() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stderr:
        stderr.write(REASON)
        stderr.flush()
        begin = time.monotonic()
        failure._wait_until_read(stderr, patience=0.1)
        assert 0.1 <= time.monotonic() - begin < 2
    os.close(reading)


def test_the_reason_may_go_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    with pytest.raises(Ended):
        failure.fail(Job(), REASON)
    assert said.getvalue() == REASON
