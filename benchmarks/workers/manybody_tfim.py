# SPDX-License-Identifier: Apache-2.0
"""Ground state of the transverse-field Ising chain with a real RBM or a Jastrow factor: manybody's side."""

import numpy as np
from manybody_optimisation import Optimisation

import manybody as mb  # found by the line above


def start(options, mark):
    mark("import")
    return ising(**options)


def ising(sites, alpha, samples, precision, rate=0.02, diag_shift=1e-3, chains=None):
    """One optimisation.

    Args:
        sites: length of the periodic chain, at J = h = 1.
        alpha: hidden units per site of an RBM; None for a Jastrow factor.
        samples: number of samples.
        precision: "f32" or "f64", of the wave function.
        rate: what NetKet calls the learning rate: its direction is twice ours, the gradient of the energy instead of
            the force, so that ours is twice as long.
        diag_shift: of SR.
        chains: their number; None for as many as there are samples.
    """
    space = mb.hilbert.Spin(sites)
    hamiltonian = mb.hamiltonian.ising(space, mb.lattice.chain(sites), J=1.0, h=1.0)
    sampler = mb.sampler.Metropolis(space, mb.sampler.LocalFlip(), n_chains=chains or samples, n_burn_in=0)
    dtype = {"f32": np.float32, "f64": np.float64}[precision]
    if alpha is None:
        ansatz = mb.ansatz.Jastrow(param_dtype=dtype, use_visible_bias=False)
    else:
        ansatz = mb.ansatz.RBM(alpha=alpha, param_dtype=dtype, use_visible_bias=False)
    state = mb.VariationalState(ansatz, sampler, samples, seed=1)
    return Optimisation(hamiltonian, state, mb.sr.SR(diag_shift), 2 * rate)
