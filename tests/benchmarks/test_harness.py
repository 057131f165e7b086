# SPDX-License-Identifier: Apache-2.0
"""The harness of the benchmarks, with a workload that only sleeps."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.benchmarks.scripts import BENCHMARKS, load

FAKE = Path(__file__).with_name("fake_tool.py")


@pytest.fixture(scope="module")
def harness():
    return load(BENCHMARKS / "harness.py")


@pytest.fixture
def start(harness):
    """Start workers that sleep so long in every step; they are closed in the end."""
    workers = []

    def make(duration=0.0, **more):
        options = {k: more.pop(k) for k in ("refuse",) if k in more}
        workers.append(harness.Worker("fake", sys.executable, FAKE, {"duration": duration, **options}, **more))
        return workers[-1]

    yield make
    for worker in workers:
        worker.close()


def test_a_call_has_its_result_its_times_and_the_memory(start):
    worker = start(0.05)
    reply = worker.call("step")
    assert reply["result"] == {"n_steps": 1}
    assert 0.05 <= reply["wall_s"] < reply["since_start_s"]
    assert reply["cpu_s"] < reply["wall_s"]
    assert reply["peak_rss_mb"] > 1
    assert worker.call("add", a=2, b=3)["result"] == 5


def test_the_clock_starts_with_the_process(start):
    marks = start().started["result"]["marks_s"]
    assert 0 < marks["interpreter"] <= marks["import"] <= marks["set up"]


def test_steps_alternate_and_ratios_are_of_the_same_round(harness, start):
    workers = {"slow": start(0.08), "fast": start(0.02)}
    before = []
    replies = harness.alternate(workers, "step", 3, warm_up=2, before=lambda: before.append(None))
    assert len(before) == 10
    for name in workers:
        assert [reply["result"]["n_steps"] for reply in replies[name]] == [3, 4, 5]
        assert harness.summary(replies[name])["min_s"] >= {"slow": 0.08, "fast": 0.02}[name]
    ratio = harness.ratio(replies["slow"], replies["fast"])
    assert ratio["lowest"] <= ratio["median"] <= ratio["highest"]
    assert 1.5 < ratio["of_minima"] < 4.5


def test_there_is_a_rest_before_each_turn(harness, monkeypatch):
    done = []
    monkeypatch.setattr(harness.time, "sleep", lambda seconds: done.append(("rest", seconds)))
    harness.in_turn(done.append, {"a": "turn of a", "b": "turn of b"}, 2, warm_up=0)
    rest = ("rest", harness.REST_S)
    assert done == [rest, "turn of a", rest, "turn of b", rest, "turn of b", rest, "turn of a"]
    assert harness.REST_S > 0.12  # so long NetKet's process was seen to be busy after its answer


def test_ratio_pairs_times_of_one_round(harness):
    slow, fast = ([{"wall_s": t, "cpu_s": t**2} for t in times] for times in ([2.0, 20.0, 6.0], [1.0, 5.0, 2.0]))
    expected = {"median": 3.0, "lowest": 2.0, "highest": 4.0, "of_minima": 2.0, "of_cpu_times": 9.0}
    assert harness.ratio(slow, fast) == expected


def test_an_error_in_a_call_is_told_and_the_worker_lives_on(harness, start):
    worker = start()
    with pytest.raises(harness.WorkerError, match="this went wrong"):
        worker.call("fail")
    assert worker.call("add", a=1, b=1)["result"] == 2


def test_a_worker_that_cannot_start_says_why(harness, start):
    with pytest.raises(harness.WorkerError, match="no such workload"):
        start(refuse=True)


def test_a_worker_that_dies_is_noticed(harness, start):
    with pytest.raises(harness.WorkerError, match="died with code 3"):
        start().call("die")


def test_a_worker_that_hangs_is_killed(harness, start):
    with pytest.raises(harness.WorkerError, match=r"took more than 1\.0 s"):
        start(timeout_s=1.0).call("sleep")


def test_reports_are_json(harness, tmp_path, capsys):
    report = {"machine": harness.machine()}
    harness.write(report, tmp_path / "out" / "report.json")
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written == json.loads(capsys.readouterr().out)
    assert written["machine"]["n_cpus"] >= 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="there is no such call on this system")
def test_workers_stay_on_some_of_the_processors(harness, start):
    before = os.sched_getaffinity(0)
    try:
        harness.use_processors(1)
        assert harness.machine()["n_cpus"] == 1
        assert start().started["result"]["n_cpus"] == 1
        with pytest.raises(ValueError, match="There are 1 processors, not 2"):
            harness.use_processors(2)
    finally:
        os.sched_setaffinity(0, before)


def test_patience_ends(harness, monkeypatch):
    monkeypatch.setattr(harness, "processor_ticks", iter([(0, 0), (9, 10), (9, 20), (9, 30), (99, 40)]).__next__)
    patience = harness.Patience(1.0)
    patience(window_s=0.01)  # busy, and then idle
    assert patience.left_s == pytest.approx(0.98)
    harness.Patience(0.0)()
    impatient = harness.Patience(0.01)
    monkeypatch.setattr(harness, "processor_ticks", iter([(0, 0), (9, 10)]).__next__)
    impatient(window_s=0.01)
    assert impatient.left_s == pytest.approx(0.0)


def test_processors_have_been_busy_for_some_of_the_time(harness):
    busy, total = harness.processor_ticks()
    assert 0 <= busy <= total
