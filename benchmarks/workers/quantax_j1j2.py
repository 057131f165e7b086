# SPDX-License-Identifier: Apache-2.0
"""J1-J2 model on the square lattice with the networks of `peer_networks.py`: quantax's side."""

import sys
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import quantax as qtx
from names import given
from peer_networks import build, scaled_normal


def start(options, mark):
    mark("import")
    return Optimisation(**options)


class Network(eqx.Module):
    """A function of parameters and configurations as what quantax takes: psi of one configuration."""

    params: dict
    log_psi: Callable = eqx.field(static=True)

    def __call__(self, sigma):
        log_psi = self.log_psi(self.params, sigma[None])[0]
        return qtx.utils.LogArray(jnp.ones_like(log_psi), log_psi)


class Optimisation:
    """Steps of `SR` and plain steps downhill, as `optimisations.py` asks for them; arguments as in `manybody_j1j2.py`.

    Args:
        chunk: configurations evaluated at a time; without it quantax compiles anew whenever the number of connections
            changes.
    """

    def __init__(self, extent, network, size, samples, precision, chunk, J2=0.5, rate=0.01, diag_shift=1e-2):
        dtype = {"f32": jnp.float32, "f64": jnp.float64}[precision]
        qtx.set_default_dtype(dtype)
        self.rate = rate
        half = extent**2 // 2
        qtx.sites.Square(extent, Nparticles=(half, half))
        # Pauli matrices; the sign rule is that of the sublattices.
        self.hamiltonian = qtx.operator.Heisenberg(J=[0.25, J2 / 4], n_neighbor=[1, 2], msr=True)
        log_psi, shapes = build(network, extent, size)
        keys = jax.random.split(jax.random.key(1), len(shapes))
        params = {name: scaled_normal(key, shapes[name], dtype) for key, name in zip(keys, shapes, strict=True)}
        self.state = qtx.state.Variational(Network(params, log_psi), max_parallel=chunk)
        self.sampler = qtx.sampler.SpinExchange(self.state, samples, sweep_steps=extent**2, thermal_steps=0)
        solver = qtx.optimizer.minnorm_shift_eig(rshift=0.0, ashift=diag_shift)  # Cholesky, in spite of its name
        self.optimizer = qtx.optimizer.SR(self.state, self.hamiltonian, solver=solver)
        self.drawn = None

    def about(self):
        return {
            "versions": {"quantax": qtx.__version__, "jax": jax.__version__, "python": sys.version.split()[0]},
            "device": str(jax.devices()[0].device_kind),
            "n_devices": jax.device_count(),
            "n_params": int(self.state.nparams),
            "settings": f"SR with minnorm_shift_eig, max_parallel={self.state.forward_chunk}",
        }

    def step(self):
        self.state.update(self.rate * self.optimizer.get_step(self.sampler.sweep()))
        jax.block_until_ready(self.state.get_params_flatten())
        variance = float(self.optimizer.VarE)
        return {"energy": float(self.optimizer.energy), "error": (variance / self.sampler.nsamples) ** 0.5}

    def sample(self):
        """New samples, as in a step."""
        self.drawn = self.sampler.sweep()
        jax.block_until_ready(self.drawn.spins)

    def local_energies(self):
        """Local energies of these."""
        jax.block_until_ready(self.hamiltonian.Oloc(self.state, self.drawn))

    def load(self, file):
        """Go on from these parameters."""
        self._set(given(file)[0])

    def evaluate(self, file, out):
        """log psi and local energies for given configurations and parameters, and what a step subtracts from these."""
        params, sigma = given(file)
        self._set(params)
        sigma = sigma.astype(np.int8)
        values = self.hamiltonian.Oloc(self.state, sigma)
        direction = self.state.get_params_unflatten(self.optimizer.get_step(qtx.sampler.Samples(jnp.asarray(sigma))))
        update = {name: self.rate * x for name, x in direction.params.items()}
        np.savez(out, values=values, log_psi=self.state(sigma).logabs, **update)

    def _set(self, params):
        """There is no public way to do it."""
        like = self.state.model.params
        new = {name: jnp.asarray(params[name], like[name].dtype) for name in like}
        self.state._model = eqx.tree_at(lambda model: model.params, self.state.model, new)
