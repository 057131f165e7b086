# SPDX-License-Identifier: Apache-2.0
"""`manybody ground-state` from end to end, on six spins."""

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from manybody.driver import VMC
from manybody.io import read_log
from manybody.program import cli
from tests.program.tiny import write

EXACT = -2.8027756377
NUMBER = r"-?\d+\.\d+(?:e[+-]\d+)?"


def ground_state(*words: object) -> int:
    return cli.main(["ground-state", *map(str, words)])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was interrupted before step 4, and started again."""
    advance = VMC._advance_by

    def fail(self: VMC, n: int, most: int) -> list[dict]:
        if self.step == 3:
            raise KeyboardInterrupt
        return advance(self, n, most)

    folder = tmp_path_factory.mktemp("ground_state")
    words = (write(folder, ("optimisation.steps", 5), ("measure", ...)), "--out", folder / "out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VMC, "_advance_by", fail)
        with pytest.raises(KeyboardInterrupt):
            ground_state(*words)
    assert [record["step"] for record in read_log(folder / "out" / "log.jsonl")] == [1, 2, 3]
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        assert ground_state(*words) == 0
    assert "resuming after step 3 of 5" in text.getvalue()
    return folder


def test_files(finished: Path) -> None:
    out = finished / "out"
    names = {path.name for path in out.iterdir()}
    assert names >= {"config.json", "log.jsonl", "energy.png", "result.json", "checkpoint-00000005.npz"}
    assert [record["step"] for record in read_log(out / "log.jsonl")] == [1, 2, 3, 4, 5]
    pixels = matplotlib.image.imread(out / "energy.png")[..., :3]
    assert 0.01 < np.mean(np.any(pixels < 0.95, axis=-1)) < 0.5


def test_again_says_so_and_gives_the_same(finished: Path, capsys: pytest.CaptureFixture) -> None:
    out = finished / "out"
    before = {name: (out / name).read_bytes() for name in ("log.jsonl", "result.json", "config.json")}
    assert ground_state(finished / "tiny.toml", "--out", out) == 0
    text, errors = capsys.readouterr()
    assert "all 5 steps were made before" in text
    assert errors == ""
    assert {name: (out / name).read_bytes() for name in before} == before

    header, last = text.splitlines()[:10], text.splitlines()[-1]
    values = dict(line.split(maxsplit=1) for line in header if not line.startswith("exact"))
    assert values["hamiltonian"] == "heisenberg(J=1.0, marshall=True)"
    assert values["lattice"] == "chain(n=6), 6 sites"
    assert values["space"].endswith("20 states")
    assert values["ansatz"] == "RBM(alpha=1), 48 real parameters"
    assert values["sampler"].startswith("Metropolis, 32 samples, 16 chains, sweeps of 6, Exchange()")
    assert values["optimiser"] == "5 steps of sgd, learning rate 0.05"
    assert values["direction"].startswith("SR in the space of samples, solver cholesky")
    assert values["direction"].endswith("diag_shift 0.01")
    assert "exact energy  diagonalisation of 20 states after the run" in header
    assert values["workers"] == "1 process with one cpu device, 1 thread for linear algebra"
    assert values["seed"] == "3"

    result = json.loads((out / "result.json").read_text())
    found = re.fullmatch(
        rf"energy ({NUMBER}) \+- ({NUMBER}) \[.*tau=.*\], per site ({NUMBER}) \+- ({NUMBER}), V-score ({NUMBER}), "
        rf"relative error ({NUMBER}) \(exact ({NUMBER})\)",
        last,
    )
    assert found, last
    keys = "energy error energy_per_site error_per_site v_score relative_error exact_energy".split()
    for text, key in zip(found.groups(), keys, strict=True):
        assert float(text) == pytest.approx(result[key], rel=0.1 if "error" in key else 0.02)


def test_several_steps_are_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, call = [], VMC._call
    monkeypatch.setattr(VMC, "_call", lambda self, n, most: (calls.append((n, most)), call(self, n, most))[1])
    config = write(tmp_path, ("optimisation.steps_per_call", 3))
    assert ground_state(config, "--out", tmp_path / "out") == 0
    assert calls == [(2, 3), (2, 3)]  # not beyond the checkpoint after two steps
    assert [record["step"] for record in read_log(tmp_path / "out" / "log.jsonl")] == [1, 2, 3, 4]


def test_result(finished: Path) -> None:
    result = json.loads((finished / "out" / "result.json").read_text())
    assert result["exact_energy"] == pytest.approx(EXACT)
    assert result["relative_error"] == pytest.approx((result["energy"] - EXACT) / -EXACT)
    assert result["energy_per_site"] == pytest.approx(result["energy"] / 6)
    assert result["v_score"] == pytest.approx(6 * result["variance"] / result["energy"] ** 2)
    assert result["energy"] > EXACT - 5 * result["error"]
    assert (result["steps"], result["n_samples"]) == (5, 32)
    assert result["tau"] > 0
    assert 0 < result["error"] < 0.5


@pytest.mark.slow
def test_as_a_process_with_exact_sums(tmp_path: Path) -> None:
    rate = {"kind": "linear", "start": 0.4, "stop": 0.2}
    shift = {"kind": "exponential", "start": 0.1, "stop": 0.001, "steps": 2}
    changes = [("optimisation", {"steps": 60, "learning_rate": rate, "sr": {"diag_shift": shift}}), ("measure", ...)]
    path = write(tmp_path, ("sampler", {"kind": "Exact"}), *changes)
    command = [sys.executable, "-m", "manybody.program.cli", "ground-state", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    text, out = done.stdout, tmp_path / "runs" / "tiny"
    assert "Exact, 20 samples" in text
    assert "learning rate linear from 0.4 to 0.2" in text
    assert len(re.findall(r"^step ", text, re.MULTILINE)) == 20
    assert "(exact) [var=" in text.splitlines()[-1]
    shifts = [record["diag_shift"] for record in read_log(out / "log.jsonl")]
    assert shifts == pytest.approx([0.1, 0.01] + [0.001] * 58)
    result = json.loads((out / "result.json").read_text())
    assert 0 <= result["relative_error"] < 1e-2
    assert result["error"] == 0.0
