# SPDX-License-Identifier: Apache-2.0
"""Workers that are the devices of a JAX mesh: several GPUs, TPU cores or host devices behind one process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from manybody._types import Array, PyTree
from manybody.parallel.comm import AXIS, SHARD, Comm


@dataclass(frozen=True)
class MeshComm(Comm):
    """One worker per device of `mesh`, which has the single axis `AXIS`."""

    mesh: jax.sharding.Mesh | None = None

    name = "mesh"

    def psum(self, tree: PyTree) -> PyTree:
        return jax.lax.psum(tree, AXIS)

    def pmax(self, tree: PyTree) -> PyTree:
        return jax.lax.pmax(tree, AXIS)

    def all_gather(self, tree: PyTree) -> PyTree:
        return jax.tree.map(lambda x: jax.lax.all_gather(x, AXIS, tiled=True, to="invarying"), tree)

    def bcast(self, tree: PyTree) -> PyTree:
        return jax.tree.map(lambda x: jax.lax.psum(jnp.where(self.index() == 0, x, jnp.zeros_like(x)), AXIS), tree)

    def shard_to_columns(self, x: Array) -> Array:
        return jax.lax.all_to_all(x, AXIS, split_axis=1, concat_axis=0, tiled=True)

    def pvary(self, tree: PyTree) -> PyTree:
        # `jax.lax.pcast` refuses values that vary already, and whether they do cannot be asked by public means. Meeting
        # a varying predicate makes both kinds varying; the compiler removes the choice between equals.
        varying = self.index() >= 0
        return jax.tree.map(lambda x: jnp.where(varying, x, x), tree)

    def index(self) -> Array:
        return jax.lax.axis_index(AXIS).astype(jnp.int32)

    def _sharding(self, spec: PyTree) -> PyTree:
        return jax.tree.map(lambda s: jax.sharding.NamedSharding(self.mesh, _partition(s)), spec)

    def spmd(self, f: Callable, in_specs: PyTree, out_specs: PyTree, **jit_options: Any) -> Callable:
        mapped = jax.shard_map(
            f,
            mesh=self.mesh,
            in_specs=jax.tree.map(_partition, in_specs),
            out_specs=jax.tree.map(_partition, out_specs),
            check_vma=True,
        )
        return jax.jit(mapped, **jit_options)

    def scatter(self, tree: PyTree) -> PyTree:
        return jax.device_put(tree, self._sharding(SHARD))

    def replicate(self, tree: PyTree) -> PyTree:
        return jax.device_put(tree, self._sharding("replicated"))

    def gather_to_host(self, x: Array) -> np.ndarray:
        return np.asarray(x)


def _partition(spec: str) -> jax.sharding.PartitionSpec:
    return jax.sharding.PartitionSpec(AXIS) if spec == SHARD else jax.sharding.PartitionSpec()
