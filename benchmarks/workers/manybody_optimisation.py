# SPDX-License-Identifier: Apache-2.0
"""An optimisation by manybody, as `optimisations.py` asks for it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the package of this checkout

import jax
import jax.numpy as jnp
import numpy as np
import optax
from manybody_version import versions
from names import given, like, named

import manybody as mb


class Optimisation:
    """Steps of `VMC` with SR and plain steps downhill.

    Args:
        hamiltonian: what is minimised.
        state: where to start.
        sr: the preconditioner.
        rate: what the direction is multiplied by.
    """

    def __init__(self, hamiltonian, state, sr, rate):
        self.hamiltonian, self.state, self.sr, self.rate = hamiltonian, state, sr, rate
        self.driver = mb.driver.VMC(hamiltonian, state, optimizer=optax.sgd(rate), preconditioner=sr)
        self.drawn = state

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

    def steps(self, n, steps_per_call=1):
        """`n` steps as users make them."""
        self.driver.run(n, progress=False, steps_per_call=steps_per_call)

    def compare_calls(self, n, steps_per_call):
        """Largest difference between parameters after `n` steps made one by one and several in a call."""
        start, ends = self.driver.gathered_progress(), []
        for several in (1, steps_per_call):
            self.driver.restore(start)
            self.steps(n, several)
            ends.append(named(self.driver.progress.params))
        return max(float(np.max(np.abs(ends[0][name] - ends[1][name]))) for name in ends[0])

    def sample(self):
        """New samples, as in a step."""
        self.drawn = self.drawn.sample()
        jax.block_until_ready(self.drawn.samples.sigma)

    def local_energies(self):
        """Local energies of these."""
        jax.block_until_ready(self.drawn.local_values(self.hamiltonian))

    def parameters(self, out):
        """Those of the start, by name."""
        np.savez(out, **named(self.state.params))

    def load(self, file):
        """Go on from these parameters."""
        params = self._params(given(file)[0])
        self.driver.restore(self.driver.progress.replace(params=params))
        self.drawn = self.drawn.replace(params=params)

    def step_from(self, file, out):
        """A step of the optimisation itself from these parameters: its samples, its energy and the parameters after."""
        self.load(file)
        drawn = None if self.state.draws == 1 else self.driver.state.samples.flat_sigma
        record = self.driver.advance()
        progress = self.driver.progress
        # With one draw per chain, chains are where the samples were taken; with more, the step draws those of above.
        sigma = progress.chains.sigma if drawn is None else drawn
        np.savez(out, sigma=sigma, energy=record["energy"].mean, **named(progress.params))

    def evaluate(self, file, out):
        """log psi and local energies for given configurations and parameters, and what a step subtracts from these."""
        params, sigma = given(file)
        state, sigma = self.state.replace(params=self._params(params)), jnp.asarray(sigma, jnp.int8)[:, None]
        weight = jnp.full(sigma.shape[:2], 1.0 / sigma.shape[0])  # one draw per chain
        samples = mb.sampler.Samples(sigma, state.log_psi(sigma), weight, "chain")
        values = state.replace(samples=samples).local_values(self.hamiltonian)[:, 0]

        @jax.jit
        def solve(params, samples, values):
            tangent = mb.sr.TangentMap(
                state.comm, lambda p, s: state.network.log_psi(p, state.constants, s), params, samples, None
            )
            problem = mb.sr.Problem(tangent, values, jnp.mean(values), jnp.int32(0))
            return self.sr.update(problem, self.sr.init(params))[0]

        update = {name: self.rate * x for name, x in named(solve(state.params, samples, values)).items()}
        np.savez(out, values=values, log_psi=samples.log_psi[:, 0], **update)

    def _params(self, arrays):
        return jax.tree.map(jnp.asarray, like(self.state.params, arrays))
