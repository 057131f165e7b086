# SPDX-License-Identifier: Apache-2.0
"""Which operators commute with which groups: small spaces against dense commutators, large ones against physics."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import manybody as mb
from manybody.hamiltonian import bose_hubbard, heisenberg, holstein, hubbard, j1j2, kitaev, marshall, rydberg, t_v
from manybody.hilbert import Blockade, Constrained, DiscreteSpace, Fermion, Fock, Product, Qubit, Spin
from manybody.lattice import chain, honeycomb, square
from manybody.operator import DiscreteOperator, FermionOperator, broken_element, is_symmetric, permutation
from manybody.operator.spin import sx, sy, sz
from manybody.symmetry import Action, Permutation, PermutationGroup, action_on
from tests.cases import some_slow

RING, TWISTED = chain(4), chain(4, twist=np.pi)
INVERSION = PermutationGroup([range(4)] * 2, inverts=[False, True])
SHIFT = PermutationGroup.generated([Permutation([1, 2, 3, 0])])
STAGGERED = PermutationGroup.generated([Permutation(range(4), [1, -1, 1, -1])])
HOLES = PermutationGroup.generated([Permutation(range(4), [1, -1, 1, -1], inverts=True)])
BLOCKADE = Constrained(Qubit(4), Blockade(((0, 1), (1, 2), (2, 3), (0, 3))))
PAIRS = Fermion(4, n_per_component=(2, 2), n_components=2)


def field(space: DiscreteSpace) -> DiscreteOperator:
    return sum(sz(Spin(4), i) for i in range(4)).on(space)


def current(n: int) -> DiscreteOperator:
    """Changes its sign in a reflection."""
    bonds = [(i, (i + 1) % n) for i in range(n)]
    return sum(sx(Spin(n), i) @ sy(Spin(n), j) - sy(Spin(n), i) @ sx(Spin(n), j) for i, j in bonds)


def dented(operator: DiscreteOperator, amount: float) -> DiscreteOperator:
    """With one bond that is different."""
    n = operator.space.size
    return operator + amount * (sz(Spin(n), 1) @ sz(Spin(n), 2)).on(operator.space)


CASES: list[tuple[DiscreteOperator, PermutationGroup, bool]] = [
    (heisenberg(Spin(4), RING), RING.space_group(), True),
    (heisenberg(Spin(4), chain(4, periodic=False)), SHIFT, False),
    (heisenberg(Spin(4), chain(4, periodic=False)), chain(4, periodic=False).space_group(), True),
    (dented(heisenberg(Spin(4), RING), 1e-9), SHIFT, False),
    (current(4), RING.translation_group(), True),
    (current(4), RING.space_group(), False),
    (field(Spin(4)), INVERSION, False),
    (field(Spin(4, total_sz=0)), INVERSION, True),  # in this sector only
    (heisenberg(Spin(4, s=1, total_sz=0), RING), RING.space_group().with_inversion(), True),
    (marshall(heisenberg(Spin(4, total_sz=0), RING), RING), SHIFT, True),
    (heisenberg(Spin(4, total_sz=0), RING), STAGGERED, False),  # turns the signs of the exchange
    (sum(sz(Spin(4), i) @ sz(Spin(4), (i + 1) % 4) for i in range(4)), STAGGERED, True),
    (bose_hubbard(Fock(4, 3, n_particles=4), RING), RING.space_group(), True),
    (bose_hubbard(Fock(4, 3), RING), INVERSION, False),
    (t_v(Fermion(4, 2), RING), RING.space_group(), True),
    (t_v(Fermion(4, 2), RING), TWISTED.space_group(), False),
    (t_v(Fermion(4, 2), TWISTED), TWISTED.space_group(), True),
    (t_v(Fermion(4), TWISTED), TWISTED.space_group(), True),
    (t_v(Fermion(4, 2), TWISTED), RING.space_group(), False),
    (t_v(Fermion(4, 2), RING), INVERSION, False),  # the sign of the hopping
    (t_v(Fermion(4, 2), RING), HOLES, True),
    (hubbard(PAIRS, RING), RING.space_group(), True),
    (hubbard(PAIRS, RING), HOLES, True),  # at half filling only
    (hubbard(Fermion(4, n_components=2), RING), HOLES, False),
    (hubbard(Fermion(4, n_components=2), RING, mu=2.0), HOLES, True),
    (FermionOperator(Fermion(4, 2), [[(0, True), (1, False)], [(1, True), (0, False)]]), SHIFT, False),
    (rydberg(BLOCKADE, RING, reach=1.0), RING.space_group(), True),
    (rydberg(BLOCKADE, RING, reach=1.0, Delta=[1.0, 1.0, 2.0, 1.0]), RING.space_group(), False),
    (holstein(Product(Fermion(4, 1), Fock(4, 1)), RING), RING.space_group(), True),
    (permutation(Spin(4), [1, 2, 3, 0]), RING.translation_group(), True),
    (permutation(Spin(4), [1, 2, 3, 0]), RING.space_group(), False),  # not without its inverse
]


@functools.lru_cache
def matrices(action: Action) -> np.ndarray:
    """T_g of the generators, (generators, n_states, n_states)."""
    generators = action.group.generators
    states = jnp.asarray(action.space.all_states())
    images, signs = jax.jit(lambda x: (action.images(x, generators), action.signs(x, generators)))(states)
    images, signs = np.asarray(images), np.asarray(signs)
    found = np.zeros((len(generators), len(states), len(states)))
    for k in range(len(generators)):
        found[k, action.space.states_to_index(images[:, k]), np.arange(len(states))] = signs[:, k]
    return found


MUCH_ALIKE = (0, 2, 3, 7, 11, 12, 14, 16, 21, 24, 25)
"""Numbers of cases that differ from others in a coupling or a lattice only."""


@pytest.mark.parametrize(
    ("operator", "group", "expected"),
    some_slow({str(number): case for number, case in enumerate(CASES)}, map(str, MUCH_ALIKE)),
)
def test_small_spaces(operator: DiscreteOperator, group: PermutationGroup, expected: bool) -> None:
    dense = operator.to_dense()
    of_generators = matrices(action_on(operator.space, group))
    commute = [np.allclose(t @ dense, dense @ t, rtol=0, atol=1e-12) for t in of_generators]
    assert all(commute) == expected == is_symmetric(operator, group)
    assert broken_element(operator, group) == (None if expected else group.generators[np.argmin(commute)])


@pytest.mark.slow
def test_large_spaces() -> None:
    """Where nothing can be enumerated; also one bond in many that is different, and dilute particles."""
    lattice = square(6)
    space, group = Spin(36, total_sz=0), lattice.space_group().with_inversion()
    symmetric = j1j2(space, lattice)
    assert is_symmetric(symmetric, group)
    assert not is_symmetric(dented(symmetric, 1e-8), group)
    electrons = hubbard(Fermion(36, n_per_component=(15, 15), n_components=2), lattice)
    assert is_symmetric(electrons, lattice.space_group())
    assert not is_symmetric(electrons, square(6, twist=(np.pi, 0.0)).translation_group())
    few, bonds = Fermion(36, 3), np.ones(72)
    bonds[17] = 1.1
    assert is_symmetric(t_v(few, lattice), lattice.space_group())
    assert not is_symmetric(t_v(few, lattice, t=bonds), lattice.space_group())
    assert not is_symmetric(t_v(few, lattice, V=bonds), lattice.space_group())


def test_kinds_of_bonds() -> None:
    """Rotations that exchange the kinds of a Kitaev model would have to turn the spins as well."""
    lattice = honeycomb(2)
    operator = kitaev(Spin(8), lattice)
    assert is_symmetric(operator, lattice.space_group("fix"))
    assert not is_symmetric(operator, lattice.space_group("permute"))


@pytest.mark.parametrize(
    "space",
    [
        Fermion(5, 2),
        Fermion(40, n_components=1),
        pytest.param(Product(Spin(3), Fermion(3)), marks=pytest.mark.slow),
        Fock(3, 3),
    ],
)
def test_signs_and_images_are_those_of_the_action(space: DiscreteSpace) -> None:
    """Also with an element of its own for every configuration."""
    rng = np.random.default_rng(0)
    n = 3 if isinstance(space, Product | Fock) else space.size
    cycle = Permutation(np.roll(range(n), 1).tolist(), rng.choice([1, -1], n).tolist())
    action = Action(PermutationGroup.generated([cycle]), space)
    sigma = space.random_state(jax.random.key(0), 40)
    levels = np.asarray(space.to_levels(sigma))
    images, expected = map(np.asarray, jax.jit(lambda x: (action.images(x), action.signs(x)))(sigma))
    assert -1 in expected
    for g in range(action.group.order):
        np.testing.assert_array_equal(action.level_signs(levels, g), expected[:, g])
        np.testing.assert_array_equal(action.moved_levels(levels, g), space.to_levels(images[:, g]))
    chosen = rng.integers(action.group.order, size=40)
    np.testing.assert_array_equal(action.level_signs(levels, chosen), expected[np.arange(40), chosen])


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="`operator` must be a Operator"):
        is_symmetric(np.eye(2), SHIFT)
    with pytest.raises(TypeError, match="`group` must be a PermutationGroup"):
        is_symmetric(heisenberg(Spin(4), RING), RING)
    with pytest.raises(ValueError, match="`group` must act on 4 sites, or a fraction of them, got 3 sites"):
        is_symmetric(heisenberg(Spin(4), RING), chain(3).space_group())
    with pytest.raises(ValueError, match="`group` must not lead out of"):
        is_symmetric(heisenberg(Spin(4, total_sz=1), RING), INVERSION)
    assert mb.operator.is_symmetric is is_symmetric
