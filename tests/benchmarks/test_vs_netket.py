# SPDX-License-Identifier: Apache-2.0
"""The benchmark against NetKet: which problems are compared, and with which ansatz."""

import itertools
import json

import numpy as np
import pytest

from manybody import ansatz
from tests.benchmarks.scripts import BENCHMARKS, WORKERS, load


@pytest.fixture(scope="module")
def vs_netket():
    return load(BENCHMARKS / "vs_netket.py")


CHAINS = ["--sites", "4", "6", "--alpha", "2", "3"]


@pytest.mark.parametrize(
    ("words", "problems"),
    [
        (CHAINS, [(4, 2), (6, 3), (128, None)]),
        ([*CHAINS, "--jastrow", "5", "7"], [(4, 2), (6, 3), (5, None), (7, None)]),
        ([*CHAINS, "--jastrow"], [(4, 2), (6, 3)]),
        (["--sites", "--alpha", "--jastrow", "5"], [(5, None)]),
    ],
)
def test_problems_are_those_asked_for(vs_netket, monkeypatch, capsys, words, problems):
    compared = []

    def compare(ways, draw, bounds, args):
        compared.append([options for _, _, options in ways.values()])
        return {}

    monkeypatch.setattr(vs_netket.optimisations, "compare", compare)
    monkeypatch.setattr(vs_netket.optimisations, "show", lambda case: None)
    monkeypatch.setattr("sys.argv", ["vs_netket.py", "--netket-python", "python", *words])
    vs_netket.main()
    found = [(case["sites"], case["alpha"], case["precision"]) for case in json.loads(capsys.readouterr().out)["cases"]]
    assert found == [(*one, precision) for one, precision in itertools.product(problems, ("f32", "f64"))]
    assert [[(x["sites"], x["alpha"], x["precision"]) for x in each] for each in compared] == [[x] * 3 for x in found]


@pytest.mark.parametrize("alpha", [1, None])
def test_ansatz_and_its_parameters(vs_netket, tmp_path, alpha):
    optimisation = load(WORKERS / "manybody_tfim.py").ising(sites=4, alpha=alpha, samples=8, precision="f64")
    kind = ansatz.Jastrow if alpha is None else ansatz.RBM
    assert type(optimisation.state.network.module) is kind
    optimisation.parameters(tmp_path / "start.npz")
    with np.load(tmp_path / "start.npz") as start:
        drawn = vs_netket.draw_params(start)
        assert set(drawn) == ({"couplings.kernel"} if alpha is None else {"hidden.kernel", "hidden.bias"})
        assert all(x.shape == start[name].shape and np.ptp(x) > 0 for name, x in drawn.items())
