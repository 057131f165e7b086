# SPDX-License-Identifier: Apache-2.0
"""Correlation functions against vectors of all amplitudes, and their errors."""

import networkx as nx
import numpy as np
import pytest

import manybody as mb
from manybody.observables import correlation_function
from manybody.observables.correlation import pair_classes
from manybody.operator import fermion, spin
from tests.observables.systems import SYSTEMS, exact_state, products, whole, with_table

CASES = [
    pytest.param("chain", "zz", True, marks=pytest.mark.slow),
    ("honeycomb", "ss", False),
    pytest.param("field", "ss", True, marks=pytest.mark.slow),
    ("spin 1", "xx", False),
    pytest.param("hubbard", "nn", True, marks=pytest.mark.slow),
    ("hubbard", "ss", True),
    ("open", "nn", True),
]


def equivalent(lattice, i, j):
    """All pairs with the same displacement between the same sublattices, found by positions."""
    n_offsets = len(lattice.offsets)
    starts = np.arange(i % n_offsets, lattice.n_sites, n_offsets) if any(lattice.periodic) else np.array([i])
    ends, _ = lattice.locate(lattice.positions[starts] + lattice.positions[j] - lattice.positions[i])
    return starts, ends


@pytest.mark.parametrize(("name", "kind", "connected"), CASES)
def test_against_all_amplitudes(name, kind, connected):
    lattice, _ = SYSTEMS[name]
    found = correlation_function(exact_state(name), lattice, kind, connected=connected)
    right = products(name, {"ss": "xyz"}.get(kind, kind[0]), connected)
    assert found.counts.sum() == lattice.n_sites**2
    for (i, j), count, mean in zip(found.pairs, found.counts, found.estimate.mean, strict=True):
        starts, ends = equivalent(lattice, i, j)
        assert count == len(starts)
        assert mean == pytest.approx(right[starts, ends].mean().real, abs=1e-11)
    assert not found.estimate.error.any()
    assert np.abs(right).max() > 0.05


def test_products_of_two_operators():
    """<c_i^dag c_j> of spin up: neither operator keeps to the sector."""
    lattice, _ = SYSTEMS["hubbard"]
    found = correlation_function(exact_state("hubbard"), lattice, (fermion.create, fermion.destroy), connected=True)
    free = mb.hilbert.Fermion(4, n_components=2)
    psi = whole(exact_state("hubbard"))
    create, destroy = ([f(free, i) for i in range(4)] for f in (fermion.create, fermion.destroy))
    right = mb.exact.correlations(create, destroy, psi)
    for (i, j), mean in zip(found.pairs, found.estimate.mean, strict=True):
        assert mean == pytest.approx(right[equivalent(lattice, i, j)].mean(), abs=1e-12)


def test_complex_products():
    """<S_i^+ S_j^->, which does not equal its conjugate where the state has currents."""
    lattice, _ = SYSTEMS["chain"]
    found = correlation_function(exact_state("chain"), lattice, (spin.sp, spin.sm))
    free = mb.hilbert.Spin(6)
    raising, lowering = ([f(free, i) for i in range(6)] for f in (spin.sp, spin.sm))
    right = mb.exact.correlations(raising, lowering, whole(exact_state("chain")))
    for (i, j), mean in zip(found.pairs, found.estimate.mean, strict=True):
        assert mean == pytest.approx(right[equivalent(lattice, i, j)].mean(), abs=1e-12)
    assert np.abs(found.estimate.mean.imag).max() > 1e-3


def test_displacements():
    """Sorted by distance; vectors lead to the nearest image; a class for each sublattice and site."""
    lattice, _ = SYSTEMS["honeycomb"]
    found = correlation_function(exact_state("honeycomb"), lattice)
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), found.distances, atol=1e-12)
    assert np.all(np.diff(found.distances) > -1e-9)
    assert len(found.pairs) == 2 * 8
    sites, _ = lattice.locate(lattice.positions[found.pairs[:, 0]] + found.vectors)
    np.testing.assert_array_equal(sites, found.pairs[:, 1])


def test_classes_of_pairs():
    """Of a ladder that is periodic in one direction; of a graph each pair is one."""
    ladder = mb.lattice.square(3, 2, periodic=(True, False))
    classes = pair_classes(ladder)
    assert classes.max() + 1 == 2 * 6
    for move in ladder.translations():
        np.testing.assert_array_equal(classes[np.ix_(move, move)], classes)
    assert np.array_equal(pair_classes(mb.lattice.from_networkx(nx.path_graph(3))), np.arange(9).reshape(3, 3))


def test_errors():
    """40 runs: within 4 sigma and of the right size, where <S_i> fluctuates as much as <S_i S_j> and with it."""
    lattice, space = SYSTEMS["field"]
    total = space.all_states().sum(axis=1)
    psi = np.exp(0.3 * total + total**2 / 80)
    right = correlation_function(with_table(space, psi), lattice, connected=True).estimate.mean
    sampler = mb.sampler.Metropolis(space, mb.sampler.LocalFlip(), n_chains=32, n_burn_in=30)
    scores = []
    state = with_table(space, psi, sampler, 2048)
    for _ in range(40):
        state = state.sample()
        found = correlation_function(state, lattice, connected=True).estimate
        scores.append((found.mean - right) / found.error)
    assert np.abs(scores).max() < 4
    spread = np.sqrt(np.mean(np.square(scores), axis=0))
    assert np.all((spread > 0.7) & (spread < 1.35)), spread
    alone = correlation_function(state, lattice).estimate
    assert np.all(found.error[1:] < 0.7 * alone.error[1:])


def not_operators(space, site):
    return site


def unsampled():
    state = exact_state("chain")
    return state.replace(samples=None)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (lambda: (exact_state("chain"), mb.lattice.chain(5)), ValueError, r"`lattice` must have 6 sites like Spin\("),
        (lambda: (exact_state("hubbard"), mb.lattice.chain(8)), ValueError, "`lattice` must have 4 sites"),
        (lambda: (exact_state("open"), SYSTEMS["open"][0]), ValueError, "`space` must have spins: Spin, Qubit"),
        (lambda: (exact_state("chain"), SYSTEMS["chain"][0], "nn"), ValueError, "`space` must have particles"),
        (lambda: (exact_state("chain"), SYSTEMS["chain"][0], "sz"), ValueError, "`kind` must be one of 'xx'"),
        (lambda: (exact_state("chain"), SYSTEMS["chain"][0], max), ValueError, "`kind` must be a name, or two"),
        (
            lambda: (exact_state("chain"), SYSTEMS["chain"][0], (not_operators, max)),
            TypeError,
            "`kind` must be a Discr",
        ),
        (lambda: (exact_state("chain"), 6), TypeError, "`lattice` must be a AbstractLattice"),
        (lambda: ("state", SYSTEMS["chain"][0]), TypeError, "`state` must be a VariationalState"),
        (lambda: (unsampled(), SYSTEMS["chain"][0]), ValueError, "`state` must have samples, got none yet"),
    ],
)
def test_refusals(arguments, error, message):
    with pytest.raises(error, match=message):
        correlation_function(*arguments())
