# SPDX-License-Identifier: Apache-2.0
"""Steady states and relaxation of open systems: closed forms, exact steady states, files, and what is refused."""

from __future__ import annotations

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from manybody import VariationalState, exact, hamiltonian, operator
from manybody.ansatz import RBM, DensityRBM, PurifiedDensity
from manybody.driver import TDVP, SteadyState
from manybody.driver.recorder import MadeBefore
from manybody.hilbert import Doubled, Spin
from manybody.io import read_log
from manybody.lattice import chain
from manybody.ode import Integrator
from manybody.operator import Liouvillian, spin
from manybody.sampler import Exact, LocalFlip, Metropolis
from manybody.sr import SR
from tests.driver.test_tdvp import Keep, Table

ONE = Spin(1)
BLOCH = {name: getattr(spin, f"sigma{name}")(ONE, 0) for name in "xyz"}
GAMMA, OMEGA, DELTA = 0.8, 1.3, 0.7


def driven_spin(delta=DELTA):
    """A spin with Rabi frequency Omega, detuning Delta and decay rate gamma."""
    return Liouvillian(OMEGA / 2 * BLOCH["x"] + delta / 2 * BLOCH["z"], [math.sqrt(GAMMA) * spin.sm(ONE, 0)])


def ring(n, v=2.0, g=1.0, gamma=1.0):
    """The driven-dissipative Ising ring: H = V/4 sum Z Z + g/2 sum X, every spin decays."""
    space = Spin(n)
    terms = [v / 4 * spin.sigmaz(space, i) @ spin.sigmaz(space, (i + 1) % n) for i in range(n)]
    terms += [g / 2 * spin.sigmax(space, i) for i in range(n)]
    jumps = [math.sqrt(gamma) * spin.sm(space, i) for i in range(n)]
    return Liouvillian(functools.reduce(lambda a, b: a + b, terms), jumps)


def falling(first, last, n):
    return lambda step: first * (last / first) ** jnp.minimum(step / n, 1.0)


# --- one spin --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_optical_bloch_equations():
    """The steady state in closed form, to 1e-6."""
    state = VariationalState(DensityRBM(), Exact(Doubled(ONE)), seed=1)
    driver = SteadyState(
        driven_spin(),
        state,
        optimizer=optax.sgd(0.3),
        preconditioner=SR(falling(1e-2, 1e-6, 60)),
        observables=BLOCH | {"XX": operator.lindblad.left(BLOCH["x"])},
        observe_every=150,
        diagonal=Exact(ONE),
    )
    records = []
    driver.run(150, hooks=[Keep(records)], progress=False)
    saturation = 2 * OMEGA**2 / (GAMMA**2 + 4 * DELTA**2)
    z = -1 / (1 + saturation)
    y = GAMMA * (1 + z) / OMEGA
    wanted = {"x": -2 * DELTA / GAMMA * y, "y": y, "z": z}
    for name, value in wanted.items():
        assert records[-1]["observables"][name].mean == pytest.approx(value, abs=1e-6)
    assert records[-1]["cost"].mean < 1e-10
    assert records[0]["cost"].mean > 1e-2
    assert [i for i, record in enumerate(records) if "observables" in record] == [149]
    pairs = float(records[-1]["observables"]["XX"].mean)  # Tr(rho X rho) / Tr(rho^2) = x / (1 + |bloch|^2) * 2
    assert pairs == pytest.approx(2 * wanted["x"] / (1 + sum(v**2 for v in wanted.values())), abs=1e-6)


def test_relaxation_of_a_spin():
    """Torrey's solution without detuning, to 1e-5: the Bloch vector turns about the axis X with kappa, and decays."""
    state = VariationalState(DensityRBM(), Exact(Doubled(ONE)), seed=2)
    times = np.array([0.0, 0.4, 1.5])
    driver = TDVP(
        driven_spin(delta=0.0),
        state,
        integrator=Integrator("rk45", dt=0.02, tolerance=1e-7),
        kind="dissipative",
        preconditioner=SR(0.0, "parameters", "pinv", cutoff=1e-10),
        observables=BLOCH,
        diagonal=Exact(ONE),
    )
    records = []
    driver.run(times, hooks=[Keep(records)], progress=False)
    found = np.array([[float(record["observables"][name].mean) for name in "xyz"] for record in records])
    steady = np.array([2 * OMEGA * GAMMA, -(GAMMA**2)]) / (GAMMA**2 + 2 * OMEGA**2)
    kappa = math.sqrt(OMEGA**2 - GAMMA**2 / 16)
    turn = np.array([[GAMMA / 4, -OMEGA], [OMEGA, -GAMMA / 4]])
    for t, (x, *yz) in zip(times, found, strict=True):
        matrix = math.exp(-0.75 * GAMMA * t) * (math.cos(kappa * t) * np.eye(2) + math.sin(kappa * t) / kappa * turn)
        np.testing.assert_allclose(yz, steady + matrix @ (found[0, 1:] - steady), atol=1e-5)
        assert x == pytest.approx(found[0, 0] * math.exp(-GAMMA * t / 2), abs=1e-5)
    assert np.abs(found[-1] - found[0]).max() > 0.2


# --- the driver ------------------------------------------------------------------------------------------------------


def test_the_cost_is_that_of_the_product():
    """<rho|L^dag L|rho> / <rho|rho> with matrices, in a state that can be anything."""
    generator = ring(2)
    table = Table(generator.space)
    driver = SteadyState(generator, table.state(), optimizer=optax.sgd(0.0))
    rho = np.exp(table.start)
    image = generator.to_dense() @ rho
    record = driver.advance()
    assert record["cost"].mean == pytest.approx(np.vdot(image, image).real / np.vdot(rho, rho).real, rel=1e-12)
    assert record["cost"].error == 0


def measured_by_chains():
    state = VariationalState(PurifiedDensity(nn.Dense(4, param_dtype=float), 2), Exact(Doubled(Spin(2))))
    return SteadyState(
        ring(2),
        state,
        optimizer=optax.sgd(optax.piecewise_constant_schedule(0.02, {2: 0.0})),
        observables={"x": spin.sigmax(Spin(2), 0)},
        observe_every=2,
        diagonal=Metropolis(Spin(2), LocalFlip(), 8),
        n_diagonal=32,
    )


def test_taken_up_bit_for_bit(tmp_path):
    """With what is measured from fresh chains, other ones each time: after two steps rho stays what it is."""
    whole = measured_by_chains()
    whole.run(4, out=tmp_path / "whole", progress=False)
    assert whole.n_traces == 1
    measured_by_chains().run(3, out=tmp_path / "parts", progress=False)
    again = measured_by_chains()
    with pytest.warns(MadeBefore):
        again.run(3, out=tmp_path / "parts", progress=False)
    again.run(1, out=tmp_path / "parts", progress=False)
    for a, b in zip(jax.tree.leaves(whole.progress.params), jax.tree.leaves(again.progress.params), strict=True):
        np.testing.assert_array_equal(a, b)
    one, other = (list(read_log(tmp_path / name / "log.jsonl")) for name in ("whole", "parts"))
    assert [line["cost"] for line in one] == [line["cost"] for line in other]
    found = [[line["observables"]["x"] for line in log if "observables" in line] for log in (one, other)]
    assert found[0] == found[1]
    assert len(found[0]) == 2
    assert found[0][0]["mean"] != found[0][1]["mean"]
    assert found[0][0]["error"] > 0


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda s: (hamiltonian.ising(Spin(2), chain(2)), s, {}), ValueError, "`liouvillian` must act on"),
        (lambda s: (ring(2).adjoint(), s, {}), ValueError, "`liouvillian` must preserve the trace"),
        (lambda s: (ring(3), s, {}), ValueError, "`liouvillian` must act on"),
        (lambda s: ("ring", s, {}), TypeError, "`liouvillian` must be a DiscreteOperator"),
        (lambda s: (ring(2), "state", {}), TypeError, "`state`"),
        (lambda s: (ring(2), s.diagonal(Exact(Spin(2))), {}), ValueError, "be sampled by"),
        (lambda s: (ring(2), s, {"observables": {"x": spin.sx(Spin(2), 0)}}), ValueError, "(?s)x.*Give `diagonal`"),
        (lambda s: (ring(2), s, {"observables": {"x": spin.sx(Spin(3), 0)}}), ValueError, "x.*must act on"),
        (lambda s: (ring(2), s, {"diagonal": Exact(Spin(3))}), ValueError, "one copy of"),
        (lambda s: (ring(2), s, {"diagonal": Spin(2)}), TypeError, "`inner` must be a Sampler"),
        (lambda s: (ring(2), s, {"n_diagonal": 8}), ValueError, "`n_diagonal` must be None"),
        (lambda s: (ring(2), s, {"observe_every": 0}), ValueError, "observe_every"),
    ],
)
def test_refused(make, error, words):
    generator, state, options = make(VariationalState(DensityRBM(), Exact(Doubled(Spin(2)))))
    with pytest.raises(error, match=words):
        SteadyState(generator, state, optimizer=optax.sgd(0.1), **options)


def test_a_pure_state_has_no_diagonal():
    state = VariationalState(RBM(param_dtype=complex), Exact(Spin(2)))
    h = hamiltonian.ising(Spin(2), chain(2))
    with pytest.raises(ValueError, match="sample one copy of"):
        TDVP(h, state, integrator=Integrator("heun", 0.1), diagonal=Exact(Spin(2)))


# --- the driven-dissipative Ising ring -------------------------------------------------------------------------------

STEADY_6 = {"x": 0.4465690979694049, "y": 0.18896526449273773, "z": -0.811034735507262}
"""Of `exact.steady_state(ring(6))`, which takes seconds; `test_ring_of_six_spins` finds them again."""


def six_spins(sampler, n_samples, diagonal, n_diagonal, n_steps):
    """The shared weights of a translation-invariant density matrix, after `n_steps` with a falling shift."""
    state = VariationalState(DensityRBM(3, 3, symmetries=shifts(6)), sampler, n_samples, seed=1)
    driver = SteadyState(
        ring(6),
        state,
        optimizer=optax.sgd(0.03),
        preconditioner=SR(falling(1e-2, 1e-4, 0.6 * n_steps), momentum=0.9),
        observables={name: getattr(spin, f"sigma{name}")(Spin(6), 0) for name in "xyz"},
        observe_every=n_steps,
        diagonal=diagonal,
        n_diagonal=n_diagonal,
    )
    records = []
    driver.run(n_steps, hooks=[Keep(records)], progress=False)
    return records


def shifts(n):
    return (np.arange(n)[:, None] + np.arange(n)) % n


@pytest.mark.slow
def test_ring_of_six_spins():
    """One-site observables to 1e-2 of the exact steady state, by sums over all pairs."""
    rho = exact.steady_state(ring(6))
    for name, value in STEADY_6.items():
        x = getattr(spin, f"sigma{name}")(Spin(6), 0).to_dense()
        assert np.trace(rho @ x).real == pytest.approx(value, abs=1e-10)
    records = six_spins(Exact(Doubled(Spin(6))), None, Exact(Spin(6)), None, 200)
    for name, value in STEADY_6.items():
        assert records[-1]["observables"][name].mean == pytest.approx(value, abs=1e-2)
    assert records[-1]["cost"].mean < 1e-3


@pytest.mark.slow
def test_ring_of_six_spins_by_monte_carlo():
    """The same from chains: within 1e-2 and three of their errors, of which none is larger than 5e-3."""
    pairs = Metropolis(Doubled(Spin(6)), LocalFlip(), 64)
    records = six_spins(pairs, 1024, Metropolis(Spin(6), LocalFlip(), 64), 64 * 1000, 400)
    for name, value in STEADY_6.items():
        found = records[-1]["observables"][name]
        assert found.error < 5e-3
        assert abs(found.mean - value) < 1e-2 + 3 * found.error
    cost = records[-1]["cost"]
    assert abs(cost.mean) < 1e-3 + 3 * cost.error
