# SPDX-License-Identifier: Apache-2.0
"""`manybody time-evolution` from end to end, on three spins: against exact evolution, and taken up exactly."""

import json

import matplotlib.image
import numpy as np
import pytest

from manybody.driver import TDVP
from manybody.io import read_log
from manybody.program import cli
from tests.program.test_dynamics import CLOSED, OPEN, changed
from tests.program.tiny import toml

START = {"hamiltonian": {"kind": "ising", "h": 3.0}, "optimisation": {"steps": 3, "learning_rate": 0.05}}
# Three spins under translations have four amplitudes: such an ansatz has any of them.
RICH = {"kind": "RBM", "alpha": 4, "symmetries": "translations", "param_dtype": "complex128"}
QUENCH = changed(
    CLOSED,
    ("ansatz", RICH),
    ("start", START),
    ("evolution.integrator", "rk45"),
    ("evolution.tolerance", 1e-6),
    ("observables.ZZ", {"kind": "sigma_sigma", "axis": "z"}),
    ("drives.h", {"kind": "sine", "amplitude": 0.5, "frequency": 4.0}),
)


def run(folder, table, *words):
    path = folder / "tiny.toml"
    path.write_text(toml(table))
    return cli.main(["time-evolution", str(path), "--out", str(folder / "out"), *words])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that was interrupted before the last time, and started again."""
    folder, advance = tmp_path_factory.mktemp("quench"), TDVP.advance

    def fail(self):
        if self.step == 2:
            raise KeyboardInterrupt
        return advance(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TDVP, "advance", fail)
        with pytest.raises(KeyboardInterrupt):
            run(folder, QUENCH)
    assert [record["t"] for record in read_log(folder / "out" / "log.jsonl")] == [0.0, 0.1]
    assert run(folder, QUENCH) == 0
    return folder


@pytest.mark.slow
def test_a_driven_quench_is_exact(finished):
    result = json.loads((finished / "out" / "result.json").read_text())
    assert result["t"] == 0.2
    assert 0 <= result["residual_integral"] < 1e-6
    assert set(result["observables"]) == {"X", "ZZ"}
    for found in result["observables"].values():
        assert found["largest_deviation"] < 1e-5
        assert found["mean"] == pytest.approx(found["exact"], abs=1e-5)
        assert found["error"] == 0.0
    records = list(read_log(finished / "out" / "log.jsonl"))
    assert [record["t"] for record in records] == [0.0, 0.1, 0.2]
    assert np.ptp([record["observables"]["ZZ"]["mean"] for record in records]) > 0.01


def test_what_cannot_be_evolved_is_refused_before_the_start_is_sought(tmp_path, capsys):
    assert run(tmp_path, changed(QUENCH, ("evolution.tolerance", -1.0))) == 1
    assert "`tolerance` must satisfy" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_files(finished, capsys):
    out = finished / "out"
    assert len(list(read_log(out / "start" / "log.jsonl"))) == 3
    pixels = matplotlib.image.imread(out / "evolution.png")[..., :3]
    assert 0.01 < np.mean(np.any(pixels < 0.95, axis=-1)) < 0.5
    before = {name: (out / name).read_bytes() for name in ("log.jsonl", "result.json")}
    assert run(finished, QUENCH) == 0
    text = capsys.readouterr().out
    assert "all 3 steps were made before" in text
    for words in (
        "start: 3 steps towards the lowest state of ising(h=3.0)",
        "drives        h: sine(amplitude=0.5, frequency=4.0)",
        "evolution     real, to time 0.2 in 3 points, rk45, steps of an error up to 1e-06",
        "equation      SR in the space of samples, solver pinv",
        "residual of the motion, integrated over the time: ",
    ):
        assert words in text
    assert {name: (out / name).read_bytes() for name in before} == before


def test_other_settings_are_refused(finished, capsys):
    assert run(finished, changed(QUENCH, ("start.hamiltonian.h", 2.0))) == 1
    assert "`start.hamiltonian.h` was 3.0, now 2.0" in capsys.readouterr().err


def test_steps_are_no_option(finished, capsys):
    assert run(finished, QUENCH, "--steps", "3") == 1
    assert "--steps: time-evolution does not make a number of steps" in capsys.readouterr().err


def test_a_step_that_becomes_too_small_stops_with_the_reason(tmp_path, capsys):
    table = changed(CLOSED, ("evolution.tolerance", 1e-12), ("evolution.min_dt", 1e-3))
    assert run(tmp_path, table) == 1
    message = capsys.readouterr().err
    assert message.startswith("manybody: error: The time step became too small")
    assert "at time 0:" in message
    assert [record["t"] for record in read_log(tmp_path / "out" / "log.jsonl")] == [0.0]


def test_a_density_matrix_decays(tmp_path):
    """One spin, from a random state: <Z> + 1 falls as exp(-gamma t), whatever the field along z does."""
    table = {
        "lattice": {"kind": "chain", "n": 2, "periodic": False},
        "hamiltonian": {"kind": "ising", "J": 0.0, "h": 0.0},
        "ansatz": {"kind": "DensityRBM", "alpha": 2, "beta": 2},
        "sampler": {"kind": "Exact"},
        "jumps": OPEN["jumps"][:1],
        "evolution": {"stop": 0.4, "points": 3, "integrator": "rk45", "tolerance": 1e-6},
        "observables": {"Z": {"kind": "sigma", "axis": "z"}},
    }
    assert run(tmp_path, table) == 0
    z = [record["observables"]["Z"]["mean"] + 1 for record in read_log(tmp_path / "out" / "log.jsonl")]
    np.testing.assert_allclose(z[1:], z[0] * np.exp(-0.3 * np.array([0.2, 0.4])), rtol=1e-4)
    found = json.loads((tmp_path / "out" / "result.json").read_text())["observables"]["Z"]
    assert found["largest_deviation"] < 1e-4
