# SPDX-License-Identifier: Apache-2.0
"""Samples of an autoregressive network and their local energies: manybody's side."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the package of this checkout

import flax.linen as nn
import jax
import numpy as np
from manybody_version import versions

import manybody as mb


def start(options, mark):
    mark("import")
    return Network(**options)


class Network:
    """A causal convolutional network with one hidden layer, on the transverse-field Ising chain at J = h = 1.

    Its weights, and configurations drawn from it, are written into the file `problem`, for others.
    """

    def __init__(self, sites, samples, features, kernel_size, problem):
        space = mb.hilbert.Spin(sites)
        self.hamiltonian = mb.hamiltonian.ising(space, mb.lattice.chain(sites))
        ansatz = mb.ansatz.ARConv(space, (features,), kernel_size, activation=nn.selu)
        self.state = mb.VariationalState(ansatz, mb.sampler.Direct(space), samples, seed=1).sample()
        self.fixed = self.state
        params = {name: np.asarray(x) for name, x in self.state.params.items()}
        np.savez(problem, sigma=np.asarray(self.state.samples.flat_sigma), **params)

    def draw(self):
        """New samples."""
        self.state = jax.block_until_ready(self.state.sample())

    def energies(self):
        """Local energies of the samples that are there."""
        jax.block_until_ready(self.state.local_values(self.hamiltonian))

    def both(self):
        """What a step takes of both."""
        self.draw()
        self.energies()

    def check(self, out):
        """log psi and local energies of the first samples."""
        values = np.asarray(self.fixed.local_values(self.hamiltonian)).ravel()
        np.savez(out, log_psi=np.asarray(self.fixed.samples.log_psi).ravel(), energies=values)

    def about(self):
        return {"versions": versions(), "device": str(jax.devices()[0].device_kind)}
