# SPDX-License-Identifier: Apache-2.0
"""Ansatzes of every kind: real, complex, holomorphic or not, of every way to write one."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from manybody.ansatz import MLP, RBM, Jastrow, MeanField


class NnxNet(nnx.Module):
    """Two linear layers and a fixed array that is no parameter."""

    def __init__(self, n_sites: int):
        rngs = nnx.Rngs(3)
        self.first = nnx.Linear(n_sites, 6, param_dtype=jnp.float64, dtype=jnp.float64, rngs=rngs)
        self.second = nnx.Linear(6, 2, param_dtype=jnp.float64, dtype=jnp.float64, rngs=rngs)
        self.scale = nnx.Variable(jnp.full((1, 2), 0.7))

    def __call__(self, sigma):
        out = self.second(jnp.tanh(self.first(sigma.astype(float)))) * self.scale[...]
        return jax.lax.complex(out[..., 0], out[..., 1])


def pair_init(key, sigma):
    n = sigma.shape[-1]
    real, imag = jax.random.normal(key, (2, n, n))
    return {"pairs": 0.2 * real, "phases": [jax.lax.complex(0.3 * real[0], 0.3 * imag[0])]}


def pair_apply(params, sigma):
    """Not holomorphic: |z|^2 of a complex parameter beside z, and real parameters beside complex ones."""
    x = sigma.astype(float)
    z = params["phases"][0]
    real = jnp.tanh(jnp.einsum("si,ij,sj->s", x, params["pairs"], x)) + 0.3 * jnp.sin(x @ jnp.abs(z) ** 2)
    return real.astype(complex) + x.astype(complex) @ z


N_SITES = 8

ANSATZES = {
    "mean-field": lambda: MeanField(),
    "jastrow": lambda: Jastrow(),
    "rbm": lambda: RBM(),
    "rbm-complex": lambda: RBM(param_dtype=complex),
    "rbm-phase": lambda: RBM(separate_phase=True),
    "mlp": lambda: MLP(hidden=(7, 5)),
    "mlp-complex": lambda: MLP(hidden=(6,), activation=jnp.tanh, param_dtype=complex),
    "nnx": lambda: NnxNet(N_SITES),
    "init-apply": lambda: (pair_init, pair_apply),
}


def spread(params, scale=0.1, seed=5):
    """Parameters with random numbers added, so that nothing is zero or symmetric."""
    rng = np.random.default_rng(seed)

    def shifted(x):
        noise = rng.normal(size=x.shape) + (1j * rng.normal(size=x.shape) if jnp.iscomplexobj(x) else 0)
        return x + jnp.asarray(scale * noise, x.dtype)

    return jax.tree.map(shifted, params)
