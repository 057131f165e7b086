# SPDX-License-Identifier: Apache-2.0
"""What permutations do to configurations, against operators and matrices made of creation operators."""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import manybody as mb
from manybody.hilbert import Constrained, DiscreteSpace, Fermion, Fock, Product, Qubit, Spin
from manybody.lattice import chain, square
from manybody.symmetry import Action, Permutation, PermutationGroup


@functools.lru_cache
def matrices(action: Action) -> np.ndarray:
    """T_g in the basis of all states, (order, n_states, n_states)."""
    states = jnp.asarray(action.space.all_states())
    images, signs = map(np.asarray, jax.jit(lambda x: (action.images(x), action.signs(x)))(states))
    found = np.zeros((action.group.order, len(states), len(states)))
    for g in range(action.group.order):
        found[g, np.asarray(action.space.states_to_index(images[:, g])), np.arange(len(states))] = signs[:, g]
    return found


def signed(lattice: mb.lattice.Lattice, seed: int) -> PermutationGroup:
    """Its space group seen in a random gauge, c_i -> s_i c_i."""
    group, gauge = lattice.space_group(), np.random.default_rng(seed).choice([1, -1], lattice.n_sites)
    return PermutationGroup(group.sites, gauge * gauge[group.sites] * group.signs)


CHAIN, OPEN, RING = chain(4), square(2, 3, periodic=False), chain(4, twist=np.pi)
CASES: list[tuple[PermutationGroup, DiscreteSpace]] = [
    (CHAIN.space_group(), Spin(4)),
    (CHAIN.space_group().with_inversion(), Spin(4, s=1, total_sz=0)),
    (CHAIN.space_group(), Spin(4, s=3 / 2, total_sz=1)),
    (signed(CHAIN, 1), Qubit(4)),
    (signed(CHAIN, 2).with_inversion(), Qubit(4)),
    (CHAIN.space_group(), Fock(4, 2, n_particles=3)),
    (signed(CHAIN, 3), Fock(4, 3)),
    (CHAIN.space_group(), Fermion(4)),
    (signed(CHAIN, 4), Fermion(4, n_fermions=3)),
    (OPEN.space_group(), Fermion(6, n_fermions=3)),
    (CHAIN.space_group(), Fermion(4, n_per_component=(2, 1), n_components=2)),
    (signed(OPEN, 5), Fermion(6, n_per_component=(1, 2), n_components=2)),
    (RING.space_group(), Fermion(4, n_fermions=1)),
    (RING.space_group(), Fermion(4, n_fermions=2)),
    (RING.space_group(), Fermion(4, n_components=2)),
    (CHAIN.space_group(), Product(Fermion(4, n_fermions=2), Fock(4, 1))),
    (chain(3).space_group(), Product(Spin(3), Spin(3, s=1))),
    (CHAIN.space_group(), Constrained(Qubit(4), mb.hilbert.Blockade(tuple(map(tuple, CHAIN.bonds().tolist()))))),
    (PermutationGroup([[0, 1, 2, 3]] * 2, inverts=[False, True]), Fermion(4, n_fermions=2)),
    (CHAIN.translation_group().with_inversion(), Fermion(4, n_per_component=(2, 2), n_components=2)),
]
every_case = pytest.mark.parametrize(("group", "space"), CASES, ids=lambda x: repr(x)[:60])


@every_case
def test_elements_multiply(group: PermutationGroup, space: DiscreteSpace) -> None:
    found = matrices(Action(group, space))
    for g in group.generators:
        np.testing.assert_array_equal(found[group.product_table[g]], found[g] @ found)


@every_case
def test_single_site_operators_are_moved(group: PermutationGroup, space: DiscreteSpace) -> None:
    """T n_i T^-1 = n_g(i), or n_max - n_g(i), on every part of a space."""
    levels = np.asarray(space.to_levels(np.asarray(space.all_states())))
    found, top = matrices(Action(group, space)), np.array(space.local_dimensions) - 1
    n = group.n_sites
    for g in range(group.order):
        for i in range(space.size):
            target = group.sites[g, i % n] + i // n * n
            moved = found[g] @ np.diag(levels[:, i].astype(float)) @ found[g].T
            wanted = top[target] - levels[:, target] if group.inverts[g] else levels[:, target]
            np.testing.assert_array_equal(moved, np.diag(wanted))


@pytest.mark.parametrize("lattice", [CHAIN, RING, OPEN])
@pytest.mark.parametrize("n_components", [1, 2])
def test_creation_operators_are_moved(lattice: mb.lattice.Lattice, n_components: int) -> None:
    """T c_i^dag T^-1 = s_i c_g(i)^dag on all numbers of fermions at once."""
    n = lattice.n_sites if n_components == 1 else 3
    lattice = lattice if n_components == 1 else chain(3, twist=lattice.twist[0])
    space = Fermion(n, n_components=n_components)
    group = signed(lattice, 6)
    found = matrices(Action(group, space))
    create = [mb.operator.fermion.create(space, i, c).to_dense() for c in range(n_components) for i in range(n)]
    for g, i in itertools.product(range(group.order), range(len(create))):
        target = group.sites[g, i % n] + i // n * n
        np.testing.assert_array_equal(found[g] @ create[i] @ found[g].T, group.signs[g, i % n] * create[target])


def test_particles_become_holes() -> None:
    """T c_i^dag T^-1 = s_i c_i; it keeps a hopping between sublattices whose signs differ."""
    space = Fermion(4, n_components=1)
    sublattice = np.array([1, -1, 1, -1])
    group = PermutationGroup([[0, 1, 2, 3]] * 2, signs=[[1] * 4, sublattice], inverts=[False, True])
    turn = matrices(Action(group, space))[1]
    for i in range(4):
        create = mb.operator.fermion.create(space, i).to_dense()
        np.testing.assert_array_equal(turn @ create @ turn.T, sublattice[i] * create.T)
    hops = mb.hamiltonian.t_v(space, CHAIN, V=0.0).to_dense()
    np.testing.assert_array_equal(turn @ hops, hops @ turn)


@pytest.mark.parametrize("space", [Spin(4), Fermion(4, n_fermions=2), Fock(4, 2)], ids=repr)
def test_they_are_permutation_operators(space: DiscreteSpace) -> None:
    group = CHAIN.space_group()
    found = matrices(Action(group, space))
    for g in range(group.order):
        operator = mb.operator.permutation(space, group.sites[g].tolist())
        np.testing.assert_array_equal(found[g], operator.to_dense())


def test_spin_inversion_is_the_operator() -> None:
    space = Spin(4, s=1)
    found = matrices(Action(CHAIN.translation_group().with_inversion(), space))
    np.testing.assert_array_equal(found[1], mb.operator.spin_inversion(space).to_dense())


@pytest.mark.parametrize("twist", [0.0, np.pi])
@pytest.mark.parametrize("n_fermions", [1, 2, 3])
def test_hamiltonians_are_symmetric(twist: float, n_fermions: int) -> None:
    """Hopping on rings, periodic and antiperiodic, with even and odd numbers of fermions."""
    lattice = square(3, 2, twist=(twist, 0.0))
    space = Fermion(6, n_fermions=n_fermions)
    hamiltonian = mb.hamiltonian.t_v(space, lattice, V=0.7).to_dense()
    group = lattice.space_group()
    assert group.order == (24 if twist else 12)
    for turn in matrices(Action(group, space)):
        np.testing.assert_allclose(turn @ hamiltonian, hamiltonian @ turn, rtol=0, atol=1e-14)


def test_exchange_of_components_is_the_inversion_of_spins() -> None:
    space = Fermion(3, n_per_component=(1, 1), n_components=2)
    group = chain(3).translation_group().on_components(2, exchange=True)
    found = matrices(Action(group, space))
    np.testing.assert_array_equal(found[1], mb.operator.spin_inversion(space).to_dense())
    np.testing.assert_array_equal(found[::2], matrices(Action(chain(3).translation_group(), space)))


def test_some_elements_in_batches() -> None:
    group, space = RING.space_group(), Fermion(4, n_fermions=3)
    action, states = Action(group, space), jnp.asarray(space.all_states())
    np.testing.assert_array_equal(action.images(states, [3, 5]), action.images(states)[:, [3, 5]])
    np.testing.assert_array_equal(action.signs(states, [3, 5]), action.signs(states)[:, [3, 5]])
    batch = states.reshape(2, 2, 4)
    np.testing.assert_array_equal(action.signs(batch), action.signs(states).reshape(2, 2, -1))
    np.testing.assert_array_equal(action.images(batch[0, 1]), action.images(states)[1])


@pytest.mark.parametrize(
    ("group", "space", "words"),
    [
        (CHAIN.space_group(), Spin(6), "act on 6 sites, or a fraction of them"),
        (CHAIN.space_group().with_inversion(), Spin(4, total_sz=1), "not lead out of"),
        (CHAIN.space_group(), Product(Spin(2), Spin(2, s=1)), "move sites to sites with as many levels"),
        (CHAIN.space_group(), Product(Fermion(2), Fermion(2)), "keep fermions together"),
        (CHAIN.space_group(), Constrained(Qubit(4), mb.hilbert.Blockade(((0, 1),))), "not lead out of"),
        # particle-hole and a reflection anticommute on an odd number of modes that are exchanged
        (PermutationGroup([[0, 1], [1, 0]]).with_inversion(), Fermion(2), "be represented on .* with its signs"),
    ],
    ids=lambda x: repr(x)[:40],
)
def test_what_does_not_fit(group: PermutationGroup, space: DiscreteSpace, words: str) -> None:
    with pytest.raises(ValueError, match=f"`group` must {words}"):
        Action(group, space)


def test_content_decides_equality() -> None:
    one, two = Action(CHAIN.space_group(), Spin(4)), Action(chain(4).space_group(), Spin(4))
    assert one == two and hash(one) == hash(two) and one != Action(CHAIN.space_group(), Qubit(4))
    assert not one.has_signs and Action(CHAIN.space_group(), Fermion(4)).has_signs
    assert Action(PermutationGroup.generated([Permutation([0, 1], [-1, 1])]), Spin(2)).has_signs
