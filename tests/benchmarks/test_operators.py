# SPDX-License-Identifier: Apache-2.0
"""The benchmark of operators: its problems, its check, and our side of it."""

import itertools

import numpy as np
import pytest

from tests.benchmarks.scripts import BENCHMARKS, WORKERS, load

SMALL = {
    "heisenberg": {"extent": 3, "samples": 5},
    "hubbard": {"extent": 2, "electrons": 3, "samples": 6},
    "molecule": {"orbitals": 4, "electrons": 2, "samples": 7},
}


@pytest.fixture(scope="module")
def operators():
    return load(BENCHMARKS / "operators.py")


class Fake:
    """A worker whose check finds what it is told."""

    def __init__(self, sums, n_connections):
        self.result = {"sums": np.asarray(sums), "n_connections": n_connections}

    def call(self, method, out):
        assert method == "check"
        np.savez(out, **self.result)


# --- problems --------------------------------------------------------------------------------------------------------


def test_edges_are_the_bonds_of_a_periodic_lattice(operators):
    edges = operators.square_edges(4)
    assert len({frozenset(edge) for edge in edges.tolist()}) == len(edges) == 32
    assert np.all(np.bincount(edges.ravel()) == 4)
    assert [0, 1] in edges.tolist()
    assert [0, 4] in edges.tolist()


def test_integrals_have_eight_symmetries(operators):
    integrals = operators.draw_integrals(np.random.default_rng(0), 3)
    assert np.array_equal(integrals["one"], integrals["one"].T)
    two = integrals["two"]
    same = [order for order in itertools.permutations(range(4)) if np.allclose(two, two.transpose(order), atol=1e-14)]
    assert len(same) == 8
    assert np.all(two != 0)


@pytest.mark.parametrize("case", SMALL)
def test_configurations_are_in_the_sector(operators, case):
    sigma = operators.draw_problem(case, **SMALL[case])["sigma"]
    assert sigma.dtype == np.int8
    assert len(sigma) == SMALL[case]["samples"]
    if case == "heisenberg":
        assert set(np.unique(sigma)) == {-1, 1}
        assert np.all(sigma.sum(axis=1) == -1)  # nine sites: half of them, rounded down, are up
    else:
        assert set(np.unique(sigma)) == {0, 1}
        for spin in np.split(sigma, 2, axis=1):
            assert np.all(spin.sum(axis=1) == SMALL[case]["electrons"])


# --- our side --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["changes", "configurations"])
@pytest.mark.parametrize("case", ["heisenberg", "hubbard", "molecule"])
def test_our_sums_are_those_of_the_matrix(operators, tmp_path, case, form):
    size = {**SMALL[case], "extent": 2} if case == "heisenberg" else SMALL[case]
    problem = operators.draw_problem(case, **size)
    np.savez(tmp_path / "problem.npz", **problem)
    tool = load(WORKERS / "manybody_operators.py").Connected(case, form, tmp_path / "problem.npz")
    tool.build(1.25)
    tool.check(tmp_path / "answer.npz")
    operator = tool.operator
    rows = operator.to_dense()[np.asarray(operator.space.states_to_index(problem["sigma"]))]
    values = np.cos(np.asarray(operator.space.all_states()) @ problem["weights"])
    with np.load(tmp_path / "answer.npz") as answer:
        np.testing.assert_allclose(answer["sums"], rows @ values, rtol=0, atol=1e-12)
        assert answer["n_connections"] == np.count_nonzero(np.abs(rows) > 1e-12)
    shapes = tool.evaluate(2)
    slots = tool.about()["n_slots"]
    assert shapes[0][:2] == [size["samples"], slots if form == "configurations" else slots - 1]
    tool.build(1.0)
    np.testing.assert_allclose(1.25 * tool.operator.to_dense(), operator.to_dense(), atol=1e-12)


# --- checks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sums", "n_connections"),
    [([1.0, 2.0 + 1e-11], 3), ([1.0, 2.0], 4), ([1.0, np.nan], 3)],
    ids=["sums", "number", "nan"],
)
@pytest.mark.parametrize("wrong", ["manybody", "manybody_written_out", "netket_numba_padded"])
def test_tools_must_agree(operators, tmp_path, wrong, sums, n_connections):
    names = ["manybody", "manybody_written_out", "netket_jax", "netket_numba_padded"]
    workers = {name: Fake([1.0, 2.0], 3) for name in names}
    found = operators.check(workers, tmp_path)
    assert found["n_connections"] == 3
    assert set(found["differences"].values()) == {0.0}
    workers[wrong] = Fake(sums, n_connections)
    with pytest.raises(operators.Disagreement, match="do not compute the same"):
        operators.check(workers, tmp_path)


def test_times_are_those_of_one_batch(operators):
    reply = {"result": 4, "wall_s": 1.0, "cpu_s": 2.0, "peak_rss_mb": 7}
    assert operators.per_batch(reply) == {"result": 4, "wall_s": 0.25, "cpu_s": 0.5, "peak_rss_mb": 7}
