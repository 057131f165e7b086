# SPDX-License-Identifier: Apache-2.0
"""`manybody steady-state` from end to end: a driven spin that decays, whose steady state has a closed form."""

import json

import matplotlib.image
import numpy as np
import pytest

from manybody.io import read_log
from manybody.program import cli
from tests.program.tiny import toml

GAMMA, OMEGA = 1.0, 0.6
TABLE = {
    "observe_every": 20,
    "lattice": {"kind": "chain", "n": 2, "periodic": False},
    "hamiltonian": {"kind": "ising", "J": 0.0, "h": -OMEGA / 2},
    "ansatz": {"kind": "DensityRBM", "alpha": 2, "beta": 2},
    "sampler": {"kind": "Exact"},
    "jumps": [{"kind": "decay", "rate": GAMMA}],
    "optimisation": {"steps": 300, "learning_rate": 0.2, "sr": {"diag_shift": 1e-4}},
    "observables": {f"sigma_{axis}": {"kind": "sigma", "axis": axis} for axis in "xyz"},
}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("steady")
    (folder / "tiny.toml").write_text(toml(TABLE))
    assert cli.main(["steady-state", str(folder / "tiny.toml"), "--out", str(folder / "out")]) == 0
    return folder / "out"


def test_observables(out):
    """Of the optical Bloch equations with H = Omega sigma_x / 2 and the jump sqrt(gamma) sigma_-."""
    result = json.loads((out / "result.json").read_text())
    below = GAMMA**2 + 2 * OMEGA**2
    wanted = {"sigma_x": 0.0, "sigma_y": 2 * OMEGA * GAMMA / below, "sigma_z": -(GAMMA**2) / below}
    for name, value in wanted.items():
        found = result["observables"][name]
        assert found["exact"] == pytest.approx(value, abs=1e-12)
        assert found["mean"] == pytest.approx(value, abs=1e-3)
    assert 0 <= result["cost"]["mean"] < 1e-5
    assert result["steps"] == 300


def test_files(out):
    records = list(read_log(out / "log.jsonl"))
    assert [record["step"] for record in records if "observables" in record] == list(range(20, 301, 20))
    assert records[0]["cost"]["mean"] > 0.1 > records[-1]["cost"]["mean"]
    pixels = matplotlib.image.imread(out / "steady_state.png")[..., :3]
    assert 0.01 < np.mean(np.any(pixels < 0.95, axis=-1)) < 0.5
