# SPDX-License-Identifier: Apache-2.0
"""Ground state of the transverse-field Ising chain with a real RBM: manybody's side."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the package of this checkout

import jax
import jax.numpy as jnp
import numpy as np
import optax
from manybody_version import versions

import manybody as mb


def start(options, mark):
    mark("import")
    return Ising(**options)


class Ising:
    """One optimisation.

    Args:
        sites: length of the periodic chain, at J = h = 1.
        alpha: hidden units per site.
        samples: number of samples and of chains.
        precision: "f32" or "f64", of the wave function.
        rate: what NetKet calls the learning rate: its direction is twice ours, the gradient of the energy instead of
            the force, so that ours is twice as long.
        diag_shift: of SR.
    """

    def __init__(self, sites, alpha, samples, precision, rate=0.02, diag_shift=1e-3):
        self.dtype = {"f32": np.float32, "f64": np.float64}[precision]
        space = mb.hilbert.Spin(sites)
        self.rate = 2 * rate
        self.hamiltonian = mb.hamiltonian.ising(space, mb.lattice.chain(sites), J=1.0, h=1.0)
        sampler = mb.sampler.Metropolis(space, mb.sampler.LocalFlip(), n_chains=samples, n_burn_in=0)
        ansatz = mb.ansatz.RBM(alpha=alpha, param_dtype=self.dtype, use_visible_bias=False)
        self.sr = mb.sr.SR(diag_shift)
        self.state = mb.VariationalState(ansatz, sampler, samples, seed=1)
        self.driver = mb.driver.VMC(
            self.hamiltonian, self.state, optimizer=optax.sgd(self.rate), preconditioner=self.sr
        )

    def about(self):
        return {
            "versions": versions(),
            "device": str(jax.devices()[0].device_kind),
            "n_devices": jax.device_count(),
            "n_params": self.state.n_params,
            "settings": self.driver.describe(),
            "n_traces": self.driver.n_traces,
        }

    def step(self):
        record = self.driver.advance()
        return {"energy": float(record["energy"].mean), "error": float(record["energy"].error)}

    def load(self, file):
        """Go on from these parameters."""
        with np.load(file) as data:
            self.driver.restore(self.driver.progress.replace(params=self._params(data)))

    def step_from(self, file, out):
        """A step of the optimisation itself from these parameters: its samples, its energy and the parameters after."""
        self.load(file)
        record = self.driver.advance()
        progress = self.driver.progress  # with one draw per chain, chains are where the samples were taken
        layer = progress.params["hidden"]
        np.savez(
            out,
            sigma=progress.chains.sigma,
            energy=record["energy"].mean,
            kernel=layer["kernel"],
            bias=layer["bias"],
        )

    def evaluate(self, file, out):
        """Local energies of given configurations at given parameters, and what a step subtracts from these."""
        with np.load(file) as data:
            params, sigma = self._params(data), jnp.asarray(data["sigma"], jnp.int8)[:, None]  # one draw per chain
        state = self.state.replace(params=params)
        weight = jnp.full(sigma.shape[:2], 1.0 / sigma.shape[0])
        samples = mb.sampler.Samples(sigma, state.log_psi(sigma), weight, "chain")
        values = state.replace(samples=samples).local_values(self.hamiltonian)[:, 0]

        @jax.jit
        def solve(params, samples, values):
            tangent = mb.sr.TangentMap(
                state.comm, lambda p, s: state.network.log_psi(p, state.constants, s), params, samples, None
            )
            problem = mb.sr.Problem(tangent, values, jnp.mean(values), jnp.int32(0))
            return self.sr.update(problem, self.sr.init(params))[0]

        layer = solve(params, samples, values)["hidden"]
        np.savez(out, values=values, kernel=self.rate * layer["kernel"], bias=self.rate * layer["bias"])

    def _params(self, data):
        return {"hidden": {name: jnp.asarray(data[name], self.dtype) for name in ("kernel", "bias")}}
