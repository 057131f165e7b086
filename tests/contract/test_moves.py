# SPDX-License-Identifier: Apache-2.0
"""The laws of every move, on every kind of space; and what is refused."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from manybody import lattice
from manybody.hilbert import DiscreteSpace, Fermion, Fock, Product, Qubit, Spin, SumSector
from manybody.sampler import Exchange, Hop, Law, LocalFlip, Metropolis, Mixture, Move, MultiFlip, uniform_index
from manybody.testing.moves import check_move, p_value_of_ratios, propose_often
from tests.cases import some_slow


@dataclasses.dataclass(frozen=True)
class Levels(DiscreteSpace):
    """Sites with different numbers of levels, and any sectors; value = level."""

    dimensions: tuple[int, ...]
    sums: tuple[SumSector, ...] = ()

    @property
    def local_dimensions(self):
        return self.dimensions

    @property
    def sectors(self):
        return self.sums

    def to_levels(self, sigma):
        return sigma.astype(np.int32)

    def from_levels(self, levels):
        return levels.astype(np.int8)


@dataclasses.dataclass(frozen=True)
class UserFlip(Move):
    """A move as a user writes it: no laws. Flips one of the sites from `first` on."""

    first: int = 0

    def propose(self, key, sigma, space):
        site = (self.first + uniform_index(key, space.size - self.first))[None]
        return site, -sigma[site], jnp.zeros(())


@dataclasses.dataclass(frozen=True)
class Raise(Move):
    """Not symmetric: level + 1 with probability 3/4, - 1 with 1/4 (modulo the number of levels)."""

    is_corrected: bool = True

    def propose(self, key, sigma, space):
        key_site, key_way = jax.random.split(key)
        site = uniform_index(key_site, space.size)[None]
        up = jax.random.uniform(key_way) < 0.75
        levels = (space.to_levels(sigma)[site] + jnp.where(up, 1, -1)) % space.local_dimensions[0]
        log_q = jnp.where(up, -jnp.log(3.0), jnp.log(3.0))
        return site, space.from_levels(levels), log_q if self.is_corrected else jnp.zeros(())


@dataclasses.dataclass(frozen=True)
class Broken(Move):
    """Breaks the law that it is asked to."""

    law: str

    def propose(self, key, sigma, space):
        site = uniform_index(key, space.size)
        sites = jnp.stack([site, site if self.law == "twice" else (site + 1) % space.size])
        values = -sigma[sites]
        values = values * 3 if self.law == "illegal" else sigma[sites] if self.law == "nothing" else values
        return sites, values.astype(jnp.int8), jnp.zeros(()) if self.law != "ratio" else jnp.nan


CHAIN6, PAIRED = lattice.chain(6), ((0, 1), (2, 3), (4, 5))
TRIPLES = (SumSector((0, 2, 4), 1), SumSector((1, 3, 5), 2))
WITHIN = [(0, 2), (2, 4), (1, 3), (3, 5)]
MIXED = Levels((2, 3, 4))
MIXED_SUM = Levels((2, 3, 4, 2), (SumSector((0, 1, 2, 3), 4),))

MOVES = {
    "flip": (LocalFlip(), Spin(5)),
    "flip-one-site": (LocalFlip(), Spin(1)),
    "flip-qubit": (LocalFlip(), Qubit(4)),
    "flip-spin-1": (LocalFlip(), Spin(3, s=1)),
    "flip-any-levels": (LocalFlip(), MIXED),
    "three-flips": (MultiFlip(3), Spin(5)),
    "two-flips-spin-1": (MultiFlip(2), Spin(4, s=1)),
    "all-flips-spin-1": (MultiFlip(3), Spin(3, s=1)),
    "two-flips-any-levels": (MultiFlip(2), MIXED),
    "exchange-chain": (Exchange(CHAIN6), Spin(6, total_sz=0)),
    "exchange-open-chain": (Exchange(lattice.chain(6, periodic=False)), Spin(6, total_sz=1)),
    "exchange-all": (Exchange("all"), Spin(6, total_sz=-1)),
    "exchange-spin-1": (Exchange(lattice.chain(4)), Spin(4, s=1, total_sz=0)),
    "exchange-all-spin-3/2": (Exchange("all"), Spin(3, s=1.5, total_sz=0.5)),
    "exchange-any-levels": (Exchange([(0, 1), (1, 2), (2, 3)]), MIXED_SUM),
    "exchange-two-components": (Exchange(WITHIN), Levels((2,) * 6, TRIPLES)),
    "exchange-all-components": (Exchange("all"), Levels((2,) * 6, TRIPLES)),
    "exchange-all-electrons": (Exchange("all"), Fermion(3, n_per_component=(1, 3), n_components=2)),
    "exchange-all-parts": (Exchange("all"), Product(Spin(3, total_sz=0.5), Fermion(3, n_fermions=2))),
    "hop-electrons": (Hop(lattice.chain(4)), Fermion(4, n_per_component=(2, 1), n_components=2)),
    "hop-electrons-one-number": (Hop("all"), Fermion(3, n_fermions=2, n_components=2)),
    "hop-bosons": (Hop(lattice.chain(3)), Fock(3, n_max=3, n_particles=4)),
    "hop-bosons-open": (Hop([(0, 1), (1, 2)]), Fock(3, n_max=2, n_particles=3)),
    "hop-electrons-large": (Hop(lattice.square(10)), Fermion(100, n_per_component=(50, 30), n_components=2)),
    "flips-and-triples": (Mixture([LocalFlip(), MultiFlip(3)], [0.7, 0.3]), Spin(4)),
    "global-and-one": (Mixture([MultiFlip(4), LocalFlip()], [3, 1]), Spin(4)),
    "alternating-bonds": (Mixture([Exchange(PAIRED), Exchange([(1, 2), (3, 4)])]), Spin(6, total_sz=0)),
    "mixture-of-mixtures": (Mixture([Mixture([MultiFlip(2), LocalFlip()]), MultiFlip(4)]), Spin(5)),
    "user-flip": (UserFlip(), Spin(4)),
    "user-asymmetric": (Raise(), Spin(3, s=1)),
    "large": (Exchange("all"), Spin(200, total_sz=0)),
    "large-mixture": (Mixture([LocalFlip(), MultiFlip(7)]), Spin(40, s=1)),
}


SLOW = (
    "flip-one-site",
    "flip-qubit",
    "two-flips-spin-1",
    "exchange-open-chain",
    "exchange-spin-1",
    "exchange-all-electrons",
    "hop-bosons-open",
    "hop-electrons-large",
    "flips-and-triples",
    "large-mixture",
)


@pytest.mark.parametrize(
    ("name", "move", "space"), some_slow({name: (name, *case) for name, case in MOVES.items()}, SLOW)
)
def test_laws(name: str, move: Move, space: DiscreteSpace):
    wasted = name == "alternating-bonds"  # a part that finds nothing to exchange is drawn all the same
    check_move(move, space, n_trials=1000, wasted=wasted)
    assert hash(move) == hash(dataclasses.replace(move) if dataclasses.fields(move) else move)


@pytest.mark.parametrize(
    ("move", "space", "complaint"),
    [
        (Broken("twice"), Spin(4), "changes a site twice"),
        (Broken("illegal"), Spin(4), "leaves"),
        (Broken("nothing"), Spin(4), "changes nothing"),
        (Broken("ratio"), Spin(4), "has no finite log_q_ratio"),
        (Broken(""), Spin(4), "is refused"),
        (Raise(is_corrected=False), Spin(3, s=1), "contradicts the frequencies"),
    ],
)
def test_laws_complain(move: Move, space: DiscreteSpace, complaint: str):
    with pytest.raises(AssertionError, match=complaint):
        check_move(move, space, n_trials=500)


def test_a_flipped_sign_of_the_ratio_is_found():
    """Of the move whose correction matters most: the number of pairs that can change varies by a factor of three."""
    space = Spin(6, total_sz=0)
    proposals = propose_often(Exchange(CHAIN6), space, 1000)
    assert np.ptp(proposals.log_q_ratio) > 1
    assert p_value_of_ratios(proposals, space) > 1e-5
    assert p_value_of_ratios(proposals._replace(log_q_ratio=-proposals.log_q_ratio), space) < 1e-100
    assert p_value_of_ratios(proposals._replace(log_q_ratio=0 * proposals.log_q_ratio), space) < 1e-100


@pytest.mark.parametrize("move", [LocalFlip(), MultiFlip(3)])
def test_every_site_and_level_alike(move: Move):
    """Chi-square over changed sites, and over the new values of one of them; p > 1e-4."""
    space = Spin(4, s=1)
    proposals = propose_often(move, space, 400)
    count = np.bincount(proposals.sites.ravel(), minlength=space.size)
    assert scipy.stats.chisquare(count).pvalue > 1e-4
    first = proposals.reached[proposals.start[:, 0] == space.all_states()[0, 0]][..., 0].ravel()
    values, count = np.unique(first[first != space.all_states()[0, 0]], return_counts=True)
    assert len(values) == 2
    assert scipy.stats.chisquare(count).pvalue > 1e-4


def test_mixture_draws_with_its_probabilities():
    move, space = Mixture([LocalFlip(), Mixture([MultiFlip(2), MultiFlip(3)], [1, 3])], [0.2, 0.8]), Spin(5)
    assert move.names == ("LocalFlip", "MultiFlip", "MultiFlip")
    keys = jax.random.split(jax.random.key(0), 4000)
    sigma = space.random_state(jax.random.key(1), 1)[0]
    kind, (sites, values, _) = jax.vmap(lambda k: move.choose(move.draw(k, space), sigma, space))(keys)
    count = np.bincount(kind, minlength=3)
    assert scipy.stats.chisquare(count, 4000 * np.array([0.2, 0.2, 0.6])).pvalue > 1e-4
    n_changed = np.sum(np.asarray(values) != np.asarray(sigma)[np.asarray(sites)], axis=1)
    np.testing.assert_array_equal(n_changed, np.asarray(kind) + 1)


# --- which pairs of move and space are accepted ----------------------------------------------------------------------

ACROSS = Exchange([(0, 1), (1, 2), (2, 3)])
ONE_HALF = Exchange([(0, 1), (3, 4)])  # with OTHER_HALF: {0, 1, 2} and {3, 4, 5}, which neither names
OTHER_HALF = Exchange([(1, 2), (4, 5)])

VERDICTS = {
    "flip": (LocalFlip(), Spin(4), True),
    "flip-in-a-sector": (LocalFlip(), Spin(4, total_sz=0), False),
    "exchange-in-a-sector": (Exchange("all"), Spin(4, total_sz=0), True),
    "exchange-without-sector": (Exchange("all"), Spin(4), False),
    "exchange-in-a-part": (Exchange([(0, 1), (2, 3)]), Spin(4, total_sz=0), False),
    "exchange-leaves-a-site-out": (Exchange([(0, 1), (1, 2)]), Spin(4, total_sz=0), False),
    "exchange-spin-1": (Exchange([(0, 1), (1, 2)]), Spin(3, s=1, total_sz=0), True),
    "exchange-spin-1-in-a-part": (Exchange([(0, 1)]), Spin(3, s=1, total_sz=1), False),
    "exchange-spin-1-without-sector": (Exchange("all"), Spin(3, s=1), False),
    "exchange-outside": (Exchange([(0, 5)]), Spin(4, total_sz=0), False),
    "exchange-components": (Exchange(WITHIN), Levels((2,) * 6, TRIPLES), True),
    "exchange-components-crossed": (Exchange(CHAIN6), Levels((2,) * 6, TRIPLES), False),
    "exchange-free-site": (Exchange("all"), Levels((2, 2, 2), (SumSector((0, 1), 1),)), False),
    "even-flips": (MultiFlip(2), Spin(4), False),
    "odd-flips": (MultiFlip(3), Spin(4), True),
    "global-flip": (MultiFlip(3), Spin(3), False),
    "global-flip-of-one": (MultiFlip(1), Spin(1), True),
    "global-flip-spin-1": (MultiFlip(3), Spin(3, s=1), True),
    "even-flips-spin-1": (MultiFlip(2), Spin(3, s=1), True),
    "even-flips-any-levels": (MultiFlip(2), Levels((2, 2, 3)), True),
    "global-flip-any-levels": (MultiFlip(3), Levels((2, 2, 3)), False),
    "global-flip-one-two-level-site": (MultiFlip(2), Levels((2, 3)), True),
    "too-many-flips": (MultiFlip(5), Spin(4), False),
    "flips-in-a-sector": (MultiFlip(2), Spin(4, total_sz=0), False),
    "halves-together": (Mixture([ACROSS, Exchange([(0, 3)])]), Spin(4, total_sz=0), True),
    "bonds-together": (Mixture([Exchange([(0, 1)]), Exchange([(1, 2), (2, 3)])]), Spin(4, total_sz=0), True),
    "bonds-not-together": (Mixture([ONE_HALF, OTHER_HALF]), Spin(6, total_sz=0), False),
    "three-not-together": (Mixture([ONE_HALF, OTHER_HALF, Exchange([(0, 2)])]), Spin(6, total_sz=0), False),
    "three-together": (Mixture([ONE_HALF, OTHER_HALF, Exchange([(2, 3)])]), Spin(6, total_sz=0), True),
    "even-and-global": (Mixture([MultiFlip(2), MultiFlip(5)]), Spin(5), True),
    "even-and-even-global": (Mixture([MultiFlip(2), MultiFlip(4)]), Spin(4), False),
    "two-even": (Mixture([MultiFlip(2), MultiFlip(4)]), Spin(5), False),
    "exchange-and-even": (Mixture([Exchange("all"), MultiFlip(2)]), Spin(4), False),
    "parts-and-global": (Mixture([Exchange([(0, 1), (2, 3)]), MultiFlip(4)]), Spin(4), False),
    "exchange-and-odd": (Mixture([Exchange("all"), MultiFlip(3)]), Spin(4), True),
    "one-leaves": (Mixture([Exchange("all"), LocalFlip()]), Spin(4, total_sz=0), False),
    "user": (UserFlip(), Spin(4), True),
    "user-not-all-sites": (UserFlip(first=1), Spin(4), False),
    "user-leaves": (UserFlip(), Spin(4, total_sz=0), False),
    "user-illegal-values": (UserFlip(), Qubit(4), False),
    "user-in-mixture": (Mixture([UserFlip(first=2), MultiFlip(3)]), Spin(4), True),
    "user-rare-in-mixture": (Mixture([UserFlip(first=1), LocalFlip()], [0.999, 0.001]), Spin(4), True),
    "user-in-mixture-not": (Mixture([UserFlip(first=2), UserFlip(first=1)]), Spin(4), False),
}


@pytest.mark.parametrize(("move", "space", "accepted"), VERDICTS.values(), ids=VERDICTS)
def test_verdict_is_that_of_brute_force(move: Move, space: DiscreteSpace, accepted: bool):
    assert is_possible(move, space) == accepted, "the table is wrong"
    assert (move.obstruction(space) is None) == accepted
    if accepted:
        assert Metropolis(space, move).move == move
    else:
        with pytest.raises(ValueError, match=r"`move` must sample all of .*, got .*: it .*\."):
            Metropolis(space, move)


def is_possible(move: Move, space: DiscreteSpace) -> bool:
    """Whether the move stays in the space and leads from the first configuration to all (every step can go back)."""
    legal = {tuple(sigma) for sigma in space.all_states().tolist()}
    todo = [next(iter(legal))]
    seen = set(todo)
    while todo:
        new = set(neighbours(move, space, todo.pop())) - seen
        if not new <= legal:
            return False
        seen |= new
        todo += new
    return seen == legal


def neighbours(move: Move, space: DiscreteSpace, sigma: tuple) -> Iterator[tuple]:
    """What each move can do, written without it; None for what it cannot do at all."""
    levels, dimensions = space.to_levels(np.array(sigma)).tolist(), space.local_dimensions
    if isinstance(move, Mixture):
        for part in move.moves:
            yield from neighbours(part, space, sigma)
    elif isinstance(move, UserFlip):
        for site in range(move.first, space.size):
            yield (*sigma[:site], -sigma[site], *sigma[site + 1 :])
    elif isinstance(move, Exchange):
        for i, j in itertools.combinations(range(space.size), 2) if move.pairs == "all" else move.pairs:
            if max(i, j) >= space.size:
                yield None
                continue
            for quanta in range(-max(dimensions), max(dimensions)):
                if 0 <= levels[i] + quanta < dimensions[i] and 0 <= levels[j] - quanta < dimensions[j]:
                    yield put(space, levels, {i: levels[i] + quanta, j: levels[j] - quanta})
    else:
        for sites in itertools.combinations(range(space.size), getattr(move, "n_flips", 1)):
            others = [[level for level in range(dimensions[i]) if level != levels[i]] for i in sites]
            for new in itertools.product(*others):
                yield put(space, levels, dict(zip(sites, new, strict=True)))


def put(space: DiscreteSpace, levels: list[int], changes: dict[int, int]) -> tuple:
    new = [changes.get(site, level) for site, level in enumerate(levels)]
    return tuple(space.from_levels(np.array(new)).tolist())


@pytest.mark.parametrize(
    ("move", "space", "reason"),
    [
        (LocalFlip(), Spin(4, total_sz=0), r"value of one site, which leads out of the sector .*Exchange stays inside"),
        (Exchange([(0, 1), (2, 3)]), Spin(4, total_sz=0), r"conserves the sum of the levels on sites \[0, 1\]"),
        (Exchange("all"), Spin(4), r"conserves the sum of the levels on all sites"),
        (Hop("all"), Fermion(3), r"conserves the sum of the levels on all sites"),
        (Hop(lattice.chain(3)), Fermion(3, n_fermions=2, n_components=2), r"conserves the sum of the levels on sites"),
        (Hop([(0, 3)]), Fermion(3, n_per_component=(1, 1), n_components=2), r"whose sums of levels are fixed apart"),
        (Exchange([(0, 5)]), Spin(4, total_sz=0), r"exchanges with site 5, but there are 4 sites"),
        (Exchange("all"), Spin(1, total_sz=0.5), r"exchanges between two sites, but there are no two"),
        (MultiFlip(2), Spin(4), r"sum of the levels modulo 2 on all sites"),
        (MultiFlip(5), Spin(4), r"changes 5 sites, but there are 4"),
        (Mixture([ONE_HALF, OTHER_HALF]), Spin(400, total_sz=0), r"conserves the sum of the levels on sites \[6\]"),
        (UserFlip(), Spin(12, total_sz=0), r"leads from \[.*\] to \[.*\], which is not in"),
        (UserFlip(first=1), Spin(4), r"cannot connect the 16 configurations"),
    ],
)
def test_the_reason_is_named(move: Move, space: DiscreteSpace, reason: str):
    with pytest.raises(ValueError, match=reason):
        Metropolis(space, move)


def test_laws_of_a_user_count():
    """A move that states its own law is judged by it at any size, alone and in a mixture."""

    @dataclasses.dataclass(frozen=True)
    class Rest(UserFlip):
        def laws(self, space):
            return {Law(frozenset({site}), 0) for site in range(self.first)}

    space = Spin(300)
    assert Rest(0).obstruction(space) is None
    assert "sites [0]" in Rest(1).obstruction(space)
    assert "sites [0]" in Mixture([Rest(1), Rest(2)]).obstruction(space)
    assert Mixture([Rest(1), LocalFlip()]).obstruction(space) is None


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Exchange([(0, 0)]), ValueError, "`pairs` must join two different sites"),
        (lambda: Exchange([]), ValueError, "`pairs` must have shape"),
        (lambda: Exchange([(-1, 0)]), ValueError, "`pairs` must hold site numbers"),
        (lambda: Exchange("al"), ValueError, "Did you mean 'all'"),
        (lambda: MultiFlip(0), ValueError, "1 <= n_flips"),
        (lambda: MultiFlip(1.0), TypeError, "`n_flips` must be an integer"),
        (lambda: Mixture([]), ValueError, "`moves` must name at least one move"),
        (lambda: Mixture([LocalFlip]), TypeError, "`moves` must be a Move"),
        (lambda: Mixture([LocalFlip()], [0.0]), ValueError, "probabilities > 0"),
        (lambda: Mixture([LocalFlip()], [1, 1]), ValueError, "`probabilities` must have 1 entries"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
