# SPDX-License-Identifier: Apache-2.0
"""Workers that are the devices of a JAX mesh: GPUs, TPU cores or host devices, of one process or of several.

With several processes (`jax.distributed`) an array spans all of them, and each process holds only the blocks of its own
devices: whole values come from `gather_to_host`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from manybody._types import Array, PyTree
from manybody.parallel.comm import AXIS, REPLICATED, SHARD, Comm, counted
from manybody.parallel.keys import key_data, like_key


@dataclass(frozen=True)
class MeshComm(Comm):
    """One worker per device of `mesh`, which has the single axis `AXIS`."""

    mesh: jax.sharding.Mesh | None = None

    name = "mesh"

    def psum(self, tree: PyTree) -> PyTree:
        return jax.lax.psum(counted(tree), AXIS)

    def pmax(self, tree: PyTree) -> PyTree:
        return jax.lax.pmax(tree, AXIS)

    def all_gather(self, tree: PyTree) -> PyTree:
        return jax.tree.map(lambda x: jax.lax.all_gather(x, AXIS, tiled=True, to="invarying"), tree)

    def bcast(self, tree: PyTree) -> PyTree:
        def of_worker_0(x: Any) -> Array:
            x = jnp.asarray(x)
            total = jax.lax.psum(jnp.where(self.index() == 0, x, jnp.zeros_like(x)), AXIS)
            return total.astype(x.dtype)  # which a truth value has lost

        return jax.tree.map(of_worker_0, tree)

    def psum_scatter(self, x: Array) -> Array:
        return jax.lax.psum_scatter(x, AXIS, scatter_dimension=0, tiled=True)

    def shard_to_columns(self, x: Array) -> Array:
        return jax.lax.all_to_all(x, AXIS, split_axis=1, concat_axis=0, tiled=True)

    def pvary(self, tree: PyTree) -> PyTree:
        # `jax.lax.pcast` refuses values that vary already, and whether they do cannot be asked by public means. Meeting
        # a varying predicate makes both kinds varying; the compiler removes the choice between equals.
        varying = self.index() >= 0
        return jax.tree.map(lambda x: jnp.where(varying, x, x), tree)

    def index(self) -> Array:
        return jax.lax.axis_index(AXIS).astype(jnp.int32)

    def spmd(self, f: Callable, in_specs: PyTree, out_specs: PyTree, **jit_options: Any) -> Callable:
        mapped = jax.shard_map(
            f,
            mesh=self.mesh,
            in_specs=jax.tree.map(_partition, in_specs),
            out_specs=jax.tree.map(_partition, out_specs),
            check_vma=True,
        )
        return jax.jit(mapped, **jit_options)

    def rows_per_worker(self, x: Array) -> int:
        return x.shape[0] // self.size

    def scatter(self, tree: PyTree) -> PyTree:
        return jax.tree.map(lambda x: self._place(x, SHARD), tree)

    def replicate(self, tree: PyTree) -> PyTree:
        return jax.tree.map(lambda x: self._place(x, REPLICATED), self._of_process_0(tree))

    def _of_process_0(self, tree: PyTree) -> PyTree:
        if self.n_processes == 1:
            return tree
        leaves, structure = jax.tree.flatten(tree)
        data = multihost_utils.broadcast_one_to_all([key_data(x) for x in leaves])
        return jax.tree.unflatten(structure, map(like_key, map(np.asarray, data), leaves))

    def _place(self, x: Any, spec: str) -> Array:
        """A host array that is equal on all processes, as one array of the mesh."""
        if spec == SHARD:
            self.local_count(x.shape[0], "leading axis")
        sharding = jax.sharding.NamedSharding(self.mesh, _partition(spec))
        if self.n_processes == 1:
            return jax.device_put(x, sharding)
        data = np.asarray(key_data(x))
        return like_key(jax.make_array_from_callback(data.shape, sharding, lambda index: data[index]), x)

    def gather_to_host(self, x: Array) -> np.ndarray:
        if self.n_processes == 1:
            return np.asarray(x)
        return np.asarray(multihost_utils.process_allgather(x, tiled=True))

    def exchange(self, value: np.ndarray) -> np.ndarray:
        if self.n_processes == 1:
            return super().exchange(value)
        return np.asarray(multihost_utils.process_allgather(np.asarray(value)))

    def describe(self) -> str:
        assert self.mesh is not None
        platform = self.mesh.devices.flat[0].platform
        processes = "1 process" if self.n_processes == 1 else f"{self.n_processes} processes"
        return f"a mesh of {self.size} {platform} devices of {processes}"


def _partition(spec: str) -> jax.sharding.PartitionSpec:
    return jax.sharding.PartitionSpec(AXIS) if spec == SHARD else jax.sharding.PartitionSpec()
