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
import resource, sys, threading
import numpy as np
from manybody import _allocator
where, size, *work_spaces = sys.argv[1:]
print(*{_allocator.keep(int(work_space)) for work_space in work_spaces})
def fill():
    held = np.ones(int(size) * 2**17)
    for _ in range(4):  # so much is free again after each round
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.ones(int(size) * 2**17)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
if where == "thread":
    thread = threading.Thread(target=fill)
    thread.start()
    thread.join()
else:
    fill()
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


def faults(megabytes, work_spaces, where="main", **said):
    """Whether the library was asked, and the faults of filling an array for the first time and again."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    variables |= {"NUMPY_MADVISE_HUGEPAGE": "0"} | said
    command = [sys.executable, "-c", FAULTS, where, *map(str, (megabytes, *work_spaces))]
    run = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    asked, *found = run.stdout.split()
    return asked == "True", list(map(int, found))


@pytest.mark.skipif(not IS_GNU, reason="needs the C library of GNU, and Linux")
@pytest.mark.parametrize(
    "said",
    [{}, {"MALLOC_TRIM_THRESHOLD_": "0"}, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=0"}],
    ids=["nothing", "MALLOC", "GLIBC"],
)
def test_free_memory_is_kept(said):
    """A page that is new is a fault, when it is written first; what the environment says counts."""
    asked, (_, *again) = faults(16, [2**25], **said)
    assert asked == (not said)
    assert (max(again) < 100) == (not said)


@pytest.mark.skipif(not IS_GNU, reason="needs the C library of GNU, and Linux")
@pytest.mark.parametrize(("work_spaces", "is_kept"), [((2**28,), True), ((2**28 + 1,), False), ((2**30, 1), False)])
def test_large_pieces_are_kept_for_programs_of_moderate_size(work_spaces, is_kept):
    asked, (_, *again) = faults(64, work_spaces)
    assert asked
    assert (max(again) < 100) == is_kept
    assert is_kept or min(again) > 16_000


@pytest.mark.skipif(not IS_GNU, reason="needs the C library of GNU, and Linux")
@pytest.mark.parametrize("megabytes", [20, 40, 60])
def test_memory_of_threads_is_kept(megabytes):
    """They have heaps of their own. Two arrays of more than 32 megabytes need two, and one would go back when empty."""
    asked, (_, *again) = faults(megabytes, [2**25], "thread")
    assert asked
    assert max(again) < 100


def test_where_the_library_cannot(monkeypatch):
    monkeypatch.setattr(_allocator.os, "name", "nt")
    assert _allocator._library.__wrapped__() is None
    monkeypatch.setattr(_allocator, "_library", lambda: None)
    _allocator.give_back()
    assert not _allocator.keep(1)
