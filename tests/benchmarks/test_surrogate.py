# SPDX-License-Identifier: Apache-2.0
"""The benchmark of surrogates: what it samples is psi, and what it counts are exchanges."""

import numpy as np
import pytest

from tests.benchmarks.scripts import BENCHMARKS, WORKERS, load


@pytest.fixture(scope="module")
def worker():
    return load(WORKERS / "manybody_surrogate.py")


@pytest.mark.slow
def test_both_ways_sample_the_same_state(worker, tmp_path):
    """Energies against that of all amplitudes, within 5 sigma; without a surrogate an accepted move is an exchange."""
    problem = {"extent": 4, "features": 2, "chains": 16, "folder": tmp_path}
    prepared = worker.Preparation(**problem).prepare(steps=4, fit_steps=4, samples=64)
    assert 0 < prepared["infidelity"] < 1
    for n_steps in (0, 8):
        way = worker.Way(n_steps, 20, **problem)
        way.draw()
        way.draw()
        found = way.energy()
        psi = way.state.to_array()
        exact = np.real(psi.conj() @ (way.problem.hamiltonian.to_sparse() @ psi))
        assert found["n_samples"] == 640
        assert abs(found["mean"] - exact) < 5 * found["error"] < 0.2 * abs(exact)
        changes = way.changes(40)
        if n_steps:
            assert 0.5 < changes * found["rates"]["evaluations_per_move"] < 8
        else:
            assert changes == pytest.approx(found["rates"]["acceptance"], rel=0.2)


def test_energies_must_agree():
    benchmark = load(BENCHMARKS / "surrogate.py")
    plain = {"mean": -24.0, "error": 0.03}
    benchmark.check({"none": plain, "4 steps": {"mean": -24.19, "error": 0.04}})
    for mean in (-24.21, -23.79, np.nan):
        with pytest.raises(benchmark.Disagreement, match="The energy with 4 steps is"):
            benchmark.check({"none": plain, "4 steps": {"mean": mean, "error": 0.04}})
