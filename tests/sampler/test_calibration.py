# SPDX-License-Identifier: Apache-2.0
"""Error bars of whole Monte Carlo runs: 2,000 of them, with the energy known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody import VariationalState, ansatz, hamiltonian, lattice
from manybody.estimator import expect, local_values
from manybody.hilbert import Spin
from manybody.parallel import Comm
from manybody.sampler import Exact, LocalFlip, Metropolis
from tests.test_calibration import LIMITS, N_RUNS, coverage


@pytest.mark.slow
@pytest.mark.parametrize(("n_chains", "n_draws"), [(8, 64), (64, 8)])
def test_runs_of_a_transverse_field_chain(n_chains, n_draws):
    """Seeds 0 to 1,999 of an RBM, one step of Metropolis between draws, so that they are correlated."""
    space = Spin(4)
    ham = hamiltonian.ising(space, lattice.chain(4))
    sampler = Metropolis(space, LocalFlip(), n_chains=n_chains, sweep_size=1, n_burn_in=60)
    start = VariationalState(ansatz.RBM(), Exact(space))
    start = start.replace(params=jax.tree.map(lambda x: 2 * x, start.params)).sample()
    truth = float(start.expect(ham).mean)
    amplitude, operator, comm = start.network.bind(start.params, start.constants), ham.compile(), Comm()

    def run(seed):
        chains = sampler.init(comm, jax.random.key(seed))
        _, samples, _ = sampler.sample(comm, amplitude, chains, n_draws)
        values, _ = local_values(comm, amplitude, operator, samples.flat_sigma, n_chains * n_draws * 4, None)
        return expect(comm, values, samples, hermitian=True)

    estimates = jax.jit(lambda seeds: jax.lax.map(run, seeds, batch_size=20))(jnp.arange(N_RUNS))
    assert np.mean(estimates.tau) > 1.5
    for share, (low, high) in zip(coverage(estimates, truth), LIMITS, strict=True):
        assert low <= share <= high, (share, low, high)
