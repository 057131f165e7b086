# SPDX-License-Identifier: Apache-2.0
"""Quench of the transverse-field Ising chain with a complex RBM: manybody's side, and the exact evolution."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the package of this checkout

import jax
import jax.numpy as jnp
import numpy as np
from manybody_version import versions

import manybody as mb
from manybody.ode import Integrator


def start(options, mark):
    mark("import")
    return Quench(**options)


class Quench:
    """One evolution.

    Args:
        sites: length of the periodic chain, at J = 1.
        field: the transverse field h.
        alpha: hidden units per site.
        samples: number of samples and of chains.
        dt: step of Heun's method.
        cutoff: of the smooth pseudo-inverse, in units of the largest eigenvalue.
    """

    def __init__(self, sites, field, alpha, samples, dt, cutoff):
        space = mb.hilbert.Spin(sites)
        chain = mb.lattice.chain(sites)
        self.hamiltonian = mb.hamiltonian.ising(space, chain, J=1.0, h=field)
        self.magnetisation = sum(mb.operator.spin.sigmax(space, i) for i in range(sites)) / sites
        ansatz = mb.ansatz.RBM(alpha=alpha, param_dtype=complex, use_visible_bias=False)
        sampler = mb.sampler.Metropolis(space, mb.sampler.LocalFlip(), n_chains=samples)
        self.state = mb.VariationalState(ansatz, sampler, samples)
        self.driver = mb.driver.TDVP(
            self.hamiltonian,
            self.state,
            integrator=Integrator("heun", dt=dt),
            preconditioner=mb.sr.SR(diag_shift=0.0, solver="pinv", cutoff=cutoff),
        )
        self.dt = dt
        self.fresh = self.driver.progress

    def about(self):
        return {
            "versions": versions(),
            "device": str(jax.devices()[0].device_kind),
            "precision": "f64",
            "n_params": self.state.n_params,
            "settings": self.driver.describe(),
            "n_traces": self.driver.n_traces,
        }

    def begin(self, file, seed):
        """Evolve from these parameters, with chains of this seed."""
        chains = mb.VariationalState(self.state.network, self.state.sampler, self.state.n_samples, seed=seed).chains
        self.driver.restore(self.fresh.replace(params=self._params(file), chains=chains), self.driver.n_buffer)

    def advance(self, steps):
        """Some steps of time."""
        self.driver.run(self.driver.t + steps * self.dt, progress=False)
        return {"t": self.driver.t}

    def save(self, out):
        """The parameters now."""
        np.savez(out, **self.driver.progress.params["hidden"])

    def check(self, file, sigma, out):
        """log psi and local energies of these configurations at these parameters."""
        state, sigma = self._state(file), jnp.asarray(np.load(sigma), jnp.int8)[:, None]  # one draw per chain
        samples = mb.sampler.Samples(sigma, state.log_psi(sigma), jnp.full(sigma.shape[:2], 1.0 / len(sigma)), "chain")
        energies = state.replace(samples=samples).local_values(self.hamiltonian)[:, 0]
        np.savez(out, log_psi=samples.log_psi[:, 0], energies=energies)

    def exact(self, file, times, out):
        """The states to which these parameters evolve exactly."""
        np.save(out, mb.exact.evolve(self.hamiltonian, self._state(file).to_array(), times))

    def measure(self, file, states, number):
        """What a state with these parameters has of the exact one of this number, summed over all configurations."""
        exact, psi = np.load(states)[number], self._state(file).to_array()
        return {
            "x": mb.exact.expectation(self.magnetisation, psi),
            "exact_x": mb.exact.expectation(self.magnetisation, exact),
            "energy": mb.exact.expectation(self.hamiltonian, psi),
            "exact_energy": mb.exact.expectation(self.hamiltonian, exact),
            "infidelity": 1 - abs(np.vdot(exact, psi)) ** 2,
        }

    def _state(self, file):
        return self.state.replace(params=self._params(file))

    def _params(self, file):
        with np.load(file) as data:
            return {"hidden": {name: jnp.asarray(data[name]) for name in ("kernel", "bias")}}
