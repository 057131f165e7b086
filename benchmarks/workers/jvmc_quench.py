# SPDX-License-Identifier: Apache-2.0
"""Quench of the transverse-field Ising chain with a complex RBM: jVMC's side."""

import importlib.metadata
import sys

import jax
import jax.numpy as jnp
import jVMC
import numpy as np


def start(options, mark):
    mark("import")
    return Quench(**options)


class Quench:
    """One evolution; arguments as in `manybody_quench.py`."""

    def __init__(self, sites, field, alpha, samples, dt, cutoff):
        self.dt, self.t, self.cutoff = dt, 0.0, cutoff
        self.psi = jVMC.vqs.NQS(jVMC.nets.CpxRBM(numHidden=alpha * sites, bias=True), seed=1, batchSize=samples)
        self.hamiltonian = jVMC.operator.BranchFreeOperator()
        for site in range(sites):
            bond = jVMC.operator.Sz(site), jVMC.operator.Sz((site + 1) % sites)  # Pauli matrices, in spite of the name
            self.hamiltonian.add(jVMC.operator.scal_opstr(-1.0, bond))
            self.hamiltonian.add(jVMC.operator.scal_opstr(-field, (jVMC.operator.Sx(site),)))
        self.sampler = jVMC.sampler.MCSampler(
            self.psi,
            (sites,),
            jax.random.PRNGKey(0),
            updateProposer=jVMC.sampler.propose_spin_flip,
            numChains=samples,
            sweepSteps=sites,
            numSamples=samples,
            thermalizationSweeps=0,
        )
        # Without the cut of noisy eigenvalues, which is on by default; the one of small eigenvalues falls to its lower
        # bound, since no tolerance ends its search earlier.
        self.equation = jVMC.util.TDVP(
            self.sampler, rhsPrefactor=1.0j, snrTol=0.0, pinvTol=0.0, pinvCutoff=cutoff, makeReal="imag"
        )

    def about(self):
        return {
            "versions": {
                "jvmc": importlib.metadata.version("jVMC"),
                "jax": jax.__version__,
                "python": sys.version.split()[0],
            },
            "device": str(jax.devices()[0].device_kind),
            "n_params": len(self.psi.get_parameters()),
            "settings": "TDVP(snrTol=0, pinvTol=0)",
        }

    def begin(self, file, seed):
        """Evolve from these parameters, with chains of this seed."""
        self._load(file)
        key, key_start = jax.random.split(jax.random.PRNGKey(seed))
        self.sampler.set_random_key(key)
        shape = self.sampler.states.shape  # (devices, chains, sites), all of them 0 in the beginning
        self.sampler.states = jax.random.bernoulli(key_start, 0.5, shape).astype(self.sampler.states.dtype)
        self.t = 0.0

    def advance(self, steps):
        """Some steps of time, by Heun's method: jVMC has it with variable steps only."""
        arguments = {"hamiltonian": self.hamiltonian, "psi": self.psi, "numSamples": self.sampler.numSamples}
        for _ in range(steps):
            y = self.psi.get_parameters()
            first = self.equation(y, self.t, intStep=0, **arguments)
            second = self.equation(y + self.dt * first, self.t + self.dt, intStep=1, **arguments)
            self.psi.set_parameters(y + self.dt / 2 * (first + second))
            self.t += self.dt
        jax.block_until_ready(self.psi.get_parameters())
        return {"t": self.t}

    def save(self, out):
        """The parameters now."""
        np.savez(out, **self.psi.params["Dense_0"])

    def check(self, file, sigma, out):
        """log psi and local energies of these configurations at these parameters."""
        self._load(file)
        sigma = (jnp.asarray(np.load(sigma), jnp.int32)[None] + 1) // 2  # (devices, samples, sites), 0 and 1
        log_psi = self.psi(sigma)
        energies = self.hamiltonian.get_O_loc(sigma, self.psi, log_psi, 0.0)
        np.savez(out, log_psi=log_psi[0], energies=energies[0])

    def _load(self, file):
        with np.load(file) as data:
            self.psi.set_parameters(
                jnp.concatenate([x for name in ("bias", "kernel") for x in _real(jnp.asarray(data[name]))])
            )


def _real(x):
    """Real and imaginary parts as jVMC orders them, of leaves in the order of their names."""
    return x.real.ravel(), x.imag.ravel()
