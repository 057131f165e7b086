# SPDX-License-Identifier: Apache-2.0
"""The purity of density matrices: that of their matrices, within errors from chains, and what is refused."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from manybody.hilbert import Spin
from manybody.observables import purity
from manybody.parallel import mesh_comm
from manybody.sampler import Exact, LocalFlip, Metropolis
from tests.sampler.test_diagonal import STATES, matrix

SPINS = Spin(3)
CHAINS = Metropolis(SPINS, LocalFlip(), 16)


def test_sums_over_all_pairs():
    state = STATES["evaluated"]()
    rho = matrix(state)
    found = purity(state.diagonal(Exact(SPINS)).sample())
    wanted = np.trace(rho @ rho).real
    assert found.mean == pytest.approx(wanted, abs=1e-12)
    assert found.error == 0
    assert 0.2 < wanted < 0.8


def test_pairs_of_chains():
    """Within 4 sigma; other chains, other numbers."""
    state = STATES["evaluated"]()
    rho = matrix(state)
    found = [purity(state.diagonal(CHAINS, 3200, seed=seed).sample()) for seed in range(2)]
    for one in found:
        assert abs(one.mean - np.trace(rho @ rho).real) < 4 * one.error
        assert 1e-3 < one.error < 0.05
        assert one.tau > 0.5
    assert found[0].mean != found[1].mean


def test_same_numbers_of_two_workers():
    """Each has half of the states, and is paired with all."""
    state = STATES["evaluated"]()
    several = state.replace(comm=mesh_comm(jax.devices()[:2]))
    one, other = (purity(s.diagonal(Exact(SPINS)).sample()) for s in (state, several))
    assert float(one.mean) == pytest.approx(float(other.mean), abs=1e-13)
    assert float(one.variance) == pytest.approx(float(other.variance), abs=1e-13)


def test_refused():
    state = STATES["evaluated"]()
    with pytest.raises(ValueError, match="be measured on its diagonal"):
        purity(state.sample())
    with pytest.raises(ValueError, match="have samples"):
        purity(state.diagonal(Exact(SPINS)))
    with pytest.raises(ValueError, match="even number of chains"):
        purity(state.diagonal(Metropolis(SPINS, LocalFlip(), 3)).sample())
