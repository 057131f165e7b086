# SPDX-License-Identifier: Apache-2.0
"""Small states without symmetry, all of whose configurations are summed over, and their vectors without sectors."""

import functools

import jax.numpy as jnp
import numpy as np

import manybody as mb
from manybody.hilbert import Fermion, Fock, Spin
from manybody.observables.sites import unconstrained
from manybody.operator import boson, fermion, spin

SYSTEMS = {
    "chain": (mb.lattice.chain(6), Spin(6, total_sz=0)),
    "field": (mb.lattice.chain(4), Spin(4)),
    "honeycomb": (mb.lattice.honeycomb(2), Spin(8, total_sz=1)),
    "spin 1": (mb.lattice.chain(4), Spin(4, s=1, total_sz=0)),
    "hubbard": (mb.lattice.square(2), Fermion(4, n_per_component=(2, 1), n_components=2)),
    "open": (mb.lattice.chain(5, periodic=False), Fock(5, n_max=2, n_particles=3)),
}


def with_table(space, psi, sampler=None, n_samples=None):
    """A state with these amplitudes (n_states,)."""
    log_psi = np.log(np.asarray(psi, complex))
    ansatz = (
        lambda key, sigma: {"table": jnp.asarray(log_psi)},
        lambda params, sigma: params["table"][space.states_to_index(sigma)],
    )
    return mb.VariationalState(ansatz, sampler or mb.sampler.Exact(space), n_samples).sample()


@functools.cache
def exact_state(name):
    """Random amplitudes: nothing is symmetric or real."""
    space = SYSTEMS[name][1]
    rng = np.random.default_rng(7)
    return with_table(space, np.exp(0.5 * rng.normal(size=space.n_states) + 2j * rng.random(space.n_states)))


def whole(state):
    """The vector on the space without sectors."""
    free = unconstrained(state.space)
    psi = np.zeros(free.n_states, complex)
    psi[free.states_to_index(state.space.all_states())] = state.to_array()
    return psi


def site_operators(space, name):
    """The operators of a component on all sites of the space without sectors."""
    free = unconstrained(space)
    if isinstance(free, Fock):
        return [boson.number(free, i) for i in range(free.size)]
    if not isinstance(free, Fermion):
        return [getattr(spin, f"s{name}")(free, i) for i in range(free.size)]
    up, down = ([fermion.destroy(free, i, c) for i in range(free.n_orbitals)] for c in (0, 1))
    n = [[c.adjoint() @ c for c in component] for component in (up, down)]
    flips = [a.adjoint() @ b for a, b in zip(up, down, strict=True)]
    return {
        "n": [a + b for a, b in zip(*n, strict=True)],
        "z": [0.5 * (a - b) for a, b in zip(*n, strict=True)],
        "x": [0.5 * (f + f.adjoint()) for f in flips],
        "y": [-0.5j * (f - f.adjoint()) for f in flips],
    }[name]


@functools.cache
def products(name, components, connected=False):
    """<A_i B_j>, or <A_i B_j> - <A_i> <B_j>, of all pairs, summed over components."""
    state = exact_state(name)
    lists = [site_operators(state.space, c) for c in components]
    return sum(mb.exact.correlations(a, a, whole(state), connected=connected) for a in lists)
