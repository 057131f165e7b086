# SPDX-License-Identifier: Apache-2.0
"""The sample-space kernel of one wave function at a time, made in several ways."""

import gc
import sys
import time
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the package of this checkout

import jax
import jax.numpy as jnp
import numpy as np
from kernel_networks import SMALL, network
from manybody_version import versions
from memory import rss_mb

import manybody as mb
from manybody import _flops
from manybody.network import as_network
from manybody.sr import cost
from manybody.sr.kernel import kernel, plan

CHOICES = {"contracted": lambda layers, *_: [], "structured": lambda layers, *_: list(layers)}
"""Of layers to be treated by their structure, in place of those that the library makes."""


def start(options, mark):
    mark("import")
    return Kernels(**options)


class Kernels:
    """Kernels of a wave function at its first parameters, with random configurations of equal weight.

    Args:
        samples: their number.
        precision: "f32" or "f64", of the parameters.
        chunk_size: configurations differentiated at a time.
    """

    def __init__(self, samples, precision, chunk_size):
        self.samples, self.chunk_size = samples, chunk_size
        self.dtype = {"f32": "float32", "f64": "float64"}[precision]
        self.programs, self.made, self.arguments = {}, {}, ()

    def about(self):
        return {"versions": versions(), "device": str(jax.devices()[0].device_kind)}

    def names(self):
        """Networks of every kind."""
        return list(SMALL)

    def prepare(self, name, forms):
        """Compile the kernel of the network `name` in these forms, of `FORMS` in `kernel.py`.

        Returns:
            "n_params", the real ones; "n_rows"; "level_mb", what the process holds before; and "forms": for each its
            layers, its operations, the time to compile it, and the memory of the program without its arguments.
        """
        space, ansatz = network(name, self.dtype)
        log_psi_of = as_network(ansatz)
        sigma = space.random_state(jax.random.key(0), self.samples)
        params, constants = log_psi_of.init(jax.random.key(1), sigma[:2])
        weight = jnp.full((self.samples, 1), 1.0 / self.samples)
        drawn = mb.sampler.Samples(sigma[:, None], jnp.zeros(weight.shape), weight, "chain")

        def tangent(params, drawn):
            chunk = self.chunk_size
            return mb.sr.TangentMap(
                mb.parallel.comm(), lambda p, s: log_psi_of.log_psi(p, constants, s), params, drawn, chunk
            )

        self.programs, self.made, self.arguments = {}, {}, (params, drawn)
        gc.collect()
        level = rss_mb()
        found = {form: self._compiled(form, tangent) for form in forms}
        rows = tangent(params, drawn)
        sizes = {"n_params": rows.n_params, "n_rows": rows.n_local * rows.n_parts}
        return {**sizes, "level_mb": level, "forms": found}

    def make(self, form, times=1):
        """The kernel in this form, so many times."""
        for _ in range(times):
            self.made.pop(form, None)  # else there would be two of them in memory
            self.made[form] = jax.block_until_ready(self.programs[form](*self.arguments))

    def check(self, out):
        """The kernels that were made last, by the names of their forms."""
        np.savez(out, **self.made)

    def _compiled(self, form, tangent):
        def made(params, drawn):
            rows = tangent(params, drawn)
            if form != "jacobian":
                return kernel(rows)
            flat = rows.jacobian().reshape(-1, rows.n_params)
            return flat @ flat.T

        began = time.perf_counter()
        with mock.patch.object(cost, "choose", CHOICES.get(form, cost.choose)):
            layers = ["/".join(path) for path in plan(tangent(*self.arguments))[0]] if form != "jacobian" else []
            operations = _flops.count(made, *self.arguments).total()
            self.programs[form] = jax.jit(made).lower(*self.arguments).compile()
        memory = self.programs[form].memory_analysis()
        return {
            "layers": layers,
            "operations": operations,
            "compile_s": time.perf_counter() - began,
            "work_space_mb": (memory.temp_size_in_bytes + memory.output_size_in_bytes) / 2**20,
        }
