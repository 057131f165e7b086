# SPDX-License-Identifier: Apache-2.0
"""Chains on spaces with constraints that no sum of levels expresses."""

import numpy as np
import pytest
import scipy.stats

from manybody import VariationalState
from manybody.ansatz import RBM
from manybody.hilbert import Blockade, Constrained, Parity, Qubit
from manybody.lattice import chain
from manybody.sampler import Exchange, LocalFlip, Metropolis, MultiFlip

RING = Constrained(Qubit(6), Blockade(chain(6).bonds().tolist()))


def test_chains_stay_legal_and_are_distributed_as_they_should():
    state = VariationalState(RBM(), Metropolis(RING, LocalFlip(), 2000, n_burn_in=40), seed=1).sample()
    sigma = np.asarray(state.samples.flat_sigma)
    assert RING.contains(sigma).all()
    counts = np.bincount(RING.states_to_index(sigma), minlength=RING.n_states)
    expected = np.abs(state.to_array()) ** 2
    assert scipy.stats.chisquare(counts, 2000 * expected).pvalue > 1e-3


def test_a_large_space():
    space = Constrained(Qubit(60), Blockade(chain(60).bonds().tolist()))
    state = VariationalState(RBM(), Metropolis(space, LocalFlip(), 32, n_burn_in=2), seed=1).sample()
    assert space.contains(np.asarray(state.samples.flat_sigma)).all()
    assert len(np.unique(np.asarray(state.samples.flat_sigma), axis=0)) > 16


def test_moves_are_judged_by_what_they_reach():
    even = Constrained(Qubit(4), Parity(Qubit(4), [(0, 1, 2, 3)]))
    Metropolis(even, MultiFlip(2), 4)
    with pytest.raises(ValueError, match="cannot connect the 8 configurations"):
        Metropolis(even, LocalFlip(), 4)
    with pytest.raises(ValueError, match="cannot connect the 18 configurations"):
        Metropolis(RING, Exchange(chain(6)), 4)
