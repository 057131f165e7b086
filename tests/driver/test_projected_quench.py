# SPDX-License-Identifier: Apache-2.0
"""Projected evolution of the 4 x 4 Ising model after a quench to its critical field, against exact evolution."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from manybody import VariationalState, ansatz, exact, hamiltonian
from manybody.driver import Data, ProjectedEvolution, Projection
from manybody.hilbert import Spin
from manybody.lattice import square
from manybody.parallel import SHARD, Comm
from manybody.sampler import Sampler, Samples
from manybody.sr import SR
from tests.driver.test_tdvp import Keep

LATTICE, SPACE = square(4, 4), Spin(16)
BEFORE, AFTER = (hamiltonian.ising(SPACE, LATTICE, h=h) for h in (6.0, 3.0))


@dataclass(frozen=True)
class Orbits(Sampler):
    """One state of each set that translations map to each other, as often as there are: sums for invariant states."""

    space = SPACE
    kind = "exact"
    has_memory = False

    def n_local(self, comm: Comm) -> int:
        return len(self.table[0])

    def n_draws(self, n_samples, comm):
        return 1

    @property
    def table(self):
        index = np.arange(SPACE.n_states)
        states = np.asarray(SPACE.all_states())
        smallest = index
        for g in LATTICE.translations():
            smallest = np.minimum(smallest, np.asarray(SPACE.states_to_index(states[:, np.asarray(g)])))
        first, count = np.unique(smallest, return_counts=True)
        return states[first], np.log(count)

    def init(self, comm, key):
        return tuple(map(jnp.asarray, self.table))

    @property
    def state_spec(self):
        return SHARD, SHARD

    def examples(self, comm, state):
        return state[0]

    @property
    def info_spec(self):
        return {}

    def sample(self, comm, amplitude, state, n_draws):
        sigma, log_count = state
        log_psi = amplitude.log_psi(sigma)
        weight = jax.nn.softmax(2 * log_psi.real + log_count)
        return state, Samples(sigma[:, None], log_psi[:, None], weight[:, None], "exact"), {}


def infidelity(psi, phi):
    return 1 - abs(np.vdot(psi, phi)) ** 2


@pytest.mark.slow
def test_quench():
    """From the field 6 J to 3 J, with a complex RBM: it learns the first ground state from its amplitudes to 1e-4, and
    is then, up to t = 0.6 / J, within 1e-2 of exact evolution, far from where it began.

    Not much further: at t = 0.8 it has lost amplitudes of rare configurations, and the variance of the energy, which
    should be constant, is ten times what it was.
    """
    sigma, log_count = Orbits().table
    psi = exact.ground_state(BEFORE).states[:, 0]
    phi = np.abs(psi)[np.asarray(SPACE.states_to_index(sigma))]
    spread = jax.nn.initializers.normal(0.1)
    shared = {"symmetries": LATTICE.translations(), "use_visible_bias": False, "kernel_init": spread}
    state = VariationalState(ansatz.RBM(alpha=8, param_dtype=complex, **shared), Orbits(), seed=0)
    data = Data(sigma, np.log(phi), np.exp(log_count) * phi**2, kind="exact")
    solver = SR(1e-4, "parameters")
    start = Projection(data, state, optimizer=optax.sgd(0.3), preconditioner=solver).run(60, progress=False)
    assert infidelity(start.to_array(), psi) < 1e-4
    times, records = np.linspace(0.0, 0.6, 4), []
    options = {"infidelity": 2e-6, "max_iterations": 8, "preconditioner": SR(1e-3, "parameters")}
    driver = ProjectedEvolution(AFTER, start, dt=0.025, order=2, **options)
    final = driver.run(times, hooks=[Keep(records)], progress=False).to_array()
    wanted = exact.evolve(AFTER, start.to_array(), [0.0, 0.6])[-1]
    assert infidelity(start.to_array(), wanted) > 0.1
    assert infidelity(final, wanted) < 1e-2
    assert infidelity(final, wanted) < records[-1]["error"] ** 2
    assert abs(records[-1]["energy"].mean - records[0]["energy"].mean) < 0.02 * abs(records[0]["energy"].mean)
    assert driver.n_traces == 1
