# SPDX-License-Identifier: Apache-2.0
"""Sweeps of Metropolis chains through configurations of spins, with single-spin flips."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the package of this checkout

import jax
import numpy as np
from manybody_version import versions

import manybody as mb


def start(options, mark):
    mark("import")
    return Sweeps(**options)


def ansatz(name):
    """The wave function of this name; "rbm, full" is the RBM without its methods for changes."""
    rbm = mb.ansatz.RBM(alpha=1, use_visible_bias=False)
    return {"rbm": rbm, "jastrow": mb.ansatz.Jastrow(use_visible_bias=False), "rbm, full": (rbm.init, rbm.apply)}[name]


class Sweeps:
    """Chains of several wave functions, each of which draws once after as many steps as there are sites.

    Args:
        chains: number of chains.
    """

    def __init__(self, chains):
        self.chains = chains
        self.programs, self.states = {}, {}

    def about(self):
        return {"versions": versions(), "device": str(jax.devices()[0].device_kind), "precision": "f64"}

    def prepare(self, network, sites):
        """Compile the sweep of a network and make one; returns the number of parameters."""
        space = mb.hilbert.Spin(sites)
        sampler = mb.sampler.Metropolis(space, mb.sampler.LocalFlip(), n_chains=self.chains, n_burn_in=0)
        state = mb.VariationalState(ansatz(network), sampler, self.chains, seed=1)

        def sweep(params, constants, chains):
            return sampler.sample(state.comm, state.network.bind(params, constants), chains, 1)[0]

        arguments = state.params, state.constants, state.chains
        self.programs[network, sites] = jax.jit(sweep).lower(*arguments).compile()
        self.states[network, sites] = arguments
        self.sweep(network, sites)
        return {"n_params": state.n_params}

    def sweep(self, network, sites):
        """Go on by a sweep."""
        params, constants, chains = self.states[network, sites]
        chains = jax.block_until_ready(self.programs[network, sites](params, constants, chains))
        self.states[network, sites] = params, constants, chains

    def check(self, out):
        """Where all chains are, by network and length."""
        np.savez(out, **{f"{network} {sites}": state[2].sigma for (network, sites), state in self.states.items()})
