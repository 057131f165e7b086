# SPDX-License-Identifier: Apache-2.0
"""The benchmark of start-up: turns in processes of their own, and medians of ratios of the same round."""

import argparse
import sys

import pytest

from tests.benchmarks.scripts import BENCHMARKS, load


@pytest.fixture(scope="module")
def start():
    return load(BENCHMARKS / "start.py")


def test_another_one_begins_each_round_and_the_first_round_does_not_count(start):
    calls = []

    def turn(way):
        calls.append(way)
        return len(calls)

    found = start.harness.in_turn(turn, {"one": "a", "two": "b"}, 2)
    assert calls == ["b", "a", "a", "b", "b", "a"]
    assert found == {"one": [3, 6], "two": [4, 5]}


def test_ratios_are_of_the_same_round(start):
    turns = {
        "own": [{"import": 1.0, "x": 5.0}, {"import": 2.0, "x": 7.0}, {"import": 1.0, "x": 6.0}],
        "other": [{"import": 3.0, "x": 1.0}, {"import": 2.0, "x": 1.0}, {"import": 2.0, "x": 1.0}],
    }
    tools = start.report_of(turns, "import", {"other": ["own", "not there"], "nor this": ["own"]})["tools"]
    assert tools["own"] == {"import": 1.0, "x": 6.0, "times_s": [1.0, 2.0, 1.0]}
    assert tools["other"]["times own"] == {"median": 2.0, "lowest": 1.0, "highest": 3.0, "of_minima": 2.0}


def test_imports_are_those_of_fresh_processes(start, monkeypatch):
    monkeypatch.setattr(start, "IMPORTS", {"manybody": ["keyword"], "jax, flax, optax": ["xml.dom.minidom", "sqlite3"]})
    args = argparse.Namespace(python=sys.executable, platform="cpu", rounds=2)
    entry = start.compare_imports(args)
    times = [time for tool in entry["tools"].values() for time in tool["times_s"]]
    assert len(times) == 4
    assert entry["tools"]["manybody"]["times jax, flax, optax"]["lowest"] > 0
    assert all(0 < time < 10 for time in times)


def test_only_what_is_told_to_uses_a_cache(start, tmp_path):
    args = argparse.Namespace(python="own", netket_python="n")
    ways = start.steps_of("tfim", str(tmp_path), args)
    assert list(ways) == ["manybody", "manybody, cached", start.ALONE, "netket", "netket, cached"]
    for name, (*_, variables) in ways.items():
        assert variables["JAX_ENABLE_COMPILATION_CACHE"] == ("true" if "cached" in name else "false")
    assert ways["netket"][2] == start.PROBLEMS["tfim"] | {"on_the_fly": None}
    folders = {variables.get("JAX_COMPILATION_CACHE_DIR") for *_, variables in ways.values()}
    assert len(folders) == 3  # none, and one for each tool
    assert set(start.REFERENCES).union(*start.REFERENCES.values()) == set(ways)
    args.netket_python = None
    assert list(start.steps_of("j1j2", str(tmp_path), args)) == ["manybody", "manybody, cached", start.ALONE]


def test_a_tool_that_is_not_there_is_not_compared(start, monkeypatch):
    monkeypatch.setattr(start, "first_step", lambda *way: {"first step": 2.0 if "false" in str(way[-1]) else 1.0})
    args = argparse.Namespace(python="own", netket_python=None, platform="cpu", rounds=1)
    tools = start.compare_steps("tfim", args)["tools"]
    assert set(tools) == {"manybody", "manybody, cached", start.ALONE}
    assert not any(key.startswith("times ") for tool in tools.values() for key in tool)
    args.netket_python = "n"
    tools = start.compare_steps("tfim", args)["tools"]
    assert tools["manybody, cached"]["times netket"]["median"] == 0.5
    assert tools["manybody, cached"]["times netket, cached"]["median"] == 1.0


def test_the_least_that_a_step_takes(start):
    found = start.first_step("tfim", "cpu", sys.executable, "jax_alone.py", {}, {})
    assert 0 < found["import"] < found["first step"]
    assert found["about"]["device"] == "cpu"
    assert start.report_of({"alone": [found, found]}, "import", {})["tools"]["alone"]["device"] == "cpu"
