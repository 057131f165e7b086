# SPDX-License-Identifier: Apache-2.0
"""Structure factors against vectors of all amplitudes, their sum rules, and the momenta at which they are."""

import math

import networkx as nx
import numpy as np
import pytest

import manybody as mb
from manybody import lattice as lattices
from manybody.observables import allowed_momenta, extended_reciprocal, structure_factor
from manybody.operator import fermion, spin
from tests.observables.systems import SYSTEMS, exact_state, products, whole, with_table


def transformed(lattice, matrix, momenta):
    phases = np.exp(1j * (momenta @ lattice.positions.T))
    return np.einsum("ki,ij,kj->k", phases, matrix, phases.conj()) / lattice.n_sites


@pytest.mark.parametrize(("name", "kind"), [("chain", "zz"), ("honeycomb", "ss"), ("hubbard", "nn")])
def test_against_all_amplitudes(name, kind):
    lattice, _ = SYSTEMS[name]
    momenta = allowed_momenta(lattice, extended=True)
    found = structure_factor(exact_state(name), lattice, momenta, kind)
    matrix = products(name, {"ss": "xyz"}.get(kind, kind[0]))
    np.testing.assert_allclose(found.estimate.mean, transformed(lattice, matrix, momenta).real, atol=1e-11)
    assert not found.estimate.error.any()
    # Sum rule: the mean over the extended zone is that of <A_i A_i>.
    assert np.mean(found.estimate.mean) == pytest.approx(np.trace(matrix).real / lattice.n_sites, rel=1e-11)
    if kind == "zz":
        assert abs(found.estimate.mean[0]) < 1e-13  # total S^z is 0
        default = structure_factor(exact_state(name), lattice)
        np.testing.assert_array_equal(default.momenta, lattice.momenta())
        np.testing.assert_array_equal(default.estimate.mean, found.estimate.mean)


def test_distribution_of_momenta():
    """1/N sum_ij e^{ik(r_i - r_j)} <c_i^dag c_j>: real, between 0 and 1, and 2 electrons together."""
    lattice, _ = SYSTEMS["hubbard"]
    found = structure_factor(exact_state("hubbard"), lattice, kind=(fermion.create, fermion.destroy))
    free = mb.hilbert.Fermion(4, n_components=2)
    create, destroy = ([f(free, i) for i in range(4)] for f in (fermion.create, fermion.destroy))
    matrix = mb.exact.correlations(create, destroy, whole(exact_state("hubbard")))
    np.testing.assert_allclose(found.estimate.mean, transformed(lattice, matrix, found.momenta).real, atol=1e-12)
    assert np.isrealobj(found.estimate.mean)
    assert np.sum(found.estimate.mean) == pytest.approx(2, rel=1e-12)


def test_products_that_are_not_adjoint():
    """<S_i^+ S_j^z> is complex, and so is its transform."""
    lattice, _ = SYSTEMS["field"]
    found = structure_factor(exact_state("field"), lattice, kind=(spin.sp, spin.sz))
    free = SYSTEMS["field"][1]
    raising, z = ([f(free, i) for i in range(4)] for f in (spin.sp, spin.sz))
    matrix = mb.exact.correlations(raising, z, whole(exact_state("field")))
    np.testing.assert_allclose(found.estimate.mean, transformed(lattice, matrix, found.momenta), atol=1e-12)
    assert np.abs(found.estimate.mean.imag).max() > 1e-3


def test_monte_carlo():
    """The same numbers within 4 sigma."""
    lattice, space = SYSTEMS["chain"]
    exact = exact_state("chain")
    sampler = mb.sampler.Metropolis(space, mb.sampler.Exchange(lattice), n_chains=32, n_burn_in=20)
    state = with_table(space, exact.to_array(), sampler, 2048)
    right, found = (structure_factor(s, lattice, kind="zz").estimate for s in (exact, state))
    assert np.all(np.abs(found.mean - right.mean)[1:] < 4 * found.error[1:])
    assert np.all((found.error[1:] > 0) & (found.error[1:] < 0.05))
    assert abs(found.mean[0]) < 1e-13


@pytest.mark.parametrize(
    ("lattice", "zones"),
    [
        (lattices.chain(5), 1),
        (lattices.square([[3, 1], [-1, 3]]), 1),
        (lattices.triangular(3), 1),
        (lattices.honeycomb(2, 3), 3),
        (lattices.kagome(3, 2), 4),
        (lattices.shastry_sutherland(2), 4),
        (lattices.pyrochlore(2), 8),
    ],
    ids=lambda x: getattr(x, "name", x),
)
def test_extended_zone(lattice, zones):
    """As many momenta as zones times cells, all different, the shortest of their kind, and S(k) repeats outside."""
    momenta, rows = allowed_momenta(lattice, extended=True), extended_reciprocal(lattice)
    assert len(momenta) == zones * lattice.n_cells
    volume = abs(np.linalg.det(rows)) / abs(np.linalg.det(lattice.reciprocal))
    assert volume == pytest.approx(zones)
    phases = np.exp(1j * (momenta @ lattice.positions.T))
    np.testing.assert_allclose(np.exp(1j * (momenta @ lattice.periods.T)), 1, atol=1e-9)
    between = phases @ phases.conj().T / lattice.n_sites
    if zones == lattice.n_sites / lattice.n_cells:
        np.testing.assert_allclose(between, np.eye(len(momenta)), atol=1e-9)
    assert np.sum(np.abs(between) > 1 - 1e-9) == len(momenta)
    for row in rows:
        here = np.exp(1j * (row @ (lattice.positions - lattice.positions[0]).T))
        np.testing.assert_allclose(here, 1, atol=1e-9)
        assert np.all(np.linalg.norm(momenta, axis=1) < np.linalg.norm(momenta + row, axis=1) + 1e-9)


def test_twists_do_not_move_the_momenta_of_correlations():
    twisted = lattices.chain(4, twist=math.pi)
    np.testing.assert_array_equal(allowed_momenta(twisted), lattices.chain(4).momenta())


def on_graph():
    graph = lattices.from_networkx(nx.path_graph(6))
    return exact_state("chain"), graph


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (lambda: (exact_state("chain"), SYSTEMS["chain"][0], [[1.0]]), ValueError, "`momenta` must be commensurate"),
        (lambda: (exact_state("chain"), SYSTEMS["chain"][0], [1.0]), ValueError, r"`momenta` must have shape \(n, 1\)"),
        (on_graph, TypeError, "`lattice` must be a Lattice.*A graph has no momenta of its own"),
        (lambda: (*on_graph(), [[0.0]]), ValueError, "`lattice` must have positions"),
        (lambda: (exact_state("field"), SYSTEMS["chain"][0]), ValueError, "`lattice` must have 4 sites"),
    ],
)
def test_refusals(arguments, error, message):
    with pytest.raises(error, match=message):
        structure_factor(*arguments())


def test_sites_at_other_fractions():
    with pytest.raises(ValueError, match="have its sites at fractions of the primitive vectors"):
        extended_reciprocal(lattices.shuriken(2))
