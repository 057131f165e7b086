# SPDX-License-Identifier: Apache-2.0
"""One vocabulary for several workers: numerical code is written once, as what one worker does with its block.

A *worker* owns one block of every sharded array (sharded along the leading axis: chains or samples). A per-worker
function sees local blocks and calls the collectives of the `Comm` it is given; `Comm.spmd` turns it into a jitted
function of whole arrays.

Typing discipline, enforced by JAX on a mesh (``check_vma=True``) and the reason why derivatives are right everywhere:

* `psum`, `pmax`, `all_gather`, `bcast`: varying over workers -> the same on all of them;
* `psum_scatter`, `shard_to_columns`: varying -> varying;
* `pvary`: the same on all workers -> varying (its transpose is `psum`).

Collectives stay outside differentiated functions: `pvary` the parameters first, `psum` the local gradients after.
The initial value of a loop carry must be as varying as what the loop makes of it, hence the `pvary` before loops.

The serial backend below is also the interface; its collectives are identities.

A worker is not always a process: a mesh has several workers in one process, MPI has one in each. What concerns
processes (files, signals, failures) goes through the methods of the host side, which every process must call alike.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._types import Array, Int, Key, PyTree

AXIS = "workers"
SHARD = "shard"
"""Spec of an argument or result that is split over the workers along its leading axis."""
REPLICATED = "replicated"
"""Spec of an argument or result that is the same on all workers."""


@dataclass(frozen=True)
class Comm:
    """One process, one device; and the interface of the other backends.

    Attributes:
        size: number of workers, i.e. of blocks that a sharded axis is cut into.
        rank: number of this *process* (for logs and files), 0 for the one that writes.
        n_processes: number of processes.
    """

    size: int = 1
    rank: int = 0
    n_processes: int = 1

    name = "serial"

    # --- collectives: only inside per-worker functions ---------------------------------------------------------------

    def psum(self, tree: PyTree) -> PyTree:
        """Sum over workers; the same on all of them. Truth values are counted (int32)."""
        return counted(tree)

    def pmax(self, tree: PyTree) -> PyTree:
        """Maximum over workers; the same on all of them."""
        return tree

    def all_gather(self, tree: PyTree) -> PyTree:
        """Blocks (n_local, ...) of all workers, concatenated in their order to (n, ...); the same on all of them."""
        return tree

    def bcast(self, tree: PyTree) -> PyTree:
        """The value of worker 0, on all workers."""
        return tree

    def psum_scatter(self, x: Array) -> Array:
        """Sum over workers of (n, ...), of which each keeps its own block (n / size, ...)."""
        return x

    def shard_to_columns(self, x: Array) -> Array:
        """From own rows and all columns (n_local, p) to all rows and own columns (n, p / size)."""
        return x

    def pvary(self, tree: PyTree) -> PyTree:
        """A value that all workers share, typed as one that may differ between them."""
        return tree

    def index(self) -> Array:
        """Number of the worker that runs this."""
        return jnp.int32(0)

    # --- derived from the collectives --------------------------------------------------------------------------------

    def global_index(self, n_local: int) -> Int[Array, "chains"]:
        """Global numbers of the local chains (or samples)."""
        return self.index() * n_local + jnp.arange(n_local, dtype=jnp.int32)

    def chain_keys(self, key: Key[Array, ""], n_local: int) -> Key[Array, "chains"]:
        """One key per local chain, made from its *global* number: random numbers do not depend on the layout."""
        # `key` is mostly a hash itself. Without the barrier XLA puts both hashes into one kernel, over which LLVM
        # spends a second.
        key = jax.lax.optimization_barrier(key)
        return jax.vmap(lambda chain: jax.random.fold_in(key, chain))(self.global_index(n_local))

    # --- host side ---------------------------------------------------------------------------------------------------

    @property
    def is_root(self) -> bool:
        """Whether this process is the one that writes files and prints."""
        return self.rank == 0

    def local_count(self, n: int, name: str) -> int:
        """How many of `n` chains (or samples) each worker owns.

        Raises:
            ValueError: if `n` does not divide evenly; the message names the nearest numbers that do.
        """
        below = n - n % self.size
        near = " or ".join(str(m) for m in (below, below + self.size) if m > 0)
        _checks.require(
            n % self.size == 0, name, f"be a multiple of the number of workers ({self.size})", n, f"Nearest: {near}."
        )
        return n // self.size

    def rows_per_worker(self, x: Array) -> int:
        """Length of one worker's block of a sharded array, as this process holds it."""
        return x.shape[0]

    def spmd(self, f: Callable, in_specs: PyTree, out_specs: PyTree, **jit_options: Any) -> Callable:
        """Jit the per-worker function `f`.

        Args:
            f: function of local blocks.
            in_specs: for each argument `SHARD`, `REPLICATED` or a tree prefix of these.
            out_specs: the same for the result.
            **jit_options: passed on to `jax.jit`.
        """
        del in_specs, out_specs  # one worker: every block is the whole
        return jax.jit(f, **jit_options)

    def scatter(self, tree: PyTree) -> PyTree:
        """Whole host arrays, equal on all processes -> sharded arrays."""
        return jax.tree.map(jnp.asarray, tree)

    def replicate(self, tree: PyTree) -> PyTree:
        """Host arrays -> arrays that all workers share (with the values of process 0)."""
        return jax.tree.map(jnp.asarray, tree)

    def gather_to_host(self, x: Array) -> np.ndarray:
        """A sharded array as a whole NumPy array, on every process."""
        return np.asarray(x)

    def to_host(self, spec: PyTree, tree: PyTree) -> PyTree:
        """A tree laid out as `spec` says (a tree prefix), whole, on every process."""
        return jax.tree.map(lambda s, part: jax.tree.map(self.gather_to_host, part) if s == SHARD else part, spec, tree)

    def from_host(self, spec: PyTree, tree: PyTree) -> PyTree:
        """The inverse of `to_host`."""
        return jax.tree.map(lambda s, part: self.scatter(part) if s == SHARD else self.replicate(part), spec, tree)

    def exchange(self, value: np.ndarray) -> np.ndarray:
        """A small array (equal shape and type on all processes) of every process: (n_processes, ...)."""
        return np.asarray(value)[None]

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in any process; the same answer in all of them."""
        return bool(self.exchange(np.array(flag)).any())

    def barrier(self) -> None:
        """Wait for all processes."""
        self.exchange(np.zeros(1, np.int8))

    def abort(self, code: int) -> NoReturn:
        """End all processes at once, without waiting for any of them."""
        os._exit(code)

    def describe(self) -> str:
        """The workers in words."""
        return f"1 process with one {jax.default_backend()} device"


def counted(tree: PyTree) -> PyTree:
    """What a sum adds up: truth values as numbers, all else as it is."""
    return jax.tree.map(lambda x: jnp.asarray(x).astype(jnp.int32) if jnp.result_type(x) == jnp.bool_ else x, tree)
