# SPDX-License-Identifier: Apache-2.0
"""J1-J2 model on the square lattice with `ResNet` or `ViT`: manybody's side."""

import numpy as np
from manybody_optimisation import Optimisation

import manybody as mb  # found by the line above


def start(options, mark):
    mark("import")
    return j1j2(**options)


def j1j2(extent, network, size, samples, precision, J2=0.5, rate=0.01, diag_shift=1e-2):
    """One optimisation without magnetisation.

    Args:
        extent: of the periodic lattice.
        network: "resnet" or "vit".
        size: its options.
        samples: number of samples and of chains.
        precision: "f32" or "f64", of the wave function.
        J2: in units of J1, with the signs of the ground state at J2 = 0.
        rate: what the direction is multiplied by, the force with our convention.
        diag_shift: of SR.
    """
    lattice = mb.lattice.square(extent)
    space = mb.hilbert.Spin(lattice.n_sites, total_sz=0)
    hamiltonian = mb.hamiltonian.j1j2(space, lattice, J1=1.0, J2=J2, marshall=True)
    sampler = mb.sampler.Metropolis(space, mb.sampler.Exchange(lattice), n_chains=samples, n_burn_in=0)
    dtype = {"f32": np.float32, "f64": np.float64}[precision]
    ansatz = {"resnet": mb.ansatz.ResNet, "vit": mb.ansatz.ViT}[network]
    ansatz = ansatz(lattice, output="real", param_dtype=dtype, **size)
    state = mb.VariationalState(ansatz, sampler, samples, seed=1)
    return Optimisation(hamiltonian, state, mb.sr.SR(diag_shift, method="samples"), rate)
