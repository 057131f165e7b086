# SPDX-License-Identifier: Apache-2.0
"""The examples run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parent.parent / "examples").glob("*.py"))


def run(path: Path, folder: Path, *, optimised: bool = False) -> str:
    """Compiled as tests are, or, where that is quicker, with the cheapest optimisations."""
    flags = os.environ["XLA_FLAGS"].replace("optimization_level=0", f"optimization_level={int(optimised)}")
    own = os.environ | {"XLA_FLAGS": flags}
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False, cwd=folder, env=own)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout


def test_first_ground_state(tmp_path: Path) -> None:
    out = run(EXAMPLES[0], tmp_path)
    assert "exact   -11.228483" in out
    error = float(out.partition("relative error ")[2].split()[0])
    assert abs(error) < 0.01
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_excited_states(tmp_path: Path) -> None:
    out = run(EXAMPLES[1], tmp_path)
    levels = re.findall(r"energy (-[\d.]+)   exact (-[\d.]+)", out)
    assert [exact for _, exact in levels] == ["-3.65109", "-3.12842", "-2.14515"]
    assert all(abs(float(energy) - float(exact)) < 1e-3 for energy, exact in levels)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_phase_diagram(tmp_path: Path) -> None:
    out = run(EXAMPLES[2], tmp_path, optimised=True)
    levels = re.findall(r"h = [\d.]+ +(-[\d.]+) +(-[\d.]+) +[\d.]+ \+- ", out)
    assert len(levels) == 9
    assert all(abs(float(energy) / float(exact) - 1) < 2e-3 for energy, exact in levels)
    peak = float(out.partition("largest at h = ")[2].split(";")[0])
    assert peak in (0.9, 1.0)  # with free fermions at 0.96, between the two
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 80


def test_every_example_is_run() -> None:
    assert [path.stem for path in EXAMPLES] == ["01_first_ground_state", "02_excited_states", "03_phase_diagram"]
