# SPDX-License-Identifier: Apache-2.0
"""Values and levels of a few sites are those of whole configurations."""

import numpy as np
import pytest

from manybody import hilbert
from manybody.hilbert import local

SPACES = {
    "spins 1/2": hilbert.Spin(3),
    "spins 1": hilbert.Spin(3, s=1),
    "spins 3/2": hilbert.Spin(3, s=1.5),
    "qubits": hilbert.Qubit(3),
    "bosons": hilbert.Fock(3, n_max=3),
    "bosons, some more than others": hilbert.Fock(3, n_max=(1, 3, 2)),
    "spins and bosons": hilbert.Product(hilbert.Spin(2), hilbert.Fock(1, n_max=2)),
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_levels_and_values_of_sites(space):
    levels = np.asarray(space.to_levels(space.all_states()))
    sites = np.broadcast_to(np.arange(space.size)[::-1], levels.shape)
    values = local.values_at(space, sites, levels[:, ::-1])
    np.testing.assert_array_equal(values, np.asarray(space.all_states())[:, ::-1])
    np.testing.assert_array_equal(local.levels_of(space, sites, values), levels[:, ::-1])
    np.testing.assert_array_equal(local.levels_at(space, space.all_states(), sites), levels[:, ::-1])


@pytest.mark.parametrize("step", [1, -1, 2, -2, 3, -4, 6])
def test_multiples_are_divided_exactly(step):
    levels = np.arange(-5, 6, dtype=np.int32)
    np.testing.assert_array_equal(local._quotient(step * levels, step), levels)
