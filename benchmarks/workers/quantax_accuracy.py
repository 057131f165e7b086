# SPDX-License-Identifier: Apache-2.0
"""A ground state in a given time with quantax's ResConv, samples of `SpinExchange` and the optimiser `SPRING`."""

import math

import jax
import jax.numpy as jnp
import quantax as qtx
from timed_rate import TimedRate


def start(options, mark):
    mark("import")
    return GroundState(**options)


class GroundState:
    """Heisenberg and J1-J2 models, from a configuration of `accuracy/`.

    Args:
        config: its tables.
    """

    def __init__(self, config):
        self.extent, self.options = config["lattice"]["lx"], config["optimisation"]
        self.sampling, model = config["sampler"], config["ansatz"]
        half = self.extent**2 // 2
        qtx.sites.Square(self.extent, Nparticles=(half, half))
        J2 = config["hamiltonian"].get("J2", 0.0)
        # Pauli matrices; the sign rule is that of the sublattices.
        couplings, orders = ([0.25, J2 / 4], [1, 2]) if J2 else ([0.25], [1])
        self.hamiltonian = qtx.operator.Heisenberg(J=couplings, n_neighbor=orders, msr=True)
        out_dtype = None
        if model["output"] != "real":  # as ours, positive or with phases
            out_dtype = jnp.complex64
            qtx.set_default_dtype(jnp.complex128)
        network = qtx.model.ResConv(model["blocks"], model["features"], 3, out_dtype=out_dtype)
        self.state = qtx.state.Variational(network)
        self.sampler = self._sampler(self.sampling["n_samples"])

    def _sampler(self, n_samples):
        return qtx.sampler.SpinExchange(self.state, n_samples, sweep_steps=self.sampling["sweep_size"])

    def train(self, seconds):
        """Steps until the time is over."""
        rate, steps = TimedRate(self.options["learning_rate"], seconds), 0
        solver = qtx.optimizer.auto_shift_eig(ashift=1e-3)
        momentum = self.options["sr"]["momentum"]
        optimizer = qtx.optimizer.SPRING(self.state, self.hamiltonian, solver=solver, mu=momentum)
        while not rate.is_over:
            self.state.update(rate() * optimizer.get_step(self.sampler.sweep()))
            jax.block_until_ready(self.state.get_params_flatten())
            steps += 1
        return {"steps": steps, "n_params": int(self.state.nparams)}

    def measure(self, n_samples, n_chains, n_burn_in):
        """The energy from fresh chains; the samples are taken as independent for its error."""
        sampler = self._sampler(n_chains)
        sampler.sweep(n_burn_in * self.sampling["sweep_size"])
        moments = [
            self.hamiltonian.expectation(self.state, sampler.sweep(), return_var=True)
            for _ in range(n_samples // n_chains)
        ]
        means = jnp.asarray([complex(mean).real for mean, _ in moments])
        variance = float(jnp.mean(jnp.asarray([float(variance) for _, variance in moments])) + jnp.var(means))
        return {
            "energy": float(jnp.mean(means)),
            "error": math.sqrt(variance / n_samples),
            "variance": variance,
            "versions": {"quantax": qtx.__version__, "jax": jax.__version__},
        }
