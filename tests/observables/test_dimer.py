# SPDX-License-Identifier: Apache-2.0
"""Correlations of dimers against vectors of all amplitudes."""

import functools

import numpy as np
import pytest

import manybody as mb
from manybody.observables import dimer_correlations
from tests.observables.systems import SYSTEMS, exact_state, site_operators, whole, with_table


@functools.cache
def right(name, order):
    """<D_b> and Re <D_a D_b> - <D_a> <D_b>."""
    lattice, space = SYSTEMS[name]
    psi = whole(exact_state(name))
    spins = [[s.to_dense() for s in site_operators(space, c)] for c in "xyz"]
    kets = np.stack([sum(s[i] @ (s[j] @ psi) for s in spins) for i, j in lattice.bonds(order)])
    means = (kets @ psi.conj()).real
    return means, (kets.conj() @ kets.T).real - np.outer(means, means)


@pytest.mark.parametrize(
    ("name", "order", "reference"),
    [("honeycomb", 1, 5), ("chain", 2, None), pytest.param("chain", 1, 0, marks=pytest.mark.slow)],
)
def test_against_all_amplitudes(name, order, reference):
    means, together = right(name, order)
    found = dimer_correlations(exact_state(name), SYSTEMS[name][0], order, reference=reference)
    np.testing.assert_allclose(found.dimers.mean, means, atol=1e-12)
    wanted = together if reference is None else together[reference]
    np.testing.assert_allclose(found.estimate.mean, wanted, atol=1e-11)
    assert not found.estimate.error.any()
    assert np.abs(wanted).max() > 0.05


def test_where_the_bonds_are():
    lattice, _ = SYSTEMS["honeycomb"]
    one = dimer_correlations(exact_state("honeycomb"), lattice, "x", reference=1)
    np.testing.assert_array_equal(one.bonds, lattice.bonds(kind="x"))
    ends = one.centres + lattice.bond_vectors(kind="x") / 2
    np.testing.assert_array_equal(lattice.locate(ends)[0], one.bonds[:, 1])
    np.testing.assert_allclose(one.vectors[1], 0, atol=1e-12)
    turns = (one.centres[1] + one.vectors - one.centres) @ np.linalg.inv(lattice.periods)
    np.testing.assert_allclose(turns, np.rint(turns), atol=1e-12)
    ring = dimer_correlations(exact_state("chain"), SYSTEMS["chain"][0])
    assert sorted(np.abs(ring.vectors[:, 0]).tolist()) == [0, 1, 1, 2, 2, 3]


@pytest.mark.slow
def test_monte_carlo():
    lattice, space = SYSTEMS["chain"]
    sampler = mb.sampler.Metropolis(space, mb.sampler.Exchange(lattice), n_chains=32, n_burn_in=20)
    state = with_table(space, exact_state("chain").to_array(), sampler, 2048)
    found = dimer_correlations(state, lattice)
    means, together = right("chain", 1)
    assert np.all(np.abs(found.estimate.mean - together[0]) < 4 * found.estimate.error)
    assert np.all(np.abs(found.dimers.mean - means) < 4 * found.dimers.error)
    assert np.all(found.estimate.error < 0.1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s, lattice: dimer_correlations(s, lattice, reference=6), ValueError, "0 <= reference <= 5"),
        (lambda s, lattice: dimer_correlations(s, lattice, 9), ValueError, "`order` must be at most 3"),
        (lambda s, lattice: dimer_correlations(s, lattice, 1.5), TypeError, "`bonds` must be a int or str"),
        (lambda s, lattice: dimer_correlations(s, mb.lattice.chain(5)), ValueError, "`lattice` must have 6 sites"),
        (
            lambda s, lattice: dimer_correlations(exact_state("open"), SYSTEMS["open"][0]),
            ValueError,
            "`space` must have spi",
        ),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call(exact_state("chain"), SYSTEMS["chain"][0])
