# SPDX-License-Identifier: Apache-2.0
"""J1-J2 model on the square lattice with the networks of `peer_networks.py`: NetKet's side."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import netket as nk
from netket_optimisation import Optimisation
from peer_networks import build, scaled_normal


def start(options, mark):
    mark("import")
    return j1j2(**options)


class Network(nn.Module):
    """A function of parameters and configurations as a Flax module."""

    log_psi: Callable
    shapes: tuple
    param_dtype: Any

    @nn.compact
    def __call__(self, sigma):
        params = {name: self.param(name, scaled_normal, shape, self.param_dtype) for name, shape in self.shapes}
        return self.log_psi(params, sigma)


def j1j2(extent, network, size, samples, precision, packed, on_the_fly, J2=0.5, rate=0.01, diag_shift=1e-2):
    """One optimisation; arguments as in `manybody_j1j2.py`, `on_the_fly` of `Optimisation`.

    Args:
        packed: whether local energies are found by NetKet's experimental kernel, which leaves out connections without
            matrix element.
    """
    nk.config.netket_experimental_packed_kernel = packed
    space = nk.hilbert.Spin(0.5, extent**2, total_sz=0)
    both = nk.graph.Lattice(basis_vectors=[[1, 0], [0, 1]], extent=[extent] * 2, pbc=True, max_neighbor_order=2)
    # Pauli matrices; the sign rule is that of the sublattices.
    hamiltonian = nk.operator.Heisenberg(space, both, J=[0.25, J2 / 4], sign_rule=[True, False]).to_jax_operator()
    bonds = nk.graph.Square(extent)
    sampler = nk.sampler.MetropolisExchange(space, graph=bonds, n_chains=samples, sweep_size=extent**2, dtype=jnp.int8)
    log_psi, shapes = build(network, extent, size)
    ansatz = Network(log_psi, tuple(shapes.items()), {"f32": jnp.float32, "f64": jnp.float64}[precision])
    state = nk.vqs.MCState(sampler, ansatz, n_samples=samples, n_discard_per_chain=0, seed=1, sampler_seed=2)
    # Of the gradient, twice the force.
    return Optimisation(hamiltonian, state, rate / 2, diag_shift, on_the_fly, {})
