# SPDX-License-Identifier: Apache-2.0
"""Decides once which workers this job has.

serial   one process, one device
mpi      every rank of an MPI job with one device
mesh     all devices of one process, or of all processes of a job (through `jax.distributed`)
"""

from __future__ import annotations

import importlib.util
import traceback
from typing import Any

import jax
import numpy as np

from manybody import _checks
from manybody.parallel import cluster, failure, threads
from manybody.parallel.cluster import Started
from manybody.parallel.comm import AXIS, REPLICATED, SHARD, Comm
from manybody.parallel.mesh import MeshComm
from manybody.parallel.mpi import MPIComm

BACKENDS = ("auto", "serial", "mpi", "mesh")

_HEARTBEAT = 20
"""Seconds after which processes of `jax.distributed` notice that another one is gone."""

_FACTS = 80
"""Bytes in which a process describes itself to the others."""

_config: Any = jax.config  # whose settings its type does not know
_active: list[Comm] = []


def launch(backend: str = "auto", *, n_devices: int | None = None) -> Comm:
    """Decide which workers this job uses, for its whole life. Call it before anything that asks JAX for devices.

    Several processes are recognised by what MPI, Slurm or the variables ``JAX_NUM_PROCESSES``, ``JAX_PROCESS_ID`` and
    ``JAX_COORDINATOR_ADDRESS`` say.

    Args:
        backend: "serial": one device, whatever else there is (several processes are then strangers to each other).
            "mpi": the ranks of an MPI job. "mesh": the devices of all processes. "auto": what the environment variable
            ``MANYBODY_BACKEND`` says; else for several processes "mpi" on processors where mpi4jax is installed (unless
            it is JAX's variables that count them) and "mesh" otherwise; else "mesh" for several devices and "serial"
            for one.
        n_devices: use only so many devices of a single process (host devices are made by JAX's own setting
            ``JAX_NUM_CPU_DEVICES``).

    Returns:
        The workers; `comm` returns the same object from now on.

    Raises:
        ValueError: for an unknown back-end, more devices than there are, or variables that make no sense.
        RuntimeError: if another choice was made before, MPI sees another number of processes than its launcher
            started, a rank has several devices, or processes differ in choice, version or precision.
        ImportError: if "mpi" is asked for without mpi4jax.
    """
    asked = _checks.choice(backend, BACKENDS, "backend")
    if _active:
        _check_again(asked, n_devices)
        return _active[0]
    here = cluster.started()
    chosen = None
    try:
        chosen = _choose(asked, here)
        _check_choice(chosen, here)
        comm = _make(chosen, here, n_devices)
    except Exception:
        if chosen != "serial":
            _fail_together(here)
        raise
    _active.append(comm)
    failure.install(comm)
    _check_alike(comm)
    threads.share_cores(comm)
    _warm_up(comm)
    return comm


def comm() -> Comm:
    """The workers of this job; launched with ``backend="auto"`` if nobody called `launch`."""
    return _active[0] if _active else launch()


def rank() -> int:
    """Number of this process."""
    return comm().rank


def size() -> int:
    """Number of workers."""
    return comm().size


def describe() -> str:
    """Workers, devices and threads in words."""
    n_threads = threads.count()
    plural = "s" if n_threads > 1 else ""
    each = " each" if comm().n_processes > 1 else ""
    return f"{comm().describe()}, {n_threads} thread{plural}{each} for linear algebra"


def mesh_comm(devices: list[jax.Device]) -> MeshComm:
    """One worker for each of `devices`."""
    mesh = jax.make_mesh((len(devices),), (AXIS,), axis_types=(jax.sharding.AxisType.Auto,), devices=devices)
    return MeshComm(len(devices), jax.process_index(), jax.process_count(), mesh)


# --- the choice ------------------------------------------------------------------------------------------------------


def _choose(backend: str, here: Started) -> str:
    if backend == "auto":
        backend = _checks.choice(cluster.backend(), BACKENDS, cluster.BACKEND)
    if backend == "auto" and here.size > 1:
        may_be_mpi = here.by != "JAX" and cluster.on_cpu(_config.jax_platforms)
        return "mpi" if may_be_mpi and importlib.util.find_spec("mpi4jax") else "mesh"
    return backend


def _make(backend: str, here: Started, n_devices: int | None) -> Comm:
    if backend == "mpi":
        return _make_mpi(here)
    if _config.jax_num_cpu_devices > 1:
        cluster.be_patient()
    if backend == "mesh" and here.size > 1:
        _initialize(here)
    several = jax.process_count() > 1
    if n_devices is not None and several:
        raise ValueError(_checks.requirement("n_devices", "be None for several processes", n_devices))
    devices = jax.devices() if several else jax.local_devices()
    if n_devices is not None:
        devices = devices[: _checks.integer(n_devices, "n_devices", minimum=1, maximum=len(devices))]
    if backend == "serial" or (backend == "auto" and len(devices) == 1):
        return Comm()
    return mesh_comm(devices)


def _check_again(backend: str, n_devices: int | None) -> None:
    present = _active[0]
    same = backend in ("auto", present.name) and n_devices in (None, present.size)
    if not same:
        raise RuntimeError(
            f"`launch` was called before with another choice ({present.name}, {present.size} workers); "
            "call it once, before anything else."
        )


def _make_mpi(here: Started) -> MPIComm:
    if importlib.util.find_spec("mpi4jax") is None:
        raise ImportError("The MPI back-end needs mpi4jax: pip install 'manybody[mpi]' (docs/install.md says how).")
    gpu = cluster.own_gpu(here.local_rank)
    if gpu is not None:
        jax.config.update("jax_cuda_visible_devices", str(gpu))
    world = _world(here)
    if jax.local_device_count() != 1:
        raise RuntimeError(
            f"The MPI back-end needs one device per rank, this one has {jax.local_device_count()}: unset "
            "JAX_NUM_CPU_DEVICES, give each rank its own GPU, or use the back-end mesh."
        )
    return MPIComm(world.size, world.rank, world.size, world.Clone(), world.Clone())


def _world(here: Started) -> Any:
    """All ranks of the MPI job."""
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    if world.size != here.size:
        raise RuntimeError(
            f"{here.by} started {here.size} processes, but MPI sees {world.size}: mpiexec and mpi4py belong to "
            "different MPI libraries. Use the mpiexec of the MPI that mpi4py was built with."
        )
    return world


# --- the cures -------------------------------------------------------------------------------------------------------


def _initialize(here: Started) -> None:
    """Join the processes of the job, once."""
    if jax.distributed.is_initialized():
        return
    gpu = cluster.own_gpu(here.local_rank)
    options = {"heartbeat_timeout_seconds": _HEARTBEAT, "local_device_ids": None if gpu is None else [gpu]}
    address = cluster.coordinator() or _agreed_address(here)
    if address is None and here.by == "Slurm":
        jax.distributed.initialize(**options)  # JAX knows how to read Slurm's list of nodes
        return
    if address is None:
        raise RuntimeError(
            f"{here.by} started {here.size} processes, which cannot find each other without mpi4py: set "
            f"{cluster.COORDINATOR}=HOST:PORT, the same for all, on the host of process 0."
        )
    jax.distributed.initialize(address, here.size, here.rank, cluster_detection_method="deactivate", **options)


def _agreed_address(here: Started) -> str | None:
    """Where process 0 listens, agreed on over MPI where it started the processes."""
    if not _has_mpi(here):
        return None
    from mpi4py import MPI

    world = _world(here)
    one_node = world.Split_type(MPI.COMM_TYPE_SHARED).size == world.size
    return world.bcast(cluster.free_address(one_node) if world.rank == 0 else None)


def _has_mpi(here: Started) -> bool:
    return here.by in ("MPI", "Open MPI") and importlib.util.find_spec("mpi4py") is not None


def _check_choice(chosen: str, here: Started) -> None:
    """Refuse MPI ranks that choose differently, as on nodes of which only some have GPUs: they would never meet."""
    if chosen == "serial" or here.size == 1 or not _has_mpi(here):
        return
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    every = world.allgather(chosen) if world.size == here.size else [chosen]
    others = [number for number, what in enumerate(every) if what != every[0]]
    if others:
        raise RuntimeError(
            f"The processes of this job choose different back-ends: process 0 {every[0]}, process {others[0]} "
            f"{every[others[0]]}. Set {cluster.BACKEND}, the same for all."
        )


def _fail_together(here: Started) -> None:
    """End the MPI job of a rank that cannot take part: the others wait for it, and mpiexec does not see that."""
    if here.size == 1 or not _has_mpi(here):
        return
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    if world.size == here.size:
        failure.fail(MPIComm(world.size, world.rank, world.size, world, world), traceback.format_exc())


def _check_alike(comm: Comm) -> None:
    """Refuse processes that would compile different programs: they would wait for messages that never come."""
    facts = f"jax {jax.__version__}, 64 bits {'on' if _config.jax_enable_x64 else 'off'}"
    every = comm.exchange(np.frombuffer(facts.encode().ljust(_FACTS)[:_FACTS], np.uint8))
    said = [row.tobytes().decode().rstrip() for row in every]
    others = [number for number, what in enumerate(said) if what != said[0]]
    if others:
        raise RuntimeError(
            f"The processes of this job differ: process 0 has {said[0]}, process {others[0]} has {said[others[0]]}."
        )


def _warm_up(comm: Comm) -> None:
    """Connect the workers now: the transport for processors gives up if they first meet 30 seconds apart."""
    if comm.n_processes > 1:
        start = comm.scatter(np.zeros(comm.size, np.float32))
        jax.block_until_ready(comm.spmd(comm.psum, (SHARD,), REPLICATED)(start))
