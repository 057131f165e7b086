# SPDX-License-Identifier: Apache-2.0
"""An optimisation by NetKet, as `optimisations.py` asks for it."""

import sys

import jax
import netket as nk
import numpy as np
from names import given, like, named


class Optimisation:
    """Steps of `VMC_SR` and plain steps downhill.

    Args:
        hamiltonian: what is minimised.
        state: where to start.
        rate: the learning rate; the direction is the gradient of the energy.
        diag_shift: of SR.
        on_the_fly: how NetKet makes the kernel: None for its own choice (layer by layer, without Jacobian), False with
            a dense Jacobian.
        layers: names of layers -> those in files, where these differ.
    """

    def __init__(self, hamiltonian, state, rate, diag_shift, on_the_fly, layers):
        self.hamiltonian, self.state, self.rate, self.layers = hamiltonian, state, rate, layers
        self.driver = nk.driver.VMC_SR(
            hamiltonian,
            nk.optimizer.Sgd(rate),
            diag_shift=diag_shift,
            variational_state=state,
            mode="real",
            on_the_fly=on_the_fly,
        )

    def about(self):
        packed = nk.config.netket_experimental_packed_kernel
        how = f"use_ntk={self.driver.use_ntk}, on_the_fly={self.driver.on_the_fly}"
        return {
            "versions": {"netket": nk.__version__, "jax": jax.__version__, "python": sys.version.split()[0]},
            "device": str(jax.devices()[0].device_kind),
            "n_devices": jax.device_count(),
            "n_params": self.state.n_parameters,
            "settings": f"VMC_SR({how}), packed kernel {'on' if packed else 'off'}",
        }

    def step(self):
        self.driver.run(1, out=None, show_progress=False)
        jax.block_until_ready(self.state.parameters)
        energy = self.driver._loss_stats  # the energy of this step has no public name
        return {"energy": float(energy.mean.real), "error": float(energy.error_of_mean)}

    def steps(self, n):
        """`n` steps as users make them."""
        self.driver.run(n, out=None, show_progress=False)
        jax.block_until_ready(self.state.parameters)

    def sample(self):
        """New samples, as in a step."""
        self.state.reset()
        jax.block_until_ready(self.state.samples)

    def local_energies(self):
        """Local energies of these."""
        jax.block_until_ready(self.state.local_estimators(self.hamiltonian).data)

    def load(self, file):
        """Go on from these parameters."""
        self.state.parameters = self._params(given(file)[0])

    def evaluate(self, file, out):
        """log psi and local energies for given configurations and parameters, and what a step subtracts from these."""
        params, sigma = given(file)
        self.state.parameters = self._params(params)
        shape = (self.state.sampler.n_chains, -1, sigma.shape[-1])  # the draws of a chain follow one another
        self.state._samples = jax.numpy.asarray(sigma, np.int8).reshape(shape)
        values = self.state.local_estimators(self.hamiltonian).reshape(-1)
        _, direction = self.driver.compute_loss_and_update()
        log_psi = self.state.log_value(sigma)
        self.state.reset()
        update = {name: self.rate * x for name, x in named(self._in_file(direction)).items()}
        np.savez(out, values=values, log_psi=log_psi, **update)

    def _params(self, arrays):
        own = dict(self.state.parameters)
        layers = {new: old for old, new in self.layers.items()}
        tree = like(self._in_file(own), arrays)
        return jax.tree.map(jax.numpy.asarray, {layers.get(name, name): inner for name, inner in tree.items()})

    def _in_file(self, tree):
        return {self.layers.get(name, name): inner for name, inner in tree.items()}
