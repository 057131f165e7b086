# SPDX-License-Identifier: Apache-2.0
"""The benchmark of accuracy: its configurations, the falling rate of the peers, and what becomes of their answers."""

import pathlib
import tomllib

import pytest

from manybody.program import GroundState, build
from manybody.program.config import load as load_config
from manybody.program.reference import exact_energy
from tests.benchmarks.scripts import BENCHMARKS, WORKERS, load


@pytest.fixture(scope="module")
def accuracy():
    return load(BENCHMARKS / "accuracy.py")


def test_configurations(accuracy):
    """All can be built, know the energy, and say what the peers read."""
    long = sorted((BENCHMARKS / "accuracy" / "long").glob("*.toml"))
    paths = accuracy.SHIPPED + accuracy.OTHERS + long
    assert long
    assert not set(long) & set(accuracy.OTHERS)
    assert {path.stem.split("_")[0] for path in paths} == {"heisenberg", "j1j2", "ising"}
    for path in paths:
        config = load_config(path, GroundState)
        problem = build.problem(config)
        build.ansatz(config, problem)
        assert problem.lattice.n_sites == 36
        assert exact_energy(config, problem).find() < -18
        table = tomllib.loads(path.read_text())
        assert set(table["measure"]) == {"n_samples", "n_chains", "n_burn_in"}
        assert {"start", "stop"} < set(table["optimisation"]["learning_rate"])
        assert table["sampler"]["n_chains"] == table["sampler"]["n_samples"]


def test_rate_falls_with_time(monkeypatch):
    module = load(WORKERS / "timed_rate.py")
    clock = {"now": 100.0}
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock["now"])
    rate = module.TimedRate({"start": 0.05, "stop": 0.01}, 20.0)
    for seconds, wanted in ((0, 0.05), (5, 0.03 + 0.02 / 2**0.5), (10, 0.03), (20, 0.01), (30, 0.01)):
        clock["now"] = 100.0 + seconds
        assert rate() == pytest.approx(wanted)
        assert rate.is_over == (seconds >= 20)
    assert module.TimedRate({"start": 0.05, "stop": 0.01}, -1.0).is_over


class Fake:
    """A worker that needs 6 s to start, and notes what it is asked."""

    def __init__(self, name, python, workload, options, **more):
        assert workload.exists()
        self.started = {"result": {"marks_s": {"set up": 6.0}}}
        self.asked = {"options": options}
        MADE.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def call(self, method, **arguments):
        self.asked[method] = arguments
        replies = {
            "train": {"result": {"steps": 7}, "since_start_s": 31.0},
            "measure": {"result": {"energy": -9.0, "error": 0.1, "variance": 0.81}},
        }
        return replies[method]


MADE: list[Fake] = []


def test_a_peer_gets_our_time(accuracy, monkeypatch):
    monkeypatch.setattr(accuracy.harness, "Worker", Fake)
    config = {"lattice": {"lx": 3}, "measure": {"n_samples": 64}}
    args = accuracy.argparse.Namespace(platform="cpu")
    entry = accuracy.theirs("netket", "python", config, {"seconds": 30.0, "exact_energy": -10.0}, args)
    assert MADE[-1].asked == {"options": {"config": config}, "train": {"seconds": 24.0}, "measure": {"n_samples": 64}}
    assert (entry["seconds"], entry["steps"]) == (31.0, 7)
    assert entry["relative_error"] == pytest.approx(0.1)
    assert entry["v_score"] == pytest.approx(0.09)


def test_options_reach_the_program(accuracy, monkeypatch, tmp_path):
    calls = []

    def run(command, env, **options):
        calls.append((command, env["JAX_PLATFORMS"]))
        pathlib.Path(command[-3 if "--steps" in command else -1], "result.json").write_text('{"steps": 3}')
        return accuracy.argparse.Namespace(returncode=0)

    monkeypatch.setattr(accuracy.subprocess, "run", run)
    for words, steps in (([], []), (["--steps", "3", "--platform", "gpu"], ["--steps", "3"])):
        monkeypatch.setattr(accuracy.sys, "argv", ["accuracy.py", "--python", "some/python", *words])
        assert accuracy.ours(tmp_path / "a.toml", accuracy.arguments())["steps"] == 3
        command, platform = calls.pop()
        assert command[:5] == ["some/python", "-m", "manybody.program.cli", "ground-state", str(tmp_path / "a.toml")]
        assert command[7:] == steps
        assert platform == ("gpu" if words else "cpu")
