# SPDX-License-Identifier: Apache-2.0
"""The benchmark of a quench: our side of it, what the tools must agree on, and what is made of their curves."""

import json
import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg

import manybody as mb
from tests.benchmarks.scripts import BENCHMARKS, WORKERS, load

SPACE = mb.hilbert.Spin(4)
ISING = mb.hamiltonian.ising(SPACE, mb.lattice.chain(4), h=0.5)
X = sum(mb.operator.spin.sigmax(SPACE, i) for i in range(4)) / 4


@pytest.fixture(scope="module")
def tdvp():
    return load(BENCHMARKS / "tdvp.py")


def rbm(file):
    """Amplitudes of all states by the definition."""
    with np.load(file) as data:
        psi = np.prod(np.cosh(SPACE.all_states() @ data["kernel"] + data["bias"]), axis=1)
    return psi / np.linalg.norm(psi)


@pytest.mark.slow
def test_our_side(tdvp, tmp_path):
    args = tdvp.arguments(["--sites", "4"])
    start = tdvp.draw_start(args, tmp_path / "start.npz")
    ours = load(WORKERS / "manybody_quench.py").Quench(4, 0.5, 2, 256, 0.05, 1e-4)
    h, psi = ISING.to_dense(), rbm(start)

    np.save(tmp_path / "sigma.npy", np.tile(SPACE.all_states(), (16, 1)))
    ours.check(start, tmp_path / "sigma.npy", tmp_path / "answer.npz")
    with np.load(tmp_path / "answer.npz") as answer:
        np.testing.assert_allclose(answer["energies"][:16], h @ psi / psi, rtol=1e-12)
        np.testing.assert_allclose(np.exp(answer["log_psi"][:16] - answer["log_psi"][0]), psi / psi[0], rtol=1e-12)

    ours.exact(start, [0.0, 0.2], tmp_path / "states.npy")
    later = scipy.linalg.expm(-0.2j * h) @ psi
    ours.begin(start, 1)
    assert ours.advance(4) == {"t": pytest.approx(0.2)}
    ours.save(tmp_path / "end.npz")
    found, end = ours.measure(tmp_path / "end.npz", tmp_path / "states.npy", 1), rbm(tmp_path / "end.npz")
    assert found["exact_x"] == pytest.approx(np.vdot(later, X.to_dense() @ later).real)
    assert found["exact_energy"] == pytest.approx(np.vdot(psi, h @ psi).real)
    assert found["x"] == pytest.approx(np.vdot(end, X.to_dense() @ end).real)
    assert found["energy"] == pytest.approx(np.vdot(end, h @ end).real)
    assert found["infidelity"] == pytest.approx(1 - abs(np.vdot(later, end)) ** 2, abs=1e-12)
    # It has followed: much nearer to where the state went than to where it was.
    assert found["infidelity"] < 1e-3 * (1 - abs(np.vdot(psi, later)) ** 2)

    ours.begin(start, 1)
    ours.save(tmp_path / "again.npz")
    np.testing.assert_allclose(rbm(tmp_path / "again.npz"), psi)
    assert ours.advance(1)["t"] == pytest.approx(0.05)
    assert ours.about()["n_traces"] == 1


class Fake:
    """A worker whose answers are known; `clock` counts the calls of all."""

    def __init__(self, clock, log_psi=(1.0, 2.0), energies=(3.0, 4.0)):
        self.answer = {"log_psi": np.asarray(log_psi), "energies": np.asarray(energies)}
        self.clock, self.calls, self.t = clock, [], 0

    def call(self, method, **arguments):
        self.calls.append(method)
        return {"result": getattr(self, method)(**arguments), "wall_s": 1.0, "cpu_s": 1.0}

    def check(self, file, sigma, out):
        assert np.load(sigma).shape == (8, 4)
        np.savez(out, **self.answer)

    def begin(self, file, seed):
        self.t = 0

    def advance(self, steps):
        self.t += steps
        self.clock.append(self)
        return {"t": 0.1 * self.t}

    def save(self, out):
        np.savez(out, t=self.t)

    def exact(self, file, times, out):
        np.save(out, np.asarray(times))

    def measure(self, file, states, number):
        assert np.load(states)[number] == pytest.approx(0.1 * np.load(file)["t"])
        return {"x": 1.0, "exact_x": 0.9, "energy": 2.0, "exact_energy": 2.0, "infidelity": 0.3}


@pytest.mark.parametrize(
    ("log_psi", "energies"),
    [([1.0, 2.0 + 1e-9], [3.0, 4.0]), ([1.0, 2.0], [3.0, 4.0 + 1e-9]), ([1.0, np.nan], [3.0, 4.0])],
)
def test_tools_must_agree(tdvp, tmp_path, log_psi, energies):
    ours, options = Fake([]), {"samples": 8, "sites": 4}
    other_norm = Fake([], [11.0, 12.0 - 2j * np.pi])
    found = tdvp.check({"manybody": ours, "netket": other_norm}, "start", options, tmp_path)
    assert found["netket"] == {"ratios": pytest.approx(0, abs=1e-14), "energies": 0.0}
    with pytest.raises(tdvp.Disagreement, match="do not compute the same"):
        tdvp.check({"manybody": ours, "jvmc": Fake([], log_psi, energies)}, "start", options, tmp_path)


def test_turns_alternate_and_each_evolution_begins_anew(tdvp, tmp_path):
    clock, args = [], tdvp.arguments(["--dt", "0.1", "--steps", "2", "--turns", "3", "--repeats", "2"])
    workers = {"manybody": Fake(clock), "netket": Fake(clock)}
    replies, curves = tdvp.evolve(workers, "start", args, tmp_path)
    assert clock == [*workers.values()] * 7  # one turn each that does not count, then 2 x 3
    for name, worker in workers.items():
        assert worker.calls.count("begin") == 3
        assert len(replies[name]) == 6
        assert [[point["t"] for point in curve] for curve in curves[name]] == [[0.2, 0.4, pytest.approx(0.6)]] * 2


def test_all_must_be_at_the_same_time(tdvp, tmp_path):
    class Late(Fake):
        def advance(self, steps):
            return super().advance(steps + 1)

    args = tdvp.arguments(["--dt", "0.1", "--steps", "2", "--turns", "1", "--repeats", "1"])
    with pytest.raises(tdvp.Disagreement, match=r"netket is at the time 0\.3"):
        tdvp.evolve({"manybody": Fake([]), "netket": Late([])}, "start", args, tmp_path)


def test_errors(tdvp):
    def point(x, energy, infidelity):
        return {"x": x, "exact_x": 0.5, "energy": energy, "exact_energy": -1.0, "infidelity": infidelity}

    curves = [[point(0.9, 0.0, 0.0), point(0.8, -1.3, 0.1)], [point(0.5, 0.0, 0.0), point(0.1, -0.6, 0.3)]]
    found = tdvp.errors(curves)
    assert found["error_of_x_at_the_end"] == pytest.approx(np.sqrt((0.3**2 + 0.4**2) / 2))
    assert found["largest_error_of_x"] == pytest.approx(0.4)
    assert found["energy_drift"] == pytest.approx(np.sqrt((0.3**2 + 0.4**2) / 2))
    assert found["infidelity_at_the_end"] == pytest.approx(0.2)


@pytest.mark.slow
def test_a_report(tmp_path):
    """The whole script, with our side alone."""
    words = "--sites 4 --alpha 1 --samples 32 --steps 2 --turns 2 --repeats 1 --cutoff 1e-6".split()
    command = [sys.executable, str(BENCHMARKS / "tdvp.py"), *words, "--out", str(tmp_path / "report.json")]
    subprocess.run(command, check=True, capture_output=True)
    report = json.loads((tmp_path / "report.json").read_text())
    tool = report["tools"]["manybody"]
    assert len(tool["times_s"]) == 2
    assert tool["wall_per_unit_of_time_s"] == pytest.approx(tool["median_s"] / 0.02)
    assert tool["error_of_x_at_the_end"] < 1e-2
    assert report["checks"] == report["manybody_is_faster_by"] == {}
