# SPDX-License-Identifier: Apache-2.0
"""What the environment says about the job that this process belongs to; the only module that reads it."""

from __future__ import annotations

import glob
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from manybody import _checks

_LAUNCHERS = (
    # What started the process, and its variables for the number of processes, the process, and the process on its node.
    # An MPI launcher inside of a Slurm job comes first: its processes see the variables of both. Slurm itself sets
    # those of MPI, but for the number on the node, if it serves MPICH (srun --mpi=pmi2).
    ("Open MPI", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", ("OMPI_COMM_WORLD_LOCAL_RANK",)),
    ("MPI", "PMI_SIZE", "PMI_RANK", ("MPI_LOCALRANKID", "SLURM_LOCALID")),
    ("Slurm", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", ("SLURM_LOCALID",)),
    ("JAX", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID", ("JAX_LOCAL_PROCESS_ID",)),
)
_ACCELERATORS = ("/dev/nvidia[0-9]*", "/dev/accel*", "/dev/kfd")
COORDINATOR = "JAX_COORDINATOR_ADDRESS"
BACKEND = "MANYBODY_BACKEND"
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_PATIENCE = "--xla_cpu_collective_call_terminate_timeout_seconds"


@dataclass(frozen=True)
class Started:
    """The process as its launcher counts it.

    Attributes:
        by: the launcher, None without one.
        size: number of processes.
        rank: number of this one.
        local_rank: its number among those on the same node.
    """

    by: str | None = None
    size: int = 1
    rank: int = 0
    local_rank: int = 0


def started(environment: Mapping[str, str] = os.environ) -> Started:
    """How this process was started.

    Raises:
        ValueError: if a launcher's variables are no numbers, or the number of this process is not among them.
    """
    for by, size_name, rank_name, local_names in _LAUNCHERS:
        if environment.get(size_name):
            size = _number(environment, size_name, 1, None)
            rank = _number(environment, rank_name, 0, size - 1)
            local = next((name for name in local_names if environment.get(name)), None)
            return Started(by, size, rank, 0 if local is None else _number(environment, local, 0, size - 1))
    return Started()


def _number(environment: Mapping[str, str], name: str, minimum: int, maximum: int | None) -> int:
    text = environment.get(name, "").strip()
    good = text.isdecimal() and minimum <= int(text) and (maximum is None or int(text) <= maximum)
    limit = f"at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
    _checks.require(good, name, f"be a number, {limit}", repr(text) if text else "nothing")
    return int(text)


def backend() -> str:
    """Which workers the user asks for."""
    return os.environ.get(BACKEND, "auto")


def coordinator() -> str | None:
    """Where process 0 of `jax.distributed` listens, if that is said."""
    return os.environ.get(COORDINATOR)


def says_threads() -> bool:
    """Whether the user says how many threads linear algebra has."""
    return any(os.environ.get(name) for name in _THREADS)


def be_patient() -> None:
    """Give host devices of one process an hour to meet in a collective.

    XLA ends a process whose devices come more than 60 seconds apart, as they may in a long step.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if _PATIENCE not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_PATIENCE}=3600".strip()


def on_cpu(platforms: str | None) -> bool:
    """Whether JAX will use the processor; asked before JAX may look at its devices.

    Args:
        platforms: JAX's setting ``jax_platforms``.
    """
    if platforms:
        return platforms.split(",")[0] == "cpu"
    return not any(glob.glob(pattern) for pattern in _ACCELERATORS)


def own_gpu(local_rank: int, environment: Mapping[str, str] = os.environ) -> int | None:
    """Which of the GPUs that this process sees is its own; None if it sees no choice."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    n_gpus = len(glob.glob(_ACCELERATORS[0])) if visible is None else len([x for x in visible.split(",") if x.strip()])
    return local_rank % n_gpus if n_gpus > 1 else None


def free_address(one_node: bool) -> str:
    """host:port on this machine that others of the job can reach and nobody uses."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    return f"{'127.0.0.1' if one_node else socket.gethostname()}:{port}"
