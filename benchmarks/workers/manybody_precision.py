# SPDX-License-Identifier: Apache-2.0
"""The same optimisations in several precisions, in one process."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the package of this checkout

import jax
import jax.numpy as jnp
import numpy as np
import optax
from manybody_version import versions

import manybody as mb

NARROW = {"bf16": jnp.bfloat16, "f16": jnp.float16}
"""Types of products; all else is in single precision."""


def start(options, mark):
    mark("import")
    return Precisions(**options)


def tfim(sites, alpha):
    """The chain and the RBM of `vs_netket.py`; what makes the ansatz for a type."""
    space = mb.hilbert.Spin(sites)
    hamiltonian = mb.hamiltonian.ising(space, mb.lattice.chain(sites), J=1.0, h=1.0)

    def make(dtype):
        return mb.ansatz.RBM(alpha=alpha, param_dtype=dtype, use_visible_bias=False)

    return hamiltonian, mb.sampler.LocalFlip(), make


def j1j2(network, extent, **size):
    """The model and the networks of `networks.py`."""
    lattice = mb.lattice.square(extent)
    space = mb.hilbert.Spin(lattice.n_sites, total_sz=0)
    hamiltonian = mb.hamiltonian.j1j2(space, lattice, J1=1.0, J2=0.5, marshall=True)

    def make(dtype):
        return getattr(mb.ansatz, network)(lattice, output="real", param_dtype=dtype, **size)

    return hamiltonian, mb.sampler.Exchange(lattice), make


class Precisions:
    """Optimisations of one problem, by precision: "f64", "f32", "bf16" or "f16".

    Args:
        problem: name of a function of this file.
        options: its arguments.
        samples: number of samples and of chains.
        rate: what the direction is multiplied by.
        diag_shift: of SR.
    """

    def __init__(self, problem, options, samples, rate, diag_shift):
        self.hamiltonian, self.move, self.make = {"tfim": tfim, "j1j2": j1j2}[problem](**options)
        self.samples, self.rate = samples, rate
        self.sr = mb.sr.SR(diag_shift, method="samples")
        self.drivers = {}
        self.first = jax.device_get(self._state("f64").params)
        self.settled = self.first

    def about(self):
        return {
            "versions": versions(),
            "device": str(jax.devices()[0].device_kind),
            "default_matmul_precision": str(jax.config.jax_default_matmul_precision),
        }

    def prepare(self, precision):
        """Compile the steps and make one; returns what is computed in which type."""
        state = self._state(precision, self.first)
        options = {"optimizer": optax.sgd(self.rate), "preconditioner": self.sr}
        driver = self.drivers[precision] = mb.driver.VMC(self.hamiltonian, state, **options)
        self.step(precision)
        return {
            "ansatz": type(state.network.module).__name__,
            "parameters": sorted({str(x.dtype) for x in jax.tree.leaves(state.params)}),
            "log_psi": str(driver.state.sample().samples.log_psi.dtype),
            "settings": driver.describe(),
        }

    def step(self, precision):
        return {"energy": float(self.drivers[precision].advance()["energy"].mean)}

    def optimise(self, precision, steps):
        """Go on by so many steps; where double precision ends is where all precisions are compared."""
        self.drivers[precision].run(steps, progress=False)
        if precision == "f64":
            self.settled = jax.device_get(self.drivers["f64"].progress.params)

    def measure(self, precision, samples, own, seed):
        """The energy with fresh chains, with this optimisation's `own` parameters or those that all have."""
        params = self._plain(self.drivers[precision].progress.params) if own else self.settled
        state = self._state(precision, params, samples, seed).sample()
        energy = state.expect(self.hamiltonian)
        return {"energy": float(energy.mean), "error": float(energy.error), "type": str(energy.mean.dtype)}

    def log_psi(self, precision, out):
        """Of configurations from double precision, at the parameters that all have."""
        if "sigma" not in vars(self):
            self.sigma = self._state("f64", self.settled, self.samples, 5).sample().samples.flat_sigma
        np.savez(out, log_psi=self._state(precision, self.settled).log_psi(self.sigma))

    def _ansatz(self, precision):
        ansatz = self.make(jnp.float64 if precision == "f64" else jnp.float32)
        return mb.ansatz.MixedPrecision(ansatz, NARROW[precision]) if precision in NARROW else ansatz

    def _state(self, precision, params=None, samples=None, seed=1):
        """A state with chains of its own, as many as there are samples in a step."""
        sampler = mb.sampler.Metropolis(self.hamiltonian.space, self.move, n_chains=self.samples, n_burn_in=20)
        if params is not None:
            params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64 if precision == "f64" else jnp.float32), params)
            params = {"ansatz": params} if precision in NARROW else params
        return mb.VariationalState(self._ansatz(precision), sampler, samples or self.samples, seed=seed, params=params)

    @staticmethod
    def _plain(params):
        """Parameters of the ansatz itself."""
        return params["ansatz"] if set(params) == {"ansatz"} else params
