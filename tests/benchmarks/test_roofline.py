# SPDX-License-Identifier: Apache-2.0
"""What is counted for the roofline, against numbers found by hand, and the bounds made of it."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from manybody import _compile
from tests.benchmarks.scripts import BENCHMARKS, load


@pytest.fixture(scope="module")
def roofline():
    return load(BENCHMARKS / "roofline.py")


def test_products_and_what_is_done_on_the_way(roofline):
    x, y = jnp.ones((3, 4)), jnp.ones((4, 5))
    assert roofline.counted(lambda: jnp.tanh(x @ y), ()) == (0, 2 * 3 * 4 * 5 + 15, 8 * (12 + 20 + 15))
    x, y = x.astype(jnp.complex64), y.astype(jnp.complex64)
    assert roofline.counted(lambda: (x @ y).real.astype(float) + 1, ()) == (8 * 3 * 4 * 5, 15, 8 * (12 + 20 + 15))


def test_loops_of_unknown_length_and_what_goes_round(roofline):
    @jax.jit
    def run(n):
        return jax.lax.fori_loop(0, n, lambda i, x: x * 2.0, jnp.ones(10, jnp.float32))

    single, double, traffic = roofline.counted(lambda: run(jnp.int32(3)), trips=(7,))
    assert (single, double) == (7 * 10, 0)
    assert traffic == 2 * 7 * (40 + 4)  # the numbers and the integer that counts, not how far


def test_what_a_loop_keeps_is_not_moved_and_what_it_makes_is_written_once(roofline):
    def turn(carry, given):
        kept, changed = carry
        return (kept, changed + given), kept * changed

    start, every = (jnp.ones(10), jnp.ones(10)), jnp.ones((6, 10))
    assert roofline.counted(lambda: jax.lax.scan(turn, start, every), ()).bytes == 6 * 80 * (2 + 1 + 1)


def test_changes_in_place_write_what_is_new(roofline):
    table, row = jnp.ones((1000, 6)), jnp.ones((1, 6))
    changed = roofline.counted(lambda: jax.lax.dynamic_update_slice(table, row, (jnp.int32(3), jnp.int32(0))), ())
    added = roofline.counted(lambda: table.at[jnp.arange(5)].add(jnp.ones((5, 6)), mode="promise_in_bounds"), ())
    assert (changed.bytes, added.bytes) == (8 * 6, 8 * 30)


def test_peaks_are_the_best_of_several_processes(roofline, monkeypatch):
    found = iter([{"a": 1.0, "b": 5.0}, {"a": 3.0, "b": 4.0}, {"a": 2.0, "b": 4.5}])

    def run(command, **_):
        assert command[-3:] == ["--peaks-only", "--rounds", "2"]
        return SimpleNamespace(stdout=json.dumps(next(found)))

    monkeypatch.setattr(roofline.subprocess, "run", run)
    assert roofline.best_peaks(2) == {"a": 3.0, "b": 5.0}


def test_a_process_that_finds_peaks_measures_nothing_else(roofline, monkeypatch, capsys):
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr(roofline, "peaks", lambda rounds: {"rounds": rounds})
    monkeypatch.setattr("sys.argv", ["roofline.py", "--peaks-only", "--rounds", "2"])
    roofline.main()
    assert json.loads(capsys.readouterr().out) == {"rounds": 2}


def test_loops_in_loops(roofline):
    """Each depth has a number of its own; what is deeper counts once."""

    def nested(depth, n, x):
        return x * 2.0 if depth == 0 else jax.lax.fori_loop(0, n, lambda i, y: nested(depth - 1, n, y), x)

    run = jax.jit(lambda n: nested(3, n, jnp.ones(10)))
    assert roofline.counted(lambda: run(jnp.int32(3)), trips=(0.5, 4)).f64 == 0.5 * 4 * 10


def test_gathers_read_what_they_return_and_solvers_are_cubic(roofline):
    table, rows = jnp.ones((1000, 6)), jnp.arange(5)
    assert roofline.counted(lambda: table.at[rows].get(mode="promise_in_bounds"), ()).bytes == 8 * 30
    matrix, right = jnp.eye(6), jnp.ones((6, 1))
    assert roofline.counted(lambda: jax.lax.linalg.cholesky(matrix, symmetrize_input=False), ()) == (0, 72, 8 * 72)
    solved = roofline.counted(lambda: jax.lax.linalg.triangular_solve(matrix, right, left_side=True), ())
    assert solved == (0, 36, 8 * (36 + 6 + 6))


@pytest.mark.parametrize(("traffic", "bound", "by"), [(2e9, 0.5, "operations"), (1e10, 1.0, "memory")])
def test_bounds(roofline, traffic, bound, by):
    peaks = {"f32_gflops": 100.0, "f64_gflops": 50.0, "cache_gb_s": 10.0}
    found = roofline.judged(2.0, roofline.Count(20e9, 15e9, traffic), peaks)
    assert (found["bound_s"], found["bound_by"], found["fraction"]) == (bound, by, bound / 2)
    assert found["gflops"] == 17.5
    step = roofline.together(8.0, {"kernel": found, "solve": found})
    assert (step["bound_s"], step["fraction"], step["operations"]) == (2 * bound, bound / 4, 70e9)


# --- which problems ---------------------------------------------------------------------------------------------------

ASKED = ["resnet, 6 x 6, f32", "N = 20, alpha = 1, f64"]


def test_problems_of_the_roofline(roofline, monkeypatch, capsys):
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr(roofline, "best_peaks", lambda rounds: {"memory": float(rounds)})
    monkeypatch.setattr(roofline, "measure", lambda name, peaks, rounds: {"seen": [name, peaks["memory"], rounds]})
    monkeypatch.setattr(roofline, "show", lambda case: None)
    monkeypatch.setattr("sys.argv", ["roofline.py", "--problems", *ASKED, "--rounds", "3"])
    roofline.main()
    cases = json.loads(capsys.readouterr().out)["cases"]
    assert [(case["problem"], case["seen"]) for case in cases] == [(name, [name, 3.0, 3]) for name in ASKED]
    check_options()


def check_options():
    """Phases are compiled as a step is: it leaves to the environment what that says."""
    assert _compile.often() == {}


def test_problems_of_the_profile(monkeypatch, capsys):
    monkeypatch.setenv("XLA_FLAGS", "")
    profile = load(BENCHMARKS / "profile_step.py")
    monkeypatch.setattr(profile, "PROBLEMS", {name: lambda name=name: name for name in profile.PROBLEMS})
    monkeypatch.setattr(profile, "build", lambda problem: problem)
    monkeypatch.setattr(profile, "profile", lambda phases, rounds: {"seen": [phases, rounds]})
    monkeypatch.setattr(profile, "show", lambda case: None)
    monkeypatch.setattr("sys.argv", ["profile_step.py", "--problems", *ASKED, "--rounds", "3"])
    profile.main()
    cases = json.loads(capsys.readouterr().out)["cases"]
    assert [(case["problem"], case["phases"]["seen"]) for case in cases] == [(name, [name, 3]) for name in ASKED]
    check_options()
