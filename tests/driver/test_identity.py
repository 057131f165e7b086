# SPDX-License-Identifier: Apache-2.0
"""What tells a run from one that began elsewhere."""

from __future__ import annotations

import json

import jax
import pytest

from manybody import VariationalState
from manybody.ansatz import RBM, ARDense
from manybody.driver.identity import N_SUMS, began_elsewhere, beginning
from manybody.hilbert import Spin
from manybody.parallel.launch import mesh_comm
from manybody.sampler import Direct, Exact, LocalFlip, Metropolis

SPACE = Spin(6)
KINDS = {
    "chains": (RBM(), Metropolis(SPACE, LocalFlip(), 16), 32),
    "draws": (ARDense(SPACE, features=(4,)), Direct(SPACE), 32),
    "all": (RBM(param_dtype=complex), Exact(SPACE), None),
    "all, real and few": (RBM(alpha=1, use_visible_bias=False), Exact(SPACE), None),
}
every = pytest.mark.parametrize("kind", KINDS)


def made(kind: str, **options) -> VariationalState:
    ansatz, sampler, n_samples = KINDS[kind]
    return VariationalState(ansatz, sampler, n_samples, **options)


def read(state: VariationalState) -> dict:
    """As it comes back from a file."""
    return json.loads(json.dumps(beginning(state)))


@every
def test_seeds_differ(kind):
    before = read(made(kind, seed=1))
    assert not began_elsewhere(before, beginning(made(kind, seed=1)))
    assert all(began_elsewhere(before, beginning(made(kind, seed=seed))) for seed in (0, 2, 3))


@every
def test_it_is_the_same_on_any_number_of_workers(kind):
    before = read(made(kind, seed=1))
    for n in (2, 4):
        assert not began_elsewhere(before, beginning(made(kind, seed=1, comm=mesh_comm(jax.devices()[:n]))))


@every
def test_rounding_of_the_parameters_is_forgiven(kind):
    state = made(kind, seed=1)
    nearly = state.replace(params=jax.tree.map(lambda x: x * (1 + 1e-7), state.params))
    assert not began_elsewhere(read(state), beginning(nearly))


def test_other_parameters_of_a_sampler_without_keys_differ():
    state = made("all", seed=1)
    assert len(beginning(state)["sums"]) == N_SUMS
    other = state.replace(params=jax.tree.map(lambda x: x * 1.01, state.params))
    assert began_elsewhere(read(state), beginning(other))


def test_chains_that_have_moved_on_differ():
    state = made("chains", seed=1)
    assert began_elsewhere(read(state), beginning(state.sample()))
