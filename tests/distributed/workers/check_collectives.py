# SPDX-License-Identifier: Apache-2.0
"""Every collective of the workers on fixed numbers: check_collectives.py OUTPUT.

Each result is written as every worker (or process) sees it: the leading axis counts these.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from manybody import parallel
from manybody.parallel import REPLICATED, SHARD, Comm
from manybody.parallel.keys import key_data

N_ROWS, N_COLUMNS = 8, 4
DTYPES = ("bool", "int8", "int32", "int64", "uint32", "bfloat16", "float16", "float32", "float64", "complex128")


def rows(dtype: str) -> np.ndarray:
    """Different numbers (rows, columns) of any type, small enough to be exact in all."""
    table = np.arange(N_ROWS * N_COLUMNS).reshape(N_ROWS, N_COLUMNS)
    if dtype == "bool":
        return table % 5 == 0
    table = table * (1 - 2j) if dtype.startswith("complex") else table
    return table.astype(jnp.dtype(dtype))


def tree() -> dict[str, np.ndarray]:
    """A table of each type, and a second one of some."""
    return {dtype: rows(dtype) for dtype in DTYPES} | {"again": -rows("float64"), "third": rows("bool")}


def seen(comm: Comm, f: Callable, *arguments: Any, specs: tuple[str, ...] = (SHARD,)) -> Any:
    """The result of a per-worker function, as each worker has it."""

    def work(*blocks: Any) -> Any:
        return jax.tree.map(lambda x: key_data(comm.pvary(x))[None], f(*blocks))

    return jax.tree.map(comm.gather_to_host, comm.spmd(work, specs, SHARD)(*arguments))


def reductions(comm: Comm) -> Iterator[tuple[str, Any]]:
    table = comm.scatter(tree())
    yield "psum", seen(comm, lambda x: comm.psum({"first": jax.tree.map(lambda a: a[0, 1], x), **x}), table)
    yield "psum_numbers", seen(comm, lambda x: jax.tree.map(jnp.asarray, comm.psum((1, 2.5, True))), table)
    ordered = {name: x for name, x in table.items() if not jnp.iscomplexobj(x)}
    yield "pmax", seen(comm, comm.pmax, ordered)
    yield "all_gather", seen(comm, comm.all_gather, table)
    yield "bcast", seen(comm, comm.bcast, table)


def exchanges(comm: Comm) -> Iterator[tuple[str, Any]]:
    for dtype in ("int32", "float32", "float64", "complex128"):
        table = comm.scatter(rows(dtype))
        partial_sums = seen(comm, lambda x: comm.psum_scatter((comm.index() + 1).astype(x.dtype) * whole(x)), table)
        yield f"psum_scatter/{dtype}", partial_sums
        yield f"shard_to_columns/{dtype}", seen(comm, comm.shard_to_columns, table)


def whole(x: jax.Array) -> jax.Array:
    """The table as every worker can make it without the others."""
    return jnp.asarray(rows(str(x.dtype)))


def numbers(comm: Comm) -> Iterator[tuple[str, Any]]:
    table = comm.scatter(rows("float64"))
    yield "index", seen(comm, lambda x: comm.index(), table)
    yield "global_index", seen(comm, lambda x: comm.global_index(len(x)), table)
    key = comm.replicate(jax.random.key(5))
    specs = (REPLICATED, SHARD)
    yield "chain_keys", seen(comm, lambda key, x: comm.chain_keys(key, len(x)), key, table, specs=specs)
    mixed = {"key": key, "int": comm.replicate(np.arange(3)), "float": comm.replicate(1.5)}
    twice = seen(comm, lambda t, x: comm.pvary(comm.pvary(t | {"x": x})), mixed, table, specs=specs)
    yield "pvary", twice


def collectives(comm: Comm) -> dict[str, Callable]:
    """Each collective as a function of a block (n_local, columns)."""
    return {
        "psum": lambda x: comm.psum((x, x > 0, x[0, 0], jax.lax.complex(x, -x))),
        "pmax": lambda x: comm.pmax((x, x > 0)),
        "all_gather": lambda x: comm.all_gather((x, x > 0)),
        "bcast": lambda x: comm.bcast((x, x > 0, x[0, 0])),
        "psum_scatter": lambda x: comm.psum_scatter(jnp.concatenate([x, 2 * x, x**2, -x])),
        "shard_to_columns": comm.shard_to_columns,
        "pvary": comm.pvary,
        "index": lambda x: x + comm.index().astype(x.dtype),
    }


def batches(comm: Comm) -> Iterator[tuple[str, Any]]:
    """Collectives of batches of batches, by `jax.vmap` and one after the other; and of what is the same in a batch."""
    table = comm.scatter(np.sin(np.arange(N_ROWS * 2 * N_COLUMNS * 3)).reshape(N_ROWS, 2, N_COLUMNS, 3))
    n_calls = {}

    def one_by_one(f: Callable, x: jax.Array) -> Any:
        def stack(*each: jax.Array) -> jax.Array:
            return jnp.stack(each)

        rows = [jax.tree.map(stack, *[f(x[:, i, :, j]) for j in range(3)]) for i in range(2)]
        return jax.tree.map(stack, *rows)

    for name, f in collectives(comm).items():
        both = jax.vmap(jax.vmap(f, in_axes=2), in_axes=1)
        yield f"batches/{name}/vmap", seen(comm, both, table)
        yield f"batches/{name}/loop", seen(comm, partial(one_by_one, f), table)
        outer = jax.vmap(lambda _, x, f=f: f(x[:, 0, :, 0]), in_axes=(0, None))
        yield f"batches/{name}/same", seen(comm, lambda x, outer=outer: outer(jnp.arange(2), x), table)
        if comm.name == "mpi":
            n_calls[name] = [n_messages(f, table[:, 0, :, 0]), n_messages(both, table)]
    yield "batches/messages", {name: [calls] for name, calls in n_calls.items()}


def n_messages(f: Callable, x: jax.Array) -> int:
    """How often a function calls MPI, which it must not do in a loop."""
    text = str(jax.make_jaxpr(f)(x))
    assert "scan[" not in text, text
    return text.count("_mpi[")


def host(comm: Comm) -> Iterator[tuple[str, Any]]:
    yield "exchange", comm.exchange(np.array([comm.rank, 10 * comm.rank], np.int16))
    yield "exchange_scalar", comm.exchange(np.array(comm.rank == 0))
    yield "any", [[comm.any(comm.rank == who) for who in (0, comm.n_processes - 1, -1)]]
    comm.barrier()
    table = {dtype: comm.scatter(rows(dtype)) for dtype in DTYPES}
    yield "scatter", {dtype: comm.gather_to_host(x)[None] for dtype, x in table.items()}
    yield "rows_per_worker", [comm.rows_per_worker(x) for x in table.values()]
    keys = comm.scatter(jax.random.split(jax.random.key(5), N_ROWS))
    yield "scatter_keys", seen(comm, lambda keys: keys, keys)
    # What process 0 has goes to all.
    mine = {
        "float": np.arange(3.0) + comm.rank,
        "int": comm.rank,
        "bool": comm.rank == 0,
        "key": jax.random.key(comm.rank),
    }
    shared = comm.replicate(mine)
    yield "replicate", jax.tree.map(lambda x: comm.exchange(np.asarray(key_data(x))), shared)
    spec = {"own": SHARD, "rest": REPLICATED}
    laid_out = comm.from_host(spec, {"own": rows("int32"), "rest": (rows("bool"), np.float32(comm.rank))})
    yield "from_host", seen(comm, lambda t: (comm.all_gather(t["own"]), t["rest"]), laid_out, specs=(spec,))
    back = comm.to_host(spec, laid_out)
    yield "to_host", jax.tree.map(lambda x: comm.exchange(np.asarray(x)), back)


def refusals(comm: Comm) -> Iterator[tuple[str, Any]]:
    """What is said about numbers that do not fit."""
    for name, call in {
        "local_count": partial(comm.local_count, 4 * comm.size + 1, "n_chains"),
        "local_count_small": partial(comm.local_count, 1, "n_chains"),
        "scatter": partial(comm.scatter, np.zeros(4 * comm.size + 1)),
    }.items():
        try:
            call()
            said = ""
        except ValueError as error:
            said = str(error)
        yield f"refusals/{name}", [said]


def derivatives(comm: Comm) -> Iterator[tuple[str, Any]]:
    """A loss that is nonlinear in one sum over workers, and passes through a second one."""
    p, x = comm.replicate(np.array([1.0, 2.0, 3.0])), comm.scatter(np.sin(np.arange(24.0)).reshape(8, 3))

    def loss(p: jax.Array, x: jax.Array) -> jax.Array:
        mean = comm.psum(jnp.sum(jnp.sin(x @ comm.pvary(p)))) / 8
        spread = comm.psum(jnp.sum((x @ comm.pvary(p) - comm.pvary(mean)) ** 2))
        return jnp.log1p(spread) + mean**2

    def local_loss(p: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(x @ p))

    def both(p: jax.Array, x: jax.Array) -> Any:
        value, gradient = jax.value_and_grad(loss)(p, x)
        curvature = jax.jvp(lambda q: jax.grad(loss)(q, x), (p,), (jnp.ones(3),))[1]
        own = comm.psum(jax.grad(local_loss)(comm.pvary(p), x))
        forward = comm.psum(jax.jvp(lambda q: local_loss(q, x), (comm.pvary(p),), (comm.pvary(jnp.ones(3)),))[1])
        return {"value": value, "gradient": gradient, "curvature": curvature, "own": own, "forward": forward}

    yield "derivatives", seen(comm, both, p, x, specs=(REPLICATED, SHARD))
    several = comm.replicate(np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]]))
    yield "batched_derivatives", seen(comm, jax.vmap(both, (0, None)), several, x, specs=(REPLICATED, SHARD))


def messages(comm: Comm) -> Iterator[tuple[str, Any]]:
    """How often MPI is called for a sum."""
    for name, values in {
        "one type": {"a": jnp.ones(3), "b": jnp.ones(()), "c": [jnp.ones((2, 2)), jnp.zeros((0, 2))]},
        "three types": {"a": jnp.ones(3), "b": jnp.ones(2, jnp.float32), "c": jnp.ones(3), "d": jnp.ones(2, complex)},
    }.items():
        for operation in (comm.psum, comm.pmax):
            if operation == comm.pmax and "three" in name:
                continue
            calls = 0
            if comm.name == "mpi":
                calls = sum("allreduce" in str(e.primitive) for e in jax.make_jaxpr(operation)(values).eqns)
            yield f"messages/{operation.__name__}/{name}", [calls]


def main(output: str) -> None:
    comm = parallel.launch()
    found: dict[str, np.ndarray] = {"layout": np.array([comm.size, comm.n_processes])}
    for part in (reductions, exchanges, numbers, batches, host, refusals, derivatives, messages):
        for name, value in part(comm):
            for path, leaf in jax.tree_util.tree_leaves_with_path(value, is_leaf=lambda x: isinstance(x, list)):
                whole_name = "/".join(
                    [name, *([jax.tree_util.keystr(path, simple=True, separator="/")] if path else [])]
                )
                assert whole_name not in found, whole_name
                array = np.asarray(leaf)
                found[whole_name] = array
                found[f"dtype:{whole_name}"] = np.array(str(array.dtype))
    if comm.is_root:
        np.savez(output, **{name: widened(x) for name, x in found.items()})


def widened(x: np.ndarray) -> np.ndarray:
    """Types that NumPy does not know cannot be written."""
    return x.astype(np.float64) if x.dtype == jnp.bfloat16 else x


if __name__ == "__main__":
    main(*sys.argv[1:])
