# SPDX-License-Identifier: Apache-2.0
"""Steps of an optimisation whose Jacobian would fit into no memory: the Ising chain with a wide RBM or MLP."""

import numpy as np
from manybody_optimisation import Optimisation

import manybody as mb  # found by the line above


def start(options, mark):
    mark("import")
    return ising(**options)


def ising(network, sites, widths, samples, precision, sweep_size, chunk_size):
    """One optimisation.

    Args:
        network: "rbm", with real weights and no visible bias, or "mlp".
        sites: length of the periodic chain, at J = h = 1.
        widths: of the hidden layers.
        samples: number of samples and of chains.
        precision: "f32" or "f64", of the wave function.
        sweep_size: single-spin flips between two steps.
        chunk_size: configurations at a time.
    """
    space = mb.hilbert.Spin(sites)
    hamiltonian = mb.hamiltonian.ising(space, mb.lattice.chain(sites), J=1.0, h=1.0)
    sampler = mb.sampler.Metropolis(space, mb.sampler.LocalFlip(), n_chains=samples, sweep_size=sweep_size, n_burn_in=0)
    dtype = {"f32": np.float32, "f64": np.float64}[precision]
    if network == "rbm":
        (width,) = widths
        ansatz = mb.ansatz.RBM(alpha=width / sites, param_dtype=dtype, use_visible_bias=False)
    else:
        ansatz = mb.ansatz.MLP(tuple(widths), param_dtype=dtype)
    state = mb.VariationalState(ansatz, sampler, samples, seed=1, chunk_size=chunk_size)
    return Optimisation(hamiltonian, state, mb.sr.SR(1e-3), 0.02)
