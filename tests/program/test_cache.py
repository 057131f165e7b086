# SPDX-License-Identifier: Apache-2.0
"""Programs keep what they compiled."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import platformdirs
import pytest

from manybody.io import read_log
from manybody.program.cache import LARGEST, folder, keep_compiled
from tests.program.tiny import write

FOLDER, SIZE = "jax_compilation_cache_dir", "jax_compilation_cache_max_size"
OPTIONS = (FOLDER, SIZE, "jax_persistent_cache_min_compile_time_secs")


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    before = {name: getattr(jax.config, name) for name in OPTIONS}
    jax.config.update(FOLDER, None)
    jax.config.update(SIZE, -1)  # a program in this process may have changed it
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def run(tmp_path: Path, out: str) -> list[dict]:
    """The log of a run in a process of its own, in a home of its own and with the cache on."""
    own = {"HOME": tmp_path, "XDG_CACHE_HOME": tmp_path / "cache", "JAX_ENABLE_COMPILATION_CACHE": "1"}
    command = [sys.executable, "-m", "manybody.program.cli", "ground-state", write(tmp_path), "--out", tmp_path / out]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **own})
    assert (done.returncode, done.stderr) == (0, "")
    return list(read_log(tmp_path / out / "log.jsonl"))


@pytest.mark.slow
def test_a_second_run_finds_the_step_of_the_first(tmp_path: Path) -> None:
    def steps() -> list[Path]:
        return list((tmp_path / "cache" / "manybody" / folder().name).glob("jit_step-*-cache"))

    first = run(tmp_path, "first")
    (kept,) = steps()
    written = kept.stat().st_mtime_ns
    assert run(tmp_path, "second") == first
    assert steps() == [kept]
    assert kept.stat().st_mtime_ns == written  # read, and not compiled and written again


def test_settings_of_jax_go_first() -> None:
    jax.config.update(FOLDER, "elsewhere")
    keep_compiled()
    assert (jax.config.jax_compilation_cache_dir, jax.config.jax_compilation_cache_max_size) == ("elsewhere", -1)


@pytest.mark.parametrize("writable", [True, False])
def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writable: bool) -> None:
    top = tmp_path / "cache"
    if not writable:
        top.write_text("a file, not a folder")
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: top / name)
    keep_compiled()
    found = jax.config.jax_compilation_cache_dir, jax.config.jax_compilation_cache_max_size
    assert found == ((str(folder()), LARGEST) if writable else (None, -1))
