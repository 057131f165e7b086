# SPDX-License-Identifier: Apache-2.0
"""Workers: one vocabulary for a single process, for MPI ranks and for meshes of devices."""

from manybody.parallel.comm import REPLICATED, SHARD, Comm
from manybody.parallel.failure import guard
from manybody.parallel.launch import comm, describe, launch, mesh_comm, rank, size
from manybody.parallel.mesh import MeshComm
from manybody.parallel.mpi import MPIComm

__all__ = [
    "REPLICATED",
    "SHARD",
    "Comm",
    "MPIComm",
    "MeshComm",
    "comm",
    "describe",
    "guard",
    "launch",
    "mesh_comm",
    "rank",
    "size",
]
