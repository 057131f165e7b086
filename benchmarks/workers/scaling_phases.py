# SPDX-License-Identifier: Apache-2.0
"""The parts of an optimisation step, each compiled and timed for itself, on one or several workers.

They need not add up to the step: in it XLA sees them together, and it is one call instead of several.
"""

import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the package of this checkout

import jax
import jax.numpy as jnp
import numpy as np
from scaling_problems import problem
from scaling_ranks import lead

import manybody as mb
from manybody import linalg
from manybody.estimator import buffer_size, count_rows, local_values
from manybody.parallel import REPLICATED, SHARD
from manybody.sampler.base import samples_spec
from manybody.sr.kernel import kernel


def start(options, mark):
    mark("import")
    comm = mb.parallel.launch(options.pop("backend"))
    return lead(comm, Phases(comm, **options))


class Phases:
    """Functions without arguments, one per phase, compiled."""

    def __init__(self, comm, method, **options):
        self.comm, driver = comm, problem(method=method, **options)
        driver.advance()  # the chains leave their random start
        self.n_traces = driver.n_traces
        state, operator, params = driver.state, driver.hamiltonian.compile(), driver.progress.params
        sampler, network, constants, chains = state.sampler, state.network, state.constants, driver.progress.chains
        drawn, spec = state.samples, samples_spec(sampler.kind)
        shift = jnp.asarray(1e-3)
        n_rows = int(
            comm.spmd(lambda o, s: count_rows(comm, o, s.flat_sigma, None), (REPLICATED, spec), REPLICATED)(
                operator, drawn
            )
        )
        n_buffer = buffer_size(n_rows, state.n_local, operator.n_connections)

        def tangent(params, samples):
            return mb.sr.TangentMap(
                comm, lambda p, s: network.log_psi(p, constants, s), params, samples, state.chunk_size
            )

        def sample(params, chains):
            return sampler.sample(comm, network.bind(params, constants), chains, state.draws)[1]

        def energies(params, operator, samples):
            amplitude = network.bind(params, constants)
            return local_values(comm, amplitude, operator, samples.flat_sigma, n_buffer, state.chunk_size).values

        def residual(params, samples, values):
            mean = comm.psum(jnp.sum(samples.flat_weight * values))
            return tangent(params, samples).residual(values, mean)

        def matrix(params, samples, e):
            if method == "samples":
                return kernel(tangent(params, samples)), comm.all_gather(e).ravel()
            rows = tangent(params, samples).jacobian().reshape(e.size, -1)
            return comm.psum((rows.T @ rows, rows.T @ e.ravel()))

        def update(params, samples, e):
            return tangent(params, samples).adjoint(e)

        both = (REPLICATED, REPLICATED)
        sample = comm.spmd(sample, (REPLICATED, sampler.state_spec), spec)
        energies = comm.spmd(energies, (REPLICATED, REPLICATED, spec), SHARD)
        residual = comm.spmd(residual, (REPLICATED, spec, SHARD), SHARD)
        matrix = comm.spmd(matrix, (REPLICATED, spec, SHARD), both)
        update = comm.spmd(update, (REPLICATED, spec, SHARD), REPLICATED)
        solve = comm.spmd(lambda a, b: linalg.cholesky(a, b, shift), both, both)

        operator = comm.replicate(operator)
        e = residual(params, drawn, energies(params, operator, drawn))
        a, b = matrix(params, drawn, e)
        self.phases = {
            "step": driver.advance,
            "sampling": lambda: sample(params, chains),
            "local energies": lambda: energies(params, operator, drawn),
            "matrix": lambda: matrix(params, drawn, e),
            "solve": lambda: solve(a, b),
            "update": lambda: update(params, drawn, e),
        }
        for phase in self.phases.values():
            jax.block_until_ready(phase())

    def measure(self, rounds):
        """Seconds of each phase, of the slowest process: the median and the shortest of the rounds."""
        times = {name: [] for name in self.phases}
        for _ in range(rounds):
            for name, phase in self.phases.items():
                self.comm.barrier()
                start = time.perf_counter()
                jax.block_until_ready(phase())
                times[name].append(time.perf_counter() - start)
        slowest = {name: self.comm.exchange(np.array(values)).max(axis=0) for name, values in times.items()}
        return {
            name: {"median_s": statistics.median(values.tolist()), "min_s": float(values.min())}
            for name, values in slowest.items()
        }
