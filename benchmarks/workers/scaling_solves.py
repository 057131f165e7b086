# SPDX-License-Identifier: Apache-2.0
"""Times of the dense solver of SR in one process."""

import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the package of this checkout

import jax
import jax.numpy as jnp

from manybody import linalg


def start(options, mark):
    del options
    mark("import")
    return Solves()


class Solves:
    """Cholesky solutions."""

    def __init__(self):
        self.solve = jax.jit(lambda a, b: linalg.cholesky(a, b, jnp.asarray(1e-3))[0])

    def measure(self, n_rows, rounds):
        """Seconds of a solution: the median and the shortest of the rounds."""
        a, b = jnp.eye(n_rows) + 0.5, jnp.ones(n_rows)  # positive definite, as dense as any
        jax.block_until_ready(self.solve(a, b))
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            jax.block_until_ready(self.solve(a, b))
            times.append(time.perf_counter() - start)
        return {"median_s": statistics.median(times), "min_s": min(times)}
