# SPDX-License-Identifier: Apache-2.0
"""Space groups with their representations, and group-convolutional networks: manybody's side."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the package of this checkout

import jax
import jax.numpy as jnp
import numpy as np
from manybody_version import versions

import manybody as mb
from manybody.ansatz import GCNN


def start(options, mark):
    mark("import")
    return {"group": Group, "network": Network}[options.pop("part")](**options)


class Group:
    """The space group of a lattice, "square" or "kagome", and all that is known of its representations."""

    def __init__(self, lattice, extent):
        self.lattice, self.extent = lattice, extent

    def build(self):
        """From the lattice on; the time of each part."""
        times, last = {}, time.perf_counter()

        def lap(name):
            nonlocal last
            times[name], last = time.perf_counter() - last, time.perf_counter()

        group = getattr(mb.lattice, self.lattice)(self.extent, self.extent).space_group()
        lap("elements")
        table = group.product_table
        lap("product_table")
        characters = group.character_table
        lap("character_table")
        irreps = group.irreps
        lap("irreps")
        return times | {
            "order": group.order,
            "dimensions": sorted(round(row[0].real) for row in characters),
            "error": largest_error(table, irreps),
        }

    def about(self):
        return {"versions": versions()}


def largest_error(table, irreps):
    """Of D(a) D(b) = D(a b) for some products."""
    a, b = np.random.default_rng(0).integers(len(table), size=(2, 50))
    return max(float(np.abs(d[a] @ d[b] - d[table[a, b]]).max()) for d in irreps)


class Network:
    """A GCNN of real weights on the space group of the square lattice, in the trivial sector."""

    def __init__(self, extent, layers, features, samples, problem):
        lattice = mb.lattice.square(extent)
        self.ansatz = GCNN(lattice.space_group(), features=(features,) * layers)
        space = mb.hilbert.Spin(lattice.n_sites, total_sz=0)
        self.sigma = space.random_state(jax.random.key(0), samples)
        self.variables = jax.jit(self.ansatz.init)(jax.random.key(1), self.sigma[:2])
        group = self.ansatz.sector
        params = {name: np.asarray(x) for name, x in self.variables["params"].items()}
        np.savez(problem, sigma=np.asarray(self.sigma), sites=group.sites, inverse=group.inverse, **params)
        self._forward = jax.jit(self.ansatz.apply)
        self._gradient = jax.jit(jax.value_and_grad(lambda v, sigma: jnp.mean(self.ansatz.apply(v, sigma))))

    def forward(self):
        """log psi of the batch."""
        jax.block_until_ready(self._forward(self.variables, self.sigma))

    def gradient(self):
        """The mean of log psi, and its derivatives with respect to all parameters."""
        jax.block_until_ready(self._gradient(self.variables, self.sigma))

    def check(self, out):
        """log psi without the factor of the normalisation; the length of the derivative."""
        log_psi = self._forward(self.variables, self.sigma)
        slopes = jax.tree.leaves(self._gradient(self.variables, self.sigma)[1])
        scale = np.log(self.ansatz.sector.order * self.ansatz.features[-1])
        np.savez(out, log_psi=np.asarray(log_psi) + scale, slope=np.sqrt(sum(float(jnp.sum(x**2)) for x in slopes)))

    def about(self):
        return {"versions": versions(), "device": str(jax.devices()[0].device_kind)}
