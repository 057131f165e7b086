# SPDX-License-Identifier: Apache-2.0
"""The benchmark of precisions: what each computes in which type, and what is called the same energy."""

import json

import numpy as np
import pytest

from tests.benchmarks.scripts import BENCHMARKS, WORKERS, load
from tests.cases import some_slow


@pytest.fixture(scope="module")
def precision():
    return load(BENCHMARKS / "precision.py")


@pytest.mark.slow
def test_precisions_are_what_they_say_and_start_from_the_same_parameters(precision, tmp_path):
    options = {"problem": "tfim", "options": {"sites": 6, "alpha": 2}, "samples": 64, "rate": 0.04, "diag_shift": 1e-3}
    worker = load(WORKERS / "manybody_precision.py").Precisions(**options)
    rows = {p: worker.prepare(p) for p in ("f64", "f32", "bf16")}
    assert {p: (row["ansatz"], row["parameters"]) for p, row in rows.items()} == {
        "f64": ("RBM", ["float64"]),
        "f32": ("RBM", ["float32"]),
        "bf16": ("MixedPrecision", ["float32"]),
    }
    assert {row["log_psi"] for row in rows.values()} == {"float64"}
    for p in rows:
        worker.optimise(p, 3)
    kernel = worker.settled["hidden"]["kernel"]
    assert kernel.dtype == "float64" and np.any(kernel != worker.first["hidden"]["kernel"])
    found = {}
    for p in rows:
        worker.log_psi(p, tmp_path / f"{p}.npz")
        with np.load(tmp_path / f"{p}.npz") as data:
            found[p] = data["log_psi"]
    assert precision.spread(found["f64"], found["f64"]) == 0.0
    assert 0.0 < precision.spread(found["f32"], found["f64"]) < 1e-5 < precision.spread(found["bf16"], found["f64"])
    energies = {own: worker.measure("bf16", 256, own, seed=3) for own in (False, True)}
    assert energies[False]["type"] == "float64"
    assert energies[False]["energy"] != energies[True]["energy"]


def test_energies_of_the_same_parameters_must_agree(precision):
    def row(energy, error=0.3):
        return {"energy": energy, "error": error}

    gap = precision.sigmas(row(-10.5, 0.4), row(-10.0))
    assert gap == pytest.approx(-1.0)
    assert precision.sigmas(row(-10.0), row(-10.0)) == 0.0
    precision.check("net", {"f32": {"same_parameters": {"sigmas": gap}}})
    for wrong in (-5.0, 5.0, np.nan):
        with pytest.raises(precision.Disagreement, match=r"Energies of net .* errors: \{'bf16'"):
            precision.check("net", {"bf16": {"same_parameters": {"sigmas": wrong}}})


@pytest.mark.parametrize("asked", [["convolutions"], ["samples", "parameters"], []])
def test_solves_are_those_asked_for(precision, monkeypatch, capsys, asked):
    monkeypatch.setattr(precision, "solves", lambda name, mode, args: [name, mode])
    monkeypatch.setattr("sys.argv", ["precision.py", "--problems", "--solves", *asked])
    precision.main()
    found = json.loads(capsys.readouterr().out).get("solves", {})
    assert list(found.values()) == [[name, mode] for name in asked for mode in ("on", "off")]


SMALL = {
    "samples": {"size": {"alpha": 4}, "samples": 16},
    "convolutions": {"size": {"features": 4, "blocks": 1, "output": "real"}, "samples": 16},
    "parameters": {"size": {"alpha": 1}, "samples": 64},
}


@pytest.mark.parametrize("name", some_slow({name: name for name in SMALL}, ["samples", "convolutions"]))
def test_directions_are_those_of_the_decomposition(precision, name, tmp_path):
    """To the rounding of the network; and one that is not is judged by how far it is off."""
    options = precision.SOLVES[name] | {"sites": 4} | SMALL[name]
    worker = load(WORKERS / "manybody_solves.py").Solves(**options, steps=2)
    worker.equations("f32", tmp_path / "equations.npz")
    with np.load(tmp_path / "equations.npz") as data:
        rows, e = data["rows"], data["e"]
    right = precision.by_svd(rows, e, 1e-3)
    np.testing.assert_allclose(right, np.linalg.solve(rows.T @ rows + 1e-3 * np.eye(len(right)), rows.T @ e), rtol=1e-9)
    for solver in precision.SOLVERS:
        assert worker.direction(solver, 1e-3, tmp_path / "direction.npz") == {"code": 0}
        with np.load(tmp_path / "direction.npz") as data:
            assert 0 < precision.errors(data["direction"], right, rows)["direction"] < 1e-4
    assert precision.errors(1.5 * right, right, rows) == pytest.approx({"direction": 0.5, "change": 0.5})
