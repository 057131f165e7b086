# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of exact ground states, of all states and of a sector: our sides, and what the tools must agree on."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.benchmarks.scripts import BENCHMARKS, WORKERS, load

FAKE = Path(__file__).with_name("fake_chain.py")
SITES = 8


@pytest.fixture(scope="module")
def ground_states():
    return load(BENCHMARKS / "ground_states.py")


@pytest.fixture(scope="module")
def states():
    """All bit strings without magnetisation."""
    strings = np.arange(2**SITES)[:, None] >> np.arange(SITES) & 1
    return strings[strings.sum(axis=1) == SITES // 2]


@pytest.fixture(scope="module")
def heisenberg(states):
    """The matrix of the chain in these states."""
    matrix, index = np.zeros((len(states),) * 2), {state.tobytes(): k for k, state in enumerate(states)}
    for k, state in enumerate(states):
        for i in range(SITES):
            j = (i + 1) % SITES
            matrix[k, k] += 1 / 4 if state[i] == state[j] else -1 / 4
            if state[i] != state[j]:
                flipped = state.copy()
                flipped[[i, j]] = state[[j, i]]
                matrix[index[flipped.tobytes()], k] += 1 / 2
    return matrix


@pytest.fixture(scope="module")
def orbit_sums(states):
    """What is even under translation, reflection and inversion: an orthonormal basis, as columns."""
    index = {state.tobytes(): k for k, state in enumerate(states)}
    projector = np.zeros((len(states),) * 2)
    for k, state in enumerate(states):
        for reflected in (state, state[::-1]):
            for inverted in (reflected, 1 - reflected):
                for shift in range(SITES):
                    projector[index[np.roll(inverted, shift).tobytes()], k] += 1 / (4 * SITES)
    sums = np.unique(projector, axis=1)
    return sums / np.linalg.norm(sums, axis=0)


# --- our side --------------------------------------------------------------------------------------------------------


def has_ground_state_of(tool, matrix):
    """The tool finds the lowest eigenvalue of a matrix with its vector, and counts its elements."""
    assert tool.solve() == pytest.approx(np.linalg.eigvalsh(matrix)[0], abs=1e-12)
    about = tool.about()
    assert about["n_states"] == len(matrix)
    assert about["residual"] < 1e-10
    nonzero = np.count_nonzero(np.abs(matrix) > 1e-12)
    assert nonzero <= tool.matrix() <= nonzero + np.count_nonzero(np.abs(np.diag(matrix)) < 1e-12)
    return about


@pytest.mark.parametrize("matrix_free", [False, True])
def test_our_ground_state_is_that_of_the_matrix(heisenberg, matrix_free):
    has_ground_state_of(load(WORKERS / "manybody_exact.py").Chain(SITES, matrix_free), heisenberg)


def test_our_ground_state_in_a_sector_is_that_of_the_matrix_between_orbits(heisenberg, orbit_sums):
    matrix = orbit_sums.T @ heisenberg @ orbit_sums
    tool = load(WORKERS / "manybody_sectors.py").Chain(SITES)
    assert has_ground_state_of(tool, matrix)["n_elements"] == tool.matrix()
    assert np.linalg.eigvalsh(matrix)[0] == pytest.approx(np.linalg.eigvalsh(heisenberg)[0])


def test_group_and_representatives_are_found_anew_each_time():
    worker = load(WORKERS / "manybody_sectors.py")
    tool = worker.Chain(SITES)
    tables = (
        worker.orbits.moves,
        worker.orbits.representatives,
        worker.symmetric.action_on,
        worker.space_group.space_group,
    )
    used = []
    for _ in range(2):
        tool.matrix()
        used.append([table.cache_info() for table in tables])
    assert used[0] == used[1]
    assert all(info.misses == 1 for info in used[0])


# --- checks ----------------------------------------------------------------------------------------------------------


def test_energies_and_numbers_of_states_must_agree(ground_states):
    same = {"energy": -1.0, "n_states": 4}
    tools = {"manybody": same, "netket_jax": same, "quspin": {**same, "energy": -1.0 + 1e-12}}
    assert ground_states.check(tools) == {"netket_jax": 0.0, "quspin": pytest.approx(1e-12, rel=1e-3)}
    for wrong in ({"energy": -1.0 + 1e-9}, {"energy": float("nan")}, {"n_states": 5}):
        for name in tools:
            with pytest.raises(ground_states.Disagreement, match="do not find the same energy"):
                ground_states.check(tools | {name: {**tools[name], **wrong}})


@pytest.fixture
def fake(ground_states):
    """How a tool is run that finds what it is told."""

    def way(*, jobs=ground_states.JOBS, **options):
        return ground_states.Way(sys.executable, str(FAKE), options, jobs)

    return way


def test_tools_are_compared_in_what_they_can_do(ground_states, fake):
    ways = {"manybody": fake(energy=-1.0), "able": fake(energy=-1.0)}
    ways["unable"] = fake(energy=-1.0, has_matrix=False, jobs=("solve",))
    report = ground_states.compare(ways, rounds=3)
    assert report["differences"] == {"able": 0.0, "unable": 0.0}
    assert set(report["manybody_is_better_by"]) == {"able", "unable"}
    for name, way in ways.items():
        tool = report["tools"][name]
        assert tool["energy"] == -1.0
        assert 0 < tool["fresh_s"] < tool["since_start_s"]
        assert {job for job in ground_states.JOBS if job in tool} == set(way.jobs)
        assert len(tool["solve"]["times_s"]) == 3
    assert "matrix" in report["manybody_is_better_by"]["able"]
    assert "matrix" not in report["manybody_is_better_by"]["unable"]


def test_ours_can_be_alone(ground_states, fake):
    found = ground_states.alone(fake(energy=-1.0, n_states=7))
    assert (found["energy"], found["n_states"], found["n_cpus"] > 0) == (-1.0, 7, True)


@pytest.mark.parametrize("wrong", [{"energy": float("nan")}, {"energy": -1.0, "n_states": 5}])
def test_there_is_no_report_of_tools_that_disagree(ground_states, fake, wrong):
    with pytest.raises(ground_states.Disagreement):
        ground_states.compare({"manybody": fake(energy=-1.0), "other": fake(**wrong)}, rounds=1)


def test_each_tool_gets_the_same_chain():
    args = SimpleNamespace(python="a", netket_python="b", quspin_python="c", sites=12)
    exact, sectors = (load(BENCHMARKS / f"{name}.py").ways(args) for name in ("exact", "sectors"))
    assert set(exact) == {"manybody", "netket_jax", "netket_numba", "netket_lanczos_ed", "quspin"}
    assert set(sectors) == {"manybody", "quspin_1d", "quspin_general"}
    for name, way in [*exact.items(), *sectors.items()]:
        assert way.python == {"manybody": "a", "netket": "b", "quspin": "c"}[name.split("_")[0]]
        assert way.options["sites"] == 12
        assert (WORKERS / way.workload).is_file()
    args.netket_python = None
    assert set(load(BENCHMARKS / "exact.py").ways(args)) == {"manybody", "quspin"}
