# SPDX-License-Identifier: Apache-2.0
"""Samples of an autoregressive network and their local energies: NetKet's side."""

import sys

import jax
import jax.numpy as jnp
import netket as nk
import numpy as np


def start(options, mark):
    mark("import")
    return Network(**options)


class Network:
    """As in `manybody_autoregressive.py`, with the same weights."""

    def __init__(self, sites, samples, features, kernel_size, problem):
        with np.load(problem) as data:
            data = dict(data)
        space = nk.hilbert.Spin(0.5, N=sites)
        graph = nk.graph.Chain(sites)
        self.hamiltonian = nk.operator.IsingJax(space, graph, h=1.0, J=-1.0)
        model = nk.models.FastARNNConv1D(
            hilbert=space, layers=2, features=features, kernel_size=kernel_size, activation=jax.nn.selu
        )
        self.state = nk.vqs.MCState(nk.sampler.ARDirectSampler(space), model, n_samples=samples, seed=1)
        # Taps from the furthest one to the nearest; and p is the square of what the outputs are the logarithm of.
        first, last = ({"kernel": data[f"kernel_{i}"][::-1], "bias": data[f"bias_{i}"]} for i in (0, 1))
        last = {name: x / 2 for name, x in last.items()}
        self.state.parameters = jax.tree.map(jnp.asarray, {"_layers_0": first, "_layers_1": last})
        self.sigma = jnp.asarray(data["sigma"])

    def draw(self):
        """New samples."""
        self.state.reset()
        jax.block_until_ready(self.state.sample())

    def energies(self):
        """Local energies of the samples that are there."""
        jax.block_until_ready(self.state.local_estimators(self.hamiltonian))

    def both(self):
        """What a step takes of both."""
        self.draw()
        self.energies()

    def check(self, out):
        """log psi and local energies of the samples of the problem."""
        connected, elements = self.hamiltonian.get_conn_padded(self.sigma)
        log_psi = self.state.log_value(self.sigma)
        others = self.state.log_value(connected.reshape(-1, connected.shape[-1])).reshape(elements.shape)
        ratios = jnp.exp(others - log_psi[:, None])
        np.savez(out, log_psi=np.asarray(log_psi), energies=np.asarray(jnp.sum(elements * ratios, axis=1)))

    def about(self):
        versions = {"netket": nk.__version__, "jax": jax.__version__, "python": sys.version.split()[0]}
        return {"versions": versions, "device": str(jax.devices()[0].device_kind)}
