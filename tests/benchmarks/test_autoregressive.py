# SPDX-License-Identifier: Apache-2.0
"""The benchmark of autoregressive networks: our side of it, and what the tools must agree on."""

import numpy as np
import pytest

import manybody as mb
from tests.benchmarks.scripts import BENCHMARKS, WORKERS, load


@pytest.fixture(scope="module")
def autoregressive():
    return load(BENCHMARKS / "autoregressive.py")


def test_our_energies_are_those_of_the_matrix(tmp_path):
    made = load(WORKERS / "manybody_autoregressive.py").Network(4, 6, 3, 2, tmp_path / "problem.npz")
    first = made.fixed.samples.flat_sigma
    made.both()
    made.check(tmp_path / "answer.npz")
    space = mb.hilbert.Spin(4)
    operator = mb.hamiltonian.ising(space, mb.lattice.chain(4)).to_dense()
    psi = np.exp(np.asarray(made.fixed.log_psi(space.all_states())))
    index = space.states_to_index(np.asarray(first))
    with np.load(tmp_path / "answer.npz") as answer, np.load(tmp_path / "problem.npz") as problem:
        np.testing.assert_array_equal(problem["sigma"], first)
        np.testing.assert_allclose(answer["log_psi"], np.log(psi)[index], rtol=1e-12)
        np.testing.assert_allclose(answer["energies"], (operator @ psi / psi)[index], rtol=1e-12)
    assert np.any(made.state.samples.flat_sigma != first)


class Fake:
    """A worker whose check finds what it is told."""

    def __init__(self, log_psi, energies):
        self.result = {"log_psi": np.asarray(log_psi), "energies": np.asarray(energies)}

    def call(self, method, out):
        assert method == "check"
        np.savez(out, **self.result)


@pytest.mark.parametrize(
    ("log_psi", "energies"),
    [([1.0, 2.0 + 1e-9], [3.0, 4.0]), ([1.0, 2.0], [3.0, 4.0 + 1e-9]), ([1.0, np.nan], [3.0, 4.0])],
)
def test_tools_must_agree(autoregressive, tmp_path, log_psi, energies):
    ours = Fake([1.0, 2.0], [3.0, 4.0])
    same = autoregressive.check({"manybody": ours, "netket": ours}, tmp_path)
    assert same == {"log_psi": 0.0, "energies": 0.0}
    with pytest.raises(autoregressive.Disagreement, match="do not compute the same"):
        autoregressive.check({"manybody": ours, "netket": Fake(log_psi, energies)}, tmp_path)
