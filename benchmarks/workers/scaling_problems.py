# SPDX-License-Identifier: Apache-2.0
"""What the scaling benchmark optimises: the transverse-field Ising chain at J = h = 1, with as many chains as samples.

"rbm" is a real RBM without visible bias, whose layer has a structure that SR in the space of samples uses. "product" is
the same wave function written with a matrix of its own, whose Jacobian SR contracts as it does that of any other array.
"""

import flax.linen as nn
import jax.numpy as jnp
import optax

import manybody as mb


class Product(nn.Module):
    """The sum of log cosh (sigma W + b)."""

    n_hidden: int

    @nn.compact
    def __call__(self, sigma):
        draw = nn.initializers.normal(0.03)
        kernel = self.param("kernel", draw, (sigma.shape[-1], self.n_hidden), jnp.float64)
        bias = self.param("bias", draw, (self.n_hidden,), jnp.float64)
        theta = jnp.abs(sigma.astype(kernel.dtype) @ kernel + bias)
        return jnp.sum(theta + jnp.log1p(jnp.exp(-2.0 * theta)) - jnp.log(2.0), axis=-1)


def problem(ansatz, sites, alpha, samples, method, chunk_size=None, sweep_size=None):
    """The optimisation, ready for its first step.

    Args:
        ansatz: "rbm" or "product".
        sites: length of the periodic chain.
        alpha: hidden units per site.
        samples: samples, and chains, of all workers together.
        method: where SR is solved, "samples" or "parameters".
        chunk_size: configurations at a time.
        sweep_size: steps between two draws of a chain; by default the number of sites.
    """
    space = mb.hilbert.Spin(sites)
    hamiltonian = mb.hamiltonian.ising(space, mb.lattice.chain(sites), J=1.0, h=1.0)
    sampler = mb.sampler.Metropolis(space, mb.sampler.LocalFlip(), n_chains=samples, sweep_size=sweep_size, n_burn_in=0)
    network = {
        "rbm": mb.ansatz.RBM(alpha=alpha, use_visible_bias=False),
        "product": Product(alpha * sites),
    }[ansatz]
    state = mb.VariationalState(network, sampler, samples, seed=1, chunk_size=chunk_size)
    return mb.driver.VMC(hamiltonian, state, optimizer=optax.sgd(0.04), preconditioner=mb.sr.SR(1e-3, method=method))
