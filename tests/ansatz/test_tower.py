# SPDX-License-Identifier: Apache-2.0
"""Excited states as ground states of other sectors."""

import numpy as np
import optax
import pytest
import scipy.sparse.linalg

from manybody import VariationalState, driver, hamiltonian, sampler, sr
from manybody.ansatz import GCNN
from manybody.exact import ground_state
from manybody.hilbert import Spin
from manybody.lattice import square
from manybody.symmetry import Sector

LATTICE = square(4)
SPACE = Spin(16, total_sz=0)
J1J2 = hamiltonian.j1j2(SPACE, LATTICE, J2=0.5)
GROUP = LATTICE.space_group()
TOWER = (0, 2, 10, 4)
"""Representations with the four lowest levels of the model; that of number 10 has two dimensions."""


def lowest(irrep):
    return ground_state(J1J2, sector=Sector(GROUP, irrep), expand=False).energies[0]


@pytest.mark.slow
def test_levels_of_the_tower():
    """Five of the lowest levels of the whole space, as Lanczos iterations find them there."""
    dimensions = [Sector(GROUP, irrep).dimension for irrep in TOWER]
    assert dimensions == [1, 1, 2, 1]
    levels = np.repeat([lowest(irrep) for irrep in TOWER], dimensions)
    # Of more levels than are looked at, since members of a degenerate set are found last.
    found = scipy.sparse.linalg.eigsh(J1J2.to_sparse(), k=10, which="SA", tol=1e-10, return_eigenvectors=False)
    np.testing.assert_allclose(levels, np.sort(found)[:5], rtol=0, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("irrep", TOWER)
def test_tower_of_the_frustrated_square_lattice(irrep):
    """The 4 x 4 J1-J2 model at J2 = J1/2, sampled by chains: each level to 0.5 %, and not below it (4 sigma)."""
    ansatz = GCNN(Sector(GROUP, irrep), features=(4, 4), param_dtype=complex)
    chains = sampler.Metropolis(SPACE, sampler.Exchange("all"), n_chains=512, sweep_size=8)
    state = VariationalState(ansatz, chains, n_samples=512, seed=3)
    slower = optax.linear_schedule(0.05, 0.005, transition_steps=100, transition_begin=60)
    solver = sr.SR(diag_shift=1e-3, momentum=0.9)
    run = driver.VMC(J1J2, state, optimizer=optax.sgd(slower), preconditioner=solver)
    energy = run.run(160, progress=False).expect(J1J2)
    exact = lowest(irrep)
    assert energy.mean < exact + 0.005 * abs(exact)
    assert energy.mean > exact - 4 * energy.error
    assert energy.error < 0.005 * abs(exact)
