# SPDX-License-Identifier: Apache-2.0
"""Where the time of a step goes: its phases, each compiled and timed for itself.

    python benchmarks/profile_step.py --problems "N = 128, alpha = 4, f32" "resnet, 6 x 6, f32"

The problems are those of `vs_netket.py`, `small.py` and `networks.py`.

The phases alternate, round after round. They need not add up to the step: in it XLA sees them together. "proposals" is
the part of "sampling" that has nothing to do with the wave function: chains that sample a constant one.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

import harness
import networks
from performance_page import problem

sys.path.insert(0, str(Path(__file__).resolve().parent / "workers"))

from manybody_j1j2 import j1j2  # finds the package of this checkout
from manybody_tfim import ising

import jax  # isort: skip
import jax.numpy as jnp
import optax

import manybody as mb
from manybody import linalg
from manybody._compile import OFTEN
from manybody.amplitude import FullEvaluation
from manybody.estimator import buffer_size, count_rows, local_values
from manybody.sr.kernel import adjoint_of, kernel, plan
from manybody.sr.layers import derivatives

PRECISIONS = ("f32", "f64")


def chain(sites, alpha, samples, precision, **more):
    """That of `vs_netket.py` or `small.py`."""
    name = problem({"sites": sites, "alpha": alpha, "precision": precision})
    return name, lambda: ising(sites, alpha, samples, precision, **more)


def square(network, precision):
    """That of `networks.py`."""
    name = problem({"network": network, "extent": 6, "precision": precision})
    return name, lambda: j1j2(6, network, networks.NETS[network], 512, precision)


CHAINS = ((64, 1), (128, 4), (128, None))
PROBLEMS = dict(
    [
        chain(20, 1, 16, "f64", chains=16),
        *(chain(sites, alpha, 1024, precision) for sites, alpha in CHAINS for precision in PRECISIONS),
        *(square(network, "f32") for network in networks.NETS),
    ]
)
"""Name -> a function that makes the optimisation."""


class Phases(NamedTuple):
    """What a step is made of.

    Attributes:
        run: name -> function without arguments.
        compilation: name -> how long it took to compile (with its first call).
        n_rows: connections with a matrix element.
        sweep_size: Metropolis steps between two draws.
    """

    run: dict
    compilation: dict
    n_rows: int
    sweep_size: int


def main():
    compile_as_steps()
    args = arguments()
    report = {"benchmark": "profile_step", "arguments": sys.argv[1:], "machine": harness.machine(), "cases": []}
    report["versions"] = {"jax": jax.__version__, "python": sys.version.split()[0]}
    report["device"] = jax.devices()[0].device_kind
    for name in args.problems:
        phases = build(PROBLEMS[name]())
        report["cases"].append({"problem": name, "phases": profile(phases, args.rounds)})
        show(report["cases"][-1])
    harness.write(report, args.out)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS), metavar="PROBLEM")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--out", help="file for the report")
    return parser.parse_args()


def compile_as_steps():
    """Let XLA compile each phase as it compiles a step; must come before its first program."""
    options = [f"--{name}={value}" for name, value in OFTEN.items()]
    os.environ["XLA_FLAGS"] = " ".join([*options, os.environ.get("XLA_FLAGS", "")])  # of two values the last one counts


def build(problem):
    """The phases of an optimisation."""
    driver, state, sampler = problem.driver, problem.state, problem.state.sampler
    comm, network, operator = state.comm, state.network, problem.hamiltonian.compile()
    driver.advance()  # from here on there is no burn-in
    params, constants, chains = driver.progress.params, driver.progress.constants, driver.progress.chains
    optimizer, shift = driver.optimizer, jnp.asarray(1e-3)

    def tangent(params, samples):
        return mb.sr.TangentMap(comm, lambda p, s: network.log_psi(p, constants, s), params, samples, None)

    def constant(params, sigma):
        del params
        return jnp.zeros(sigma.shape[0])

    def pieces(params, samples):
        own = tangent(params, samples)
        return derivatives(own, *plan(own))

    def update(params, samples, x, made):
        own = tangent(params, samples)
        direction = adjoint_of(*plan(own), own, x[:, None], *made)
        return optax.apply_updates(params, optimizer.update(direction, optimizer.init(params), params)[0])

    sample = jax.jit(lambda p, c: sampler.sample(comm, network.bind(p, constants), c, 1))
    propose = jax.jit(lambda c: sampler.sample(comm, FullEvaluation(constant, ()), c, 1))
    drawn = sample(params, chains)[1]
    n_rows = int(count_rows(comm, operator, drawn.flat_sigma, None))
    n_buffer = buffer_size(n_rows, state.n_local, operator.n_connections)
    energies = jax.jit(lambda p, o, s: local_values(comm, network.bind(p, constants), o, s.flat_sigma, n_buffer, None))
    make_kernel = jax.jit(lambda p, s: kernel(tangent(p, s)))
    solve = jax.jit(lambda t, e: linalg.cholesky(t, e, shift))
    make_update = jax.jit(update)

    values = energies(params, operator, drawn).values
    residual = jax.jit(lambda p, s, v: tangent(p, s).residual(v, jnp.mean(v)))(params, drawn, values)[:, 0]
    matrix = make_kernel(params, drawn)
    solution, made = solve(matrix, residual)[0], jax.jit(pieces)(params, drawn)
    phases = {
        "step": driver.advance,
        "sampling": lambda: sample(params, chains),
        "proposals": lambda: propose(chains),
        "local energies": lambda: energies(params, operator, drawn),
        "kernel": lambda: make_kernel(params, drawn),
        "solve": lambda: solve(matrix, residual),
        "update": lambda: make_update(params, drawn, solution, made),
    }
    jax.clear_caches()  # the first call of each phase compiles it
    compilation = {name: seconds(phase) for name, phase in phases.items()}
    return Phases(phases, compilation, n_rows, sampler.sweep_size)


def profile(phases, rounds):
    """Times of each phase; they alternate."""
    times = {name: [] for name in phases.run}
    for _ in range(rounds):
        for name, phase in phases.run.items():
            times[name].append(seconds(phase))
    return {
        name: {
            "min_s": min(wall for wall, _ in pairs),
            "median_s": statistics.median(wall for wall, _ in pairs),
            "cpu_min_s": min(cpu for _, cpu in pairs),
            "first_call_s": phases.compilation[name][0],
        }
        for name, pairs in times.items()
    }


def seconds(phase):
    """Wall-clock and processor time of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(phase())
    return time.perf_counter() - wall, time.process_time() - cpu


def show(case):
    harness.say(f"\n{case['problem']}")
    harness.say(f"{'':16}{'min ms':>10}{'median ms':>12}{'cpu min ms':>12}{'first call s':>14}")
    for name, phase in case["phases"].items():
        shortest, median, cpu = (1e3 * phase[key] for key in ("min_s", "median_s", "cpu_min_s"))
        harness.say(f"{name:16}{shortest:10.2f}{median:12.2f}{cpu:12.2f}{phase['first_call_s']:14.2f}")


if __name__ == "__main__":
    main()
