# SPDX-License-Identifier: Apache-2.0
"""Workers that are MPI ranks with one JAX device each; collectives are mpi4jax's, inside jitted functions.

mpi4jax keeps its calls in order by an effect, so every rank makes them in the same order; functions with such calls
compile for a single device only. The device side and the host side have a communicator each, because messages of the
two must not meet.

The transpose of mpi4jax's allreduce is the identity, i.e. a gradient through it is the part of one rank. `pvary` is
the counterpart that makes gradients whole (its transpose is the sum), as on a mesh. The typing that JAX checks there
is not checked here, which is why every test of numerics runs on a mesh of two host devices as well.

mpi4jax's allreduce knows what to do under `jax.vmap`; the other calls learn it here. A batch of blocks travels in one
message, and so do batches of batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from manybody._types import Array, PyTree
from manybody.parallel.comm import Comm, counted
from manybody.parallel.keys import key_data, like_key


@dataclass(frozen=True)
class MPIComm(Comm):
    """One worker per rank.

    Attributes:
        world: mpi4py communicator of the host side.
        device_world: mpi4py communicator that mpi4jax uses.
    """

    world: Any = field(default=None, compare=False)
    device_world: Any = field(default=None, compare=False)

    name = "mpi"

    # --- collectives -------------------------------------------------------------------------------------------------

    def psum(self, tree: PyTree) -> PyTree:
        return self._reduce(counted(tree), "SUM")

    def pmax(self, tree: PyTree) -> PyTree:
        return self._reduce(tree, "MAX")

    def _reduce(self, tree: PyTree, operation: str) -> PyTree:
        """All leaves of one type travel in one message: across nodes a small message costs as much as a long one."""
        import mpi4jax
        from mpi4py import MPI

        given, structure = jax.tree.flatten(jax.tree.map(jnp.asarray, tree))
        leaves = [_sendable(x) for x in given]
        out = list(leaves)
        for dtype in sorted({x.dtype for x in leaves}, key=str):
            chosen = [i for i, x in enumerate(leaves) if x.dtype == dtype]
            packed = jnp.concatenate([leaves[i].ravel() for i in chosen]) if len(chosen) > 1 else leaves[chosen[0]]
            total = mpi4jax.allreduce(packed, op=getattr(MPI, operation), comm=self.device_world)
            for i, x in zip(chosen, _unpack(total, [leaves[i].shape for i in chosen]), strict=True):
                out[i] = x
        return jax.tree.unflatten(structure, [x.astype(like.dtype) for x, like in zip(out, given, strict=True)])

    def all_gather(self, tree: PyTree) -> PyTree:
        import mpi4jax

        send = _batched(lambda x: mpi4jax.allgather(x, comm=self.device_world), out_axis=1)

        def gather(x: Array) -> Array:
            every = send(_sendable(x))  # (ranks, n_local, ...)
            return every.reshape((-1, *x.shape[1:])).astype(x.dtype)

        return jax.tree.map(gather, tree)

    def bcast(self, tree: PyTree) -> PyTree:
        import mpi4jax

        send = _batched(lambda x: mpi4jax.bcast(x, 0, comm=self.device_world))

        def of_rank_0(x: Any) -> Array:
            x = jnp.asarray(x)
            return send(_sendable(x)).astype(x.dtype)

        return jax.tree.map(of_rank_0, tree)

    def psum_scatter(self, x: Array) -> Array:
        blocks = x.reshape((self.size, -1, *x.shape[1:]))  # (ranks, n / ranks, ...)
        return self._all_to_all(blocks).sum(axis=0, dtype=x.dtype)

    def shard_to_columns(self, x: Array) -> Array:
        n, p = x.shape
        blocks = x.reshape(n, self.size, p // self.size).swapaxes(0, 1)  # (ranks, n_local, p / ranks)
        return self._all_to_all(blocks).reshape(self.size * n, p // self.size)

    def _all_to_all(self, blocks: Array) -> Array:
        import mpi4jax

        send = _batched(lambda x: mpi4jax.alltoall(x, comm=self.device_world), in_axis=1, out_axis=1)
        return send(_sendable(blocks)).astype(blocks.dtype)

    def pvary(self, tree: PyTree) -> PyTree:
        @jax.custom_vjp
        def vary(x: Array) -> Array:
            return x

        vary.defvjp(lambda x: (x, None), lambda _, gradient: (self.psum(gradient),))
        return jax.tree.map(lambda x: vary(x) if jnp.issubdtype(jnp.result_type(x), jnp.inexact) else x, tree)

    def index(self) -> Array:
        return jnp.int32(self.rank)

    # --- host side ---------------------------------------------------------------------------------------------------

    def spmd(self, f: Callable, in_specs: PyTree, out_specs: PyTree, **jit_options: Any) -> Callable:
        del in_specs, out_specs  # every rank holds its own block
        return jax.jit(f, **jit_options)

    def scatter(self, tree: PyTree) -> PyTree:
        def own(x: Any) -> Array:
            n = self.local_count(x.shape[0], "leading axis")
            return jnp.asarray(x[self.rank * n : (self.rank + 1) * n])

        return jax.tree.map(own, tree)

    def replicate(self, tree: PyTree) -> PyTree:
        def of_rank_0(x: Any) -> Array:
            data = np.array(key_data(x), order="C")
            self.world.Bcast(_bytes(data), root=0)
            return like_key(jnp.asarray(data), x)

        return jax.tree.map(of_rank_0, tree)

    def gather_to_host(self, x: Array) -> np.ndarray:
        return self.exchange(np.asarray(x)).reshape((-1, *x.shape[1:]))  # (ranks * n_local, ...)

    def exchange(self, value: np.ndarray) -> np.ndarray:
        jax.effects_barrier()  # collectives of jitted functions that still run come first
        block = np.asarray(value, order="C")
        every = np.empty((self.size, *block.shape), block.dtype)
        self.world.Allgather(_bytes(block), _bytes(every))
        return every

    def abort(self, code: int) -> NoReturn:
        self.world.Abort(code)
        super().abort(code)  # it may return before the launcher ends this process

    def describe(self) -> str:
        return f"{self.size} MPI ranks with one {jax.default_backend()} device each"


def _batched(call: Callable[[Array], Array], in_axis: int = 0, out_axis: int = 0) -> Callable[[Array], Array]:
    """A call of mpi4jax that `jax.vmap` turns into one call with a larger block.

    Args:
        call: does the same with every number of a block, wherever it stands.
        in_axis: an axis of the block of the argument; those before it count ranks.
        out_axis: the same axis in the result.
    """
    one = jax.custom_batching.custom_vmap(call)

    @one.def_vmap
    def batch(size: int, is_batched: list[bool], x: Array) -> tuple[Array, bool]:
        del size, is_batched  # of the only argument, which JAX has put in front
        return jnp.moveaxis(one(jnp.moveaxis(x, 0, in_axis)), out_axis, 0), True

    return one


def _sendable(x: Array) -> Array:
    """The same values in a type that MPI has: it reduces no truth values, and knows no numbers of 16 bits."""
    if x.dtype == jnp.bool_:
        return x.astype(jnp.uint8)
    return x.astype(jnp.float32) if x.dtype in (jnp.bfloat16, jnp.float16) else x


def _bytes(x: np.ndarray) -> np.ndarray:
    """The memory of an array; of numbers of 16 bits and the like mpi4py takes nothing else."""
    return x.reshape(-1).view(np.uint8)


def _unpack(packed: Array, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """The inverse of laying arrays of these shapes end to end."""
    if len(shapes) == 1:
        return [packed.reshape(shapes[0])]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(jnp.split(packed, ends[:-1]), shapes, strict=True)]
