# SPDX-License-Identifier: Apache-2.0
"""An optimisation by one or several workers: times of its steps, its memory and its messages."""

import gc
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the package of this checkout

import numpy as np
from memory import rss_mb
from scaling_messages import call_sites, messages, n_sites
from scaling_problems import problem
from scaling_ranks import lead

import manybody as mb


def start(options, mark):
    mark("import")
    comm = mb.parallel.launch(options.pop("backend"))
    return lead(comm, Run(comm, **options))


class Run:
    """One optimisation.

    Args:
        comm: the workers.
        **options: of `scaling_problems.problem`.
    """

    def __init__(self, comm, **options):
        self.comm = comm
        self.driver = problem(**options)
        gc.collect()
        self.level = rss_mb()

    def steps(self, n):
        """Make `n` steps.

        Returns:
            Seconds of a step of the slowest process; its processor time; the smallest share of a core that a process
            had (less than 1 if others were given its core meanwhile: ranks that wait do so in loops).
        """
        self.comm.barrier()
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(n):
            record = self.driver.advance()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        every = self.comm.exchange(np.array([wall / n, cpu / n]))
        slowest = every.max(axis=0)
        return {
            "wall_s": float(slowest[0]),
            "cpu_s": float(slowest[1]),
            "share": float((every[:, 1] / every[:, 0]).min()),
            "energy": float(record["energy"].mean),
        }

    def memory(self, n):
        """Memory of each process, in MB, after `n` steps: before the first of them, and the most so far."""
        for _ in range(n):
            self.driver.advance()
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
        every = self.comm.exchange(np.array([self.level, most]))
        return {
            "set_up_mb": every[:, 0].tolist(),
            "peak_mb": every[:, 1].tolist(),
            "work_space_mb": self._compiled()[0].memory_analysis().temp_size_in_bytes / 2**20,
        }

    def messages(self):
        """Collectives of a step of one rank, and how many calls of MPI the compiled program has in its text."""
        program, jaxpr = self._compiled()
        sites = {"jaxpr": n_sites(jaxpr), "compiled": call_sites(program.as_text())}
        return {"messages": messages(jaxpr), "call_sites": sites}

    def about(self):
        return {
            "workers": mb.parallel.describe(),
            "n_params": self.driver.state.n_params,
            "settings": self.driver.describe(),
            "n_traces": self.driver.n_traces,
        }

    def _compiled(self):
        """The program and jaxpr of a single step that has been made; it has no public name."""
        driver = self.driver
        traced = driver._compiled[1].trace(driver.progress, driver._operator)
        return traced.lower().compile(), traced.jaxpr
