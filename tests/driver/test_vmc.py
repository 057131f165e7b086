# SPDX-License-Identifier: Apache-2.0
"""VMC: convergence, what it refuses, hooks, and how often it compiles."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from manybody import VariationalState
from manybody.ansatz import RBM, Symmetrised
from manybody.driver import VMC, Hook, NotFinite
from manybody.exact import ground_state
from manybody.hamiltonian import heisenberg, ising
from manybody.hilbert import Spin
from manybody.lattice import chain
from manybody.operator import spin
from manybody.sampler import Exact, Exchange, LocalFlip, Metropolis
from manybody.sr import SR
from manybody.symmetry import Sector

SPACE = Spin(8)
LATTICE = chain(8)
ISING = ising(SPACE, LATTICE)


def _exact_state(seed: int = 0) -> VariationalState:
    return VariationalState(RBM(alpha=2), Exact(SPACE), seed=seed)


def _chains(n_samples: int = 64, **options) -> VariationalState:
    return VariationalState(RBM(alpha=1), Metropolis(SPACE, LocalFlip(), 32), n_samples, **options)


@pytest.mark.parametrize(
    ("optimizer", "preconditioner", "n_steps", "accuracy"),
    [
        (optax.sgd(0.1), SR(1e-4), 150, 1e-6),
        pytest.param(optax.sgd(0.1), SR(1e-4, momentum=0.5), 150, 1e-6, marks=pytest.mark.slow),
        pytest.param(optax.adam(0.02), None, 400, 1e-3, marks=pytest.mark.slow),
        pytest.param(optax.sgd(0.05), None, 400, 1e-2, marks=pytest.mark.slow),
    ],
    ids=["sr", "spring", "adam", "gradient"],
)
def test_reaches_the_ground_state(optimizer, preconditioner, n_steps, accuracy):
    exact = ground_state(ISING).energies[0]
    driver = VMC(ISING, _exact_state(), optimizer=optimizer, preconditioner=preconditioner)
    driver.run(n_steps, progress=False)
    energy = float(driver.state.expect(ISING).mean)
    assert exact <= energy + 1e-12
    assert (energy - exact) / abs(exact) < accuracy


def test_schedules_are_followed():
    schedule = optax.piecewise_constant_schedule(0.1, {1: 0.0})  # no step after the first
    driver = VMC(ISING, _exact_state(), optimizer=optax.sgd(schedule))
    first = driver.advance()
    after_one = driver.progress.params
    second = driver.advance()
    assert first["update_norm"] > 1e-3
    assert second["update_norm"] == 0
    jax.tree.map(np.testing.assert_array_equal, driver.progress.params, after_one)

    shifts = VMC(
        ISING, _exact_state(), optimizer=optax.sgd(0.1), preconditioner=SR(lambda step: 0.5 / (1 + step.astype(float)))
    )
    assert [float(shifts.advance()["diag_shift"]) for _ in range(2)] == [0.5, 0.25]


def test_the_step_is_traced_once():
    driver = VMC(ISING, _chains(), optimizer=optax.sgd(0.05))
    driver.run(5, progress=False)
    assert (driver.n_traces, driver.n_regrowths) == (1, 0)


COMPILED: list[str] = []
"""Names of all programs that this process has given to the compiler since this module was loaded."""


def _listen(event: str, duration: float, **about: str) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        COMPILED.append(about["fun_name"])


jax.monitoring.register_event_duration_secs_listener(_listen)


def test_what_is_compiled():
    """For the first step: how it begins, one step, and nothing that depends on it; then nothing any more."""
    jax.clear_caches()
    driver = VMC(ISING, _chains(), optimizer=optax.sgd(0.05))
    before = len(COMPILED)
    driver.advance()
    assert COMPILED[before:] == ["jit(step)"]
    for _ in range(5):
        driver.advance()
    assert len(COMPILED) == before + 1
    driver.run(12, progress=False, steps_per_call=4)
    several = COMPILED[before + 1 :]
    assert several.count("jit(step)") == 1  # those of four steps; the rest is for the samples of the state returned
    driver.run(6, progress=False, steps_per_call=4)
    assert COMPILED[before + 1 :] == several


def test_connections_are_counted_first_where_configurations_lack_some():
    jax.clear_caches()
    driver = VMC(heisenberg(ISING.space, chain(8)), _chains(), optimizer=optax.sgd(0.05))
    before = len(COMPILED)
    driver.advance()
    assert COMPILED[before:] == ["jit(count_from_examples)", "jit(step)"]


def test_traced_once_more_when_the_buffer_grows():
    # Chains that start with a single domain have 2 exchangeable bonds; in equilibrium they have many more.
    space = Spin(12, total_sz=0)
    hamiltonian = heisenberg(space, chain(12), marshall=True)
    domain = np.repeat([1, -1], 6)
    sampler = Metropolis(space, Exchange(chain(12)), 32, initial=domain)
    driver = VMC(hamiltonian, VariationalState(RBM(), sampler), optimizer=optax.sgd(0.01))
    record = driver.advance()
    assert (driver.n_traces, driver.n_regrowths) == (2, 1)
    assert record["n_connections"] > 32 * 2 * 1.25
    # The energy is that of a driver whose buffer was large enough at once.
    roomy = VMC(hamiltonian, VariationalState(RBM(), sampler), optimizer=optax.sgd(0.01))
    roomy._use_buffer(32 * 12)
    assert roomy.advance()["energy"].mean == pytest.approx(record["energy"].mean, rel=1e-14)
    assert roomy.n_traces == 1


@pytest.mark.parametrize("room", [0, 1])
def test_overflow_is_noticed_at_the_edge(room):
    # Every configuration of the transverse-field chain has 8 connections: 64 samples need 512 rows.
    driver = VMC(ISING, _chains(), optimizer=optax.sgd(0.05))
    _, record = jax.jit(driver._make_step(512 - 1 + room))(driver.progress, driver._operator)
    assert (int(record["n_connections"]) > 512 - 1 + room) == (room == 0)


@pytest.mark.parametrize("room", [0, 1])
def test_the_buffer_grows_at_the_edge(room):
    """One connection more than fit is too many, as many as fit are not."""

    def driver(n_buffer):
        made = VMC(heisenberg(ISING.space, chain(8)), _chains(), optimizer=optax.sgd(0.05))
        made._use_buffer(n_buffer)
        return made

    right = driver(64 * 8).advance()
    tight = driver(int(right["n_connections"]) - 1 + room)
    assert tight.advance()["energy"].mean == pytest.approx(right["energy"].mean, rel=1e-13)
    assert tight.n_regrowths == 1 - room


def test_not_finite_stops_and_keeps_the_state():
    driver = VMC(ISING, _chains(), optimizer=optax.sgd(1e300))
    before = driver.progress
    with pytest.raises(NotFinite, match="not finite after step"):
        driver.run(5, progress=False)
    finite = jax.tree.map(lambda x: bool(jnp.all(jnp.isfinite(x))), driver.progress.params)
    assert all(jax.tree.leaves(finite))
    assert driver.progress.step >= before.step


class _Witness(Hook):
    def __init__(self, stop_at: int | None = None) -> None:
        self.seen: list = []
        self.stop_at = stop_at

    def on_start(self, driver, target):
        self.seen.append(("start", target))

    def on_step(self, driver, record):
        self.seen.append(("step", record["step"]))
        return record["step"] == self.stop_at

    def on_end(self, driver, error):
        self.seen.append(("end", driver.step))


def test_hooks_see_every_stage_and_stop_the_run():
    witness = _Witness(stop_at=2)
    driver = VMC(ISING, _chains(), optimizer=optax.sgd(0.05))
    driver.run(5, hooks=[witness], progress=False)
    assert witness.seen == [("start", 5), ("step", 1), ("step", 2), ("end", 2)]
    driver.run(1, hooks=[witness], progress=False)
    assert witness.seen[4:] == [("start", 3), ("step", 3), ("end", 3)]


def test_the_state_has_samples_of_its_own_parameters():
    driver = VMC(ISING, _chains(), optimizer=optax.sgd(0.05))
    driver.run(2, progress=False)
    state = driver.state
    assert state.samples is not None
    np.testing.assert_allclose(state.samples.log_psi, state.log_psi(state.samples.sigma), atol=1e-12)


def test_acceptance_and_drift_are_reported():
    record = VMC(ISING, _chains(), optimizer=optax.sgd(0.05)).advance()
    assert 0 < record["acceptance"]["LocalFlip"] <= 1
    assert 0 <= record["cache_drift"] < 1e-10


def test_a_hamiltonian_without_the_symmetries_of_the_ansatz():
    group = LATTICE.space_group()
    for sector in (Sector(group, 1), group):
        state = VariationalState(Symmetrised(RBM(), sector, SPACE), Exact(SPACE))
        VMC(ISING, state, optimizer=optax.sgd(0.1))
        one_bond = ISING + spin.sz(SPACE, 0) @ spin.sz(SPACE, 1)
        with pytest.raises(ValueError, match="`hamiltonian` must commute with the symmetries of the ansatz"):
            VMC(one_bond, state, optimizer=optax.sgd(0.1))


def test_what_is_refused():
    state = _chains()
    not_hermitian = ISING + 1j * ising(SPACE, LATTICE, J=0.5)
    with pytest.raises(ValueError, match="`hamiltonian` must be Hermitian"):
        VMC(not_hermitian, state, optimizer=optax.sgd(0.1))
    with pytest.raises(ValueError, match="`hamiltonian` must act on Spin"):
        VMC(ising(Spin(10), chain(10)), state, optimizer=optax.sgd(0.1))
    with pytest.raises(TypeError, match="`hamiltonian` must be a Operator"):
        VMC("H", state, optimizer=optax.sgd(0.1))
    for wrong in (0.1, optax.sgd, "sgd", None):
        with pytest.raises(TypeError, match=r"`optimizer` must be an optax optimizer, got .* optax.sgd\(0.1\)"):
            VMC(ISING, state, optimizer=wrong)
    for wrong in ("sr", SR, optax.sgd(0.1)):
        with pytest.raises(
            TypeError, match=r"`preconditioner` must be a Preconditioner or None, got .* manybody.sr.SR"
        ):
            VMC(ISING, state, optimizer=optax.sgd(0.1), preconditioner=wrong)
    with pytest.raises(ValueError, match=r"`n_steps` must satisfy 0 <= n_steps"):
        VMC(ISING, state, optimizer=optax.sgd(0.1)).run(-1)
    with pytest.raises(ValueError, match="have samples"):
        state.expect(ISING)
    with pytest.raises(ValueError, match="`operator` must act on"):
        state.sample().expect(spin.sz(Spin(10), 0))


def test_describe_names_the_choices():
    samples = VMC(ISING, _chains(64), optimizer=optax.sgd(0.1))  # 64 rows, 80 parameters
    assert "space of samples" in samples.describe()
    parameters = VMC(ISING, _chains(96), optimizer=optax.sgd(0.1))
    assert "space of parameters" in parameters.describe()
