# SPDX-License-Identifier: Apache-2.0
"""What tools must agree on before steps of the same optimisation are timed."""

import numpy as np
import pytest

from tests.benchmarks.scripts import BENCHMARKS, WORKERS, load

BOUNDS = {"values": 1e-10, "update": 1e-10}


@pytest.fixture(scope="module")
def optimisations():
    return load(BENCHMARKS / "optimisations.py")


@pytest.fixture(scope="module")
def names():
    return load(WORKERS / "names.py")


class Fake:
    """A tool whose numbers are functions of what it is given, times what is wrong with them."""

    def __init__(self, **wrong):
        self.wrong = wrong
        self.loaded = None

    def call(self, method, **arguments):
        getattr(self, method)(**arguments)

    def parameters(self, out):
        np.savez(out, a=np.zeros(3), b=np.zeros((2, 2)))

    def load(self, file):
        self.loaded = self._read(file)

    def evaluate(self, file, out):
        given = self._read(file)
        np.savez(out, **{name: self.wrong.get(name, 1.0) * x for name, x in self._found(given).items()})

    def step_from(self, file, out):
        given = self._read(file) | {"sigma": np.arange(12.0).reshape(4, 3)}
        found = self._found(given)
        made = {name: given[name] - self.wrong.get("step", 1.0) * found[name] for name in ("a", "b")}
        energy = self.wrong.get("energy", 1.0) * found["values"].mean()
        np.savez(out, sigma=given["sigma"], energy=energy, **made)

    def _found(self, given):
        values = given["sigma"] @ given["a"]
        return {
            "values": values,
            "log_psi": np.cos(values),
            "a": given["a"] ** 2,
            "b": given["b"] + given["sigma"][0, 1],
        }

    def _read(self, file):
        with np.load(file) as data:
            return dict(data)


def draw(start):
    return {name: x + np.arange(1.0, x.size + 1).reshape(x.shape) for name, x in start.items()}


def test_tools_that_agree_go_on_from_the_same_parameters(optimisations, tmp_path):
    workers = {"manybody": Fake(), "other": Fake(), "third": Fake()}
    found = optimisations.check(workers, draw, BOUNDS, tmp_path)
    assert set(found) == {"other", "third"}
    assert all(entry["difference"] < 1e-14 for entry in found["other"].values())
    for worker in workers.values():
        np.testing.assert_array_equal(worker.loaded["a"], [1.0, 2.0, 3.0])
        np.testing.assert_array_equal(worker.loaded["b"], [[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize("factor", [1 + 1e-8, np.nan])
@pytest.mark.parametrize(
    ("what", "reported"),
    [("log_psi", "log_psi"), ("values", "local_energies"), ("a", "update"), ("b", "update")],
)
@pytest.mark.parametrize("tool", ["manybody", "other"])
def test_a_tool_that_computes_something_else_is_named(optimisations, tmp_path, tool, what, reported, factor):
    workers = {"manybody": Fake(), "other": Fake(), "third": Fake()} | {tool: Fake(**{what: factor})}
    with pytest.raises(optimisations.Disagreement, match=rf"'other'.*{reported}") as caught:
        optimisations.check(workers, draw, BOUNDS, tmp_path)
    assert ("'third'" in str(caught.value)) == (tool == "manybody")


@pytest.mark.parametrize(("what", "reported"), [("step", "step_of_driver"), ("energy", "energy_of_driver")])
def test_our_driver_must_make_the_step_that_all_agree_on(optimisations, tmp_path, what, reported):
    workers = {"manybody": Fake(**{what: 1 + 1e-8}), "other": Fake()}
    with pytest.raises(optimisations.Disagreement, match=reported):
        optimisations.check(workers, draw, BOUNDS, tmp_path)


def test_advantages_are_ours_over_theirs(optimisations):
    def replies(*wall):
        return [{"wall_s": x, "cpu_s": 2 * x} for x in wall]

    tools = {
        "manybody": {"time_to_first_step_s": 2.0, "peak_rss_mb": 100.0},
        "other": {"time_to_first_step_s": 3.0, "peak_rss_mb": 400.0},
    }
    turns = {"step": {"manybody": replies(1.0, 2.0, 1.0), "other": replies(3.0, 3.0, 4.0)}}
    found = optimisations.advantages(tools, turns)
    assert set(found) == {"other"}
    assert (found["other"]["time_to_first_step"], found["other"]["peak_rss"]) == (1.5, 4.0)
    assert found["other"]["step"]["median"] == 3.0
    assert found["other"]["step"]["lowest"] == 1.5


def test_trees_have_their_arrays_by_names(names, tmp_path):
    tree = {"layer": {"kernel": np.ones((2, 3), np.float32), "bias": np.zeros(3)}, "scale.all": np.full(1, 7.0)}
    found = names.named(tree)
    assert set(found) == {"layer.kernel", "layer.bias", "scale.all"}
    np.savez(tmp_path / "file.npz", sigma=np.eye(2), **found)
    arrays, sigma = names.given(tmp_path / "file.npz")
    np.testing.assert_array_equal(sigma, np.eye(2))
    arrays["layer.kernel"] = arrays["layer.kernel"].astype(float) + 1
    again = names.like(tree, arrays)
    assert again["layer"]["kernel"].dtype == np.float32
    np.testing.assert_array_equal(again["layer"]["kernel"], 2.0)
    assert again["scale.all"].item() == 7.0
