# SPDX-License-Identifier: Apache-2.0
"""Expectation values of group elements against operators that permute sites."""

import jax
import numpy as np
import pytest

import manybody as mb
from manybody.observables import irrep_weights, symmetry_expectation
from manybody.operator import permutation, spin_inversion
from manybody.parallel import Comm, mesh_comm
from tests.observables.systems import SYSTEMS, exact_state, with_table


def dense(state, operators):
    psi = state.to_array()
    return [np.vdot(psi, operator.to_dense() @ psi) for operator in operators]


def test_spins():
    """Translations, reflections and the inversion of all spins, which are complex numbers for a complex state."""
    lattice, space = SYSTEMS["chain"]
    group = lattice.space_group().with_inversion()
    state = exact_state("chain")
    found = symmetry_expectation(state, group)
    flip = spin_inversion(space)
    moves = [permutation(space, sites) for sites in group.sites]
    right = dense(state, [flip @ m if inverts else m for m, inverts in zip(moves, group.inverts, strict=True)])
    np.testing.assert_allclose(found.mean, right, atol=1e-12)
    assert np.abs(found.mean.imag).max() > 1e-3
    assert not found.error.any()
    some = symmetry_expectation(state.replace(chunk_size=5), group, [4, 0, 7])
    np.testing.assert_allclose(some.mean, np.asarray(found.mean)[[4, 0, 7]], atol=1e-13)


def test_fermions():
    """With the signs of exchanged electrons."""
    lattice, space = SYSTEMS["hubbard"]
    group = lattice.space_group()
    state = exact_state("hubbard")
    operators = [permutation(space, [*sites, *(sites + 4)]) for sites in group.sites]
    np.testing.assert_allclose(symmetry_expectation(state, group).mean, dense(state, operators), atol=1e-12)


def test_weights_of_irreps():
    """They sum to 1, and an eigenstate has one."""
    lattice, space = SYSTEMS["chain"]
    group = lattice.space_group()
    found = irrep_weights(exact_state("chain"), group)
    psi = exact_state("chain").to_array()
    matrices = np.stack([permutation(space, sites).to_dense() for sites in group.sites])
    for irrep in range(group.n_irreps):
        projector = np.einsum("g,gij->ij", group.characters(irrep).conj(), matrices)
        right = np.vdot(psi, projector @ psi) * group.irrep_dimensions[irrep] / group.order
        assert found.mean[irrep] == pytest.approx(right.real, abs=1e-12)
    assert np.sum(found.mean) == pytest.approx(1)
    ham = mb.hamiltonian.heisenberg(space, lattice)
    ground = irrep_weights(with_table(space, mb.exact.ground_state(ham).states[:, 0]), group)
    assert np.sort(ground.mean)[-1] == pytest.approx(1)
    assert np.argmax(ground.mean) != 0  # its momentum is pi
    assert np.all(ground.variance < 1e-18)


@pytest.mark.slow
def test_monte_carlo():
    lattice, space = SYSTEMS["chain"]
    exact = exact_state("chain")
    sampler = mb.sampler.Metropolis(space, mb.sampler.Exchange(lattice), n_chains=32, n_burn_in=20)
    state = with_table(space, exact.to_array(), sampler, 2048)
    found, right = (symmetry_expectation(s, lattice.translation_group()) for s in (state, exact))
    assert np.all(np.abs(found.mean - right.mean) <= 4 * found.error + 1e-12)
    assert found.error[0] == 0  # the identity
    assert np.all((found.error[1:] > 0) & (found.error[1:] < 0.1))


@pytest.mark.slow
def test_workers():
    """Two devices: the same weights of irreps."""
    lattice, space = SYSTEMS["chain"]
    group = lattice.translation_group()
    sampler = mb.sampler.Metropolis(space, mb.sampler.Exchange(lattice), n_chains=8)
    comms = [Comm(), mesh_comm(jax.devices()[:2])]
    states = [mb.VariationalState(mb.ansatz.RBM(), sampler, 32, comm=comm).sample() for comm in comms]
    one, two = (irrep_weights(state, group) for state in states)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    assert one.mean[0] > 0.9


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s, g: symmetry_expectation(s, g, [6]), ValueError, "0 <= elements <= 5"),
        (lambda s, g: symmetry_expectation(s, g, []), ValueError, "`elements` must be one or more"),
        (lambda s, g: symmetry_expectation(s, "C4"), TypeError, "`group` must be a PermutationGroup"),
        (lambda s, g: irrep_weights(s, "C4"), TypeError, "`group` must be a PermutationGroup"),
        (lambda s, g: symmetry_expectation(exact_state("field"), g), ValueError, "`group` must act on 4 sites"),
        (lambda s, g: symmetry_expectation(s.replace(samples=None), g), ValueError, "`state` must have samples"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call(exact_state("chain"), SYSTEMS["chain"][0].translation_group())
