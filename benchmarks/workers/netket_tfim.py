# SPDX-License-Identifier: Apache-2.0
"""Ground state of the transverse-field Ising chain with a real RBM: NetKet's side, with its JAX operator and VMC_SR."""

import sys

import jax
import netket as nk
import numpy as np


def start(options, mark):
    mark("import")
    return Ising(**options)


class Ising:
    """One optimisation; arguments as in `manybody_tfim.py`.

    Args:
        on_the_fly: how NetKet makes the kernel: None for its own choice (layer by layer, without Jacobian), False with
            a dense Jacobian.
    """

    def __init__(self, sites, alpha, samples, precision, rate=0.02, diag_shift=1e-3, on_the_fly=None):
        self.dtype = {"f32": np.float32, "f64": np.float64}[precision]
        self.rate = rate
        space = nk.hilbert.Spin(0.5, sites)
        # NetKet's sign: H = -h sum X + J sum ZZ.
        self.hamiltonian = nk.operator.IsingJax(space, nk.graph.Chain(sites), h=1.0, J=-1.0)
        ansatz = nk.models.RBM(alpha=alpha, param_dtype=self.dtype, use_visible_bias=False)
        sampler = nk.sampler.MetropolisLocal(space, n_chains=samples, sweep_size=sites, dtype=np.int8)
        self.state = nk.vqs.MCState(sampler, ansatz, n_samples=samples, n_discard_per_chain=0, seed=1, sampler_seed=2)
        self.driver = nk.driver.VMC_SR(
            self.hamiltonian,
            nk.optimizer.Sgd(rate),
            diag_shift=diag_shift,
            variational_state=self.state,
            mode="real",
            on_the_fly=on_the_fly,
        )

    def about(self):
        return {
            "versions": {"netket": nk.__version__, "jax": jax.__version__, "python": sys.version.split()[0]},
            "device": str(jax.devices()[0].device_kind),
            "n_devices": jax.device_count(),
            "n_params": self.state.n_parameters,
            "settings": f"VMC_SR(use_ntk={self.driver.use_ntk}, on_the_fly={self.driver.on_the_fly})",
        }

    def step(self):
        self.driver.run(1, out=None, show_progress=False)
        jax.block_until_ready(self.state.parameters)
        energy = self.driver._loss_stats  # the energy of this step has no public name
        return {"energy": float(energy.mean.real), "error": float(energy.error_of_mean)}

    def load(self, file):
        """Go on from these parameters."""
        with np.load(file) as data:
            self.state.parameters = self._params(data)

    def evaluate(self, file, out):
        """Local energies of given configurations at given parameters, and what a step subtracts from these."""
        with np.load(file) as data:
            self.state.parameters = self._params(data)
            self.state._samples = jax.numpy.asarray(data["sigma"], np.int8)[:, None]  # one draw per chain
        values = self.state.local_estimators(self.hamiltonian).reshape(-1)
        _, direction = self.driver.compute_loss_and_update()
        layer = direction["Dense"]
        self.state.reset()
        np.savez(out, values=values, kernel=self.rate * layer["kernel"], bias=self.rate * layer["bias"])

    def _params(self, data):
        return {"Dense": {name: jax.numpy.asarray(data[name], self.dtype) for name in ("kernel", "bias")}}
