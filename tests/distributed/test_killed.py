# SPDX-License-Identifier: Apache-2.0
"""Jobs that are stopped or killed at random moments, and started again by the same command."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from manybody.io import load_header, newest_first, read_log
from tests.distributed.layouts import LAYOUTS, environment, mpiexec, require
from tests.program.tiny import write

STEPS = 400
MOMENTUM = ("optimisation.sr.momentum", 0.5)  # a preconditioner with a state
SETTINGS = (("optimisation.steps", STEPS), ("run.save_every", 30), MOMENTUM, ("optimisation.optimizer", "adam"))
TIMEOUT = 240.0
FINISHED, TRY_AGAIN = 0, 75


@dataclass
class Job:
    """One command, started as often as it takes."""

    folder: Path
    layout: str = "serial"
    options: tuple[str, ...] = ()
    starts: list[int] = field(default_factory=list)
    text: str = ""

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def start(self) -> subprocess.Popen:
        require(self.layout)
        layout = LAYOUTS[self.layout]
        program = [sys.executable, "-m", "manybody.program.cli", "ground-state", str(self.folder / "tiny.toml")]
        launcher = [mpiexec(), "-n", str(layout.n_processes)] if layout.under_mpi else []
        cache = {"JAX_COMPILATION_CACHE_DIR": str(self.folder.parent / "cache"), "JAX_ENABLE_COMPILATION_CACHE": "1"}
        variables = environment(layout, JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0", **cache)
        return subprocess.Popen(
            [*launcher, *program, "--out", str(self.out), *self.options],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self, process: subprocess.Popen) -> int:
        try:
            text, _ = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail(f"still running after {TIMEOUT} s:\n{process.communicate()[0]}")
        self.text += text
        self.starts.append(process.returncode)
        return process.returncode

    def run(self) -> int:
        return self.finish(self.start())

    def lines(self) -> int:
        log = self.out / "log.jsonl"
        return log.read_bytes().count(b"\n") if log.exists() else 0

    def wait_for_line(self, number: int, process: subprocess.Popen) -> None:
        deadline = time.monotonic() + TIMEOUT
        while self.lines() < number and process.poll() is None:
            assert time.monotonic() < deadline, "the log does not grow"
            time.sleep(0.002)

    def ranks(self, process: subprocess.Popen) -> list[int]:
        """Processes that run the program under `process`."""
        parents, words = {}, {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                pid, parent = int(path.name), int((path / "stat").read_text().rpartition(")")[2].split()[1])
                parents[pid], words[pid] = parent, (path / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # it has ended
        family = {process.pid}
        for _ in range(4):  # mpiexec, its proxy, the ranks
            family |= {pid for pid, parent in parents.items() if parent in family}
        return sorted(pid for pid in family if pid in words and words[pid][1:3] == [b"-m", b"manybody.program.cli"])


def check_same(job: Job, reference: Job) -> None:
    """The same log, byte for byte; the same result; the same state at the end, bit for bit."""
    assert [record["step"] for record in read_log(job.out / "log.jsonl")] == list(range(1, STEPS + 1))
    for name in ("log.jsonl", "result.json", "config.json"):
        assert (job.out / name).read_bytes() == (reference.out / name).read_bytes(), name
    ends = [newest_first(j.out)[0] for j in (job, reference)]
    assert load_header(ends[0]) == load_header(ends[1])
    arrays = [dict(np.load(path)) for path in ends]
    assert arrays[0].keys() == arrays[1].keys()
    for name in arrays[0]:
        np.testing.assert_array_equal(arrays[0][name], arrays[1][name], err_msg=name)


def make_job(tmp_path_factory: pytest.TempPathFactory, name: str, layout: str = "serial", *options: str) -> Job:
    folder = tmp_path_factory.mktemp(name)
    write(folder, *SETTINGS)
    return Job(folder, layout, options)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Job:
    job = make_job(tmp_path_factory, "reference")
    assert job.run() == FINISHED, job.text
    return job


@pytest.fixture(scope="module")
def reference_mpi(tmp_path_factory: pytest.TempPathFactory) -> Job:
    require("mpi2")
    job = make_job(tmp_path_factory, "reference_mpi", "mpi2")
    assert job.run() == FINISHED, job.text
    return job


@pytest.fixture(scope="module")
def stopped_mpi(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """One of the ranks was told to stop in the first half."""
    job = make_job(tmp_path_factory, "stopped_mpi", "mpi2")
    process = job.start()
    job.wait_for_line(50, process)
    os.kill(job.ranks(process)[1], signal.SIGUSR1)
    job.finish(process)
    return job


def copied(job: Job, name: str, layout: str) -> Job:
    """The same job in a folder of its own, to go on in another layout."""
    folder = job.folder.parent / name
    shutil.copytree(job.folder, folder)
    return Job(folder, layout)


def stop_once(job: Job, number: signal.Signals, line: int, delay: float) -> int:
    """Start, send a signal `delay` seconds after the log has `line` lines, and wait for the end."""
    process = job.start()
    job.wait_for_line(line, process)
    time.sleep(delay)
    if process.poll() is None:
        process.send_signal(number)
    return job.finish(process)


def stop_often(job: Job, numbers: list[signal.Signals], seed: int) -> None:
    """One signal after the other, at random points between here and the end; then to the end."""
    dice = random.Random(seed)
    for i, number in enumerate(numbers):
        line = job.lines() + dice.randrange(0, max(1, (STEPS - job.lines()) // (len(numbers) - i + 1)))
        said = len(job.text)
        code = stop_once(job, number, line, dice.uniform(0.0, 0.03))
        # A process knows no signals while Python starts (it has said nothing) and ends (the result is written).
        outside = len(job.text) == said or (job.out / "result.json").exists()
        killed = number == signal.SIGKILL or (outside and code == -number)
        assert code in (-number if killed else TRY_AGAIN, FINISHED), job.text
    assert job.run() == FINISHED, job.text


def test_stopped_and_killed(reference, tmp_path_factory):
    job = make_job(tmp_path_factory, "stopped")
    stop_often(job, [signal.SIGTERM, signal.SIGKILL], seed=1)
    check_same(job, reference)
    assert job.starts == [TRY_AGAIN, -signal.SIGKILL, FINISHED]
    assert "signal SIGTERM; the same command goes on from there" in job.text


@pytest.mark.slow
def test_stopped_by_signals_and_killed(reference, tmp_path_factory):
    job = make_job(tmp_path_factory, "signals")
    stop_often(job, [signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1], seed=1)
    check_same(job, reference)
    assert job.starts == [TRY_AGAIN, -signal.SIGKILL, TRY_AGAIN, FINISHED]
    assert "signal SIGTERM; the same command goes on from there" in job.text
    assert "signal SIGUSR1; the same command goes on from there" in job.text


@pytest.mark.slow  # tests/driver looks at the same in one process
def test_time_limit(reference, tmp_path_factory):
    job = make_job(tmp_path_factory, "limit", "serial", "--max-time", "1s")
    assert job.run() == TRY_AGAIN, job.text
    assert "the time limit of 1 s" in job.text
    assert job.lines() < STEPS
    job.options = ("--max-time", "1h")
    assert job.run() == FINISHED, job.text
    check_same(job, reference)


@pytest.mark.slow
def test_killed_before_the_first_step(reference, tmp_path_factory):
    job = make_job(tmp_path_factory, "early")
    dice = random.Random(5)
    for _ in range(2):
        process = job.start()
        time.sleep(dice.uniform(0.2, 2.0))
        process.kill()
        job.finish(process)
    assert job.run() == FINISHED, job.text
    check_same(job, reference)


def test_ranks_are_stopped_together(stopped_mpi):
    assert stopped_mpi.starts == [TRY_AGAIN], stopped_mpi.text
    assert stopped_mpi.text.count("the same command goes on from there") == 1
    assert 50 <= stopped_mpi.lines() < STEPS


@pytest.mark.slow
def test_ranks_are_stopped_and_killed_together(reference_mpi, tmp_path_factory):
    job = make_job(tmp_path_factory, "mpi", "mpi2")
    process = job.start()
    job.wait_for_line(50, process)
    os.kill(job.ranks(process)[1], signal.SIGUSR1)  # one of them alone
    assert job.finish(process) == TRY_AGAIN, job.text
    assert job.text.count("the same command goes on from there") == 1
    process = job.start()
    job.wait_for_line(job.lines() + 50, process)
    begin = time.monotonic()
    os.kill(job.ranks(process)[1], signal.SIGKILL)
    assert job.finish(process) not in (FINISHED, TRY_AGAIN)
    assert time.monotonic() - begin < 30
    process = job.start()
    job.wait_for_line(job.lines() + 50, process)
    process.send_signal(signal.SIGTERM)  # to mpiexec, which hands it on
    assert job.finish(process) == TRY_AGAIN, job.text
    assert job.run() == FINISHED, job.text
    check_same(job, reference_mpi)


def check_same_energies(job: Job, reference: Job, n_same: int) -> None:
    """As long as rounding errors have not grown."""
    ours, theirs = (list(read_log(j.out / "log.jsonl")) for j in (job, reference))
    assert [record["step"] for record in ours] == list(range(1, STEPS + 1))
    for one, other in zip(ours[:n_same], theirs[:n_same], strict=True):
        assert one["energy"]["mean"] == pytest.approx(other["energy"]["mean"], abs=1e-10)


def test_taken_up_with_another_number_of_ranks(reference, stopped_mpi):
    job = copied(stopped_mpi, "change-mpi2", "serial")
    done = job.lines()
    assert job.run() == FINISHED, job.text
    check_same_energies(job, reference, done + 10)


@pytest.mark.slow
def test_taken_up_with_more_ranks(reference, tmp_path_factory):
    job = make_job(tmp_path_factory, "change-serial")
    assert stop_once(job, signal.SIGTERM, 100, 0.0) == TRY_AGAIN, job.text
    done = job.lines()
    job.layout = "mpi2"
    assert job.run() == FINISHED, job.text
    check_same_energies(job, reference, done + 10)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["serial", "mpi2"])
def test_twenty_times_in_a_row(request, tmp_path_factory, layout):
    wanted = request.getfixturevalue("reference" if layout == "serial" else "reference_mpi")
    job = make_job(tmp_path_factory, f"twenty-{layout}", layout)
    dice = random.Random(20)
    numbers = [dice.choice([signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL]) for _ in range(20)]
    if layout == "serial":
        stop_often(job, numbers, seed=21)
    else:
        stop_ranks_often(job, numbers, seed=22)
    assert len(job.starts) == 21
    check_same(job, wanted)


def stop_ranks_often(job: Job, numbers: list[signal.Signals], seed: int) -> None:
    """As `stop_often`, with each signal sent to one of the ranks."""
    dice = random.Random(seed)
    for number in numbers:
        process = job.start()
        job.wait_for_line(job.lines() + dice.randrange(1, 25), process)
        ranks = job.ranks(process)
        if ranks:
            os.kill(dice.choice(ranks), number)
        code = job.finish(process)
        assert code == TRY_AGAIN if number != signal.SIGKILL else code not in (FINISHED, TRY_AGAIN), job.text
    assert job.run() == FINISHED, job.text


def test_settings_that_differ_are_refused_by_all_ranks(stopped_mpi, tmp_path_factory):
    job = make_job(tmp_path_factory, "other", "mpi2")
    job.out.mkdir()
    settings = json.loads((stopped_mpi.out / "config.json").read_text())
    settings["run"]["seed"] = 4
    (job.out / "config.json").write_text(json.dumps(settings))
    assert job.run() == 1
    assert job.text.count("`run.seed` was 4, now 3") == 1
