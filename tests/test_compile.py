# SPDX-License-Identifier: Apache-2.0
"""What is compiled ahead is not compiled again, and leaves no memory behind."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody import _compile

STATUS = Path("/proc/self/status")


def test_ahead():
    n_traces = 0

    def square(x):
        nonlocal n_traces
        n_traces += 1
        return x * x

    program = _compile.ahead(jax.jit(square), jnp.arange(3.0))
    assert n_traces == 1
    np.testing.assert_array_equal(program(jnp.arange(3.0)), [0.0, 1.0, 4.0])
    assert n_traces == 1


def resident():
    """Megabytes of this process that are in memory."""
    row = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS:"))
    return int(row.split()[1]) / 1024


@pytest.mark.skipif(_compile._trim() is None or not STATUS.exists(), reason="needs the C library of GNU, and Linux")
def test_free_memory_is_given_back():
    """Of many small arrays every hundredth stays, so that none of the memory lies at the end."""
    arrays = [np.ones(1000) for _ in range(20_000)]
    left, full = arrays[::100], resident()
    del arrays
    _compile.give_back()
    assert resident() < full - 100
    assert np.all(left[-1] == 1)


def test_where_the_library_cannot(monkeypatch):
    monkeypatch.setattr(_compile.os, "name", "nt")
    assert _compile._trim.__wrapped__() is None
    monkeypatch.setattr(_compile, "_trim", lambda: None)
    _compile.give_back()
