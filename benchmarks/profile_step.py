# SPDX-License-Identifier: Apache-2.0
"""Where the time of a step goes: the phases of `vs_netket.py`'s workload, each compiled and timed for itself.

    python benchmarks/profile_step.py --sites 128 --alpha 4 --precision f32 f64

The phases alternate, round after round. They need not add up to the step: in it XLA sees them together. "proposals" is
the part of "sampling" that has nothing to do with the wave function: chains that sample a constant one.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import harness

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package of this checkout

import jax
import jax.numpy as jnp
import optax

import manybody as mb
from manybody import linalg
from manybody.amplitude import FullEvaluation
from manybody.estimator import buffer_size, count_rows, local_values
from manybody.sr.kernel import kernel


def main():
    args = arguments()
    report = {"benchmark": "profile_step", "arguments": sys.argv[1:], "machine": harness.machine(), "cases": []}
    report["versions"] = {"jax": jax.__version__, "python": sys.version.split()[0]}
    report["device"] = jax.devices()[0].device_kind
    for precision in args.precision:
        phases, compilation = build(args.sites, args.alpha, args.samples, precision)
        case = {"sites": args.sites, "alpha": args.alpha, "samples": args.samples, "precision": precision}
        report["cases"].append({**case, "phases": profile(phases, compilation, args.rounds)})
        show(report["cases"][-1])
    harness.write(report, args.out)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=128)
    parser.add_argument("--alpha", type=int, default=4, help="hidden units per site")
    parser.add_argument("--samples", type=int, default=1024, help="samples; each is a chain of its own")
    parser.add_argument("--precision", nargs="+", choices=["f32", "f64"], default=["f32", "f64"])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--out", help="file for the report")
    return parser.parse_args()


def build(sites, alpha, samples, precision):
    """Functions without arguments, one per phase, and how long each took to compile (with its first call)."""
    space = mb.hilbert.Spin(sites)
    hamiltonian = mb.hamiltonian.ising(space, mb.lattice.chain(sites))
    ansatz = mb.ansatz.RBM(
        alpha=alpha, param_dtype={"f32": jnp.float32, "f64": jnp.float64}[precision], use_visible_bias=False
    )
    sampler = mb.sampler.Metropolis(space, mb.sampler.LocalFlip(), n_chains=samples, n_burn_in=0)
    state = mb.VariationalState(ansatz, sampler, samples, seed=1)
    optimizer = optax.sgd(0.04)
    driver = mb.driver.VMC(hamiltonian, state, optimizer=optimizer)
    driver.advance()  # from here on there is no burn-in
    params, constants, chains = driver.progress.params, driver.progress.constants, driver.progress.chains
    comm, operator = state.comm, hamiltonian.compile()
    network = state.network

    def tangent(params, samples):
        return mb.sr.TangentMap(comm, lambda p, s: network.log_psi(p, constants, s), params, samples, None)

    def constant(params, sigma):
        del params
        return jnp.zeros(sigma.shape[0])

    def update(params, samples, x):
        direction = tangent(params, samples).adjoint(x[:, None])
        return optax.apply_updates(params, optimizer.update(direction, optimizer.init(params), params)[0])

    sample = jax.jit(lambda p, c: sampler.sample(comm, network.bind(p, constants), c, 1))
    propose = jax.jit(lambda c: sampler.sample(comm, FullEvaluation(constant, ()), c, 1))
    drawn = sample(params, chains)[1]
    n_rows = int(count_rows(comm, operator, drawn.flat_sigma, None))
    n_buffer = buffer_size(n_rows, samples, operator.n_connections)
    energies = jax.jit(lambda p, o, s: local_values(comm, network.bind(p, constants), o, s.flat_sigma, n_buffer, None))
    make_kernel = jax.jit(lambda p, s: kernel(tangent(p, s)))
    solve = jax.jit(lambda t, e: linalg.cholesky(t, e, jnp.asarray(1e-3)))
    make_update = jax.jit(update)

    values = energies(params, operator, drawn).values
    residual = jax.jit(lambda p, s, v: tangent(p, s).residual(v, jnp.mean(v)))(params, drawn, values)[:, 0]
    matrix = make_kernel(params, drawn)
    solution = solve(matrix, residual)[0]
    phases = {
        "step": driver.advance,
        "sampling": lambda: sample(params, chains),
        "proposals": lambda: propose(chains),
        "local energies": lambda: energies(params, operator, drawn),
        "kernel": lambda: make_kernel(params, drawn),
        "solve": lambda: solve(matrix, residual),
        "update": lambda: make_update(params, drawn, solution),
    }
    jax.clear_caches()  # the first call of each phase compiles it
    return phases, {name: seconds(phase) for name, phase in phases.items()}


def profile(phases, compilation, rounds):
    """Times of each phase; they alternate."""
    times = {name: [] for name in phases}
    for _ in range(rounds):
        for name, phase in phases.items():
            times[name].append(seconds(phase))
    return {
        name: {
            "min_s": min(wall for wall, _ in pairs),
            "median_s": statistics.median(wall for wall, _ in pairs),
            "cpu_min_s": min(cpu for _, cpu in pairs),
            "first_call_s": compilation[name][0],
        }
        for name, pairs in times.items()
    }


def seconds(phase):
    """Wall-clock and processor time of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(phase())
    return time.perf_counter() - wall, time.process_time() - cpu


def show(case):
    harness.say(f"\n{case['sites']} sites, alpha = {case['alpha']}, {case['samples']} samples, {case['precision']}")
    harness.say(f"{'':16}{'min ms':>10}{'median ms':>12}{'cpu min ms':>12}{'first call s':>14}")
    for name, phase in case["phases"].items():
        shortest, median, cpu = (1e3 * phase[key] for key in ("min_s", "median_s", "cpu_min_s"))
        harness.say(f"{name:16}{shortest:10.2f}{median:12.2f}{cpu:12.2f}{phase['first_call_s']:14.2f}")


if __name__ == "__main__":
    main()
