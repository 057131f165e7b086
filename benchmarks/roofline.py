# SPDX-License-Identifier: Apache-2.0
"""How far the phases of a VMC step are from what the machine could do: operations, bytes and times.

    python benchmarks/roofline.py --out benchmarks/out/roofline.json

Peaks are measured: products of matrices, and a stream of numbers from and to memory or caches. The phases are those of
`profile_step.py`. Operations and bytes are counted in their jaxprs. JSON goes to stdout, a table to stderr. See
README.md.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import harness
import profile_step

import jax  # isort: skip  (after profile_step, which finds the package of this checkout)
import jax.numpy as jnp

from manybody import _flops
from manybody.estimator.local import DEFAULT_CHUNK
from manybody.sampler.metropolis import MOST_AT_ONCE

PHASES = ("sampling", "local energies", "kernel", "solve", "update")
"""They make a step; "proposals" is a part of the first one."""

FACTORISATIONS = {
    "cholesky": lambda matrix, result: math.prod(matrix.shape) * matrix.shape[-1] / 3,
    "triangular_solve": lambda matrix, result: math.prod(result.shape) * matrix.shape[-1],
}

TOUCHING = ("dot_general", "conv_general_dilated", "sort", "top_k", *FACTORISATIONS)
"""What begins with these names reads its arguments from memory and writes its result."""

LOOKING_UP = ("gather", "dynamic_slice")
"""What reads as much as it returns."""

CHANGING = {"scatter": 2, "dynamic_update_slice": 1}
"""What begins with these names writes this one of its arguments. All else is taken to be done on the way."""

PROCESSES = 3
"""In which peaks are measured."""


def main():
    profile_step.compile_as_steps()
    args = arguments()
    if args.peaks_only:
        print(json.dumps(peaks(args.rounds)))
        return
    report = {"benchmark": "roofline", "arguments": sys.argv[1:], "machine": harness.machine(), "cases": []}
    report["versions"] = {"jax": jax.__version__, "python": sys.version.split()[0]}
    report |= {"device": jax.devices()[0].device_kind, "peaks": best_peaks(args.rounds)}
    harness.say("measured peaks: " + ", ".join(f"{name} {value:.1f}" for name, value in report["peaks"].items()))
    for name in args.problems:
        report["cases"].append({"problem": name, **measure(name, report["peaks"], args.rounds)})
        show(report["cases"][-1])
    harness.write(report, args.out)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = list(profile_step.PROBLEMS)
    parser.add_argument("--problems", nargs="+", choices=every, default=every, metavar="PROBLEM")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peaks-only", action="store_true", help="print what this process finds for the machine")
    parser.add_argument("--out", help="file for the report")
    return parser.parse_args()


def best_peaks(rounds):
    """The largest of each that processes of their own find: where arrays happen to lie makes a factor of two."""
    command = [sys.executable, str(Path(__file__).resolve()), "--peaks-only", "--rounds", str(rounds)]
    found = [json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout) for _ in range(PROCESSES)]
    return {name: max(each[name] for each in found) for name in found[0]}


def peaks(rounds, size=1536):
    """Operations (GF/s) of products of matrices in single and double precision; GB/s from and to memory and caches."""
    found = {}
    for name, dtype in (("f32", jnp.float32), ("f64", jnp.float64)):
        matrix = jnp.ones((size, size), dtype)
        product = jax.jit(jnp.matmul)
        times = [profile_step.seconds(lambda f=product, x=matrix: f(x, x))[0] for _ in range(rounds + 1)]
        found[f"{name}_gflops"] = 2e-9 * size**3 / min(times)
    return found | {"memory_gb_s": stream(2**25, 1, rounds), "cache_gb_s": stream(2**18, 2**7, rounds)}


def stream(length, repeats, rounds):
    """GB/s of 2 x + 1 for so many numbers in single precision, again and again in the same place."""

    def run(x):
        # Without the barrier the repetitions would be one pass.
        return jax.lax.fori_loop(0, repeats, lambda i, y: jax.lax.optimization_barrier(2 * y + 1), x)

    run, x, times = jax.jit(run, donate_argnums=0), jnp.ones(length, jnp.float32), []
    for _ in range(rounds + 2):  # a new place in memory is slow the first time
        began = time.perf_counter()
        x = jax.block_until_ready(run(x))
        times.append(time.perf_counter() - began)
    return 2e-9 * x.nbytes * repeats / min(times)


def measure(problem, peaks, rounds):
    """Times of the phases, what they count, and how far they are from the roof; and the step that they make."""
    phases = profile_step.build(profile_step.PROBLEMS[problem]())
    times, trips = profile_step.profile(phases, rounds), loops(phases)
    found = {
        name: judged(times[name]["min_s"], counted(phases.run[name], trips.get(name, ())), peaks) for name in PHASES
    }
    gap = max(found, key=lambda name: found[name]["time_s"] - found[name]["bound_s"])
    return {"phases": found, "step": together(times["step"]["min_s"], found), "largest_gap": gap}


def together(time_s, phases):
    """A step of this time, which has to do what the phases do, one after the other."""
    totals = {key: sum(phase[key] for phase in phases.values()) for key in ("operations", "bytes", "bound_s")}
    return {"time_s": time_s, **totals, "fraction": totals["bound_s"] / time_s}


def loops(phases):
    """Phase -> how often its loops of unknown length repeat, the outer one first: what the jaxpr does not say.

    Chains walk twice in a step, the second time by no sweep (`Metropolis`): the mean is half a sweep, in blocks of
    equally many steps. Connections with a matrix element are evaluated in chunks.
    """
    blocks = math.ceil(phases.sweep_size / MOST_AT_ONCE)
    return {
        "sampling": (blocks / 2, phases.sweep_size / blocks),
        "local energies": (math.ceil(phases.n_rows / DEFAULT_CHUNK),),
    }


class Count(NamedTuple):
    """Floating-point operations in single (or half) and in double precision, and bytes."""

    f32: float = 0.0
    f64: float = 0.0
    bytes: float = 0.0

    def plus(self, other, times=1):
        return Count(*(x + times * y for x, y in zip(self, other, strict=True)))


def counted(function, trips):
    """The count of a function without arguments."""
    return _counted(jax.make_jaxpr(function)().jaxpr, trips)


def _counted(jaxpr, trips):
    total = Count()
    for equation in jaxpr.eqns:
        name, inner = equation.primitive.name, _flops._inner(equation)
        if inner is None:
            total = total.plus(_own(equation))
            continue
        if name == "cond":
            total = total.plus(min(_counted(branch, trips) for branch in inner))
            continue
        repeats, deeper = equation.params.get("length", 1), trips
        if name == "while":
            repeats, deeper = (trips[0], trips[1:]) if trips else (1, ())
        for part in inner:
            total = total.plus(_counted(part, deeper), repeats)
        if name in ("while", "scan"):
            total = total.plus(Count(bytes=_going_round(inner[0], equation.params)), repeats)
    return total


def _going_round(body, params):
    """Bytes of each turn: what it changes is read and written, and what it is given and makes by itself once."""
    n_consts = params["num_consts"] if "num_consts" in params else params["body_nconsts"]
    n_carried = params.get("num_carry", len(body.outvars))
    before, after = body.invars[n_consts : n_consts + n_carried], body.outvars[:n_carried]
    changed = [new for old, new in zip(before, after, strict=True) if new is not old]
    return 2 * sizes(changed) + sizes(body.invars[n_consts + n_carried :]) + sizes(body.outvars[n_carried:])


def _own(equation):
    name, out = equation.primitive.name, equation.outvars[0].aval
    traffic = sizes((*equation.invars, *equation.outvars)) if name.startswith(TOUCHING) else 0
    if name in LOOKING_UP:
        traffic = size_of(out)
    changed = next((number for start, number in CHANGING.items() if name.startswith(start)), None)
    if changed is not None:
        traffic = size_of(equation.invars[changed].aval)
    if name in FACTORISATIONS:
        operations = FACTORISATIONS[name](equation.invars[0].aval, out)
    else:
        operations = _flops._own(equation)
    is_double = operations > 0 and jnp.finfo(out.dtype).bits == 64
    return Count(*((0, operations) if is_double else (operations, 0)), traffic)


def sizes(variables):
    return sum(size_of(x.aval) for x in variables)


def size_of(aval):
    """Bytes of an array; keys of random numbers count nothing."""
    size = getattr(getattr(aval, "dtype", None), "itemsize", 0)
    return size * math.prod(getattr(aval, "shape", ()))


def judged(time_s, count, peaks):
    """The bound that the peaks give, and the fraction of it that is reached."""
    compute = sum(1e-9 * getattr(count, precision) / peaks[f"{precision}_gflops"] for precision in ("f32", "f64"))
    memory = count.bytes / (1e9 * peaks["cache_gb_s"])  # most of what a step touches fits in there
    bound, operations = max(compute, memory), count.f32 + count.f64
    return {
        "time_s": time_s,
        "operations": operations,
        "bytes": count.bytes,
        "bound_s": bound,
        "bound_by": "operations" if compute >= memory else "memory",
        "fraction": bound / time_s,
        "gflops": 1e-9 * operations / time_s,
        "gb_s": 1e-9 * count.bytes / time_s,
    }


def show(case):
    harness.say(f"\n{case['problem']}")
    harness.say(f"{'':16}{'min ms':>10}{'MF':>10}{'MB':>10}{'bound ms':>10}{'reached':>9}  bound by")
    for name, found in (case["phases"] | {"step": case["step"]}).items():
        harness.say(
            f"{name:16}{1e3 * found['time_s']:10.2f}{1e-6 * found['operations']:10.1f}{1e-6 * found['bytes']:10.1f}"
            f"{1e3 * found['bound_s']:10.2f}{found['fraction']:9.2f}  {found.get('bound_by', '')}"
        )


if __name__ == "__main__":
    main()
