# SPDX-License-Identifier: Apache-2.0
"""Signals and time limits."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import optax
import pytest

from manybody import VariationalState
from manybody.ansatz import RBM
from manybody.driver import VMC, Hook, StopOnRequest, Stopped
from manybody.hamiltonian import ising
from manybody.hilbert import Spin
from manybody.io import newest_first, read_log
from manybody.lattice import chain
from manybody.sampler import LocalFlip, Metropolis


def driver() -> VMC:
    state = VariationalState(RBM(), Metropolis(Spin(4), LocalFlip(), 8), seed=3)
    return VMC(ising(Spin(4), chain(4)), state, optimizer=optax.sgd(0.02))


class Send(Hook):
    """Sends signals to this process after a step."""

    def __init__(self, step: int, *numbers: signal.Signals) -> None:
        self.step = step
        self.numbers = numbers

    def on_step(self, driver, record):
        if record["step"] == self.step:
            for number in self.numbers:
                signal.raise_signal(number)  # at once: two that are sent may arrive as one


class Slow(Hook):
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_step(self, driver, record):
        time.sleep(self.seconds)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signal(tmp_path, number):
    before = signal.getsignal(number)
    run = driver()
    with pytest.raises(Stopped, match=f"stopped after step 3: signal {number.name}") as stopped:
        run.run(9, out=tmp_path, hooks=[Send(3, number), StopOnRequest()], progress=False)
    assert stopped.value.code == 75
    assert run.step == 3
    assert newest_first(tmp_path)[0].name == "checkpoint-00000003.npz"
    assert len(list(read_log(tmp_path / "log.jsonl"))) == 3
    assert signal.getsignal(number) is before


def test_other_signals_are_left_alone():
    seen = []
    before = signal.signal(signal.SIGUSR2, lambda *_: seen.append(1))
    try:
        run = driver()
        run.run(4, hooks=[Send(2, signal.SIGUSR2), StopOnRequest()], progress=False)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert (run.step, seen) == (4, [1])


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """A process that a shell has started in the background ignores interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_second_interrupt_is_not_held_back():
    run = driver()
    with pytest.raises(KeyboardInterrupt):
        run.run(
            9, hooks=[Send(2, signal.SIGINT, signal.SIGINT), StopOnRequest(signals=[signal.SIGINT])], progress=False
        )
    assert run.step == 2
    with pytest.raises(Stopped, match="SIGINT"):
        run.run(9, hooks=[Send(4, signal.SIGINT), StopOnRequest(signals=[signal.SIGINT])], progress=False)


def test_a_request_before_the_run():
    stop = StopOnRequest()
    stop.listen()
    os.kill(os.getpid(), signal.SIGTERM)
    run = driver()
    with pytest.raises(Stopped):
        run.run(9, hooks=[stop], progress=False)
    assert run.step == 0
    stop.forget()


def test_who_listens_before_the_run_listens_after_it():
    before = signal.getsignal(signal.SIGTERM)
    stop = StopOnRequest()
    stop.listen()
    run = driver()
    run.run(2, hooks=[stop], progress=False)
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Stopped, match="after step 2: signal SIGTERM"):
        stop.check(run)
    stop.forget()
    assert signal.getsignal(signal.SIGTERM) is before


def test_time_limit_leaves_room_for_two_steps():
    run = driver()
    run.advance()  # compiled
    begin = time.monotonic()
    with pytest.raises(Stopped, match=r"the time limit of 2 s"):
        run.run(100, hooks=[Slow(0.25), StopOnRequest(max_time=2)], progress=False)
    assert 0.9 < time.monotonic() - begin < 2
    assert 3 < run.step < 9


def test_nothing_asked():
    run = driver()
    run.run(3, hooks=[StopOnRequest(max_time=1000)], progress=False)
    assert run.step == 3


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1.5", 1.5), ("90m", 5400), ("3h50m", 13800), ("1d2h3m4s", 93784), ("1-12:30:00", 131400)],
)
def test_times_as_on_the_command_line(text, seconds):
    assert StopOnRequest(max_time=text).max_time == seconds


@pytest.mark.parametrize("wrong", [0, -1.0, "0", "0h", "", "abc", "50m3h", "3h3h", "3h50", "1:00", "-5"])
def test_no_time(wrong):
    with pytest.raises(ValueError, match="`max_time` must"):
        StopOnRequest(max_time=wrong)
