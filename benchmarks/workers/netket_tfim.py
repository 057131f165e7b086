# SPDX-License-Identifier: Apache-2.0
"""Ground state of the transverse-field Ising chain with a real RBM: NetKet's side, with its JAX operator and VMC_SR."""

import netket as nk
import numpy as np
from netket_optimisation import Optimisation


def start(options, mark):
    mark("import")
    return ising(**options)


def ising(sites, alpha, samples, precision, rate=0.02, diag_shift=1e-3, chains=None, on_the_fly=None):
    """One optimisation; arguments as in `manybody_tfim.py`, and `on_the_fly` of `Optimisation`."""
    space = nk.hilbert.Spin(0.5, sites)
    # NetKet's sign: H = -h sum X + J sum ZZ.
    hamiltonian = nk.operator.IsingJax(space, nk.graph.Chain(sites), h=1.0, J=-1.0)
    dtype = {"f32": np.float32, "f64": np.float64}[precision]
    ansatz = nk.models.RBM(alpha=alpha, param_dtype=dtype, use_visible_bias=False)
    sampler = nk.sampler.MetropolisLocal(space, n_chains=chains or samples, sweep_size=sites, dtype=np.int8)
    state = nk.vqs.MCState(sampler, ansatz, n_samples=samples, n_discard_per_chain=0, seed=1, sampler_seed=2)
    return Optimisation(hamiltonian, state, rate, diag_shift, on_the_fly, {"Dense": "hidden"})
