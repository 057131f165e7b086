# SPDX-License-Identifier: Apache-2.0
"""Quench of the transverse-field Ising chain with a complex RBM: NetKet's side."""

import functools
import sys

import jax
import netket as nk
import netket.experimental as nkx
import numpy as np


def start(options, mark):
    mark("import")
    return Quench(**options)


class Quench:
    """One evolution; arguments as in `manybody_quench.py`."""

    def __init__(self, sites, field, alpha, samples, dt, cutoff):
        space = nk.hilbert.Spin(0.5, sites)
        # NetKet's sign: H = -h sum X + J sum ZZ.
        self.hamiltonian = nk.operator.IsingJax(space, nk.graph.Chain(sites), h=field, J=-1.0)
        ansatz = nk.models.RBM(alpha=alpha, param_dtype=complex, use_visible_bias=False)
        sampler = nk.sampler.MetropolisLocal(space, n_chains=samples, sweep_size=sites, dtype=np.int8)
        self.state = nk.vqs.MCState(sampler, ansatz, n_samples=samples, n_discard_per_chain=0)
        self.solver = nkx.dynamics.Heun(dt=dt)
        self.driver = nkx.TDVP(
            self.hamiltonian,
            variational_state=self.state,
            ode_solver=self.solver,
            qgt=nk.optimizer.qgt.QGTJacobianDense(holomorphic=True, diag_shift=0.0),
            linear_solver=functools.partial(nk.optimizer.solver.pinv_smooth, rtol_smooth=cutoff),
        )
        self.dt = dt

    def about(self):
        return {
            "versions": {"netket": nk.__version__, "jax": jax.__version__, "python": sys.version.split()[0]},
            "device": str(jax.devices()[0].device_kind),
            "n_params": 2 * self.state.n_parameters,
            "settings": "TDVP(QGTJacobianDense(holomorphic=True), pinv_smooth)",
        }

    def begin(self, file, seed):
        """Evolve from these parameters, with chains of this seed."""
        self._load(file)
        state = self.state
        state.sampler_state = state.sampler.init_state(state.model, state.variables, seed=seed)
        self.driver.ode_solver = self.solver  # which takes the parameters of the state over, and goes on with the time
        self.begun = float(self.driver.t)

    def advance(self, steps):
        """Some steps of time.

        NetKet goes on while t < t_end, by whole steps: one more where t is too small by a rounding error.
        """
        self.driver.run((steps - 0.5) * self.dt, out=None, show_progress=False)
        jax.block_until_ready(self.state.parameters)
        return {"t": float(self.driver.t) - self.begun}

    def save(self, out):
        """The parameters now."""
        np.savez(out, **self.state.parameters["Dense"])

    def check(self, file, sigma, out):
        """log psi and local energies of these configurations at these parameters."""
        self._load(file)
        self.state._samples = jax.numpy.asarray(np.load(sigma), np.int8)[:, None]  # one draw per chain
        energies = self.state.local_estimators(self.hamiltonian).reshape(-1)
        np.savez(out, log_psi=self.state.log_value(self.state._samples[:, 0]), energies=energies)
        self.state.reset()

    def _load(self, file):
        with np.load(file) as data:
            self.state.parameters = {"Dense": {name: jax.numpy.asarray(data[name]) for name in ("kernel", "bias")}}
