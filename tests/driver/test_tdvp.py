# SPDX-License-Identifier: Apache-2.0
"""Time evolution: exact for states that can be anything, right velocities for those that cannot, and its files."""

from __future__ import annotations

import contextlib
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody import VariationalState, ansatz, exact, hamiltonian, operator
from manybody.driver import TDVP, Hook, NotFinite
from manybody.driver.recorder import MadeBefore
from manybody.hilbert import Doubled, Spin
from manybody.io import read_log
from manybody.lattice import chain
from manybody.ode import Integrator, StepTooSmall
from manybody.operator.lindblad import left
from manybody.parallel import mesh_comm
from manybody.sampler import Direct, Exact, LocalFlip, Metropolis
from manybody.sr import SR
from tests.cases import some_slow
from tests.estimator.ansatzes import pair_apply, pair_init, spread

SPACE = Spin(3)
CHAIN = chain(3, periodic=False)
ISING = hamiltonian.ising(SPACE, CHAIN, J=0.7, h=0.9)
X = sum((operator.spin.sigmax(SPACE, i) for i in range(1, 3)), operator.spin.sigmax(SPACE, 0))
EXACTLY = SR(0.0, "parameters", "pinv", cutoff=1e-10)


class Table:
    """The wave function that can be anything: one complex number for the logarithm of each amplitude."""

    def __init__(self, space, seed=0):
        rng = np.random.default_rng(seed)
        self.space = space
        self.start = 0.4 * rng.normal(size=space.n_states) + 1j * rng.uniform(0, 6, space.n_states)

    def state(self, sampler=None, n_samples=None, comm=None):
        pair = (self.init, self.apply)
        return VariationalState(pair, sampler or Exact(self.space), n_samples, comm=comm)

    def init(self, key, sigma):
        return {"log_psi": jnp.asarray(self.start)}

    def apply(self, params, sigma):
        return params["log_psi"][self.space.states_to_index(sigma)]


def angle(a, b):
    """Between two states, small ones too."""
    a, b = (x / np.linalg.norm(x) for x in (a, b))
    return np.linalg.norm(a - np.vdot(b, a) * b)


# --- exact evolution -------------------------------------------------------------------------------------------------


def drive(t):
    return hamiltonian.ising(SPACE, CHAIN, J=0.7, h=0.9 + 0.5 * math.sin(3 * t))


@pytest.mark.parametrize(
    ("generator", "kind"),
    some_slow(
        {
            "constant-real": (ISING, "real"),
            "constant-imaginary": (ISING, "imaginary"),
            "driven-real": (drive, "real"),
            "driven-imaginary": (drive, "imaginary"),
        },
        ["constant-imaginary", "driven-real"],
    ),
)
def test_a_state_that_can_be_anything_follows_the_equation(kind, generator):
    """Fidelity and observables at all times of the grid to 1e-8, nothing left over."""
    table = Table(SPACE)
    times = [0.0, 0.3, 0.7, 1.0]
    driver = TDVP(
        generator,
        table.state(),
        integrator=Integrator("rk45", dt=0.05, tolerance=1e-10),
        kind=kind,
        preconditioner=EXACTLY,
        observables={"X": X},
    )
    records = []
    driver.run(times, hooks=[Keep(records)], progress=False)
    psi = exact.evolve(generator, np.exp(table.start), times, imaginary=kind == "imaginary", rtol=1e-11)
    assert angle(driver.state.to_array(), psi[-1]) < 1e-8
    for record, state, t in zip(records, psi, times, strict=True):
        assert record["t"] == t
        h = ISING if generator is ISING else drive(t)
        for found, wanted in ((record["energy"], h), (record["observables"]["X"], X)):
            assert found.mean == pytest.approx(exact.expectation(wanted, state).real, abs=1e-8)
        assert record["residual"] < 1e-12
    assert 0 <= records[-1]["residual_integral"] < 1e-12


def test_a_run_may_begin_later():
    """A drive from t = 0.4 on, which is not what it is from t = 0 on."""
    table, times = Table(SPACE), [0.4, 0.6]
    integrator = Integrator("rk45", dt=0.05, tolerance=1e-10)
    driver = TDVP(drive, table.state(), integrator=integrator, preconditioner=EXACTLY, t=0.4)
    assert driver.t == 0.4
    late = driver.run(times, progress=False).to_array()
    assert angle(late, exact.evolve(drive, np.exp(table.start), times, rtol=1e-11)[-1]) < 1e-8
    assert angle(late, exact.evolve(drive, np.exp(table.start), [0.0, 0.2], rtol=1e-11)[-1]) > 1e-3


class Keep(Hook):
    def __init__(self, records):
        self.records = records

    def on_step(self, driver, record):
        self.records.append(record)


def test_a_density_matrix_follows_its_equation():
    space = Doubled(Spin(2))
    h = hamiltonian.ising(Spin(2), chain(2, periodic=False), J=0.5, h=0.8)
    jumps = [0.7 * operator.spin.sm(Spin(2), i) for i in range(2)]
    generator = operator.Liouvillian(h, jumps)
    rng = np.random.default_rng(3)
    root = rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4))
    rho = root @ root.conj().T
    table = Table(space)
    table.start = np.log(rho.ravel())
    integrator = Integrator("rk45", dt=0.02, tolerance=1e-10)
    driver = TDVP(generator, table.state(), integrator=integrator, kind="dissipative", preconditioner=EXACTLY)
    driver.run(1.0, progress=False)
    found = np.exp(np.asarray(driver.state.log_psi(space.all_states()))).reshape(4, 4)
    matrix = generator.to_dense()
    values, vectors = np.linalg.eig(matrix)
    wanted = (vectors @ (np.exp(values) * np.linalg.solve(vectors, rho.ravel()))).reshape(4, 4)
    np.testing.assert_allclose(found / np.trace(found), wanted / np.trace(wanted), atol=1e-8)


@pytest.mark.parametrize(
    ("method", "order"),
    [
        ("heun", 2),
        ("rk45", 5),
        *(pytest.param(*x, marks=pytest.mark.slow) for x in (("euler", 1), ("rk23", 3), ("rk4", 4))),
    ],
)
def test_energy_is_conserved_to_the_order_of_the_integrator(method, order):
    """And the state is right to it; slopes to 0.15."""
    table = Table(SPACE)
    psi = exact.evolve(ISING, np.exp(table.start), [0.0, 0.1])[-1]
    energy = exact.expectation(ISING, psi).real
    errors = []
    for n in (4, 8) if order > 3 else (16, 32):
        driver = TDVP(ISING, table.state(), integrator=Integrator(method, dt=0.1 / n), preconditioner=EXACTLY)
        final = driver.run(0.1, progress=False)
        errors.append((angle(final.to_array(), psi), abs(final.expect(ISING).mean - energy)))
    of_state, of_energy = (math.log2(a / b) for a, b in zip(*errors, strict=True))
    assert of_state == pytest.approx(order, abs=0.15)
    assert of_energy > order - 0.15


# --- velocities ------------------------------------------------------------------------------------------------------


def by_hand(state, generator, factor):
    """Velocities (real parts of a leaf first) and r^2, by finite differences and least squares."""
    space, psi = state.space, state.to_array()
    leaves, structure = jax.tree.flatten(state.params)
    columns = []
    for number, leaf in enumerate(leaves):
        for unit in (1.0, 1j) if jnp.iscomplexobj(leaf) else (1.0,):
            for entry in range(leaf.size):
                step = np.zeros(leaf.size, leaf.dtype)
                step[entry] = 1e-5 * unit
                logs = []
                for sign in (1, -1):
                    moved = [*leaves]
                    moved[number] = leaf + sign * step.reshape(leaf.shape)
                    logs.append(
                        np.asarray(state.replace(params=structure.unflatten(moved)).log_psi(space.all_states()))
                    )
                columns.append((logs[0] - logs[1]) / 2e-5)
    o = np.stack(columns, axis=1).astype(complex)
    weight = np.abs(psi) ** 2
    wanted = -factor * (generator.to_dense() @ psi) / psi
    rows, e = (np.sqrt(weight)[:, None] * (x - weight @ x) for x in (o, wanted[:, None]))
    rows, e = (np.concatenate([x.real, x.imag]) for x in (rows, e))
    velocity = np.linalg.lstsq(rows, e[:, 0], rcond=1e-7)[0]
    return velocity, np.sum((rows @ velocity - e[:, 0]) ** 2) / np.sum(e**2)


def flat(tree):
    return np.concatenate(
        [
            np.concatenate([x.real.ravel(), x.imag.ravel()]) if np.iscomplexobj(x) else x.ravel()
            for x in map(np.asarray, jax.tree.leaves(tree))
        ]
    )


SIX = Spin(6)
ISING_6 = hamiltonian.ising(SIX, chain(6), J=0.7, h=0.9)
NETWORKS = {
    "holomorphic": lambda: ansatz.RBM(alpha=0.5, param_dtype=complex),
    "real": lambda: ansatz.RBM(alpha=0.5, separate_phase=True),
    "neither": lambda: (pair_init, pair_apply),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", ["real", pytest.param("imaginary", marks=pytest.mark.slow)])
def test_velocity_and_residual(name, kind):
    """McLachlan's principle for parameters of all kinds; finite differences, 1e-5 of the largest velocity."""
    state = VariationalState(NETWORKS[name](), Exact(SIX))
    state = state.replace(params=spread(state.params))
    dt = 1e-3
    driver = TDVP(
        ISING_6,
        state,
        integrator=Integrator("euler", dt),
        kind=kind,
        preconditioner=SR(0.0, "parameters", "pinv", cutoff=1e-13),
    )
    records = []
    driver.run([0.0, dt], hooks=[Keep(records)], progress=False)
    velocity = (flat(driver.state.params) - flat(state.params)) / dt
    wanted, residual = by_hand(state, ISING_6, {"real": 1j, "imaginary": 1.0}[kind])
    np.testing.assert_allclose(velocity, wanted, atol=1e-5 * np.abs(wanted).max())
    assert records[0]["residual"] == pytest.approx(residual, abs=1e-6)
    ends = [record["residual"] for record in records]
    assert records[1]["residual_integral"] == pytest.approx(dt * sum(ends) / 2)
    assert 1e-3 < residual < 0.9


# --- samples ---------------------------------------------------------------------------------------------------------


def sampled(n=16, **options):
    space = Spin(8)
    state = VariationalState(
        ansatz.RBM(alpha=0.5, param_dtype=complex), Metropolis(space, LocalFlip(), n_chains=n, sweep_size=5), 4 * n
    )
    options = {"integrator": Integrator("rk23", 0.02, tolerance=0.05), **options}
    h = hamiltonian.ising(space, chain(8), h=0.5)
    return TDVP(h, state, preconditioner=SR(1e-3, solver="pinv", cutoff=1e-6, snr=1.0), **options)


@pytest.mark.slow
def test_cross_validation():
    """Velocities from one half do worse on the other half; with a step that has nothing to fit, as well."""
    records = []
    sampled(cross_validate=True).run([0.02], hooks=[Keep(records)], progress=False)
    assert records[0]["cross_residual"] > 1.05 * records[0]["residual"]
    direct = VariationalState(ansatz.ARDense(SIX, features=(2,), phase=True), Direct(SIX), 64)
    driver = TDVP(ISING_6, direct, integrator=Integrator("euler", 0.01), cross_validate=True)
    driver.run([0.01], hooks=[Keep(records)], progress=False)
    assert records[1]["cross_residual"] > records[1]["residual"]
    with pytest.raises(ValueError, match="`cross_validate` must be False"):
        TDVP(ISING, Table(SPACE).state(), integrator=Integrator("euler", 0.01), cross_validate=True)


def test_halves_need_two_chains_or_draws_of_each_worker():
    two = mesh_comm(jax.devices()[:2])
    network = ansatz.RBM(alpha=0.5, param_dtype=complex)
    for n_chains, n_samples, comm, refused in [(1, 1, None, True), (1, 2, None, False), (2, 2, two, True)]:
        sampler = Metropolis(SIX, LocalFlip(), n_chains=n_chains)
        state = VariationalState(network, sampler, n_samples, comm=comm)
        words = "`cross_validate` must have two chains or draws of each worker, got 1"
        with pytest.raises(ValueError, match=words) if refused else contextlib.nullcontext():
            TDVP(ISING_6, state, integrator=Integrator("heun", 0.01), cross_validate=True)


def test_each_evaluation_has_its_samples_and_one_compilation():
    driver = sampled()
    driver.run([0.1, 0.2], progress=False)
    assert driver.n_evaluations > 6
    assert driver.n_traces == 1
    one = driver.state.samples.sigma
    assert np.any(one != sampled().state.samples.sigma)


class StopAt(Hook):
    def __init__(self, step):
        self.step = step

    def on_step(self, driver, record):
        return record["step"] == self.step


@pytest.mark.slow  # so does tests/distributed
def test_taken_up_bit_for_bit(tmp_path):
    """Two calls with a grid each; interrupted in the first one or the second one."""
    whole, again = sampled(), sampled()
    grids = [[0.05, 0.1], [0.12, 0.2]]
    for grid in grids:
        whole.run(grid, progress=False)
    for interrupted in range(2):
        broken = sampled()
        for number, grid in enumerate(grids[: interrupted + 1]):
            hooks = [StopAt(2 * number + 1)] if number == interrupted else []
            broken.run(grid, out=tmp_path / str(interrupted), hooks=hooks, progress=False)
        again = sampled()
        for number, grid in enumerate(grids):
            with pytest.warns(MadeBefore) if number < interrupted else contextlib.nullcontext():
                again.run(grid, out=tmp_path / str(interrupted), progress=False)
        assert again.t == 0.2
        for a, b in zip(jax.tree.leaves(whole.progress), jax.tree.leaves(again.progress), strict=True):
            if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
                a, b = jax.random.key_data(a), jax.random.key_data(b)
            np.testing.assert_array_equal(a, b)
        log = list(read_log(tmp_path / str(interrupted) / "log.jsonl"))
        assert [line["t"] for line in log] == [*itertools.chain(*grids)]
        assert all(set(line["energy"]) > {"mean", "error"} for line in log)


def test_observables_in_the_log(tmp_path):
    driver = TDVP(
        ISING, Table(SPACE).state(), integrator=Integrator("heun", 0.01), observables={"X": X}, preconditioner=EXACTLY
    )
    driver.run([0.01], out=tmp_path, progress=False)
    (line,) = read_log(tmp_path / "log.jsonl")
    assert line["observables"]["X"]["mean"] == pytest.approx(driver.state.expect(X).mean)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda s: (ISING + 1j * X, s, {}), ValueError, "Hermitian"),
        (lambda s: (hamiltonian.ising(Spin(4), chain(4)), s, {}), ValueError, "act on"),
        (lambda s: (ISING, s, {"kind": "reel"}), ValueError, "real"),
        (lambda s: (ISING, s, {"preconditioner": SR(momentum=0.9)}), TypeError, "momentum"),
        (lambda s: (ISING, VariationalState(ansatz.RBM(), Exact(SPACE)), {}), TypeError, "complex log psi"),
        (lambda s: (ISING, s, {"kind": "dissipative"}), ValueError, "Doubled"),
        (lambda s: (ISING, s, {"observables": {"other": operator.spin.sx(Spin(4), 0)}}), ValueError, "other"),
        (lambda s: (ISING, s, {"observables": [X]}), TypeError, '`observables` must be a Mapping.*{"name": operator}'),
        (lambda s: (ISING, s, {"integrator": "heun"}), TypeError, "integrator"),
    ],
)
def test_refused(make, error, words):
    generator, state, options = make(Table(SPACE).state())
    with pytest.raises(error, match=words):
        TDVP(generator, state, **{"integrator": Integrator("heun", 0.01), **options})


def test_a_generator_that_changes_the_trace():
    space = Doubled(Spin(2))
    good = operator.Liouvillian(operator.spin.sx(Spin(2), 0), [operator.spin.sm(Spin(2), i) for i in range(2)])
    loss = operator.spin.sp(Spin(2), 1) @ operator.spin.sm(Spin(2), 1)
    state, integrator = Table(space).state(), Integrator("heun", 0.01)
    TDVP(good, state, integrator=integrator, kind="dissipative")
    for bad in (good + 0.1 * good.adjoint(), good - 1e-6 * left(loss)):
        with pytest.raises(ValueError, match="`hamiltonian` must preserve the trace"):
            TDVP(bad, state, integrator=integrator, kind="dissipative")


def test_times_run_forward():
    driver = TDVP(ISING, Table(SPACE).state(), integrator=Integrator("heun", 0.01), preconditioner=EXACTLY)
    with pytest.raises(ValueError, match=r"`times` must ascend.*backwards with -H"):
        driver.run([0.2, 0.1], progress=False)
    driver.run(0.1, progress=False)
    with pytest.raises(ValueError, match=r"present one, 0\.1"):
        driver.run([0.05], progress=False)


def test_no_step_without_a_time():
    """Neither before a run nor behind the last time of its grid."""
    driver = TDVP(ISING, Table(SPACE).state(), integrator=Integrator("heun", 0.01), preconditioner=EXACTLY)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="`advance` needs a time to evolve to: call `run`"):
            driver.advance()
        driver.run(driver.t + 0.01, progress=False)


def test_a_step_driven_to_zero_keeps_the_state():
    driver = sampled(integrator=Integrator("rk23", 0.02, tolerance=1e-9, min_dt=1e-4))
    with pytest.raises(StepTooSmall, match="at time 0"):
        driver.run([0.0, 0.1], progress=False)
    assert driver.t == 0.0
    assert driver.step == 1


def test_amplitudes_that_are_not_finite():
    table = Table(SPACE)
    table.start[0] = np.inf
    driver = TDVP(ISING, table.state(), integrator=Integrator("heun", 0.01))
    with pytest.raises(NotFinite, match="at time 0"):
        driver.run(0.1, progress=False)
