# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import itertools
import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from manybody.hilbert import (
    Blockade,
    Constrained,
    DiscreteSpace,
    Doubled,
    Fermion,
    Fock,
    NoDoubleOccupation,
    Parity,
    Product,
    Qubit,
    Spin,
    constrained,
)

unchecked = pytest.mark.skipif(os.environ.get("MANYBODY_TYPECHECK", "0") != "0", reason="jaxtyping complains first")


def ring(n: int) -> Blockade:
    return Blockade([(i, (i + 1) % n) for i in range(n)])


def rises(sigma: jax.Array) -> jax.Array:
    return sigma[:, 0] <= sigma[:, -1]


def nothing(sigma: jax.Array) -> jax.Array:
    return jnp.zeros(sigma.shape[0], bool)


LARGE = Constrained(Qubit(40), ring(40))


# --- spaces of which all states are known -----------------------------------------------------------------------------


def test_counts_of_blockaded_rings_are_lucas_numbers() -> None:
    lucas = [2, 1]
    for _ in range(20):
        lucas.append(lucas[-1] + lucas[-2])
    for n in (3, 10, 20):
        space = Constrained(Qubit(n), ring(n))
        assert space.n_states == lucas[n]
        assert type(space.n_states) is int
        assert space.is_indexable


def test_more_states_than_a_block() -> None:
    space = Constrained(Spin(18, total_sz=1), rises)
    assert space.space.n_states > 2 * constrained.BLOCK
    states = space.space.all_states()
    states = states[states[:, 0] <= states[:, -1]]
    np.testing.assert_array_equal(space.all_states(), states)
    index = np.random.default_rng(0).permutation(len(states))
    np.testing.assert_array_equal(space.states_to_index(states[index]), index)
    assert space.contains(states).all()


@pytest.mark.parametrize(
    "parent", [Spin(5), Fock(3, (1, 3, 2), 3), Product(Spin(2), Fock(2, 2)), Doubled(Qubit(2))], ids=repr
)
def test_any_function_of_configurations(parent: DiscreteSpace) -> None:
    def predicate(sigma: jax.Array) -> jax.Array:
        wide = sigma.astype(jnp.int32)
        return (jnp.sum(wide**2, axis=-1, dtype=jnp.int32) + wide[:, 0]) % 3 != 1

    space, every = Constrained(parent, predicate), parent.all_states()
    legal = np.array([(sum(v * v for v in row) + row[0]) % 3 != 1 for row in every.tolist()])
    assert 0 < legal.sum() < len(legal)
    np.testing.assert_array_equal(space.all_states(), every[legal])
    np.testing.assert_array_equal(space.contains(every), legal)
    np.testing.assert_array_equal(jax.jit(space.contains)(jnp.asarray(every)), legal)
    assert space.sectors == parent.sectors
    assert not space.has_only_sectors


def test_an_illegal_configuration_is_shown() -> None:
    with pytest.raises(ValueError, match=r"hold configurations of Constrained\(.*got \[1 1 0 0\]"):
        Constrained(Qubit(4), ring(4)).states_to_index(np.array([1, 1, 0, 0]))


def test_spaces_are_equal_if_their_predicates_are() -> None:
    def other(sigma: jax.Array) -> jax.Array:
        return rises(sigma)

    assert Constrained(Qubit(4), ring(4)) == Constrained(Qubit(4), Blockade([(3, 0), (1, 0), (2, 1), (2, 3)]))
    assert hash(Constrained(Qubit(4), rises)) == hash(Constrained(Qubit(4), rises))
    assert Constrained(LARGE.space, LARGE.predicate, legal=np.zeros(40, int)) == LARGE
    different = [Constrained(Qubit(4), p) for p in (ring(4), Blockade([(0, 1)]), rises, other)]
    assert len({*different, Constrained(Spin(4), rises), Constrained(Qubit(5), rises)}) == 6
    assert repr(Constrained(Qubit(2), Blockade([(0, 1)]))) == (
        "Constrained(space=Qubit(n_sites=2), predicate=Blockade(pairs=((0, 1),)))"
    )


def test_made_and_counted_inside_jit_and_shard_map() -> None:
    mesh = jax.make_mesh((1,), ("device",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("device")

    def draw(keys: jax.Array) -> tuple[jax.Array, ...]:
        space = Constrained(Qubit(7), ring(7))  # seen nowhere else
        states = jax.vmap(lambda key: space.random_state(key, 1)[0])(keys)
        large = Constrained(Qubit(41), ring(41))
        walked = jax.vmap(lambda key: large.random_state(key, 1)[0])(keys)
        known = bool(space.contains(np.zeros(7, int)))
        return states, space.index_to_states(space.states_to_index(states)), walked, large.contains(walked) & known

    keys = jax.random.split(jax.random.key(8), 4)
    states, same, walked, legal = jax.jit(jax.shard_map(draw, mesh=mesh, in_specs=spec, out_specs=spec))(keys)
    np.testing.assert_array_equal(states, same)
    assert Constrained(Qubit(7), ring(7)).contains(np.asarray(states)).all()
    assert legal.all()
    assert len(np.unique(walked, axis=0)) == 4


def test_32_bit_mode() -> None:
    with jax.enable_x64(False):
        space = Constrained(Qubit(5), ring(5))
        states = jax.jit(lambda key: space.random_state(key, 8))(jax.random.key(0))
        index = jax.jit(space.states_to_index)(states)
        assert index.dtype == np.int32
        np.testing.assert_array_equal(space.index_to_states(np.asarray(index)), states)
        large = Constrained(Qubit(50), rises, legal=np.zeros(50, int))
        assert large.contains(np.asarray(large.random_state(jax.random.key(0), 8))).all()


# --- larger spaces ----------------------------------------------------------------------------------------------------


def test_a_large_space_cannot_be_numbered() -> None:
    for space in (LARGE, Constrained(LARGE, rises)):
        assert not space.is_indexable
        numbers = (
            lambda space=space: space.n_states,
            space.all_states,
            lambda space=space: space.index_to_states(0),
            lambda space=space: space.states_to_index(np.zeros(40, int)),
        )
        for number in numbers:
            with pytest.raises(
                ValueError, match=r"`n_states` .* at most 2\^24 states, got .* Use random_state instead"
            ):
                number()


def test_random_states_of_large_spaces_with_sectors() -> None:
    fermions, spins = Fermion(40, n_per_component=(10, 9), n_components=2), Spin(30)
    space = Constrained(Product(fermions, spins), Blockade([(i, i + 40) for i in range(60)]))
    keys = jax.random.split(jax.random.key(4), 16)
    states = np.asarray(jax.jit(jax.vmap(lambda key: space.random_state(key, 1)[0]))(keys))
    assert states.shape == (16, space.size)
    assert states.dtype == np.int8
    assert space.contains(states).all()
    assert len(np.unique(states, axis=0)) == 16


@pytest.mark.parametrize(
    "space",
    [
        Constrained(Fock(4, (1, 2, 3, 2), 4), lambda sigma: sigma[:, 1] + sigma[:, 2] <= 3),
        Constrained(Spin(4), Parity(Spin(4), [range(4)], parity=1)),
    ],
    ids=["particles", "parity"],
)
def test_ends_of_walks_are_uniform_where_every_state_is_near(
    space: DiscreteSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chi-square of 200 walks per state, all from the same start, p > 1e-3 with this seed.

    At a fixed number of particles both sites must change together, at a fixed parity of bits as well.
    """
    states, first = space.all_states(), space.index_to_states(0)
    monkeypatch.setattr(constrained, "MAX_STATES", 1)
    large = Constrained(space.space, space.predicate, legal=first)
    assert not large.is_indexable
    ends = np.asarray(large.random_state(jax.random.key(5), 200 * len(states)))
    counts = np.array([(ends == state).all(axis=1).sum() for state in states])
    assert counts.sum() == len(ends)
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_density_of_a_large_blockaded_ring() -> None:
    """Within 5 standard errors of that of the uniform distribution, (5 - sqrt 5) / 10."""
    states = np.asarray(LARGE.random_state(jax.random.key(6), 1000))
    means = states.mean(axis=1)
    assert abs(means.mean() - (5 - 5**0.5) / 10) < 5 * means.std() / len(means) ** 0.5


@dataclasses.dataclass(frozen=True)
class Palindrome:
    """Rare, and broken by every change of one site; constant configurations are excluded as well."""

    def __call__(self, sigma: jax.Array) -> jax.Array:
        return jnp.all(sigma == sigma[:, ::-1], axis=-1) & jnp.any(sigma != sigma[:, :1], axis=-1)


def test_legal_configurations_may_have_to_be_given() -> None:
    start = np.array([0, 1] * 15 + [1, 0] * 15)
    with pytest.raises(ValueError, match=r"`legal` must be given: .* got None\. Pass legal=\.\.\. to start from"):
        Constrained(Qubit(60), Palindrome())
    space = Constrained(Qubit(60), Palindrome(), legal=[start, 1 - start])
    states = np.asarray(space.random_state(jax.random.key(0), 32))
    assert space.contains(states).all()
    assert len(np.unique(states, axis=0)) > 16
    for legal in (start, start.tolist(), jnp.asarray(start)):
        assert Constrained(Qubit(60), Palindrome(), legal=legal).legal.array.shape == (1, 60)
    assert dataclasses.replace(space, predicate=lambda sigma: rises(sigma) | True).legal == space.legal


def test_a_walk_that_cannot_move_ends_where_it_starts() -> None:
    start = np.arange(60) % 2
    frozen = Parity(Qubit(60), [(i,) for i in range(60)], parity=start.tolist())
    states = Constrained(Qubit(60), frozen, legal=start).random_state(jax.random.key(0), 3)
    np.testing.assert_array_equal(states, np.tile(start, (3, 1)))


# --- predicates -------------------------------------------------------------------------------------------------------


MIXED = Product(Qubit(1), Spin(2), Fock(1, 3), Spin(1, s=1))


def test_blockade_by_brute_force() -> None:
    pairs, every = [(0, 1), (3, 1), (0, 4)], MIXED.all_states()
    free = [not any(row[i] > 0 and row[j] > 0 for i, j in pairs) for row in every]
    np.testing.assert_array_equal(jax.jit(Blockade(pairs))(jnp.asarray(every)), free)


def test_parity_by_brute_force() -> None:
    sets, every = [(0, 3, 2), (1,), (3, 4)], MIXED.all_states()
    levels = np.array(list(itertools.product(*map(range, MIXED.local_dimensions))))
    sums = np.stack([levels[:, sites].sum(axis=1) % 2 for sites in sets], axis=1)
    for parity in (1, (0, 1, 1)):
        holds = jax.jit(Parity(MIXED, sets, parity))(jnp.asarray(every))
        np.testing.assert_array_equal(holds, (sums == np.array(parity)).all(axis=1))
    signs = Spin(4).all_states()
    even = jax.jit(Parity(Spin(4), [(0, 1, 3)]))(jnp.asarray(signs))
    np.testing.assert_array_equal(even, signs[:, [0, 1, 3]].prod(axis=1) == 1)


def test_no_double_occupation_by_brute_force() -> None:
    """Of two and of three components; 3^n states of n sites of electrons, and multinomials at fixed numbers."""
    for n_components in (2, 3):
        space = Fermion(3, n_components=n_components)
        every = space.all_states()
        single = [all(sum(row[i::3]) <= 1 for i in range(3)) for row in every.tolist()]
        np.testing.assert_array_equal(jax.jit(NoDoubleOccupation(3))(jnp.asarray(every)), single)
        assert Constrained(space, NoDoubleOccupation(3)).n_states == (n_components + 1) ** 3
    holes = Fermion(6, n_per_component=(2, 3), n_components=2)
    assert Constrained(holes, NoDoubleOccupation(6)).n_states == 60  # 6! / (2! 3! 1!)
    assert NoDoubleOccupation(np.int64(6)) == NoDoubleOccupation(6) != NoDoubleOccupation(3)


@unchecked
def test_predicates_may_be_written_in_any_way() -> None:
    pairs, sets = [(0, 1), (3, 1), (0, 4)], [(0, 3, 2), (1,), (3, 4)]
    assert len({Blockade(pairs), Blockade(np.array(pairs)), Blockade([(4, 0), (0, 1), (1, 0), [1, 3]])}) == 1
    assert len({Parity(Qubit(5), sets, 1), Parity(Qubit(5), [[2, 3, 0], np.array([1]), (3, 4)], [1, 1, 1])}) == 1
    others = [Parity(Qubit(5), sets), Parity(Spin(5), sets), Parity(Qubit(5), sets[:2]), Blockade(pairs[1:])]
    assert len({*others, Parity(Qubit(5), sets, 1), Blockade(pairs)}) == 6


def test_the_toric_code_has_its_number_of_gauge_invariant_states() -> None:
    """On a torus of 2 x 2 vertices with 8 links three of the four stars are independent: 2^(8 - 3) states."""
    link = {place: i for i, place in enumerate(itertools.product((0, 1), repeat=3))}  # direction, x, y
    stars = [
        (link[0, x, y], link[0, 1 - x, y], link[1, x, y], link[1, x, 1 - y])
        for x, y in itertools.product((0, 1), repeat=2)
    ]
    assert Constrained(Spin(8), Parity(Spin(8), stars)).n_states == 2**5
    with pytest.raises(ValueError, match="`predicate` must hold for some of the 256 configurations of Spin"):
        Constrained(Spin(8), Parity(Spin(8), stars, parity=(1, 0, 0, 0)))


# --- errors -----------------------------------------------------------------------------------------------------------


@unchecked
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3, rises), TypeError, "`space` must be a DiscreteSpace, got int (3)."),
        (
            (Qubit(4), nothing),
            ValueError,
            "`predicate` must hold for some of the 16 configurations of Qubit(n_sites=4), got none.",
        ),
        ((Qubit(4), [1]), TypeError, "`predicate` must be hashable, got list."),
        ((Qubit(4), 1), TypeError, "`predicate` must be a function of configurations, got int."),
        (
            (Qubit(4), lambda sigma: sigma.sum(axis=-1)),
            ValueError,
            "`predicate` must give bool of shape (2,) for configurations of shape (2, 4), got int64 of shape (2,).",
        ),
        ((Qubit(4), lambda sigma: sigma > 0), ValueError, "got bool of shape (2, 4)."),
        ((Qubit(4), lambda sigma: None), ValueError, "got NoneType."),
        ((Qubit(4), ring(5)), ValueError, "`pairs` must name sites below 4, got 4."),
        ((Qubit(2), Blockade([(0, 1)]), [1, 1]), ValueError, "got [1 1]."),
        ((Qubit(40), ring(40), np.ones(40, int)), ValueError, "`legal` must hold configurations of Constrained("),
        ((Qubit(2), Blockade([(0, 1)]), [1, 0, 0]), ValueError, "`legal` must have shape (2,) or (n, 2), got (3,)."),
        (
            (Qubit(2), Blockade([(0, 1)]), np.zeros((0, 2), int)),
            ValueError,
            "`legal` must have shape (2,) or (n, 2), got (0, 2).",
        ),
        (
            (Qubit(2), Blockade([(0, 1)]), np.zeros((1, 1, 2), int)),
            ValueError,
            "`legal` must have shape (2,) or (n, 2), got (1, 1, 2).",
        ),
        ((Qubit(2), Blockade([(0, 1)]), [0.5, 0.0]), TypeError, "`legal` must have an integer dtype, got float64."),
    ],
)
def test_errors(arguments: tuple, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        Constrained(*arguments)


@unchecked
@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: Blockade([]), ValueError, "`pairs` must have an entry or more, got none."),
        (lambda: Blockade(3), TypeError, "`pairs` must be a sequence of tuples of sites, got int."),
        (lambda: Blockade([(0, 1, 2)]), ValueError, "`pairs` must join two different sites each, got (0, 1, 2)."),
        (lambda: Blockade([(1, 1)]), ValueError, "`pairs` must name each site of an entry once, got (1, 1)."),
        (lambda: Blockade([(0, -1)]), ValueError, "`pairs` must satisfy 0 <= pairs, got -1."),
        (lambda: Blockade([(0, 1.0)]), TypeError, "`pairs` must be an integer, got float (1.0)."),
        (lambda: NoDoubleOccupation(2.0), TypeError, "`n_orbitals` must be an integer, got float (2.0)."),
        (lambda: NoDoubleOccupation(0), ValueError, "`n_orbitals` must satisfy 1 <= n_orbitals, got 0."),
        (
            lambda: Constrained(Fermion(4, n_components=2), NoDoubleOccupation(3)),
            ValueError,
            "`n_orbitals` must divide the number of modes (8), got 3.",
        ),
        (lambda: Parity(4, [(0, 1)]), TypeError, "`space` must be a DiscreteSpace, got int (4)."),
        (lambda: Parity(Qubit(4), []), ValueError, "`sets` must have an entry or more, got none."),
        (lambda: Parity(Qubit(4), [()]), ValueError, "`sets` must name each site of an entry once, got ()."),
        (lambda: Parity(Qubit(4), [(0, 4)]), ValueError, "`sets` must name sites below 4, got 4."),
        (lambda: Parity(Qubit(4), [(0, 1)], parity=2), ValueError, "`parity` must satisfy 0 <= parity <= 1, got 2."),
        (
            lambda: Parity(Qubit(4), [(0, 1)], parity=(0, 1)),
            ValueError,
            "`parity` must be one number, or one for each of 1 sets, got (0, 1).",
        ),
    ],
)
def test_errors_of_predicates(build, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        build()
