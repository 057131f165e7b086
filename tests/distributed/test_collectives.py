# SPDX-License-Identifier: Apache-2.0
"""What the workers' collectives do, against NumPy on the whole arrays, as every worker sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.distributed.layouts import LAYOUTS, WORKERS, Results, require

SCRIPT = WORKERS / "check_collectives.py"
N_ROWS, N_COLUMNS = 8, 4
DTYPES = ("bool", "int8", "int32", "int64", "uint32", "bfloat16", "float16", "float32", "float64", "complex128")


SLOW = [
    pytest.param(layout, marks=pytest.mark.slow) for layout in ("mpi4", "devices2", "processes2", "processes2-plain")
]


@pytest.fixture(params=["serial", "mpi2", *SLOW])
def layout(request: pytest.FixtureRequest) -> str:
    require(request.param)
    return request.param


@pytest.fixture
def size(layout: str) -> int:
    return LAYOUTS[layout].n_workers


@pytest.fixture
def found(layout: str, results: Results) -> dict[str, np.ndarray]:
    arrays = results(layout, SCRIPT)
    np.testing.assert_array_equal(arrays["layout"], [LAYOUTS[layout].n_workers, LAYOUTS[layout].n_processes])
    return arrays


def table(dtype: str) -> np.ndarray:
    """The numbers that the program works with."""
    numbers = np.arange(N_ROWS * N_COLUMNS).reshape(N_ROWS, N_COLUMNS)
    if dtype == "bool":
        return numbers % 5 == 0
    return numbers * (1 - 2j) if dtype == "complex128" else numbers.astype(jnp.dtype(dtype))


TABLES = {dtype: table(dtype) for dtype in DTYPES} | {"again": -table("float64"), "third": table("bool")}


def blocks(x: np.ndarray, size: int) -> np.ndarray:
    """What each worker has: (size, rows of one, ...)."""
    return x.reshape(size, -1, *x.shape[1:])


def check(found: Mapping[str, np.ndarray], name: str, expected: Any, n_times: int) -> None:
    """Every worker, or process, has exactly this, in the same type."""
    expected = np.asarray(expected)
    for got in found[name]:
        np.testing.assert_array_equal(got, expected, err_msg=name)
    assert len(found[name]) == n_times
    assert str(found[f"dtype:{name}"]) == str(expected.dtype), name


def test_psum(found: dict, size: int) -> None:
    for name, x in TABLES.items():
        summed = np.int32 if x.dtype == bool else x.dtype
        parts = blocks(x, size).astype(summed)
        check(found, f"psum/{name}", parts.sum(axis=0, dtype=summed), size)
        check(found, f"psum/first/{name}", parts[:, 0, 1].sum(dtype=summed), size)
    for i, one in enumerate((np.int64(1), np.float64(2.5), np.int32(1))):  # Python's own numbers
        check(found, f"psum_numbers/{i}", (size * one).astype(one.dtype), size)


def test_pmax(found: dict, size: int) -> None:
    for name in TABLES.keys() - {"complex128"}:
        check(found, f"pmax/{name}", blocks(TABLES[name], size).max(axis=0), size)


def test_all_gather_and_bcast(found: dict, size: int) -> None:
    for name, x in TABLES.items():
        check(found, f"all_gather/{name}", x, size)
        check(found, f"bcast/{name}", blocks(x, size)[0], size)


def test_psum_scatter_and_columns(found: dict, size: int) -> None:
    for name in ("int32", "float32", "float64", "complex128"):
        x = TABLES[name]
        total = sum(range(1, size + 1)) * x  # worker i gives (i + 1) times the table
        np.testing.assert_array_equal(found[f"psum_scatter/{name}"], blocks(total, size))
        np.testing.assert_array_equal(found[f"shard_to_columns/{name}"], np.split(x, size, axis=1))
        assert str(found[f"dtype:psum_scatter/{name}"]) == str(found[f"dtype:shard_to_columns/{name}"]) == name


def test_numbers_of_workers_and_chains(found: dict, size: int) -> None:
    np.testing.assert_array_equal(found["index"], np.arange(size))
    np.testing.assert_array_equal(found["global_index"].ravel(), np.arange(N_ROWS))
    keys = [jax.random.key_data(jax.random.fold_in(jax.random.key(5), chain)) for chain in range(N_ROWS)]
    np.testing.assert_array_equal(found["chain_keys"].reshape(N_ROWS, -1), keys)


def test_pvary_changes_no_values(found: dict, size: int) -> None:
    check(found, "pvary/key", jax.random.key_data(jax.random.key(5)), size)
    check(found, "pvary/int", np.arange(3), size)
    check(found, "pvary/float", 1.5, size)
    np.testing.assert_array_equal(found["pvary/x"], blocks(TABLES["float64"], size))


def test_exchange(found: dict, layout: str) -> None:
    n = LAYOUTS[layout].n_processes
    np.testing.assert_array_equal(found["exchange"], np.outer(np.arange(n), [1, 10]))
    np.testing.assert_array_equal(found["exchange_scalar"], [True] + [False] * (n - 1))
    assert str(found["dtype:exchange"]) == "int16"
    assert str(found["dtype:exchange_scalar"]) == "bool"
    np.testing.assert_array_equal(found["any"], [[True, True, False]])


def test_from_the_host_and_back(found: dict, layout: str, size: int) -> None:
    for dtype in DTYPES:
        check(found, f"scatter/{dtype}", TABLES[dtype], 1)
    np.testing.assert_array_equal(found["rows_per_worker"], N_ROWS // size)
    np.testing.assert_array_equal(
        found["scatter_keys"].reshape(N_ROWS, -1), jax.random.key_data(jax.random.split(jax.random.key(5), N_ROWS))
    )
    n = LAYOUTS[layout].n_processes
    check(found, "to_host/own", TABLES["int32"], n)
    check(found, "to_host/rest/0", TABLES["bool"], n)
    check(found, "to_host/rest/1", np.float32(0), n)
    check(found, "from_host/0", TABLES["int32"], size)
    check(found, "from_host/1/0", TABLES["bool"], size)
    check(found, "from_host/1/1", np.float32(0), size)


def test_replicated_is_what_process_0_has(found: dict, layout: str) -> None:
    n = LAYOUTS[layout].n_processes
    check(found, "replicate/float", np.arange(3.0), n)
    check(found, "replicate/int", 0, n)
    check(found, "replicate/bool", True, n)
    check(found, "replicate/key", jax.random.key_data(jax.random.key(0)), n)


def test_uneven_numbers_are_refused(found: dict, size: int) -> None:
    if size == 1:
        assert not any(found[f"refusals/{name}"].item() for name in ("local_count", "local_count_small", "scatter"))
        return
    rule = f"must be a multiple of the number of workers ({size}), got"
    nearest = f"Nearest: {4 * size} or {5 * size}."
    assert found["refusals/local_count"] == f"`n_chains` {rule} {4 * size + 1}. {nearest}"
    assert found["refusals/local_count_small"] == f"`n_chains` {rule} 1. Nearest: {size}."
    assert found["refusals/scatter"] == f"`leading axis` {rule} {4 * size + 1}. {nearest}"


def test_batches_equal_loops(found: dict, size: int) -> None:
    """`jax.vmap` of a collective, and of that, does what the collective does for one member after the other."""
    names = {name.split("/")[1] for name in found if name.startswith("batches/") and "messages" not in name}
    assert len(names) == 8
    for name in names:
        loops = {key: value for key, value in found.items() if key.startswith(f"batches/{name}/loop")}
        for key, expected in loops.items():
            assert expected.shape[:3] == (size, 2, 3)
            np.testing.assert_array_equal(found[key.replace("/loop", "/vmap")], expected, err_msg=key)
            first = np.broadcast_to(expected[:, :1, 0], (size, 2, *expected.shape[3:]))
            np.testing.assert_array_equal(found[key.replace("/loop", "/same")], first, err_msg=key)
    assert found["batches/bcast/vmap/1"].dtype == bool


def test_one_message_for_a_batch(found: dict, layout: str) -> None:
    if LAYOUTS[layout].backend != "mpi":
        assert not any(name.startswith("batches/messages") for name in found)
        return
    once = {"psum": 3, "pmax": 2, "all_gather": 2, "bcast": 3, "psum_scatter": 1, "shard_to_columns": 1}
    for name, calls in {**once, "pvary": 0, "index": 0}.items():
        np.testing.assert_array_equal(found[f"batches/messages/{name}"], [[calls, calls]], err_msg=name)


def whole_derivatives(p: jax.Array) -> dict[str, jax.Array]:
    """Of the loss of the program, from all data at once."""
    x = jnp.sin(jnp.arange(24.0)).reshape(8, 3)

    def loss(p: jax.Array) -> jax.Array:
        mean = jnp.sum(jnp.sin(x @ p)) / 8
        return jnp.log1p(jnp.sum((x @ p - mean) ** 2)) + mean**2

    return {
        "value": loss(p),
        "gradient": jax.grad(loss)(p),
        "curvature": jax.hessian(loss)(p) @ jnp.ones(3),
        "own": jnp.cos(x @ p) @ x,
        "forward": jnp.sum(jnp.cos(x @ p) @ x),
    }


def test_derivatives_are_whole(found: dict, size: int) -> None:
    """Value, gradient and curvature of a loss with two sums over workers are those of the whole data."""
    points = jnp.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]])
    expected = jax.tree.map(lambda *each: np.stack(each), *map(whole_derivatives, points))
    for name, values in expected.items():
        for part, value in (("derivatives", values[0]), ("batched_derivatives", values)):
            got = found[f"{part}/{name}"]
            assert len(got) == size
            np.testing.assert_allclose(got, np.broadcast_to(value, got.shape), rtol=1e-12, atol=1e-13, err_msg=name)


def test_one_message_for_all_leaves_of_a_type(found: dict, layout: str) -> None:
    times = 1 if LAYOUTS[layout].backend == "mpi" else 0
    assert found["messages/psum/one type"] == [times]
    assert found["messages/pmax/one type"] == [times]
    assert found["messages/psum/three types"] == [3 * times]
