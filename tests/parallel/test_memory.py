# SPDX-License-Identifier: Apache-2.0
"""What is free, from the files of made-up systems and from made-up devices; what programs take; how many rows fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody.parallel import Comm, MeshComm, memory, mesh_comm

GB = 2**30
JOB = "system.slice/slurmstepd.scope/job_7/step_0/user/task_0"


def system(root: Path, available: int | None = 64 * GB, membership: str = "", **files: object) -> Path:
    """Files as Linux has them; names of `files` are paths below /sys/fs/cgroup with "__" for "/"."""
    texts = {"proc/self/cgroup": membership}
    if available is not None:
        texts["proc/meminfo"] = (
            f"MemTotal: {128 * GB // 1024} kB\nMemAvailable:   {available // 1024} kB\nBuffers: 8 kB\n"
        )
    texts |= {f"sys/fs/cgroup/{name}": f"{content}\n" for name, content in files.items()}
    for name, content in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def group(path: str, limit: object, usage: int, cached: int = 0, version: int = 2) -> dict[str, object]:
    """The files of one control group."""
    if version == 2:
        found = {"max": limit, "current": usage, "stat": f"anon 7\ninactive_file {cached}\nactive_file 3"}
    else:
        statistics = f"cache 7\ninactive_file 5\ntotal_inactive_file {cached}"
        found = {"limit_in_bytes": limit, "usage_in_bytes": usage, "stat": statistics}
    return {f"{path}/memory.{name}".lstrip("/"): content for name, content in found.items()}


UNLIMITED = 9223372036854771712
V1 = "12:cpu,cpuacct:/other\n5:memory:/slurm/uid_1/job_7\n1:name=systemd:/\n0::/\n"


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("", {}, 64 * GB),
        (f"0::/{JOB}\n", {}, 64 * GB),  # no limits
        (f"0::/{JOB}\n", group(JOB, 8 * GB, GB), 7 * GB),
        (f"0::/{JOB}\n", group(JOB, 8 * GB, 6 * GB, cached=4 * GB), 6 * GB),
        (f"0::/{JOB}\n", group(JOB, "max", GB) | group(JOB.rsplit("/", 3)[0], 16 * GB, 4 * GB), 12 * GB),
        (f"0::/{JOB}\n", group(JOB, 9 * GB, GB) | group("system.slice", 16 * GB, 15 * GB), GB),
        (f"0::/{JOB}\n", group("", 4 * GB, GB), 3 * GB),  # a container, whose group is the top
        (f"0::/{JOB}\n", group(JOB, 500 * GB, GB), 64 * GB),  # more than the node has left
        (f"0::/{JOB}\n", group("system.slice/elsewhere", GB, GB // 2), 64 * GB),
        (V1, group("memory/slurm/uid_1/job_7", 8 * GB, 2 * GB, GB, version=1), 7 * GB),
        (
            V1,
            group("memory/slurm/uid_1/job_7", UNLIMITED, GB, version=1)
            | group("memory/slurm", 5 * GB, GB, version=1)
            | group("other", 2, 1, version=1),
            4 * GB,
        ),
    ],
)
def test_what_a_node_and_its_control_groups_leave(tmp_path: Path, membership: str, files: dict, expected: int) -> None:
    root = system(tmp_path, membership=membership, **files)
    assert memory.free(Comm(), root) == expected


def test_this_machine() -> None:
    assert 2**20 < memory.free(Comm()) < 2**50


@dataclass(frozen=True)
class Job(Comm):
    """Processes of which only one is real: the others say that they are at `places` (node, bytes left)."""

    places: tuple[tuple[int, int], ...] = ()

    def exchange(self, value: np.ndarray) -> np.ndarray:
        node, left, workers = value.view(np.int64)
        others = [(node + place, bytes_left, workers) for place, bytes_left in self.places]
        return np.array([(node, left, workers), *others], np.int64).view(np.uint8)


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (((0, 64 * GB), (0, 64 * GB), (0, 64 * GB)), 16 * GB),  # four on one node
        (((0, 60 * GB),), 30 * GB),  # asked a moment later
        (((1, 64 * GB),), 64 * GB),  # on another node
        (((1, 40 * GB), (1, 40 * GB)), 20 * GB),  # on another, which has less for each
        (((1, 0),), None),
    ],
)
def test_processes_share_their_node(tmp_path: Path, places: tuple, expected: int | None) -> None:
    root = system(tmp_path)
    job = Job(len(places) + 1, 0, len(places) + 1, places)
    if expected is None:
        with pytest.raises(ValueError, match="`memory_limit` must be given"):
            memory.free(job, root)
    else:
        assert memory.free(job, root) == expected


def test_host_devices_share_their_process(tmp_path: Path) -> None:
    assert memory.free(mesh_comm(jax.devices()[:4]), system(tmp_path)) == 16 * GB


def device(limit: int, used: int) -> SimpleNamespace:
    return SimpleNamespace(platform="gpu", memory_stats=lambda: {"bytes_limit": limit, "bytes_in_use": used, "num": 1})


def test_accelerators_have_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fullest one counts; neighbours and the memory of the host do not."""
    root = system(tmp_path, available=GB)
    devices = [device(60 * GB, GB), device(60 * GB, 5 * GB)]
    assert memory.free(MeshComm(2, mesh=SimpleNamespace(local_devices=devices)), root) == 55 * GB
    monkeypatch.setattr(memory.jax, "local_devices", lambda: devices)
    assert memory.free(Comm(), root) == 59 * GB
    mute = SimpleNamespace(platform="gpu", memory_stats=lambda: None)
    monkeypatch.setattr(memory.jax, "local_devices", lambda: [mute])
    with pytest.raises(ValueError, match=r"`memory_limit` must be given .* got None\. Give it"):
        memory.free(Comm(), root)


def test_systems_without_these_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"SC_PAGE_SIZE": 4096, "SC_AVPHYS_PAGES": 1000, "SC_PHYS_PAGES": 3000}
    monkeypatch.setattr(memory.os, "sysconf", pages.__getitem__)
    monkeypatch.setattr(memory.os, "sysconf_names", pages)
    assert memory.free(Comm(), tmp_path) == 4096 * 1000
    del pages["SC_AVPHYS_PAGES"]
    assert memory.free(Comm(), tmp_path) == 4096 * 3000
    monkeypatch.delattr(memory.os, "sysconf_names")
    with pytest.raises(ValueError, match="`memory_limit` must be given"):
        memory.free(Comm(), tmp_path)


@pytest.mark.parametrize("rows", [16, 1024, 8192])
def test_what_a_program_takes(rows: int) -> None:
    """Two layers on the way to an array twice as large; also where a library would evaluate all of it at once."""
    shape = jax.ShapeDtypeStruct

    def layers(x: jax.Array, w: jax.Array) -> jax.Array:
        return jnp.tanh(jnp.tanh(jnp.tanh(x @ w) @ w) @ w)

    x, w = shape((rows, 64), float), shape((64, 64), float)
    array = rows * 64 * 8
    both = memory.taken(lambda x, w: jnp.concatenate([layers(x, w), x]), x, w)
    assert 3 * array <= both <= 4.2 * array
    one_number = memory.taken(lambda x, w: layers(x, w).sum(), x, w)
    assert array <= one_number <= 2.2 * array + 10_000


@pytest.mark.parametrize("whole", [1, 2, 3, 16, 100, 4096, 5000])
@pytest.mark.parametrize(("fixed", "each"), [(0, 1), (1000, 7), (50, 100)])
def test_the_largest_power_of_two_that_fits(whole: int, fixed: int, each: int) -> None:
    """Against a search through all of them; at most four compilations, unless nothing fits."""
    for limit in (10, 60, 160, 1015, 4000, 30_000, 10**6):
        asked = []

        def need(rows: int) -> int:
            asked.append(rows)  # noqa: B023
            return fixed + each * rows

        good = [2**k for k in range(20) if 2**k < min(whole, 2048 + 1) and need(2**k) <= limit]
        right = whole if need(whole) <= limit else max(good, default=0)
        asked.clear()
        assert memory.fit(need, whole, limit, most=2048) == right
        assert len(asked) <= 4
        assert max(asked) <= max(2, whole)


def test_a_size_that_does_not_fit_is_not_taken() -> None:
    """Where memory is no linear function of rows."""

    def need(rows: int) -> int:
        return 5 * rows if rows in (64, 256) else 10 * rows

    assert memory.fit(need, 1024, 1000, most=4096) == 64
    assert need(64) <= 1000 < need(128)
