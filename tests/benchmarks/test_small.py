# SPDX-License-Identifier: Apache-2.0
"""The benchmark of small problems: several draws of a chain in a step, several steps in a call."""

import json

import numpy as np
import pytest

from tests.benchmarks.scripts import BENCHMARKS, WORKERS, load


@pytest.fixture(scope="module")
def small():
    return load(BENCHMARKS / "small.py")


@pytest.fixture(scope="module")
def optimisation():
    return load(WORKERS / "manybody_tfim.py").ising(sites=4, alpha=1, samples=12, precision="f64", chains=3)


def test_samples_of_a_step_are_those_it_was_made_from(optimisation, tmp_path):
    optimisation.parameters(tmp_path / "start.npz")
    optimisation.step_from(tmp_path / "start.npz", tmp_path / "made.npz")
    with np.load(tmp_path / "start.npz") as start, np.load(tmp_path / "made.npz") as made:
        assert made["sigma"].shape == (12, 4)
        np.savez(tmp_path / "sampled.npz", **start, sigma=made["sigma"])
        optimisation.evaluate(tmp_path / "sampled.npz", tmp_path / "found.npz")
        with np.load(tmp_path / "found.npz") as found:
            assert found["values"].mean() == pytest.approx(made["energy"], rel=1e-12)
            for name, x in start.items():
                np.testing.assert_allclose(x - found[name], made[name], atol=1e-12)


@pytest.mark.slow
def test_steps_in_a_call_are_compared_with_single_ones(optimisation, small):
    before = optimisation.driver.step
    assert optimisation.compare_calls(3, 2) < 1e-12
    assert optimisation.driver.step == before + 3

    class Worker:
        def __init__(self, difference):
            self.difference = difference

        def call(self, method, **arguments):
            assert (method, arguments) == ("compare_calls", {"n": 5, "steps_per_call": 2})
            return {"result": self.difference}

    assert small.check_calls(Worker(1e-12), 2)["difference"] == 1e-12
    for wrong in (1e-3, np.nan):
        with pytest.raises(small.optimisations.Disagreement, match="Steps in a call are not"):
            small.check_calls(Worker(wrong), 2)


def test_both_of_our_ways_are_compared(small):
    turns = {
        name: [{"wall_s": wall, "cpu_s": wall}] * 2
        for name, wall in (("manybody", 2.0), ("netket_default", 8.0), (small.FUSED, 1.0))
    }
    found = small.advantages(turns)
    assert found["manybody"]["netket_default"]["median"] == 4.0
    assert {name: ratio["median"] for name, ratio in found[small.FUSED].items()} == {
        "netket_default": 8.0,
        "manybody": 2.0,
    }


def test_every_number_of_sites_with_every_number_of_samples(small, monkeypatch, capsys):
    asked = []

    def compare(ways, args):
        assert (args.steps, args.steps_per_call, args.rounds) == (40, 20, 3)
        asked.append(ways[small.optimisations.OURS][2])
        return {"tools": {}, "better_by": {}}

    monkeypatch.setattr(small, "compare", compare)
    monkeypatch.setattr(small.harness, "use_processors", lambda n: asked.append(n))
    options = "--netket-python p --sites 4 6 --samples 8 16 --chains 4 --steps 40 --steps-per-call 20 --rounds 3"
    monkeypatch.setattr("sys.argv", ["small.py", *options.split(), "--processors", "1"])
    small.main()
    assert asked.pop(0) == 1
    wanted = [(sites, samples) for sites in (4, 6) for samples in (8, 16)]
    assert [(way["sites"], way["samples"]) for way in asked] == wanted
    assert {way["chains"] for way in asked} == {4}
    cases = json.loads(capsys.readouterr().out)["cases"]
    assert [(case["sites"], case["samples"], case["steps_per_call"]) for case in cases] == [(*w, 20) for w in wanted]
