# SPDX-License-Identifier: Apache-2.0
"""The laws of every discrete Hilbert space: one list of spaces, all laws for each."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import pickle
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from manybody.hilbert import (
    Blockade,
    Constrained,
    DiscreteSpace,
    Doubled,
    Fermion,
    Fock,
    Parity,
    Product,
    Qubit,
    Spin,
    SumSector,
)


@dataclasses.dataclass(frozen=True)
class Toy(DiscreteSpace):
    """Any levels, any sectors: value = 3 * level - 1, so that values, levels and their order are told apart."""

    n_levels: tuple[int, ...]
    sums: tuple[SumSector, ...] = ()

    @property
    def local_dimensions(self):
        return self.n_levels

    @property
    def sectors(self):
        return self.sums

    def to_levels(self, sigma):
        return (sigma.astype(np.int32) + 1) // 3

    def from_levels(self, levels):
        return (3 * levels - 1).astype(np.int8)


@dataclasses.dataclass(frozen=True)
class Case:
    """A space, and what its legal configurations are in words that do not use levels."""

    space: DiscreteSpace
    values: tuple[tuple[int, ...], ...]
    legal: Callable[[tuple[int, ...]], bool] = lambda sigma: True

    @functools.cached_property
    def states(self) -> np.ndarray:
        """All legal configurations by brute force, in the order of Kronecker products."""
        return np.array([sigma for sigma in itertools.product(*self.values) if self.legal(sigma)], np.int8)

    @functools.cached_property
    def levels(self) -> np.ndarray:
        """Where the values of these states stand among the values of their sites."""
        place = [[values.index(v) for v, values in zip(s, self.values, strict=True)] for s in self.states]
        return np.array(place)

    def right_and_wrong(self) -> tuple[np.ndarray, np.ndarray]:
        """Configurations and whether they are legal: right and wrong sums, and right ones with one foreign value."""
        sigma = [np.array(list(itertools.product(*self.values)), np.int8)]
        legal = [np.array([self.legal(tuple(map(int, row))) for row in sigma[0]])]
        known = {v for values in self.values for v in values}
        for value in {min(known) - 1, min(known) + 1, max(known) + 1, max(known) + 3, -128, 127} - known:
            spoilt = np.repeat(self.states, self.space.size, axis=0)  # each state once for each site
            spoilt[np.arange(len(spoilt)), np.tile(np.arange(self.space.size), len(self.states))] = value
            sigma.append(spoilt)
            legal.append(np.zeros(len(spoilt), bool))
        return np.concatenate(sigma), np.concatenate(legal)


UP_DOWN, ONE, THREE_HALVES, BIT = (1, -1), (2, 0, -2), (3, 1, -1, -3), (0, 1)
TOY_DIMENSIONS = (2, 3, 1, 4, 2, 3)
TOY_VALUES = tuple(tuple(3 * level - 1 for level in range(d)) for d in TOY_DIMENSIONS)
PAIRED = (SumSector((0, 3, 4), 3), SumSector((5, 1), 2))  # interleaved, with site 2 free

RING = Constrained(Qubit(5), Blockade([(i, (i + 1) % 5) for i in range(5)]))
EVEN = Parity(Spin(4), [(0, 1, 2), (2, 3)])


def spaced(sigma: tuple[int, ...]) -> bool:
    return not any(sigma[i] and sigma[i - 1] for i in range(len(sigma)))


def even(sigma: tuple[int, ...]) -> bool:
    return sigma[0] * sigma[1] * sigma[2] == sigma[2] * sigma[3] == 1


SPACES = {
    "spin-1": Case(Spin(1), (UP_DOWN,)),
    "spin-5": Case(Spin(5), (UP_DOWN,) * 5),
    "spin-6-neutral": Case(Spin(6, total_sz=0), (UP_DOWN,) * 6, lambda sigma: sum(sigma) == 0),
    "spin-5-down": Case(Spin(5, total_sz=-1.5), (UP_DOWN,) * 5, lambda sigma: sum(sigma) == -3),
    "spin-3-polarised": Case(Spin(3, total_sz=1.5), (UP_DOWN,) * 3, lambda sigma: sum(sigma) == 3),
    "spin1-3": Case(Spin(3, s=1), (ONE,) * 3),
    "spin1-4-neutral": Case(Spin(4, s=1, total_sz=0), (ONE,) * 4, lambda sigma: sum(sigma) == 0),
    "spin3/2-3": Case(Spin(3, s=1.5, total_sz=0.5), (THREE_HALVES,) * 3, lambda sigma: sum(sigma) == 1),
    "spin7/2-2": Case(Spin(2, s=3.5, total_sz=-1), (tuple(range(7, -8, -2)),) * 2, lambda sigma: sum(sigma) == -2),
    "qubit-4": Case(Qubit(4), (BIT,) * 4),
    "fock-3": Case(Fock(3, n_max=2), ((0, 1, 2),) * 3),
    "fock-uneven": Case(
        Fock(4, n_max=(1, 3, 2, 1), n_particles=3), (BIT, (0, 1, 2, 3), (0, 1, 2), BIT), lambda sigma: sum(sigma) == 3
    ),
    "fermion-up-down": Case(
        Fermion(4, n_per_component=(2, 1), n_components=2),
        (BIT,) * 8,
        lambda sigma: sum(sigma[:4]) == 2 and sum(sigma[4:]) == 1,
    ),
    "fermion-flavours": Case(Fermion(2, n_fermions=3, n_components=3), (BIT,) * 6, lambda sigma: sum(sigma) == 3),
    "product-mixed": Case(Product(Spin(2), Fock(1, 3), Qubit(1)), (UP_DOWN, UP_DOWN, (0, 1, 2, 3), BIT)),
    "product-sectors": Case(
        Product(Spin(3, total_sz=0.5), Fermion(1), Fock(3, n_max=2, n_particles=2)),
        (*(UP_DOWN,) * 3, BIT, *((0, 1, 2),) * 3),
        lambda sigma: sum(sigma[:3]) == 1 and sum(sigma[4:]) == 2,
    ),
    "product-constrained": Case(Product(RING, Spin(1, s=1)), (*(BIT,) * 5, ONE), lambda sigma: spaced(sigma[:5])),
    "doubled-spin": Case(
        Doubled(Spin(3, total_sz=-0.5)), (UP_DOWN,) * 6, lambda sigma: sum(sigma[:3]) == sum(sigma[3:]) == -1
    ),
    "doubled-constrained": Case(
        Doubled(Constrained(Spin(4), EVEN)), (UP_DOWN,) * 8, lambda sigma: even(sigma[:4]) and even(sigma[4:])
    ),
    "blockade": Case(RING, (BIT,) * 5, spaced),
    "blockade-particles": Case(
        Constrained(Fock(6, n_max=2, n_particles=3), Blockade([(i, i + 1) for i in range(5)])),
        ((0, 1, 2),) * 6,
        lambda sigma: sum(sigma) == 3 and not any(sigma[i] and sigma[i + 1] for i in range(5)),
    ),
    "constrained-twice": Case(
        Constrained(RING, Parity(RING, [range(5)], parity=1)),
        (BIT,) * 5,
        lambda sigma: spaced(sigma) and sum(sigma) % 2 == 1,
    ),
    "toy-free": Case(Toy(TOY_DIMENSIONS), TOY_VALUES),
    "toy-two-sectors": Case(
        Toy(TOY_DIMENSIONS, PAIRED), TOY_VALUES, lambda v: v[0] + v[3] + v[4] == 3 * 3 - 3 and v[1] + v[5] == 3 * 2 - 2
    ),
}

HALVES = tuple(SumSector(tuple(range(start, 66, 2)), 16) for start in (0, 1))
LARGE = {  # as close to 2**63 states as they come
    "spin-62": Spin(62),
    "spin-66-neutral": Spin(66, total_sz=0),
    "spin1-41-neutral": Spin(41, s=1, total_sz=0),
    "spin127/2-9": Spin(9, s=63.5, total_sz=12.5),
    "toy-interleaved": Toy((2,) * 66, HALVES),
    "toy-wide-and-narrow": Toy((2,) * 23 + (42,) * 7 + (2, 2), (SumSector((30, 31), 1),)),
    "fock-40-20": Fock(40, n_max=3, n_particles=20),
    "product": Product(Fock(20, n_max=3, n_particles=17), Spin(33, total_sz=0.5)),
    "doubled": Doubled(Product(Spin(17, total_sz=1.5), Constrained(Qubit(15), Blockade([(0, 14)])))),
    "few-particles": Toy((3,) * 500, (SumSector(tuple(range(500)), 4),)),
}

BEYOND = {
    "spin-63": Spin(63),
    "spin-400-neutral": Spin(400, total_sz=0),
    "spin1-200": Spin(200, s=1, total_sz=3),
    "qubit-100": Qubit(100),
    "fock-400": Fock(400, n_max=3, n_particles=200),
    "product-100": Product(Spin(50, total_sz=0), Fock(50, n_max=(4,) * 25 + (5,) * 25)),
}

JITTED = [
    *("spin-1", "spin-6-neutral", "spin3/2-3", "qubit-4", "toy-free", "toy-two-sectors"),
    *("product-sectors", "blockade-particles", "doubled-constrained"),
]

small = pytest.mark.parametrize("case", SPACES.values(), ids=SPACES)
EVERY = {name: case.space for name, case in SPACES.items()} | LARGE | BEYOND


@small
def test_states_are_those_of_brute_force_in_kronecker_order(case: Case) -> None:
    states = case.space.all_states()
    assert isinstance(states, np.ndarray)
    assert states.dtype == np.int8
    np.testing.assert_array_equal(states, case.states)
    assert case.space.n_states == len(case.states)
    assert type(case.space.n_states) is int


@small
def test_index_and_states_are_inverse(case: Case) -> None:
    index = np.arange(len(case.states))
    found = case.space.states_to_index(case.states)
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, index)
    np.testing.assert_array_equal(case.space.index_to_states(index), case.states)


@small
def test_batches_of_any_shape(case: Case) -> None:
    space, index = case.space, np.arange(6).reshape(2, 1, 3) % case.space.n_states
    states = space.index_to_states(index)
    assert states.shape == (2, 1, 3, space.size)
    np.testing.assert_array_equal(space.states_to_index(states), index)
    assert space.index_to_states(0).shape == (space.size,)
    assert space.states_to_index(states[0, 0, 0]).shape == ()
    assert space.contains(states).shape == (2, 1, 3)
    assert space.states_to_index(states[:0]).shape == (0, 1, 3)


@small
def test_levels_number_the_local_values(case: Case) -> None:
    space = case.space
    assert space.size == len(case.values)
    assert space.local_dimensions == tuple(map(len, case.values))
    levels = case.levels
    found = space.to_levels(case.states)
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, levels)
    back = space.from_levels(found)
    assert isinstance(back, np.ndarray)
    assert back.dtype == np.int8
    np.testing.assert_array_equal(back, case.states)
    for sector in space.sectors:
        assert (levels[:, sector.sites].sum(axis=1) == sector.total).all()


@small
def test_contains_tells_legal_from_illegal(case: Case) -> None:
    sigma, legal = case.right_and_wrong()
    found = case.space.contains(sigma)
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, legal)
    with pytest.raises(ValueError, match="`sigma` must hold configurations of"):
        case.space.states_to_index(sigma)


@pytest.mark.parametrize("name", JITTED)
def test_jax_inside_jit_says_what_numpy_says(name: str) -> None:
    case = SPACES[name]
    space, index = case.space, jnp.arange(len(case.states)).reshape(1, -1)
    sigma, legal = case.right_and_wrong()

    @jax.jit
    def everything(index: jax.Array, sigma: jax.Array) -> tuple[jax.Array, ...]:
        states = space.index_to_states(index)
        levels = space.to_levels(states)
        return states, space.states_to_index(states), levels, space.from_levels(levels), space.contains(sigma)

    found = everything(index, jnp.asarray(sigma))
    for name, expected, value in zip(
        ("index_to_states", "states_to_index", "to_levels", "from_levels", "contains"),
        (case.states[None], index, case.levels[None].astype(np.int32), case.states[None], legal),
        found,
        strict=True,
    ):
        assert value.dtype == expected.dtype, name
        np.testing.assert_array_equal(value, expected, err_msg=name)


@small
def test_random_states_are_uniform(case: Case) -> None:
    """Chi-square of 200 draws per state, p > 1e-3 with this seed."""
    n = 200 * case.space.n_states
    draw = jax.jit(case.space.random_state, static_argnums=1)
    states = draw(jax.random.key(20, impl="rbg"), n)  # compiles faster than threefry
    assert states.shape == (n, case.space.size)
    assert states.dtype == jnp.int8
    counts = np.bincount(case.space.states_to_index(np.asarray(states)), minlength=case.space.n_states)
    assert len(counts) == case.space.n_states
    if case.space.n_states > 1:
        assert scipy.stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("name", [*BEYOND, "few-particles", "toy-interleaved"])
def test_one_random_state_per_key(name: str) -> None:
    space = EVERY[name]
    keys = jax.random.split(jax.random.key(4), 16)
    states = jax.jit(jax.vmap(lambda key: space.random_state(key, 1)[0]))(keys)
    assert states.shape == (16, space.size)
    assert states.dtype == jnp.int8
    assert space.contains(np.asarray(states)).all()
    assert len(np.unique(states, axis=0)) == 16


@pytest.mark.parametrize("space", EVERY.values(), ids=EVERY)
def test_spaces_compare_and_hash_by_content(space: DiscreteSpace) -> None:
    twin = pickle.loads(pickle.dumps(space))
    assert twin is not space
    assert twin == space
    assert hash(twin) == hash(space)
    assert sum(twin == other for other in EVERY.values()) == 1


@functools.cache
def jitted_round_trip(name: str) -> Callable[[jax.Array], tuple[jax.Array, jax.Array]]:
    space = LARGE[name]

    @jax.jit
    def round_trip(index: jax.Array) -> tuple[jax.Array, jax.Array]:
        states = space.index_to_states(index)
        return states, space.states_to_index(states)

    return round_trip


@pytest.mark.parametrize("name", LARGE)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_large_spaces_round_trip_and_keep_the_order(name: str, data: st.DataObject) -> None:
    space = LARGE[name]
    assert space.is_indexable
    first = data.draw(st.integers(0, space.n_states - 2))
    index = np.array([first, first + 1, 0, space.n_states - 1])
    states = space.index_to_states(index)
    assert space.contains(states).all()
    np.testing.assert_array_equal(space.states_to_index(states), index)
    low, high = map(tuple, space.to_levels(states[:2]))
    assert low < high
    traced, back = jitted_round_trip(name)(jnp.asarray(index))
    np.testing.assert_array_equal(traced, states)
    np.testing.assert_array_equal(back, index)


@pytest.mark.parametrize("space", BEYOND.values(), ids=BEYOND)
def test_spaces_beyond_int64_cannot_be_numbered(space: DiscreteSpace) -> None:
    assert space.n_states >= 2**63
    assert not space.is_indexable
    state = np.ones(space.size, np.int8)
    for number in (lambda: space.states_to_index(state), lambda: space.index_to_states(0), space.all_states):
        with pytest.raises(ValueError, match=r"`n_states` must satisfy n_states < 2\*\*63 .* Use random_state"):
            number()


def test_counts_in_closed_form() -> None:
    assert LARGE["spin-62"].n_states == 2**62
    assert LARGE["spin-66-neutral"].n_states == math.comb(66, 33)
    assert LARGE["toy-interleaved"].n_states == math.comb(33, 16) ** 2
    pairs, singles = math.comb(500, 2), 500 * math.comb(499, 2)
    assert LARGE["few-particles"].n_states == pairs + singles + math.comb(500, 4)
    assert BEYOND["spin-400-neutral"].n_states == math.comb(400, 200)
    assert Spin(400, total_sz=-150).n_states == math.comb(400, 50)
    assert LARGE["doubled"].n_states == (math.comb(17, 7) * (2**15 - 2**13)) ** 2
    overfull = (-1) ** np.arange(51, dtype=object)  # inclusion and exclusion: k sites with four particles or more
    ways = [math.comb(400, k) * math.comb(200 - 4 * k + 399, 399) for k in range(51)]
    assert BEYOND["fock-400"].n_states == np.dot(overfull, np.array(ways, object))
    assert BEYOND["product-100"].n_states == math.comb(50, 25) * 30**25
    trinomial = sum(math.comb(200, ups) * math.comb(200 - ups, ups - 3) for ups in range(3, 102))
    assert BEYOND["spin1-200"].n_states == trinomial
