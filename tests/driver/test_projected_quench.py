# SPDX-License-Identifier: Apache-2.0
"""Projected evolution of the 4 x 4 Ising model after quenches of its field, against exact evolution."""

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
GROUPS = {
    "translations": LATTICE.translations(),
    "space group": np.asarray([g.sites for g in LATTICE.space_group()]),
}
CRITICAL = 3.044
"""Field, in J."""


@dataclass(frozen=True)
class Orbits(Sampler):
    """One state of each set that a group maps to each other, as often as there are: sums for invariant states."""

    group: str
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
        for g in GROUPS[self.group]:
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


def ground_state(h, group, alpha, **spread):
    """A complex RBM that has learned the ground state from its amplitudes, and the two states as vectors."""
    sampler = Orbits(group)
    sigma, log_count = sampler.table
    psi = exact.ground_state(hamiltonian.ising(SPACE, LATTICE, h=h)).states[:, 0]
    phi = np.abs(psi)[np.asarray(SPACE.states_to_index(sigma))]
    widths = {name: jax.nn.initializers.normal(width) for name, width in spread.items()}
    shared = {"symmetries": GROUPS[group], "use_visible_bias": False, **widths}
    state = VariationalState(ansatz.RBM(alpha=alpha, param_dtype=complex, **shared), sampler, seed=0)
    data = Data(sigma, np.log(phi), np.exp(log_count) * phi**2, kind="exact")
    solver = SR(1e-4, "parameters")
    state = Projection(data, state, optimizer=optax.sgd(0.3), preconditioner=solver).run(60, progress=False)
    assert infidelity(state.to_array(), psi) < 1e-4
    return state


@pytest.mark.slow
def test_a_quench_of_the_paramagnet():
    """From the field 20 J to twice the critical one, up to t = 1 / J: within 1e-2 of exact evolution."""
    start = ground_state(20.0, "space group", 24, kernel_init=0.1, bias_init=0.5)
    after = hamiltonian.ising(SPACE, LATTICE, h=2 * CRITICAL)
    records = []
    options = {"infidelity": 1e-7, "max_iterations": 5, "preconditioner": SR(1e-3, "parameters")}
    driver = ProjectedEvolution(after, start, dt=0.025, order=3, whole=True, **options)
    final = driver.run(np.linspace(0.0, 1.0, 5), hooks=[Keep(records)], progress=False).to_array()
    wanted = exact.evolve(after, start.to_array(), [0.0, 1.0])[-1]
    assert infidelity(start.to_array(), wanted) > 0.1
    assert infidelity(final, wanted) < 1e-2
    assert abs(records[-1]["energy"].mean - records[0]["energy"].mean) < 0.01 * abs(records[0]["energy"].mean)
    assert driver.n_traces == 1


@pytest.mark.slow
def test_a_quench_to_the_critical_field():
    """From 6 J to 3 J: within 1e-2 of exact evolution up to t = 0.6 / J, far from where it began.

    Not much further: at t = 0.8 it has lost amplitudes of rare configurations, and the variance of the energy, which
    should be constant, is ten times what it was.
    """
    start = ground_state(6.0, "translations", 8, kernel_init=0.1)
    after = hamiltonian.ising(SPACE, LATTICE, h=3.0)
    times, records = np.linspace(0.0, 0.6, 4), []
    options = {"infidelity": 2e-6, "max_iterations": 8, "preconditioner": SR(1e-3, "parameters")}
    driver = ProjectedEvolution(after, start, dt=0.025, order=2, **options)
    final = driver.run(times, hooks=[Keep(records)], progress=False).to_array()
    wanted = exact.evolve(after, start.to_array(), [0.0, 0.6])[-1]
    assert infidelity(start.to_array(), wanted) > 0.1
    assert infidelity(final, wanted) < 1e-2
    assert infidelity(final, wanted) < records[-1]["error"] ** 2
    assert abs(records[-1]["energy"].mean - records[0]["energy"].mean) < 0.02 * abs(records[0]["energy"].mean)
    assert driver.n_traces == 1
