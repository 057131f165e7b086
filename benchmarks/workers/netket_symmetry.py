# SPDX-License-Identifier: Apache-2.0
"""Space groups with their representations, and group-convolutional networks: NetKet's side, in each of its modes."""

import sys
import time

import jax
import jax.numpy as jnp
import netket as nk
import numpy as np


def start(options, mark):
    mark("import")
    return {"group": Group, "network": Network}[options.pop("part")](**options)


def versions():
    return {"netket": nk.__version__, "jax": jax.__version__, "python": sys.version.split()[0]}


class Group:
    """As in `manybody_symmetry.py`."""

    def __init__(self, lattice, extent):
        self.lattice, self.extent = lattice, extent

    def build(self):
        """From the lattice on; the time of each part."""
        times, last = {}, time.perf_counter()

        def lap(name):
            nonlocal last
            times[name], last = time.perf_counter() - last, time.perf_counter()

        make = {"square": nk.graph.Square, "kagome": lambda n: nk.graph.Kagome([n, n])}[self.lattice]
        group = make(self.extent).space_group()
        lap("elements")
        table = group.product_table
        lap("product_table")
        characters = group.character_table_by_class
        lap("character_table")
        irreps = group.irrep_matrices()
        lap("irreps")
        return times | {
            "order": len(group),
            "dimensions": sorted(round(float(row[0].real)) for row in characters),
            "error": largest_error(np.asarray(table), irreps),
        }

    def about(self):
        return {"versions": versions()}


def largest_error(table, irreps):
    """Of D(a)^-1 D(b) = D(a^-1 b) for some elements; that is how NetKet's product table is meant."""
    a, b = np.random.default_rng(0).integers(len(table), size=(2, 50))
    irreps = [np.asarray(d) for d in irreps]
    return max(float(np.abs(d[a].conj().swapaxes(1, 2) @ d[b] - d[table[a, b]]).max()) for d in irreps)


class Network:
    """As in `manybody_symmetry.py`, with the same weights; `mode` is "fft" or "irreps"."""

    def __init__(self, extent, layers, features, problem, mode):
        with np.load(problem) as data:
            data = dict(data)
        graph = nk.graph.Square(extent)
        self.ansatz = nk.models.GCNN(
            symmetries=graph, layers=layers, features=features, mode=mode, complex_output=False
        )
        self.sigma = jnp.asarray(data["sigma"])
        own = {row.astype(np.int64).tobytes(): g for g, row in enumerate(data["sites"])}
        rows = np.asarray(graph.space_group().to_array()).astype(np.int64)
        # NetKet's weight of an element is ours of the inverse.
        elements = data["inverse"][np.array([own[row.tobytes()] for row in rows])]
        params = {"dense_symm": {"bias": data["bias_0"], "kernel": data["kernel_0"].T[:, None, :]}}
        for k in range(1, layers):
            kernel = data[f"kernel_{k}"][elements].transpose(2, 1, 0)
            params[f"equivariant_layers_{k - 1}"] = {"bias": data[f"bias_{k}"], "kernel": kernel}
        self.variables = {"params": jax.tree.map(jnp.asarray, params)}
        self._forward = jax.jit(self.ansatz.apply)
        self._gradient = jax.jit(jax.value_and_grad(lambda v, sigma: jnp.mean(self.ansatz.apply(v, sigma))))

    def forward(self):
        """log psi of the batch."""
        jax.block_until_ready(self._forward(self.variables, self.sigma))

    def gradient(self):
        """The mean of log psi, and its derivatives with respect to all parameters."""
        jax.block_until_ready(self._gradient(self.variables, self.sigma))

    def check(self, out):
        """log psi; the length of the derivative."""
        log_psi = self._forward(self.variables, self.sigma)
        slopes = jax.tree.leaves(self._gradient(self.variables, self.sigma)[1])
        np.savez(out, log_psi=np.asarray(log_psi), slope=np.sqrt(sum(float(jnp.sum(x**2)) for x in slopes)))

    def about(self):
        return {"versions": versions(), "device": str(jax.devices()[0].device_kind)}
