# SPDX-License-Identifier: Apache-2.0
"""Workers: one vocabulary for a single process and for meshes of devices."""

from manybody.parallel.comm import REPLICATED, SHARD, Comm
from manybody.parallel.launch import comm, launch, mesh_comm, rank, size
from manybody.parallel.mesh import MeshComm

__all__ = ["REPLICATED", "SHARD", "Comm", "MeshComm", "comm", "launch", "mesh_comm", "rank", "size"]
