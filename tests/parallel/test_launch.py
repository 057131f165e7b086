# SPDX-License-Identifier: Apache-2.0
"""The decision which workers a job has, and what happens to errors, without starting any job."""

from __future__ import annotations

import importlib
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import pytest

from manybody.parallel import Comm, MeshComm, MPIComm, cluster, failure, guard, launch
from manybody.parallel.cluster import Started

MODULE = importlib.import_module("manybody.parallel.launch")  # whose name the function hides


class Ended(BaseException):
    """A process that would have ended all others."""


@dataclass(frozen=True)
class Job(Comm):
    """One process of a job whose other processes say `others`."""

    others: Any = ()
    codes: list[int] = field(default_factory=list, compare=False)

    def exchange(self, value: np.ndarray) -> np.ndarray:
        return np.stack([value, *self.others])

    def abort(self, code: int) -> None:
        self.codes.append(code)
        raise Ended


# --- the choice -------------------------------------------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict:
    """What the machine has; a test changes it."""
    has = {"mpi4jax": True, "cpu": True}

    def find_spec(name: str) -> object:
        return has.get(name) or None

    monkeypatch.setattr(MODULE.importlib.util, "find_spec", find_spec)
    monkeypatch.setattr(cluster, "on_cpu", lambda platforms: has["cpu"])
    monkeypatch.setenv("MANYBODY_BACKEND", "auto")
    return has


ALONE, RANK, TASK, NUMBERED = Started(), Started("MPI", 4, 1), Started("Slurm", 4, 1), Started("JAX", 4, 1)


@pytest.mark.parametrize(
    ("here", "mpi4jax", "cpu", "expected"),
    [
        (ALONE, True, True, "auto"),  # its devices decide
        (RANK, True, True, "mpi"),
        (RANK, False, True, "mesh"),
        (RANK, True, False, "mesh"),
        (TASK, True, True, "mpi"),
        (TASK, False, True, "mesh"),
        (NUMBERED, True, True, "mesh"),  # MPI did not start it
        (Started("MPI", 1), True, True, "auto"),
    ],
)
def test_choice_for_several_processes(machine: dict, here: Started, mpi4jax: bool, cpu: bool, expected: str) -> None:
    machine |= {"mpi4jax": mpi4jax, "cpu": cpu}
    assert MODULE._choose("auto", here) == expected


@pytest.mark.parametrize("asked", ["serial", "mpi", "mesh"])
def test_arguments_and_variables_overrule(machine: dict, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    for here in (ALONE, RANK, NUMBERED):
        assert MODULE._choose(asked, here) == asked
    monkeypatch.setenv("MANYBODY_BACKEND", asked)
    assert MODULE._choose("auto", RANK) == asked
    assert MODULE._choose("serial", RANK) == "serial"
    monkeypatch.setenv("MANYBODY_BACKEND", "mip")
    with pytest.raises(ValueError, match=r"`MANYBODY_BACKEND` must be one of .* got 'mip'. Did you mean 'mpi'\?"):
        MODULE._choose("auto", ALONE)


def test_workers_of_one_process() -> None:
    assert len(jax.devices()) == 4
    assert MODULE._make("serial", ALONE, None) == Comm()
    assert MODULE._make("serial", RANK, None) == Comm()
    for backend in ("auto", "mesh"):
        for n_devices, size in ((None, 4), (3, 3)):
            comm = MODULE._make(backend, ALONE, n_devices)
            assert (type(comm), comm.size, comm.rank, comm.n_processes) == (MeshComm, size, 0, 1)
    assert MODULE._make("auto", ALONE, 1) == Comm()
    assert MODULE._make("mesh", ALONE, 1).size == 1
    with pytest.raises(ValueError, match="satisfy 1 <= n_devices <= 4, got 5"):
        MODULE._make("mesh", ALONE, 5)


def test_mpi_needs_mpi4jax(machine: dict) -> None:
    machine["mpi4jax"] = False
    with pytest.raises(ImportError, match=r"needs mpi4jax: pip install 'manybody\[mpi\]'"):
        MODULE._make("mpi", RANK, None)


def test_processes_that_cannot_meet(machine: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAX_COORDINATOR_ADDRESS", raising=False)
    for here in (RANK, NUMBERED):  # no mpi4py
        with pytest.raises(RuntimeError, match=f"{here.by} started 4 processes, .* set JAX_COORDINATOR_ADDRESS="):
            MODULE._make("mesh", here, None)


def test_another_choice_later_is_refused() -> None:
    present = launch("serial")
    assert launch() is launch("auto", n_devices=1) is present
    for arguments in ({"backend": "mpi"}, {"backend": "mesh"}, {"n_devices": 2}):
        with pytest.raises(RuntimeError, match=r"called before with another choice \(serial, 1 workers\)"):
            launch(**arguments)


def test_processes_must_be_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[np.ndarray] = []
    monkeypatch.setattr(Job, "exchange", lambda self, value: said.append(value) or np.stack([value]))
    MODULE._check_alike(Job())
    monkeypatch.undo()
    MODULE._check_alike(Job(others=said))
    other = np.frombuffer(said[0].tobytes().replace(b"64 bits on ", b"64 bits off"), np.uint8)
    facts = f"jax {jax.__version__}, 64 bits"
    with pytest.raises(RuntimeError, match=f"process 0 has {facts} on, process 2 has {facts} off"):
        MODULE._check_alike(Job(others=[said[0], other]))


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(failure.time, "sleep", found.append)
    return found


@pytest.mark.parametrize(
    ("rank", "wait", "where"), [(0, 0, ""), (3, 0.75, "[process 3 of 40] "), (39, 5, "[process 39")]
)
def test_a_failure_is_said_and_ends_all(waits: list, capsys: Any, rank: int, wait: float, where: str) -> None:
    """Those before it speak first, so that an error of all processes is said once."""
    job = Job(40, rank, 40)
    with pytest.raises(Ended), guard(job):
        raise ValueError("the reason")
    assert job.codes == [1]
    assert waits == [wait]
    said = capsys.readouterr().err
    assert said.startswith(where + "Traceback" if rank < 39 else where)
    assert said.rstrip().endswith("ValueError: the reason")


@pytest.mark.parametrize(
    ("leaving", "code"), [(SystemExit(3), 3), (SystemExit("why"), 1), (KeyboardInterrupt(), 1), (MemoryError(), 1)]
)
def test_what_else_ends_all(waits: list, capsys: Any, leaving: BaseException, code: int) -> None:
    job = Job(2, 0, 2)
    with pytest.raises(Ended), guard(job):
        raise leaving
    assert job.codes == [code]
    assert (
        f"sys.exit({leaving.code!r})" if isinstance(leaving, SystemExit) else "Traceback"
    ) in capsys.readouterr().err


@pytest.mark.parametrize("leaving", [SystemExit(), SystemExit(0), SystemExit(None)])
def test_a_peaceful_end_ends_nothing_else(leaving: SystemExit) -> None:
    with pytest.raises(SystemExit) as found, guard(Job(2, 0, 2)):
        raise leaving
    assert found.value is leaving


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt()])
def test_without_others_an_error_goes_its_way(error: BaseException) -> None:
    with pytest.raises(type(error)) as found, guard(Comm()):
        raise error
    assert found.value is error


def test_hooks_of_main_program_and_threads(waits: list, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    before = sys.excepthook, threading.excepthook
    failure.install(Comm())
    assert (sys.excepthook, threading.excepthook) == before
    job = Job(2, 1, 2)
    failure.install(job)
    try:
        raise ValueError("in the main program")
    except ValueError as error:
        with pytest.raises(Ended):
            sys.excepthook(type(error), error, error.__traceback__)
        with pytest.raises(Ended):
            threading.excepthook(threading.ExceptHookArgs((ValueError, error, error.__traceback__, None)))
    assert job.codes == [1, 1]
    assert capsys.readouterr().err.count("[process 1 of 2] Traceback") == 2


def test_mpi_workers_are_one_per_rank() -> None:
    comm = MPIComm(3, 2, 3)
    assert (comm.size, comm.rank, comm.n_processes, comm.is_root) == (3, 2, 3, False)
    assert "3 MPI ranks with one cpu device each" in comm.describe()
