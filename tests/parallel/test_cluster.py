# SPDX-License-Identifier: Apache-2.0
"""What the variables of launchers say about a process."""

from __future__ import annotations

import fnmatch

import pytest

from manybody.parallel import cluster
from manybody.parallel.cluster import Started, free_address, on_cpu, own_gpu, started

SLURM_BATCH = {
    "SLURM_JOB_ID": "17",
    "SLURM_NTASKS": "8",
    "SLURM_NPROCS": "8",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
}
"""As in a script of sbatch, outside of srun."""
SLURM_STEP = SLURM_BATCH | {"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5", "SLURM_LOCALID": "1"}
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}
HYDRA = {"PMI_SIZE": "4", "PMI_RANK": "2", "PMI_FD": "6", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}
JAX = {"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1", "JAX_COORDINATOR_ADDRESS": "127.0.0.1:1234"}
# mpiexec in a Slurm job starts its helpers by srun, one on each node.
HELPER_STEP = SLURM_BATCH | {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "0"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Started()),
        ({"HOME": "/", "PMI_SIZE": "", "JAX_NUM_PROCESSES": ""}, Started()),
        (OPEN_MPI, Started("Open MPI", 4, 3, 1)),
        (HELPER_STEP | OPEN_MPI, Started("Open MPI", 4, 3, 1)),
        (HYDRA, Started("MPI", 4, 2, 1)),
        (HELPER_STEP | HYDRA, Started("MPI", 4, 2, 1)),
        (SLURM_STEP, Started("Slurm", 8, 5, 1)),
        (SLURM_STEP | {"PMI_SIZE": "8", "PMI_RANK": "5"}, Started("MPI", 8, 5, 1)),
        (SLURM_BATCH, Started()),
        (SLURM_BATCH | {"SLURM_STEP_NUM_TASKS": "1"}, Started("Slurm", 1, 0, 0)),
        (JAX, Started("JAX", 2, 1, 0)),
        (HYDRA | JAX, Started("MPI", 4, 2, 1)),
        ({"PMI_SIZE": "1", "PMI_RANK": "0"}, Started("MPI", 1, 0, 0)),
    ],
    ids=[
        "nothing",
        "empty",
        "Open MPI",
        "Open MPI inside of Slurm",
        "hydra",
        "hydra inside of Slurm",
        "srun",
        "srun that serves MPICH",
        "sbatch without srun",
        "srun of one task",
        "JAX",
        "JAX's variables under hydra",
        "one rank",
    ],
)
def test_how_a_process_was_started(environment: dict, expected: Started) -> None:
    assert started(environment) == expected


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"JAX_NUM_PROCESSES": "two"}, r"`JAX_NUM_PROCESSES` must be a number, at least 1, got 'two'"),
        ({"JAX_NUM_PROCESSES": "0"}, r"`JAX_NUM_PROCESSES` must be a number, at least 1, got '0'"),
        ({"JAX_NUM_PROCESSES": "2"}, r"`JAX_PROCESS_ID` must be a number, from 0 to 1, got nothing"),
        ({"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "2"}, r"`JAX_PROCESS_ID` must be a number, from 0 to 1, got '2'"),
        ({"PMI_SIZE": "2", "PMI_RANK": "-1"}, r"`PMI_RANK` must be a number, from 0 to 1, got '-1'"),
        (HYDRA | {"MPI_LOCALRANKID": "x"}, r"`MPI_LOCALRANKID` must be a number, from 0 to 3, got 'x'"),
        ({"SLURM_STEP_NUM_TASKS": "4(x2)", "SLURM_PROCID": "0"}, r"`SLURM_STEP_NUM_TASKS` must be a number, at least"),
    ],
)
def test_variables_that_make_no_sense_are_named(environment: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        started(environment)


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The device files of the machine; a test adds some."""
    present: list[str] = []

    def fake(pattern: str) -> list[str]:
        return [path for path in present if fnmatch.fnmatch(path, pattern)]

    monkeypatch.setattr(cluster.glob, "glob", fake)
    return present


@pytest.mark.parametrize(
    ("platforms", "files", "expected"),
    [
        (None, [], True),
        ("", ["/dev/null", "/dev/nvidiactl", "/dev/nvidia-uvm"], True),
        (None, ["/dev/nvidia0"], False),
        (None, ["/dev/accel0"], False),
        (None, ["/dev/kfd"], False),
        ("cpu", ["/dev/nvidia0"], True),
        ("cpu,cuda", ["/dev/nvidia0"], True),
        ("cuda,cpu", [], False),
        ("cuda", [], False),
    ],
)
def test_whether_jax_will_use_the_processor(devices: list, platforms: str, files: list, expected: bool) -> None:
    devices += files
    assert on_cpu(platforms) is expected


@pytest.mark.parametrize(
    ("local_rank", "visible", "n_files", "expected"),
    [
        (0, None, 0, None),
        (1, None, 1, None),  # no choice
        (1, None, 4, 1),
        (5, None, 4, 1),  # more processes than GPUs share them
        (1, "2,3", 4, 1),  # counted among those that it sees
        (3, "2, 3", 4, 1),
        (1, "GPU-1a,GPU-2b", 4, 1),
        (1, "0", 4, None),  # the launcher has chosen
        (1, "", 4, None),
    ],
)
def test_which_gpu_is_its_own(devices: list, local_rank: int, visible: str, n_files: int, expected: int) -> None:
    devices += [f"/dev/nvidia{i}" for i in range(n_files)]
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert own_gpu(local_rank, environment) == expected


def test_a_free_address_can_be_listened_to() -> None:
    host, _, port = free_address(one_node=True).partition(":")
    assert host == "127.0.0.1"
    assert 1024 < int(port) < 65536
    assert not free_address(one_node=False).startswith(("127.", ":"))


def test_patience_is_added_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_one=1")
    cluster.be_patient()
    cluster.be_patient()
    name = "--xla_cpu_collective_call_terminate_timeout_seconds"
    assert cluster.os.environ["XLA_FLAGS"] == f"--xla_one=1 {name}=3600"
    monkeypatch.setenv("XLA_FLAGS", f"{name}=7")
    cluster.be_patient()
    assert cluster.os.environ["XLA_FLAGS"] == f"{name}=7"
