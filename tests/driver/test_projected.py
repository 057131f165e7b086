# SPDX-License-Identifier: Apache-2.0
"""Projected evolution: orders of the expansions, errors that are estimated, adaptive steps, its files."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody import VariationalState, ansatz, exact, hamiltonian, operator
from manybody.driver import ProjectedEvolution
from manybody.driver.expansion import ORDERS, factors, largest_step, truncation
from manybody.driver.recorder import MadeBefore
from manybody.hilbert import Spin
from manybody.io import read_log
from manybody.lattice import chain
from manybody.ode import StepTooSmall
from manybody.sampler import Exact, LocalFlip, Metropolis
from manybody.sr import SR
from tests.driver.test_tdvp import CHAIN, ISING, SPACE, Keep, Table, X, angle

EXACTLY = SR(0.0, "parameters", "pinv", cutoff=1e-10)


def evolved(generator, t, *, table=None, state=None, **options):
    """The final state, the driver and its records."""
    table = table or Table(SPACE)
    options = {"infidelity": 1e-14, "preconditioner": EXACTLY, **options}
    driver = ProjectedEvolution(generator, state or table.state(), **options)
    records = []
    final = driver.run(t, hooks=[Keep(records)], progress=False)
    return final, driver, records


# --- expansions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_products_of_factors_are_the_exponential(order):
    z = np.array([0.1, 0.1j, -0.05 + 0.02j])
    product = np.prod([1 + a * z for a in factors(order)], axis=0)
    series = sum(z**k / math.factorial(k) for k in range(order + 1))
    np.testing.assert_allclose(product, series, rtol=1e-13)


@pytest.mark.parametrize("order", ORDERS)
def test_truncation_for_energies_that_are_normally_distributed(order):
    """By quadrature; and its inverse."""
    x, weight = np.polynomial.hermite_e.hermegauss(60)
    weight = weight / weight.sum()
    z = -1j * 0.3 * x
    terms = z ** (order + 1) / math.factorial(order + 1)
    assert truncation(order, 0.1, 3.0) == pytest.approx(np.sqrt(weight @ np.abs(terms) ** 2))
    assert largest_step(order, truncation(order, 0.1, 3.0), 3.0) == pytest.approx(0.1)
    assert largest_step(order, 1e-3, 0.0) == math.inf


# --- evolution of a state that can be anything -----------------------------------------------------------------------


def slope(generator, kind, order, n):
    """Of the error at t = 0.4, from steps of 0.4 / n and half of that; and the errors with their estimates."""
    table, found = Table(SPACE), []
    psi = exact.evolve(generator, np.exp(table.start), [0.0, 0.4], imaginary=kind == "imaginary", rtol=1e-11)[-1]
    for steps in (n, 2 * n):
        final, driver, records = evolved(generator, 0.4, dt=0.4 / steps, order=order, kind=kind)
        found.append((angle(final.to_array(), psi), records[-1]["error"]))
        assert records[-1]["n_steps"] == steps
        assert records[-1]["n_missed"] == 0
        assert driver.n_traces == 1
    return math.log2(found[0][0] / found[1][0]), found


@pytest.mark.parametrize(
    ("kind", "order"),
    [
        ("real", 2),
        pytest.param("imaginary", 4, marks=pytest.mark.slow),
        *(pytest.param("real", order, marks=pytest.mark.slow) for order in (1, 3, 4)),
        *(pytest.param("imaginary", order, marks=pytest.mark.slow) for order in (1, 2, 3)),
    ],
)
def test_orders(kind, order):
    """Slopes to 0.3; in real time errors are at most what is estimated, and at least a fifth of it."""
    found, errors = slope(ISING, kind, order, 4 if order > 2 else 16)
    assert found == pytest.approx(order, abs=0.3)
    for error, estimated in errors:
        assert error < 1.05 * estimated
        assert kind == "imaginary" or error > 0.2 * estimated


def drive(t):
    return hamiltonian.ising(SPACE, CHAIN, J=0.7, h=0.9 + 0.5 * math.sin(3 * t))


@pytest.mark.slow
@pytest.mark.parametrize("order", [2, 3])
def test_a_drive_is_of_order_two(order):
    """H at the middle of a step."""
    found, _ = slope(drive, "real", order, 8)
    assert found == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize(("generator", "order"), [(ISING, 3), pytest.param(drive, 2, marks=pytest.mark.slow)])
def test_the_whole_polynomial_is_the_product_of_its_factors(generator, order):
    """The same state from one projection in a step, by code that is compiled once."""
    one, _, factors = evolved(generator, 0.2, dt=0.1, order=order)
    other, driver, whole = evolved(generator, 0.2, dt=0.1, order=order, whole=True)
    assert angle(one.to_array(), other.to_array()) < 1e-6
    assert driver.n_traces == 1
    assert whole[-1]["n_steps"] == factors[-1]["n_steps"] == 2
    assert whole[-1]["n_iterations"] < factors[-1]["n_iterations"]


def test_observables_energy_and_times():
    table, times = Table(SPACE), [0.0, 0.1, 0.25]
    _, driver, records = evolved(ISING, times, dt=0.05, order=4, observables={"X": X})
    psi = exact.evolve(ISING, np.exp(table.start), times, rtol=1e-11)
    assert [record["t"] for record in records] == times
    assert [record["n_steps"] for record in records] == [0, 2, 3]
    for record, state in zip(records, psi, strict=True):
        for found, wanted in ((record["energy"], ISING), (record["observables"]["X"], X)):
            assert found.mean == pytest.approx(exact.expectation(wanted, state).real, abs=1e-6)
    assert driver.t == 0.25


# --- adaptive steps --------------------------------------------------------------------------------------------------


def test_steps_are_chosen_for_their_errors():
    """Every step stays within the tolerance and, far from the end, uses most of it."""
    table, tolerance = Table(SPACE), 1e-3
    final, driver, records = evolved(ISING, 0.8, dt=1e-3, order=2, tolerance=tolerance, infidelity=1e-12)
    (record,) = records
    assert record["n_rejected"] == 0
    assert record["error"] <= record["n_steps"] * tolerance
    assert record["error"] > 0.3 * record["n_steps"] * tolerance
    psi = exact.evolve(ISING, np.exp(table.start), [0.0, 0.8], rtol=1e-11)[-1]
    assert angle(final.to_array(), psi) < record["error"]
    assert record["dt"] > 0.02
    assert driver.n_traces == 1


def test_projections_that_fall_short():
    """They halve adaptive steps, to StepTooSmall in the end; steps of one size are made, and counted."""
    state = VariationalState(ansatz.MeanField(param_dtype=complex), Exact(SPACE), seed=1)
    options = {"dt": 0.2, "max_iterations": 3, "infidelity": 1e-6, "preconditioner": SR(1e-6)}
    driver = ProjectedEvolution(ISING, state, tolerance=0.1, min_dt=0.02, **options)
    with pytest.raises(StepTooSmall, match="at time 0") as caught:
        driver.run([0.0, 0.2], progress=False)
    assert caught.value.t == 0.0
    assert (driver.t, driver.step) == (0.0, 1)
    _, _, records = evolved(ISING, 0.2, state=state, **options)
    assert records[0]["n_missed"] == 1
    assert records[0]["infidelity_left"] > 1e-6


# --- samples ---------------------------------------------------------------------------------------------------------


def sampled(**options):
    space = Spin(6)
    sampler = Metropolis(space, LocalFlip(), n_chains=16, sweep_size=6)
    state = VariationalState(ansatz.RBM(alpha=1, param_dtype=complex), sampler, 128)
    h = hamiltonian.ising(space, chain(6), h=0.5)
    options = {"dt": 0.02, "order": 2, "infidelity": 1e-3, "max_iterations": 3, "preconditioner": SR(1e-2), **options}
    return ProjectedEvolution(h, state, **options)


@pytest.mark.slow
def test_a_run_is_taken_up_bit_for_bit(tmp_path):
    """After every time of the grid; the log as well."""
    grid = [0.0, 0.03, 0.05]
    whole = sampled()
    whole.run(grid, out=tmp_path / "whole", progress=False)
    parted = sampled()
    parted.run(grid[:2], out=tmp_path / "parted", progress=False)
    second = sampled()
    with pytest.warns(MadeBefore):
        second.run(grid[:2], out=tmp_path / "parted", progress=False)
    assert second.n_traces == 0
    second.run(grid[2:], out=tmp_path / "parted", progress=False)
    for a, b in zip(*(jax.tree.leaves(d.gathered_progress()) for d in (whole, second)), strict=True):
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)
    logs = [list(read_log(tmp_path / name / "log.jsonl")) for name in ("whole", "parted")]
    assert logs[0] == logs[1]
    assert whole.n_traces == 1


@pytest.mark.slow
def test_samples_follow_the_equation():
    """A chain of 6 spins from 2048 samples: angle to exact evolution below 0.1 at t = 0.3."""
    space = Spin(6)
    sampler = Metropolis(space, LocalFlip(), n_chains=64, sweep_size=6)
    state = VariationalState(ansatz.RBM(alpha=2, param_dtype=complex), sampler, 2048, seed=1)
    h = hamiltonian.ising(space, chain(6), h=0.5)
    driver = ProjectedEvolution(h, state, dt=0.05, infidelity=1e-4, max_iterations=40, preconditioner=SR(1e-3))
    final = driver.run(0.3, progress=False)
    psi = exact.evolve(h, state.to_array(), [0.0, 0.3])[-1]
    assert angle(final.to_array(), psi) < 0.1
    assert angle(state.to_array(), psi) > 0.4


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"order": 5}, ValueError, "`order` must satisfy 1 <= order <= 4, got 5"),
        ({"order": 0}, ValueError, "`order`"),
        ({"kind": "dissipative"}, ValueError, "`kind` must be one of"),
        ({"dt": 0.0}, ValueError, "`dt`"),
        ({"tolerance": 1e-3, "infidelity": 1e-4}, ValueError, r"`tolerance` must be above 2 \* sqrt\(infidelity\)"),
        ({"hamiltonian": ISING + 1j * X}, ValueError, "Hermitian"),
        ({"hamiltonian": hamiltonian.ising(Spin(4), chain(4))}, ValueError, "act on"),
        ({"state": VariationalState(ansatz.RBM(), Exact(SPACE))}, TypeError, "complex log psi for real times"),
        (
            {"state": VariationalState(ansatz.RBM(), Exact(SPACE)), "kind": "imaginary"},
            TypeError,
            "complex log psi for order 2",
        ),
        ({"observables": {"other": operator.spin.sx(Spin(4), 0)}}, ValueError, "other"),
    ],
)
def test_refused(options, error, words):
    options = {"hamiltonian": ISING, "state": Table(SPACE).state(), "dt": 0.1, **options}
    with pytest.raises(error, match=words):
        ProjectedEvolution(options.pop("hamiltonian"), options.pop("state"), **options)


@pytest.mark.slow
def test_real_states_evolve_in_imaginary_time():
    """At order 1: the energy falls."""
    state = VariationalState(ansatz.RBM(), Exact(SPACE))
    driver = ProjectedEvolution(ISING, state, dt=0.05, order=1, kind="imaginary", infidelity=1e-6)
    start = state.sample().expect(ISING).mean
    final = driver.run(0.5, progress=False)
    assert jnp.isrealobj(final.log_psi(SPACE.all_states()))
    wanted = exact.evolve(ISING, state.to_array(), [0.0, 0.5], imaginary=True)[-1]
    assert final.expect(ISING).mean == pytest.approx(exact.expectation(ISING, wanted).real, abs=0.05)
    assert final.expect(ISING).mean < start - 0.5


def test_times_run_forward():
    driver = ProjectedEvolution(ISING, Table(SPACE).state(), dt=0.1)
    with pytest.raises(ValueError, match=r"`times` must ascend.*backwards with -H"):
        driver.run([0.2, 0.1], progress=False)
