# SPDX-License-Identifier: Apache-2.0
"""Free memory that is kept is not cleared again, and what is given back is gone."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from manybody import _allocator

STATUS = Path("/proc/self/status")
IS_GNU = _allocator._has("malloc_trim", "mallopt") and STATUS.exists()

FAULTS = """
import resource
import numpy as np
from manybody import _allocator
print(_allocator.keep())
for _ in range(4):  # sixteen megabytes, which are free again after each round
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**21)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def resident():
    """Megabytes of this process that are in memory."""
    row = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS:"))
    return int(row.split()[1]) / 1024


@pytest.mark.skipif(not IS_GNU, reason="needs the C library of GNU, and Linux")
def test_free_memory_is_given_back():
    """Of many small arrays every hundredth stays, so that none of the memory lies at the end."""
    arrays = [np.ones(1000) for _ in range(20_000)]
    left, full = arrays[::100], resident()
    del arrays
    _allocator.give_back()
    assert resident() < full - 100
    assert np.all(left[-1] == 1)


@pytest.mark.skipif(not IS_GNU, reason="needs the C library of GNU, and Linux")
@pytest.mark.parametrize("said", [None, "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_free_memory_is_kept(said):
    """A page that is new is a fault, when it is written first; what the environment says counts."""
    other = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    values = {"MALLOC_TRIM_THRESHOLD_": "0", "GLIBC_TUNABLES": "glibc.malloc.trim_threshold=0"}
    environment = other | ({said: values[said]} if said else {}) | {"NUMPY_MADVISE_HUGEPAGE": "0"}
    run = subprocess.run([sys.executable, "-c", FAULTS], env=environment, capture_output=True, text=True, check=True)
    is_kept, *faults = run.stdout.split()
    assert is_kept == str(said is None)
    assert (max(map(int, faults[1:])) < 100) == (said is None)


def test_where_the_library_cannot(monkeypatch):
    monkeypatch.setattr(_allocator.os, "name", "nt")
    assert _allocator._library.__wrapped__() is None
    monkeypatch.setattr(_allocator, "_library", lambda: None)
    _allocator.give_back()
    assert not _allocator.keep.__wrapped__()
