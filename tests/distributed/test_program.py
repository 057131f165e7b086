# SPDX-License-Identifier: Apache-2.0
"""Input that cannot work, given to the program: one clear message, exit code 1, and nothing that was there is lost."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from manybody.io import load_header, newest_first, read_log
from tests.distributed.layouts import LAYOUTS, environment, mpiexec, require
from tests.program.tiny import write


def ground_state(layout: str, config: Path, out: Path, *, limit: int | None = None) -> subprocess.CompletedProcess:
    """Run the program; files may grow to `limit` bytes."""
    require(layout)
    chosen = LAYOUTS[layout]
    launcher = [mpiexec(), "-n", str(chosen.n_processes)] if chosen.under_mpi else []
    program = [sys.executable, "-m", "manybody.program.cli", "ground-state", str(config), "--out", str(out)]

    def restrict() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [*launcher, *program],
        env=environment(chosen),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        preexec_fn=restrict,
    )


def errors(done: subprocess.CompletedProcess) -> list[str]:
    """What the program itself says is wrong (an MPI launcher adds lines of its own)."""
    return [line for line in done.stderr.splitlines() if "manybody" in line and "error:" in line]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # a typing error
        pytest.param(("sampler.n_chain", 4), "`sampler` must hold only the keys", marks=pytest.mark.slow),
        (
            ("sampler.n_chains", 15),
            "be a multiple of the number of workers (2), got 15. Nearest: 14 or 16",
        ),
    ],
)
def test_all_ranks_refuse_in_one_message(tmp_path, change, message):
    samples = ("sampler.n_samples", 30) if change[1] == 15 else ("sampler.n_samples", 32)
    done = ground_state("mpi2", write(tmp_path, change, samples), tmp_path / "out")
    assert done.returncode == 1
    assert len(errors(done)) == 1, done.stderr
    assert message in errors(done)[0]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("layout", [pytest.param("serial", marks=pytest.mark.slow), "mpi2"])
def test_a_directory_that_cannot_be_made(tmp_path, layout):
    (tmp_path / "file").write_text("mine")
    done = ground_state(layout, write(tmp_path), tmp_path / "file" / "out")
    assert done.returncode == 1
    assert len(errors(done)) == 1, done.stderr
    assert "Not a directory" in errors(done)[0]
    assert (tmp_path / "file").read_text() == "mine"


def check_interrupted(done: subprocess.CompletedProcess, out: Path, reason: str) -> None:
    """The program failed in one line, and left a log of whole lines and a checkpoint that can be read."""
    assert done.returncode == 1, done.stdout
    assert len(errors(done)) == 1, done.stderr
    assert reason in errors(done)[0]
    assert "Traceback" not in done.stderr
    n_lines = len(list(read_log(out / "log.jsonl")))
    saved = load_header(newest_first(out)[0])
    assert 0 < n_lines < 100
    assert saved["log_position"] <= (out / "log.jsonl").stat().st_size
    assert not list(out.glob(".*.part"))


@pytest.mark.slow
def test_a_file_that_may_not_grow(tmp_path):
    config = write(tmp_path, ("optimisation.steps", 100), ("run.save_every", 5))
    done = ground_state("serial", config, tmp_path / "out", limit=16_000)
    check_interrupted(done, tmp_path / "out", "File too large")
    assert ground_state("serial", config, tmp_path / "out").returncode == 0
    assert [record["step"] for record in read_log(tmp_path / "out" / "log.jsonl")] == list(range(1, 101))


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system with room for a few checkpoints."""
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mount.returncode != 0:
        pytest.skip(f"only root may mount a file system: {mount.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["serial", "mpi2"])
def test_a_full_disk(tmp_path, layout):
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    config = write(tmp_path, ("optimisation.steps", 100), ("run.save_every", 5))
    with small_disk(tmp_path / "disk") as disk:
        check_interrupted(ground_state(layout, config, disk / "out"), disk / "out", "No space left on device")
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        assert ground_state(layout, config, disk / "out").returncode == 0
        assert [record["step"] for record in read_log(disk / "out" / "log.jsonl")] == list(range(1, 101))
