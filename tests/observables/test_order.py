# SPDX-License-Identifier: Apache-2.0
"""Order parameters and the total spin against vectors of all amplitudes."""

import functools

import numpy as np
import pytest

import manybody as mb
from manybody.hilbert import Fermion, Spin
from manybody.observables import order_parameter, structure_factor, total_spin, total_spin_squared
from tests.observables.systems import SYSTEMS, exact_state, products, with_table

STAGGERED = np.array([1, -1, 1, -1, 1, -1])


def test_staggered():
    lattice, space = SYSTEMS["chain"]
    state = exact_state("chain")
    found = order_parameter(state, lattice)
    m = space.all_states() @ STAGGERED / 12
    weight = np.abs(state.to_array()) ** 2
    squared, fourth = weight @ m**2, weight @ m**4
    assert found.squared.mean == pytest.approx(squared, rel=1e-12)
    assert found.root.mean == pytest.approx(np.sqrt(squared), rel=1e-12)
    assert found.binder.mean == pytest.approx(1 - fourth / (3 * squared**2), rel=1e-11)
    assert found.squared.error == found.binder.error == 0
    assert found.squared.variance == pytest.approx(fourth - squared**2, rel=1e-10)


def test_vectors_and_patterns():
    lattice, _ = SYSTEMS["chain"]
    state = exact_state("chain")
    dots = products("chain", "xyz").real
    found = order_parameter(state, lattice, STAGGERED, "ss")
    assert found.squared.mean == pytest.approx(STAGGERED @ dots @ STAGGERED / 36, rel=1e-11)
    assert found.binder is None
    pattern = np.array([0.3, 1.0, 0, -2, 0, 0.5])
    found = order_parameter(state, lattice, pattern)
    assert found.squared.mean == pytest.approx(pattern @ products("chain", "z").real @ pattern / 36, rel=1e-11)
    uniform = order_parameter(state, lattice, "uniform")
    assert abs(uniform.squared.mean) < 1e-15


def test_momentum():
    """S(k) / N."""
    lattice, _ = SYSTEMS["chain"]
    k = lattice.momenta()[1]
    found = order_parameter(exact_state("chain"), lattice, momentum=k)
    s = structure_factor(exact_state("chain"), lattice, k[None]).estimate.mean[0]
    assert found.squared.mean == pytest.approx(float(s) / 6, rel=1e-12)


def test_errors():
    """The root has half the relative error; Monte Carlo agrees within 4 sigma."""
    lattice, space = SYSTEMS["chain"]
    exact = exact_state("chain")
    sampler = mb.sampler.Metropolis(space, mb.sampler.Exchange(lattice), n_chains=32, n_burn_in=20)
    found = order_parameter(with_table(space, exact.to_array(), sampler, 2048), lattice)
    right = order_parameter(exact, lattice)
    for a, b in zip(found, right, strict=True):
        assert 0 < a.error < 0.1
        assert abs(a.mean - b.mean) < 4 * a.error
    relative = float(found.squared.error / found.squared.mean)
    assert found.root.error / found.root.mean == pytest.approx(relative / 2, rel=1e-9)


@functools.cache
def lowest(s, total_sz):
    """The ground state of a Heisenberg chain of 4 spins in a sector."""
    space = Spin(4, s=s, total_sz=total_sz)
    ham = mb.hamiltonian.heisenberg(space, mb.lattice.chain(4))
    return with_table(space, mb.exact.ground_state(ham).states[:, 0])


@pytest.mark.parametrize(
    ("s", "total_sz", "right"),
    [(0.5, 1, 2), (1, 0, 0), *(pytest.param(*x, marks=pytest.mark.slow) for x in ((0.5, 0, 0), (1, 2, 6)))],
)
def test_total_spin(s, total_sz, right):
    """Multiplets of the chain; a definite spin has no variance."""
    found = total_spin(lowest(s, total_sz))
    assert found.mean == pytest.approx(right, abs=1e-10)
    assert found.variance < 1e-18


def test_total_spin_of_electrons():
    state = exact_state("hubbard")
    right = products("hubbard", "xyz").sum().real
    assert total_spin(state).mean == pytest.approx(right, rel=1e-11)
    values = np.linalg.eigvalsh(total_spin_squared(Fermion(2, n_components=2)).to_dense())
    np.testing.assert_allclose(np.sort(values), [0] * 5 + [0.75] * 8 + [2] * 3, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s, lattice: order_parameter(s, lattice, np.ones(5)), ValueError, "`pattern` must be 6 real numbers"),
        (lambda s, lattice: order_parameter(s, lattice, 1j * np.ones(6)), ValueError, "got complex128 of shape"),
        (lambda s, lattice: order_parameter(s, lattice, "striped"), ValueError, "`pattern` must be one of 'uniform'"),
        (lambda s, lattice: order_parameter(s, lattice, momentum=[1.0]), ValueError, "`momenta` must be commensurate"),
        (lambda s, lattice: order_parameter(s, lattice, kind=(max, max)), ValueError, "`kind` must be a name"),
        (lambda s, lattice: order_parameter(s, mb.lattice.chain(4)), ValueError, "`lattice` must have 6 sites"),
        (lambda s, lattice: order_parameter(s, mb.lattice.triangular(2, 3)), ValueError, "`lattice` must be bipartite"),
        (lambda s, lattice: order_parameter(s.replace(samples=None), lattice), ValueError, "`state` must have samples"),
        (lambda s, lattice: total_spin(s.replace(samples=None)), ValueError, "`state` must have samples"),
        (lambda s, lattice: total_spin(exact_state("open")), ValueError, "`space` must have spins"),
        (lambda s, lattice: total_spin_squared(6), TypeError, "`space` must be a DiscreteSpace"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call(exact_state("chain"), SYSTEMS["chain"][0])
