# SPDX-License-Identifier: Apache-2.0
"""How jobs of several processes begin, and how they end if one process fails."""

from __future__ import annotations

import json

import jax
import pytest

from manybody.parallel import threads
from tests.cases import some_slow
from tests.distributed.layouts import LAYOUTS, WORKERS, Finished, require, run

SOON = 30.0
"""Seconds within which a job has noticed that one of its processes failed."""
NO_THREADS = {"OPENBLAS_NUM_THREADS": None, "OMP_NUM_THREADS": None, "MKL_NUM_THREADS": None}
AUTO = {"MANYBODY_BACKEND": "auto"}
each_backend = pytest.mark.parametrize(
    "layout", ["mpi2", *(pytest.param(layout, marks=pytest.mark.slow) for layout in ("processes2", "processes2-plain"))]
)


def reports(layout: str, **changes: str | None) -> list[dict]:
    """What the processes say about themselves, in their order."""
    done = run(layout, WORKERS / "report.py", changes=changes)
    assert done.code == 0, done
    return sorted((json.loads(x) for x in done.stdout.splitlines() if x.startswith("{")), key=lambda x: x["rank"])


# --- how they begin ---------------------------------------------------------------------------------------------------


JOBS = {
    "serial": (AUTO, "serial", "1 process with one cpu device, 1 thread for linear algebra"),
    "mpi2": (AUTO, "mpi", "2 MPI ranks with one cpu device each, 1 thread each for linear algebra"),
    "devices2": (AUTO, "mesh", "a mesh of 2 cpu devices of 1 process, 1 thread for linear algebra"),
    "processes2": ({}, "mesh", "a mesh of 2 cpu devices of 2 processes, 1 thread each for linear algebra"),
    "processes2-plain": (AUTO, "mesh", "a mesh of 2 cpu devices of 2 processes, 1 thread each for linear algebra"),
    "processes2-devices2": ({}, "mesh", "a mesh of 4 cpu devices of 2 processes, 1 thread each for linear algebra"),
}


@pytest.mark.parametrize(
    ("layout", "changes", "name", "words"),
    some_slow(
        {layout: (layout, *said) for layout, said in JOBS.items()}, ["devices2", "processes2", "processes2-devices2"]
    ),
)
def test_workers_of_a_job(layout: str, changes: dict, name: str, words: str) -> None:
    every = reports(layout, **changes)
    chosen = LAYOUTS[layout]
    assert [x["rank"] for x in every] == list(range(chosen.n_processes))
    for said in every:
        assert (said["name"], said["size"], said["n_processes"]) == (name, chosen.n_workers, chosen.n_processes)
        assert said["describe"] == words
        n = chosen.n_workers
        rule = f"`n_chains` must be a multiple of the number of workers ({n}), got {4 * n + 1}."
        assert said["refusal"] == (None if n == 1 else f"{rule} Nearest: {4 * n} or {5 * n}.")


def test_processes_may_be_strangers() -> None:
    every = reports("mpi2", MANYBODY_BACKEND="serial")
    assert [(x["name"], x["size"], x["n_processes"]) for x in every] == [("serial", 1, 1)] * 2


@pytest.mark.parametrize("layout", [pytest.param("mpi2", marks=pytest.mark.slow), "processes2-plain"])
def test_processes_share_the_cores(layout: str) -> None:
    n_cores = threads.cores()
    every = reports(layout, **NO_THREADS)
    assert [x["cores"] for x in every] == [n_cores] * 2
    assert [x["threads"] for x in every] == [max(1, n_cores // 2)] * 2


def test_a_given_number_of_threads_is_respected() -> None:
    n_cores = threads.cores()
    given = 1 if n_cores // 2 > 1 else n_cores  # not what it would be by itself
    every = reports("mpi2", **(NO_THREADS | {"OPENBLAS_NUM_THREADS": str(given)}))
    assert [x["threads"] for x in every] == [given] * 2
    assert [f"{given} thread" in x["describe"] for x in every] == [True] * 2


# --- what is refused --------------------------------------------------------------------------------------------------


def refused(done: Finished, message: str) -> None:
    assert done.code != 0, done
    assert done.seconds < SOON, done
    assert message in done.stderr, done
    assert done.stdout.count("{") == 0, done


@pytest.mark.parametrize("backend", ["auto", *(pytest.param(x, marks=pytest.mark.slow) for x in ("mpi", "mesh"))])
def test_a_launcher_of_another_mpi_is_refused(backend: str) -> None:
    """Each process that it starts would take itself for a whole job."""
    require("mpi2")
    job = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "MANYBODY_BACKEND": backend}
    done = run("serial", WORKERS / "report.py", changes=job, timeout=2 * SOON)
    refused(done, "RuntimeError: Open MPI started 2 processes, but MPI sees 1: mpiexec and mpi4py belong to different")


@pytest.mark.parametrize(
    "by_rank",
    [
        pytest.param([{"JAX_NUM_CPU_DEVICES": "2"}] * 2, marks=pytest.mark.slow),
        [{}, {"JAX_NUM_CPU_DEVICES": "2"}],
    ],
)
def test_ranks_with_several_devices_are_refused(by_rank: list) -> None:
    """Also if the other ranks have nothing to complain about, and wait."""
    done = run("mpi2", WORKERS / "report.py", by_rank=by_rank, timeout=2 * SOON)
    refused(done, "RuntimeError: The MPI back-end needs one device per rank, this one has 2: unset JAX_NUM_CPU_DEVICES")


def test_a_rank_that_cannot_choose_ends_the_job() -> None:
    done = run("mpi2", WORKERS / "report.py", by_rank=[{}, {"MANYBODY_BACKEND": "mip"}], timeout=2 * SOON)
    refused(done, "`MANYBODY_BACKEND` must be one of 'auto', 'serial', 'mpi', 'mesh', got 'mip'. Did you mean 'mpi'?")


def test_ranks_that_choose_differently_are_refused() -> None:
    """As on nodes of which only some have GPUs."""
    done = run("mpi2", WORKERS / "report.py", by_rank=[{}, {"MANYBODY_BACKEND": "mesh"}], timeout=2 * SOON)
    refused(
        done, "of this job choose different back-ends: process 0 mpi, process 1 mesh. Set MANYBODY_BACKEND, the same"
    )


@each_backend
def test_processes_of_different_precision_are_refused(layout: str) -> None:
    done = run(layout, WORKERS / "report.py", changes={"JAX_ENABLE_X64": None}, by_rank=[{}, {"MANYBODY_X64": "0"}])
    facts = f"process {{}} has jax {jax.__version__}, 64 bits {{}}"
    refused(done, f"of this job differ: {facts.format(0, 'on')}, {facts.format(1, 'off')}.")


# --- how they end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "how"),
    [
        ("mpi2", "raise"),
        ("processes2-plain", "raise"),
        *(pytest.param("mpi2", how, marks=pytest.mark.slow) for how in ("thread", "exit")),
        *(pytest.param("processes2", how, marks=pytest.mark.slow) for how in ("raise", "thread", "exit")),
    ],
)
def test_a_failing_process_ends_the_job_and_says_why(layout: str, how: str) -> None:
    reason = "sys.exit(3)" if how == "exit" else "ArithmeticError: the reason"
    done = run(layout, WORKERS / "fail.py", how, timeout=2 * SOON)
    assert all(done.codes), done
    assert done.seconds < SOON, done
    assert done.stderr.count(reason) == 1, done
    assert "[process 1 of 2] " in done.stderr, done
    assert "nothing failed" not in done.stdout
    if how == "exit":
        assert 3 in done.codes


@each_backend
def test_a_killed_process_ends_the_job(layout: str) -> None:
    done = run(layout, WORKERS / "fail.py", "kill", timeout=2 * SOON)
    assert all(done.codes), done
    assert done.seconds < SOON, done
    assert "nothing failed" not in done.stdout


@pytest.mark.slow
def test_processes_notice_that_another_one_is_gone() -> None:
    """No launcher and no collective tells them: only the heartbeat of `jax.distributed` does."""
    done = run("processes2-plain", WORKERS / "fail.py", "kill-busy")
    assert all(done.codes), done
    assert done.seconds < SOON, done


def test_one_process_fails_as_any_program() -> None:
    """Without others nothing is ended by force, and the message is Python's."""
    done = run("serial", WORKERS / "fail.py", "exit")
    assert done.codes == (3,)
    assert done.stderr == ""
    done = run("serial", WORKERS / "fail.py", "raise")
    assert done.codes == (1,)
    assert done.stderr.startswith("Traceback")
    assert done.stderr.count("ArithmeticError: the reason") == 1
