# SPDX-License-Identifier: Apache-2.0
"""Whether a wave function belongs to a sector, checked on all states of a small space."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from manybody.symmetry import Action, Sector


class Random(nn.Module):
    """An independent complex (or real) number of order one for every configuration."""

    is_complex: bool = True

    @nn.compact
    def __call__(self, sigma):
        weight = self.param("weight", nn.initializers.normal(3.0), (sigma.shape[-1], 5), float)
        x = jnp.sin(sigma.astype(float) @ weight)
        return jax.lax.complex(x[..., 0] + x[..., 1], x[..., 2] + 4 * x[..., 3]) if self.is_complex else x[..., 0]


def random_parameters(ansatz, sigma, scale):
    """Normal numbers, whatever the initialisers say (and nothing has to be compiled)."""
    leaves, tree = jax.tree.flatten(jax.eval_shape(ansatz.init, jax.random.key(0), sigma))
    rng = np.random.default_rng(1)
    leaves = [
        (scale * rng.normal(size=x.shape) * (1 + 0.5j if x.dtype == complex else 1)).astype(x.dtype) for x in leaves
    ]
    return jax.tree.unflatten(tree, leaves)


def amplitudes(ansatz, space, scale=1.0):
    """psi of all states, and the parameters."""
    sigma = space.all_states()
    variables = random_parameters(ansatz, sigma[:2], scale)
    return np.exp(np.asarray(jax.jit(ansatz.apply)(variables, sigma))), variables


def matrices(group, space):
    """T_g for all elements, (order, states, states)."""
    action, sigma = Action(group, space), space.all_states()
    images = space.states_to_index(np.asarray(action.images(sigma)))  # (states, order)
    found = np.zeros((group.order, len(sigma), len(sigma)))
    element, state = np.indices(images.T.shape)
    found[element, images.T, state] = np.asarray(action.signs(sigma)).T
    return found


def projector(sector, space, row=0):
    """d / |G| sum over g of D(g)_mm^* T_g."""
    weights = sector.matrices[:, row, row].conj() * sector.dimension / sector.group.order
    return np.tensordot(weights, matrices(sector.group, space), axes=1)


def assert_in_sector(psi, sector: Sector, space, row=0, tolerance=1e-12):
    """T_g psi_j = sum_i psi_i D(g)_ij for every element g, where psi is psi_row, and the psi_i are d states."""
    size, d = np.abs(psi).max(), sector.dimension
    assert np.isfinite(psi).all()
    assert size > 1e-6
    moved = matrices(sector.group, space) @ psi  # (order, states)
    if d == 1:
        np.testing.assert_allclose(moved, sector.characters[:, None] * psi, atol=tolerance * size)
        return
    partners = np.einsum("gi,gs->is", sector.matrices[:, :, row].conj(), moved) * d / sector.group.order
    np.testing.assert_allclose(partners[row], psi, atol=tolerance * size)
    np.testing.assert_allclose(moved, sector.matrices[:, :, row] @ partners, atol=tolerance * size)
    assert np.linalg.matrix_rank(moved, tol=1e-8 * size) == d
