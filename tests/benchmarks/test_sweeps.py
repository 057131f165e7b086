# SPDX-License-Identifier: Apache-2.0
"""The benchmark of sweeps: the chains that it compares, and the exponents."""

import argparse

import numpy as np
import pytest

from tests.benchmarks.scripts import BENCHMARKS, WORKERS, load


@pytest.fixture(scope="module")
def sweeps():
    return load(BENCHMARKS / "sweeps.py")


@pytest.mark.slow
def test_chains_go_to_the_same_places_with_and_without_updates(sweeps, tmp_path):
    worker = load(WORKERS / "manybody_sweeps.py").Sweeps(chains=5)
    for network in (*sweeps.UPDATED, sweeps.FULL):
        worker.prepare(network, 6)
    assert worker.states["rbm", 6][0].keys() == {"hidden"}
    starts = {name: state[2].sigma for (name, _), state in worker.states.items()}
    worker.sweep("rbm", 6)
    worker.sweep(sweeps.FULL, 6)
    assert np.any(starts["rbm"] != worker.states["rbm", 6][2].sigma)
    worker.check(tmp_path / "sigma.npz")
    with np.load(tmp_path / "sigma.npz") as sigma:
        sweeps.check(sigma, argparse.Namespace(sites=[6, 9], full_sites=[6], chains=5))


def test_chains_that_are_elsewhere_are_counted(sweeps):
    args = argparse.Namespace(sites=[3, 4], full_sites=[3], chains=2)
    here, there = np.ones((2, 3)), np.array([[1, 1, 1], [1, -1, 1]])
    sweeps.check({"rbm 3": here, "rbm, full 3": here}, args)
    with pytest.raises(sweeps.Disagreement, match="With 3 sites 1 of 2 chains"):
        sweeps.check({"rbm 3": here, "rbm, full 3": there}, args)


def test_exponents(sweeps):
    rows = {
        n: {"median_s": 3e-9 * n**2, "min_s": 1e-9 * n**3, "cpu_median_s": 1e-3 * wrong}
        for n, wrong in ((10, 1.0), (100, 10.0), (1000, 1.0))
    }
    found = sweeps.growth(rows)["exponents"]
    assert found == pytest.approx({"median_s": 2.0, "min_s": 3.0, "cpu_median_s": 0.0})
    assert sweeps.growth({10: rows[10]}) == {}
