# SPDX-License-Identifier: Apache-2.0
"""Connected configurations and matrix elements of a batch: manybody's side."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the package of this checkout

import jax
import jax.numpy as jnp
import numpy as np
from manybody_version import versions

import manybody as mb


def start(options, mark):
    mark("import")
    return Connected(**options)


class Connected:
    """One operator and one batch.

    Args:
        case: "heisenberg", "hubbard" or "molecule".
        form: "changes" for `connections` and `diagonal` as they are, with what differs from sigma; "configurations"
            for the connected configurations themselves, like NetKet's.
        problem: file with edges or integrals, configurations, and the weights of the function that is summed.
    """

    def __init__(self, case, form, problem):
        with np.load(problem) as data:
            self.data = dict(data)
        self.case, self.form = case, form
        self.sigma = jnp.asarray(self.data["sigma"], jnp.int8)

    def build(self, scale):
        """The operator with its couplings times a number, and its tables."""
        self.operator = BUILD[self.case](self.data, scale)
        self.operator.compile()

    def evaluate(self, n):
        """So many batches, one after the other."""
        for _ in range(n):
            result = jax.block_until_ready(self._batch())
        return [list(array.shape) for array in jax.tree.leaves(result)]

    def repeat(self, seconds):
        """Batches until the time is over; their number."""
        end, n = time.perf_counter() + seconds, 0
        while n == 0 or time.perf_counter() < end:
            self.evaluate(1)
            n += 1
        return n

    def check(self, out):
        """Sums over connections of element * f(sigma'), and the number of distinct connections."""
        if self.form == "changes":
            connections, diagonal = self._batch()
            sites, values, elements = (np.asarray(array) for array in connections)
            sigma_p = np.repeat(self.data["sigma"][:, None], sites.shape[1], axis=1)
            np.put_along_axis(sigma_p, sites, values, axis=-1)
            sigma_p = np.concatenate([self.data["sigma"][:, None], sigma_p], axis=1)
            elements = np.concatenate([np.asarray(diagonal)[:, None], elements], axis=1)
        else:
            sigma_p, elements = (np.asarray(array) for array in self._batch())
        sums = (elements * np.cos(sigma_p @ self.data["weights"])).sum(axis=1)
        # Connections of a configuration are distinct, and the diagonal is apart: none has to be merged.
        n_connections = np.count_nonzero(np.abs(elements) > 1e-12 * np.abs(elements).max())
        np.savez(out, sums=sums, n_connections=n_connections)

    def about(self):
        return {
            "versions": versions(),
            "device": str(jax.devices()[0].device_kind),
            "n_slots": self.operator.max_connections + 1,
        }

    def _batch(self):
        if self.form == "changes":
            return changes(self.operator.compile(), self.sigma)
        return write_out(self.operator.compile(), self.sigma)


@jax.jit
def changes(compiled, sigma):
    """What a user's jitted function gets: connections and diagonal."""
    return compiled.connections(sigma), compiled.diagonal(sigma)


@jax.jit
def write_out(compiled, sigma):
    """Configurations (samples, 1 + conn, sites) and matrix elements (samples, 1 + conn), sigma itself first."""
    sites, values, elements = compiled.connections(sigma)
    sigma_p = jnp.broadcast_to(sigma[:, None], (*elements.shape, sigma.shape[1]))
    position = jnp.arange(sigma.shape[1], dtype=sites.dtype)[None, None]
    for k in range(sites.shape[-1]):  # a choice for each site is faster than a scatter on a processor
        sigma_p = jnp.where(sites[..., k, None] == position, values[..., k, None], sigma_p)
    return (
        jnp.concatenate([sigma[:, None], sigma_p], axis=1),
        jnp.concatenate([compiled.diagonal(sigma)[:, None], elements], axis=1),
    )


def heisenberg(data, scale):
    extent = int(data["extent"])
    space = mb.hilbert.Spin(extent**2, total_sz=0)
    return mb.hamiltonian.heisenberg(space, mb.lattice.square(extent), J=scale)


def hubbard(data, scale):
    extent, electrons = int(data["extent"]), int(data["electrons"])
    space = mb.hilbert.Fermion(extent**2, n_per_component=(electrons, electrons), n_components=2)
    return mb.hamiltonian.hubbard(space, mb.lattice.square(extent), t=scale, U=8.0 * scale)


def molecule(data, scale):
    electrons = int(data["electrons"])
    space = mb.hilbert.Fermion(len(data["one"]), n_per_component=(electrons, electrons), n_components=2)
    return mb.hamiltonian.molecule(mb.hamiltonian.Integrals(scale * data["one"], scale * data["two"], 0.0), space)


BUILD = {"heisenberg": heisenberg, "hubbard": hubbard, "molecule": molecule}
