# SPDX-License-Identifier: Apache-2.0
"""Directions of SR by several solvers, at parameters and samples of an optimisation."""

import functools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the package of this checkout

import jax
import jax.numpy as jnp
import numpy as np
import optax
from manybody_version import versions

import manybody as mb
from manybody.estimator.derivatives import flatten_real


def start(options, mark):
    mark("import")
    return Solves(**options)


NETWORKS = {
    "RBM": lambda lattice, **size: mb.ansatz.RBM(use_visible_bias=False, **size),
    "ResNet": mb.ansatz.ResNet,
}


class Solves:
    """The transverse-field Ising chain at J = h = 1 with a real network in single precision.

    Args:
        sites: length of the chain.
        network: RBM or ResNet.
        size: its options.
        samples: number of samples and of chains.
        method: of SR.
        steps: of optimisation before.
    """

    def __init__(self, sites, network, size, samples, method, steps):
        self.make = functools.partial(NETWORKS[network], mb.lattice.chain(sites), **size)
        space = mb.hilbert.Spin(sites)
        hamiltonian = mb.hamiltonian.ising(space, mb.lattice.chain(sites), J=1.0, h=1.0)
        sampler = mb.sampler.Metropolis(space, mb.sampler.LocalFlip(), n_chains=samples)
        state = mb.VariationalState(self.make(param_dtype=jnp.float32), sampler, samples, seed=1)
        driver = mb.driver.VMC(
            hamiltonian, state, optimizer=optax.sgd(0.05), preconditioner=mb.sr.SR(1e-3, method=method)
        )
        driver.run(steps, progress=False)
        self.state, self.method = driver.state.sample(), method
        self.values = self.state.local_values(hamiltonian).reshape(-1)
        self.programs = {}

    def about(self):
        return {"versions": versions(), "device": str(jax.devices()[0].device_kind), "n_params": self.state.n_params}

    def equations(self, precision, out):
        """The rows of the Jacobian of the network in this precision, and the local energies beside them."""

        @jax.jit
        def make(params, samples, values):
            tangent = self._tangent(precision, params, samples)
            return tangent.jacobian()[:, 0], tangent.residual(values, jnp.mean(values))[:, 0]

        rows, e = make(*self._arguments(precision))
        np.savez(out, rows=rows, e=e)
        return {"type": str(rows.dtype)}

    def direction(self, solver, shift, out=None):
        """What a step subtracts from the parameters, in units of the learning rate; compiled by the first call."""
        if solver not in self.programs:

            def solve(shift, params, samples, values):
                problem = mb.sr.Problem(self._tangent("f32", params, samples), values, jnp.mean(values), jnp.int32(0))
                sr = mb.sr.SR(lambda _: shift, method=self.method, solver=solver)
                direction, _, info = sr.update(problem, ())
                return flatten_real(direction), info["sr_code"]

            self.programs[solver] = jax.jit(solve)
        found, code = jax.block_until_ready(self.programs[solver](jnp.asarray(shift, float), *self._arguments("f32")))
        if out is not None:
            np.savez(out, direction=found)
        return {"code": int(code)}

    def _arguments(self, precision):
        dtype = jnp.float64 if precision == "f64" else jnp.float32
        return jax.tree.map(lambda x: x.astype(dtype), self.state.params), self.state.samples, self.values

    def _tangent(self, precision, params, samples):
        ansatz = self.make(param_dtype=jnp.float64 if precision == "f64" else jnp.float32)
        log_psi = lambda p, sigma: ansatz.apply({"params": p}, sigma)  # noqa: E731
        return mb.sr.TangentMap(self.state.comm, log_psi, params, samples, None)
