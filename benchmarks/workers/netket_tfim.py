# SPDX-License-Identifier: Apache-2.0
"""Ground state of the transverse-field Ising chain with a real RBM or a Jastrow factor: NetKet's side, with its JAX
operator and VMC_SR."""

import jax.numpy as jnp
import netket as nk
import numpy as np
from netket_optimisation import Optimisation


class OfPairs(Optimisation):
    """That of a Jastrow factor. Files have couplings row by row of the upper triangle, NetKet column by column."""

    def _params(self, arrays):
        return {"kernel": jnp.asarray(arrays["couplings.kernel"][self._order], self.state.parameters["kernel"].dtype)}

    def _in_file(self, tree):
        return {"couplings": {"kernel": np.asarray(tree["kernel"])[np.argsort(self._order)]}}

    @property
    def _order(self):
        """The places in a file of NetKet's couplings."""
        n = self.state.hilbert.size
        place = np.zeros((n, n), int)
        place[np.triu_indices(n, k=1)] = np.arange(n * (n - 1) // 2)
        return place.T[np.tril_indices(n, k=-1)]


def start(options, mark):
    mark("import")
    return ising(**options)


def ising(sites, alpha, samples, precision, rate=0.02, diag_shift=1e-3, chains=None, on_the_fly=None):
    """One optimisation; arguments as in `manybody_tfim.py`, and `on_the_fly` of `Optimisation`."""
    space = nk.hilbert.Spin(0.5, sites)
    # NetKet's sign: H = -h sum X + J sum ZZ.
    hamiltonian = nk.operator.IsingJax(space, nk.graph.Chain(sites), h=1.0, J=-1.0)
    dtype = {"f32": np.float32, "f64": np.float64}[precision]
    if alpha is None:
        ansatz = nk.models.Jastrow(param_dtype=dtype)
    else:
        ansatz = nk.models.RBM(alpha=alpha, param_dtype=dtype, use_visible_bias=False)
    sampler = nk.sampler.MetropolisLocal(space, n_chains=chains or samples, sweep_size=sites, dtype=np.int8)
    state = nk.vqs.MCState(sampler, ansatz, n_samples=samples, n_discard_per_chain=0, seed=1, sampler_seed=2)
    kind = OfPairs if alpha is None else Optimisation
    return kind(hamiltonian, state, rate, diag_shift, on_the_fly, {"Dense": "hidden"})
