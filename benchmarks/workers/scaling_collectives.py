# SPDX-License-Identifier: Apache-2.0
"""Times of the collectives between the workers, inside of jitted functions."""

import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the package of this checkout

import jax
import jax.numpy as jnp
import numpy as np
from scaling_ranks import lead

import manybody as mb
from manybody.parallel import SHARD

MOST_REPEATS = 20
"""Collectives in one call, so that the cost of the call is not theirs."""
MOST_BYTES = 2**25
"""All repetitions together, if there are two at least."""


def start(options, mark):
    mark("import")
    comm = mb.parallel.launch(options.pop("backend"))
    return lead(comm, Collectives(comm))


class Collectives:
    """What each collective is called by the library, on blocks of a given length."""

    def __init__(self, comm):
        self.comm = comm
        self.kinds = {
            "allreduce": lambda x: comm.psum(x),
            "allgather": lambda x: comm.all_gather(x)[: x.shape[0]],
            "alltoall": lambda x: comm.shard_to_columns(x.reshape(-1, comm.size)).ravel(),
        }

    def measure(self, kind, n_bytes, rounds):
        """Seconds of one collective into which each worker puts `n_bytes`: the median and the shortest of the rounds.

        What the library does around it (reshaping, and here an addition that makes the next one depend on it) counts.
        """
        collective = self.kinds[kind]
        repeats = max(2, min(MOST_REPEATS, MOST_BYTES // n_bytes))

        def repeat(x):
            return jax.lax.scan(lambda y, _: (x + 0.5 * collective(y), None), x, length=repeats)[0]

        run = self.comm.spmd(repeat, SHARD, SHARD)
        x = self.comm.scatter(np.ones(self.comm.size * n_bytes // 8))
        return self._times(lambda: run(x), rounds, repeats)

    def call(self, rounds):
        """Seconds of a call of a jitted function with one small collective, as the driver makes once a step."""
        run = self.comm.spmd(lambda x: x + self.comm.psum(jnp.sum(x)), SHARD, SHARD)
        x = self.comm.scatter(np.ones(self.comm.size))
        return self._times(lambda: run(x), rounds, 1)

    def _times(self, function, rounds, repeats):
        jax.block_until_ready(function())
        times = []
        for _ in range(rounds):
            self.comm.barrier()
            start = time.perf_counter()
            jax.block_until_ready(function())
            times.append((time.perf_counter() - start) / repeats)
        slowest = self.comm.exchange(np.array(times)).max(axis=0).tolist()
        return {"median_s": statistics.median(slowest), "min_s": min(slowest)}
