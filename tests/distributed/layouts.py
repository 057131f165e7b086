# SPDX-License-Identifier: Apache-2.0
"""Programs run in several layouts: one process, MPI ranks, host devices, processes of `jax.distributed`.

Without MPI the tests that need it are skipped; with ``MANYBODY_REQUIRE_MPI=1`` (as in CI) they fail.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
WORKERS = Path(__file__).resolve().parent / "workers"
TIMEOUT = 300.0

Results = Callable[..., dict[str, np.ndarray]]


@dataclass(frozen=True)
class Layout:
    """How many processes, started by what, with how many devices each."""

    backend: str
    n_processes: int = 1
    n_devices: int = 1
    under_mpi: bool = False

    @property
    def n_workers(self) -> int:
        return self.n_processes * self.n_devices


LAYOUTS = {
    "serial": Layout("serial"),
    "mpi2": Layout("mpi", 2, under_mpi=True),
    "mpi4": Layout("mpi", 4, under_mpi=True),
    "devices2": Layout("mesh", n_devices=2),
    "devices4": Layout("mesh", n_devices=4),
    "processes2": Layout("mesh", 2, under_mpi=True),
    "processes2-plain": Layout("mesh", 2),  # without MPI: each process is told its number
    "processes2-devices2": Layout("mesh", 2, 2),
}

_SETTINGS = {
    "JAX_PLATFORMS": "cpu",
    "JAX_ENABLE_X64": "1",
    "JAX_ENABLE_COMPILATION_CACHE": "0",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "MPLBACKEND": "agg",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
_FOREIGN = re.compile(r"(JAX|XLA|MANYBODY|PMI|PMIX|PRTE|OMPI|MPI|MPIR|HYDRA|HYDI|SLURM)_|.*_NUM_THREADS$")
"""Variables by which the test run itself, or a launcher of it, would take part in the decisions of the program."""


@dataclass(frozen=True)
class Finished:
    """What a job left behind; of processes that no launcher watches, one after the other."""

    command: str
    codes: tuple[int, ...]
    stdout: str
    stderr: str
    seconds: float

    @property
    def code(self) -> int:
        """The first exit code that is not zero."""
        return next((code for code in self.codes if code), 0)

    def __str__(self) -> str:
        """For messages of failing tests."""
        ends = [f"--- end of {name}\n{text[-3000:]}" for name, text in self.streams if text]
        return "\n".join([f"{self.command}\nexit codes {self.codes} after {self.seconds:.1f} s", *ends])

    @property
    def streams(self) -> list[tuple[str, str]]:
        return [("stdout", self.stdout), ("stderr", self.stderr)]


# --- MPI --------------------------------------------------------------------------------------------------------------


def mpiexec() -> str | None:
    """The launcher that belongs to this Python, else the one that the shell would find."""
    beside = Path(sys.executable).parent / "mpiexec"
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def missing_for_mpi() -> list[str]:
    """What is not installed."""
    modules = [name for name in ("mpi4py", "mpi4jax") if importlib.util.find_spec(name) is None]
    return modules if mpiexec() else [*modules, "mpiexec"]


def require(layout: str) -> None:
    """Skip the test, or let it fail if MPI is required, where the layout cannot be had."""
    missing = missing_for_mpi() if LAYOUTS[layout].under_mpi else []
    if not missing:
        return
    reason = f"layout {layout} needs MPI, of which there is no {' and no '.join(missing)} (docs/install.md)"
    if os.environ.get("MANYBODY_REQUIRE_MPI", "0") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


# --- running ----------------------------------------------------------------------------------------------------------


def environment(layout: Layout, **changes: str | None) -> dict[str, str]:
    """The settings of a program, all made here; a change to None removes one."""
    inherited = {name: value for name, value in os.environ.items() if name == "XLA_FLAGS" or not _FOREIGN.match(name)}
    path = os.pathsep.join(x for x in (str(ROOT), os.environ.get("PYTHONPATH")) if x)
    own = {"MANYBODY_BACKEND": layout.backend, "JAX_NUM_CPU_DEVICES": str(layout.n_devices), "PYTHONPATH": path}
    settings = inherited | _SETTINGS | own | changes
    return {name: value for name, value in settings.items() if value is not None}


def run(
    layout: str,
    script: str | Path,
    *arguments: str | Path,
    changes: Mapping[str, str | None] | None = None,
    by_rank: Sequence[Mapping[str, str]] = (),
    timeout: float = TIMEOUT,
) -> Finished:
    """Run a program to its end.

    Args:
        layout: name of the layout.
        script: a file, or the text of a program.
        arguments: of the program.
        changes: variables of all processes that differ from those of the layout; None removes one.
        by_rank: further variables of process 0, 1, ...
        timeout: seconds after which the test fails, and nothing of the job is left.
    """
    require(layout)
    chosen = LAYOUTS[layout]
    code = [str(script)] if isinstance(script, Path) else ["-c", script]
    program = [sys.executable, *code, *map(str, arguments)]
    variables = environment(chosen, **(changes or {}))
    own = [dict(by_rank[i]) if i < len(by_rank) else {} for i in range(chosen.n_processes)]
    if chosen.under_mpi:
        jobs = [(_under_mpi(program, own), variables)]
    else:
        jobs = [(program, variables | extra) for extra in _numbered(own)]
    return _finish(layout, jobs, timeout)


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _under_mpi(program: list[str], own: list[dict[str, str]]) -> list[str]:
    if not any(own):
        return [mpiexec(), "-n", str(len(own)), *program]
    parts = [["-n", "1", *_settings(extra), *program] for extra in own]
    return [mpiexec(), *parts[0], *(word for part in parts[1:] for word in (":", *part))]


def _settings(variables: dict[str, str]) -> list[str]:
    return ["env", *(f"{name}={value}" for name, value in variables.items())] if variables else []


def _numbered(own: list[dict[str, str]]) -> list[dict[str, str]]:
    """The variables by which processes that nobody counts find each other."""
    if len(own) == 1:
        return own
    job = {"JAX_NUM_PROCESSES": str(len(own)), "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{free_port()}"}
    return [job | {"JAX_PROCESS_ID": str(i)} | extra for i, extra in enumerate(own)]


def _finish(layout: str, jobs: list[tuple[list[str], dict[str, str]]], timeout: float) -> Finished:
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        files = [(Path(folder, f"out{i}"), Path(folder, f"err{i}")) for i in range(len(jobs))]
        processes = []
        try:
            for (command, variables), (out, err) in zip(jobs, files, strict=True):
                with out.open("w") as stdout, err.open("w") as stderr:
                    processes.append(
                        subprocess.Popen(
                            command,
                            env=variables,
                            stdin=subprocess.DEVNULL,
                            stdout=stdout,
                            stderr=stderr,
                            cwd=folder,
                            start_new_session=True,
                        )
                    )
            late = not _wait(processes, begin + timeout)
        finally:
            for process in processes:
                _end(process)
        texts = [[path.read_text(errors="replace") for path in paths] for paths in zip(*files, strict=True)]
    name = f"layout {layout}: {' '.join(Path(word).name for word in jobs[0][0][:8] if len(word) < 200)}"
    done = Finished(
        name, tuple(p.returncode for p in processes), "".join(texts[0]), "".join(texts[1]), time.monotonic() - begin
    )
    if late:
        pytest.fail(f"not finished after {timeout:g} s\n{done}")
    return done


def _wait(processes: Sequence[subprocess.Popen], deadline: float) -> bool:
    """Whether all processes ended in time."""
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
    return True


def _end(process: subprocess.Popen) -> None:
    """End a process and all that it started; mpiexec is asked first, because its ranks are sessions of their own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, number)
        _wait([process], time.monotonic() + 10)


# --- results ----------------------------------------------------------------------------------------------------------


def result(layout: str, script: Path, *arguments: str, **options: object) -> dict[str, np.ndarray]:
    """The arrays that a program of `workers` writes to the file that is its first argument.

    The test fails, with what the program said, if it fails or writes nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "result.npz")
        done = run(layout, script, path, *arguments, **options)
        if done.code or not path.exists():
            pytest.fail(f"no result\n{done}", pytrace=False)
        with np.load(path) as arrays:
            return dict(arrays)


class SharedResults:
    """`result`, for each program and layout once: also where several processes of pytest-xdist share out the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self, layout: str, script: Path, *arguments: str, changes: Mapping[str, str | None] | None = None
    ) -> dict[str, np.ndarray]:
        require(layout)
        what = repr((script, layout, arguments, changes))
        name = f"{script.stem}-{layout}-{zlib.crc32(what.encode()):08x}"
        path, failure = self.folder / f"{name}.npz", self.folder / f"{name}.failed"
        with (self.folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
            if failure.exists():
                pytest.fail(failure.read_text(encoding="utf-8"), pytrace=False)
            if not path.exists():
                try:
                    arrays = result(layout, script, *arguments, changes=changes)
                except pytest.fail.Exception as error:
                    failure.write_text(str(error), encoding="utf-8")
                    raise
                np.savez(path, **arrays)
        with np.load(path) as arrays:
            return dict(arrays)
