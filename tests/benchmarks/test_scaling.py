# SPDX-License-Identifier: Apache-2.0
"""The formulas of the scaling benchmark, against numbers found by hand, and how it counts messages."""

import jax
import jax.numpy as jnp
import pytest
from jax.extend.core import Primitive

from tests.benchmarks.scripts import BENCHMARKS, WORKERS, load


@pytest.fixture(scope="module")
def model():
    return load(BENCHMARKS / "scaling_model.py")


@pytest.fixture(scope="module")
def counting():
    return load(WORKERS / "scaling_messages.py")


@pytest.fixture(scope="module")
def scaling():
    return load(BENCHMARKS / "scaling.py")


@pytest.fixture
def network(model):
    speeds = {"allreduce": 100.0, "allgather": 50.0, "alltoall": 25.0}
    curves = {kind: [(0.0, 1.0), (1e4, 1.0 + 1e4 / speed)] for kind, speed in speeds.items()}
    return model.Network(curves, latency=10.0, link=20.0, ranks_per_node=4, n_small=2)


def without_messages(network):
    return network._replace(curves={kind: [(0.0, 0.0), (1.0, 0.0)] for kind in network.curves})


@pytest.fixture
def costs(model):
    return model.Costs(fixed=0.25, per_sample=0.5, per_pair=0.125, per_row=2.0, cubic=1e-3, square=1e-2)


# --- the model -------------------------------------------------------------------------------------------------------


def test_one_rank_sends_nothing(model, network):
    assert model.message_time("allgather", 1000, 1, network) == 0


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [
        ("allreduce", 1 + 2 * 100 * 3 / 4 / 100),  # three of four quarters, twice
        ("allgather", 1 + 3 * 100 / 50),
        ("alltoall", 1 + 3 * 25 / 25),
    ],
)
def test_messages_within_a_node(model, network, kind, seconds):
    assert model.message_time(kind, 100, 4, network) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [
        # Two nodes of four ranks: half of what a node needs comes over its link, after some rounds of latency.
        ("allreduce", 1 + 2 * 100 * 7 / 8 / 100 + 6 * 10 + 200 / 2 / 20),
        ("allgather", 1 + 7 * 100 / 50 + 3 * 10 + 800 / 2 / 20),
        ("alltoall", 1 + 7 * 12.5 / 25 + 7 * 10 + 4 * 100 / 2 / 20),
    ],
)
def test_messages_between_nodes(model, network, kind, seconds):
    assert model.message_time(kind, 100, 8, network) == pytest.approx(seconds)


def test_step_in_the_space_of_samples(model, network, costs):
    problem = model.Problem("samples", sites=2, hidden=3)
    terms = model.step(problem, costs, network, 2, 10)
    assert problem.n_params == 9
    assert terms["sampling"] == pytest.approx(0.25 + 5)
    assert terms["matrix"] == pytest.approx(10 * 20 * 0.125)
    assert terms["solve"] == pytest.approx(1e-3 * 20**3 + 1e-2 * 20**2)
    gathered = 8 * 10 * (1 + 2 + 3 + 1 + 20)  # residual, inputs, slopes, weights, kernel
    assert terms["messages"] == pytest.approx(2 * 1 + 5 + gathered / 50 + 2 + 8 * (20 + 9) / 100)


def test_step_in_the_space_of_parameters(model, network, costs):
    problem = model.Problem("parameters", sites=2, hidden=3)
    terms = model.step(problem, costs, network, 2, 10)
    assert terms["matrix"] == pytest.approx(20)
    assert terms["solve"] == pytest.approx(1e-3 * 9**3 + 1e-2 * 9**2)
    assert terms["messages"] == pytest.approx(2 * 1 + 2 + 8 * (9 + 81 + 9) / 100)


def test_weak_and_strong_efficiency(model, network, costs):
    free = without_messages(network)
    problem = model.Problem("parameters", sites=2, hidden=3)
    solve = 1e-3 * 9**3 + 1e-2 * 9**2
    weak = model.efficiency(problem, costs, free, 2, 10, weak=True)
    assert weak["efficiency"] == pytest.approx(1.0)
    assert weak["matrix_mb"] == pytest.approx(8 * 81 / 1e6)
    strong = model.efficiency(problem, costs, free, 4, 40, weak=False)
    assert strong["efficiency"] == pytest.approx((0.25 + 20 + 80 + solve) / 4 / (0.25 + 5 + 20 + solve))
    shared = model.efficiency(problem, costs, free, 4, 40, weak=False, shared=True)
    assert shared["efficiency"] == pytest.approx((0.25 + 20 + 80 + solve) / (4 * 0.25 + 20 + 80 + solve))


def test_what_breaks_first_is_the_largest_loss(model, network, costs):
    problem = model.Problem("samples", sites=2, hidden=3)
    rows = [model.efficiency(problem, costs, without_messages(network), ranks, 40, weak=True) for ranks in (1, 2, 4)]
    assert rows[0]["efficiency"] == pytest.approx(1.0)
    assert model.breaks_first(rows) == {"ranks": 2, "term": "solve"}  # 8 times 64 s; the matrix doubles from 200 s
    assert model.breaks_first(rows[:1]) is None


def test_fit_of_the_solve(model):
    times = {n: 3e-9 * n**3 + 2e-6 * n**2 for n in (100, 200, 400)}
    assert model.fit_solve(times) == pytest.approx((3e-9, 2e-6))
    assert model.fit_solve({n: 1e-9 * n**3 for n in (100, 200)}) == pytest.approx((1e-9, 0.0), abs=1e-12)
    steep = model.fit_solve({10: 1.0, 100: 3000.0})  # steeper than a cube
    assert steep[0] > 0
    assert steep[1] == 0


def test_messages_follow_the_measured_curve(model):
    curve = [(10.0, 1.0), (20.0, 3.0), (40.0, 4.0)]
    assert [model.copy_time(curve, n) for n in (0, 10, 15, 30, 40, 80)] == pytest.approx([1.0, 1.0, 2.0, 3.5, 4.0, 8.0])


def test_counted_messages_are_compared_with_the_formulas(model):
    problem = model.Problem("parameters", sites=2, hidden=3)
    counted = [
        {"kind": "allreduce", "bytes": 8 * 90, "count": 1},
        {"kind": "allreduce", "bytes": 8 * 9, "count": 1},
        {"kind": "allreduce", "bytes": 8, "count": 3},
    ]
    assert model.others(problem, 2, 10, counted) == (3, [])
    assert model.others(problem, 2, 10, counted[1:]) == (3, [("allreduce", 720)])


# --- messages --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def allreduce():
    """A primitive with the name of mpi4jax's, which need not be there."""
    primitive = Primitive("allreduce_mpi")
    primitive.def_abstract_eval(lambda x: x)
    return primitive.bind


def test_messages_in_loops_and_functions_are_counted(counting, allreduce):
    def f(x):
        x = allreduce(x)
        x = jax.lax.scan(lambda y, _: (jax.jit(allreduce)(y), None), x, length=5)[0]
        total = jnp.sum(allreduce(x[:2].astype(jnp.float32)))
        return jax.lax.while_loop(lambda t: t < 3, allreduce, total)

    jaxpr = jax.make_jaxpr(f)(jnp.ones(4, jnp.float64))
    assert counting.messages(jaxpr) == [
        {"kind": "allreduce", "bytes": 32, "count": 6, "is_per_iteration": False},
        {"kind": "allreduce", "bytes": 8, "count": 1, "is_per_iteration": False},
        {"kind": "allreduce", "bytes": 4, "count": 1, "is_per_iteration": True},
    ]
    assert counting.n_sites(jaxpr) == 4


def test_call_sites_in_the_compiled_text(counting):
    text = """
    %a = (f64[2]{0}, token[]) custom-call(%x, %t), custom_call_target="mpi_allreduce_ffi", api_version=x
    %b = (f64[2,2]{1,0}, token[]) custom-call(%a, %t), custom_call_target="mpi_allgather_ffi"
    %c = (f64[2,2]{1,0}, s32[]) custom-call(%b), custom_call_target="lapack_dpotrf_ffi"
    """
    assert counting.call_sites(text) == 2


def test_what_is_compiled_is_the_step_that_was_made():
    """The worker looks into the driver, whose step has no public name."""
    worker = load(WORKERS / "scaling_vmc.py")
    options = {"ansatz": "rbm", "sites": 4, "alpha": 1, "samples": 16, "method": "samples"}
    run = worker.Run(worker.mb.parallel.comm(), **options)
    assert run.memory(1)["work_space_mb"] * 2**20 >= 16 * 16 * 8  # the kernel
    assert run.messages() == {"messages": [], "call_sites": {"jaxpr": 0, "compiled": 0}}
    assert run.about()["n_traces"] == 1


# --- efficiency ------------------------------------------------------------------------------------------------------


def test_efficiencies_are_ratios_of_the_same_round(scaling):
    def replies(*wall, share=(1.0, 1.0, 1.0)):
        return [{"wall_s": w, "mean_s": w - 0.5, "cpu_s": w, "share": s} for w, s in zip(wall, share, strict=True)]

    steps = {
        "alone": replies(1.0, 1.0, 2.0),
        "side by side": replies(2.0, 1.5, 9.0),
        "whole": replies(4.0, 3.0, 8.0),
        "2 ranks": replies(2.5, 2.0, 10.0, share=(1.0, 0.99, 0.5)),
        "2 devices": replies(4.0, 3.0, 9.0),
    }
    found = scaling.judge(steps)
    assert found["n_quiet_rounds"] == 2
    assert found["2 ranks"]["weak"]["median"] == pytest.approx(0.8)  # of 0.8, 0.75, 0.9
    assert found["2 ranks"]["weak"]["median_of_quiet_rounds"] == pytest.approx(0.775)
    assert found["2 ranks"]["weak_against_the_mean"]["median"] == pytest.approx(0.6)  # of 0.6, 0.5, 0.85
    assert found["2 ranks"]["weak_against_alone"]["median"] == pytest.approx(0.4)  # of 0.4, 0.5, 0.2
    assert found["2 ranks"]["strong"]["median"] == pytest.approx(0.75)  # of 0.8, 0.75, 0.4
    assert found["slow_down_side_by_side"]["median"] == pytest.approx(1.5)  # of 1.5, 1.0, 4.25
    assert found["2 ranks"]["strong_side_by_side"]["median"] == pytest.approx(1.2)  # of 1.2, 0.75, 1.7


def test_side_by_side_lasts_until_both_are_done(scaling):
    class Job:
        def __init__(self, wall):
            self.wall = wall

        def call(self, method, n):
            assert (method, n) == ("steps", 2)
            return {"result": {"wall_s": self.wall, "cpu_s": 1.0, "share": 1.0 / self.wall}}

    reply = scaling.SideBySide(Job(1.0), Job(2.0)).call("steps", n=2)
    assert reply == {"wall_s": 2.0, "mean_s": 1.5, "cpu_s": 1.0, "share": 0.5}
