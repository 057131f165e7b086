# SPDX-License-Identifier: Apache-2.0
"""The benchmark of kernels: that its forms are the forms it says, and what it makes of their times."""

import collections

import jax
import numpy as np
import pytest

from manybody import ansatz
from manybody._precision import count_real
from manybody.network import as_network
from tests.benchmarks.scripts import BENCHMARKS, WORKERS, load


@pytest.fixture(scope="module")
def benchmark_kernel():
    return load(BENCHMARKS / "kernel.py")


@pytest.fixture(scope="module")
def networks():
    return load(WORKERS / "kernel_networks.py")


@pytest.mark.slow
def test_forms_have_the_layers_they_say_and_the_same_kernel(benchmark_kernel, tmp_path):
    worker = load(WORKERS / "manybody_kernel.py").Kernels(samples=12, precision="f64", chunk_size=None)
    prepared = worker.prepare("PurifiedDensity", list(benchmark_kernel.FORMS))
    layers = {form: about["layers"] for form, about in prepared["forms"].items()}
    assert layers["contracted"] == layers["jacobian"] == []
    assert layers["chosen"] == ["network/layers_0", "network/layers_2", "ancillas"]
    assert set(layers["structured"]) == {*layers["chosen"], "pure"}
    assert (prepared["n_params"], prepared["n_rows"]) == (580, 24)
    made = count_calls(worker.programs)
    for form in benchmark_kernel.FORMS:
        worker.make(form)
    worker.make("chosen", times=3)
    assert made == {"chosen": 4, "contracted": 1, "structured": 1, "jacobian": 1}
    worker.check(tmp_path / "kernels.npz")
    with np.load(tmp_path / "kernels.npz") as every:
        assert {x.shape for x in every.values()} == {(24, 24)}
        found = benchmark_kernel.check("RBM", dict(every), 1e-12)
    assert set(found) == {"contracted", "structured", "jacobian"}


def count_calls(programs):
    """A counter of how often each of the programs, which it wraps, is run from now on."""
    counts = collections.Counter()

    def counted(form, program):
        def run(*arguments):
            counts[form] += 1
            return program(*arguments)

        return run

    programs.update({form: counted(form, program) for form, program in programs.items()})
    return counts


def test_large_networks_are_large_and_every_kind_is_there(networks):
    for name in networks.LARGE:
        space, module = networks.network(name, "float64")
        sigma = jax.ShapeDtypeStruct((1, space.n_sites), np.int8)
        assert count_real(jax.eval_shape(as_network(module).init, jax.random.key(0), sigma)[0]) >= 200_000
    kinds = {type(networks.network(name, "float64")[1]).__name__ for name in networks.SMALL}
    others = {"Conditioned", "MarshallSign", "MixedPrecision"}  # many states; no parameters; no layers by structure
    assert kinds | others == {name for name in ansatz.__all__ if isinstance(getattr(ansatz, name), type)}


def test_kernels_must_agree(benchmark_kernel):
    chosen = np.diag([1.0, 4.0])
    every = {"chosen": chosen, "contracted": chosen + 4e-11}
    assert benchmark_kernel.check("net", every, 1e-10) == {"contracted": pytest.approx(1e-11)}
    for wrong in (4e-9, np.nan):
        with pytest.raises(benchmark_kernel.Disagreement, match=r"Kernels of net differ by \{'contracted'"):
            benchmark_kernel.check("net", {"chosen": chosen, "contracted": chosen + wrong}, 1e-10)


def test_a_wrong_choice_is_named(benchmark_kernel):
    def replies(*wall):
        return [{"wall_s": x, "cpu_s": x} for x in wall]

    forms = {
        "chosen": {"layers": ["a"], "work_space_mb": 2.0},
        "contracted": {"layers": [], "work_space_mb": 8.0},
        "structured": {"layers": ["a"], "work_space_mb": 2.0},
        "jacobian": {"layers": [], "work_space_mb": 1.0},
    }
    assert list(benchmark_kernel.distinct(forms)) == ["chosen", "contracted", "jacobian"]
    turns = {
        "chosen": replies(2.0, 3.0, 2.0),
        "contracted": replies(8.0, 6.0, 8.0),
        "jacobian": replies(1.0, 2.5, 1.0),
    }
    kept = {form: forms[form] for form in turns}
    entry = benchmark_kernel.judged(kept, turns) | {"sr_in_samples": True}
    ratios = entry["chosen_is_times"]["contracted"]
    assert (ratios["time"]["median"], ratios["work_space_mb"]) == (0.25, 0.25)
    found = benchmark_kernel.slower({"good": judged_without(entry, "jacobian"), "bad": entry})
    assert found == {"bad": {"form": "jacobian", "factor": 2.0, "sr_in_samples": True}}


@pytest.mark.parametrize(("median", "of_minima", "factor"), [(1.2, 1.06, 1.06), (1.06, 1.2, 1.06), (1.2, 1.04, None)])
def test_slower_by_both_measures(benchmark_kernel, median, of_minima, factor):
    times = {"jacobian": {"time": {"median": median, "of_minima": of_minima}}}
    found = benchmark_kernel.slower({"net": {"chosen_is_times": times, "sr_in_samples": True}})
    assert found == ({"net": {"form": "jacobian", "factor": factor, "sr_in_samples": True}} if factor else {})


def test_a_short_program_is_run_several_times(benchmark_kernel):
    class Clock:
        def call(self, method, form, times):
            assert (method, form) == ("make", "chosen")
            return {"wall_s": 0.002 * times, "cpu_s": 0.004 * times, "result": times}

    assert [benchmark_kernel.repeats(x) for x in (0.0001, 0.002, 0.5)] == [200, 10, 1]
    (reply,) = benchmark_kernel.take_turns({"chosen": Clock()}, 1, 10)["chosen"]
    assert reply == {"wall_s": pytest.approx(0.002), "cpu_s": pytest.approx(0.004), "result": 10}


def judged_without(entry, form):
    ratios = {name: found for name, found in entry["chosen_is_times"].items() if name != form}
    return entry | {"chosen_is_times": ratios}
