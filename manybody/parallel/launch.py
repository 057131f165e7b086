# SPDX-License-Identifier: Apache-2.0
"""Decides once which workers this process has; the only module that reads the environment."""

from __future__ import annotations

import os

import jax

from manybody import _checks
from manybody.parallel.comm import AXIS, Comm
from manybody.parallel.mesh import MeshComm

BACKENDS = ("auto", "serial", "mesh")

_active: list[Comm] = []


def launch(backend: str = "auto", *, n_devices: int | None = None) -> Comm:
    """Decide which workers this process uses, for its whole life.

    Args:
        backend: "serial" (one device), "mesh" (one worker per device of this process), or "auto": the environment
            variable ``MANYBODY_BACKEND`` if it is set, else a mesh where there are several devices.
        n_devices: use only so many devices of this process (host devices are made by JAX's own setting
            ``JAX_NUM_CPU_DEVICES``).

    Returns:
        The workers; `comm` returns the same object from now on.

    Raises:
        ValueError: for an unknown back-end, or more devices than there are.
        RuntimeError: if another choice was made before.
    """
    chosen = _make(_checks.choice(backend, BACKENDS, "backend"), n_devices)
    if _active and _active[0] != chosen:
        raise RuntimeError(
            f"`launch` was called before with another choice ({_active[0].name}, {_active[0].size} workers); "
            "call it once, before anything else."
        )
    if not _active:
        _active.append(chosen)
    return _active[0]


def comm() -> Comm:
    """The workers of this process; launched with ``backend="auto"`` if nobody called `launch`."""
    return _active[0] if _active else launch()


def rank() -> int:
    """Number of this process."""
    return comm().rank


def size() -> int:
    """Number of workers."""
    return comm().size


def _make(backend: str, n_devices: int | None) -> Comm:
    if backend == "auto":
        backend = _checks.choice(os.environ.get("MANYBODY_BACKEND", "auto"), BACKENDS, "MANYBODY_BACKEND")
    devices = jax.local_devices()
    if n_devices is not None:
        devices = devices[: _checks.integer(n_devices, "n_devices", minimum=1, maximum=len(devices))]
    if backend == "serial" or (backend == "auto" and len(devices) == 1):
        return Comm()
    return mesh_comm(devices)


def mesh_comm(devices: list[jax.Device]) -> MeshComm:
    """One worker for each of `devices`."""
    mesh = jax.make_mesh((len(devices),), (AXIS,), axis_types=(jax.sharding.AxisType.Auto,), devices=devices)
    return MeshComm(size=len(devices), mesh=mesh)
