# SPDX-License-Identifier: Apache-2.0
"""Projection on states, operators and data: infidelities, forces, targets found, and what is refused."""

from __future__ import annotations

import jax
import numpy as np
import optax
import pytest

from manybody import VariationalState, ansatz, hamiltonian, operator
from manybody.driver import Applied, Data, Projection
from manybody.driver.recorder import MadeBefore
from manybody.hilbert import Spin
from manybody.io import CheckpointError
from manybody.lattice import chain
from manybody.parallel import Comm, mesh_comm
from manybody.sampler import Direct, Exact, LocalFlip, Metropolis
from manybody.sr import SR
from tests.driver.test_tdvp import Table
from tests.estimator.ansatzes import pair_apply, pair_init, spread
from tests.exact_formulas import from_vector, to_vector

SPACE = Spin(4)
ISING = hamiltonian.ising(SPACE, chain(4), J=0.7, h=0.9)
RAISE = operator.spin.sp(SPACE, 0) + 0.5 * operator.spin.sigmaz(SPACE, 2)
NETWORKS = {
    "positive": lambda: ansatz.RBM(alpha=1),
    "holomorphic": lambda: ansatz.RBM(alpha=1, param_dtype=complex),
    "real": lambda: ansatz.RBM(alpha=1, separate_phase=True),
    "neither": lambda: (pair_init, pair_apply),
}


def state_of(name, sampler=None, n_samples=None, scale=0.3, seed=5, **options):
    state = VariationalState(NETWORKS[name](), sampler or Exact(SPACE), n_samples, **options)
    return state.replace(params=spread(state.params, scale, seed))


def infidelity(psi, phi):
    return 1 - abs(np.vdot(psi, phi)) ** 2 / (np.vdot(psi, psi) * np.vdot(phi, phi)).real


def targets():
    base = state_of("real", seed=8)
    phi = base.to_array()
    matrices = {"hermitian": (ISING, -0.2j, 1.0), "not hermitian": (RAISE, 0.7, 0.4 - 0.3j)}
    yield "state", base, phi
    for name, (o, scale, shift) in matrices.items():
        yield name, Applied(o, base, scale, shift), shift * phi + scale * (o.to_dense() @ phi)
    sigma = SPACE.all_states()
    yield "data", Data(sigma, np.log(phi), np.abs(phi) ** 2, "exact"), phi
    yield "part", Data(sigma[3:], np.log(phi[3:]), np.abs(phi[3:]) ** 2, "exact"), None


TARGETS = {name: rest for name, *rest in targets()}


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("not hermitian", "holomorphic"),
        pytest.param("part", "holomorphic", marks=pytest.mark.slow),
        pytest.param("hermitian", "positive", marks=pytest.mark.slow),
        pytest.param("state", "holomorphic", marks=pytest.mark.slow),
        pytest.param("data", "holomorphic", marks=pytest.mark.slow),
        pytest.param("hermitian", "real", marks=pytest.mark.slow),
        pytest.param("data", "neither", marks=pytest.mark.slow),
    ],
)
def test_infidelity_and_force(target, name):
    """Against dense vectors to 1e-12, and central differences of it: dI = 2 Re f, 2 Im f, to 1e-8."""
    about, phi = TARGETS[target]
    state = state_of(name)

    def value(params):
        psi = state.replace(params=params).to_array()
        return infidelity(psi, phi) if phi is not None else infidelity(psi[3:], TARGETS["data"][1][3:])

    driver = Projection(about, state, optimizer=optax.sgd(1.0), preconditioner=None)
    record = driver.advance()
    assert record["infidelity"].mean == pytest.approx(value(state.params), abs=1e-12)
    assert record["infidelity"].error == 0
    force = to_vector(state.params) - to_vector(driver.progress.params)
    theta, wanted = to_vector(state.params), []
    for step in 1e-5 * np.eye(len(theta)):
        moved = [value(from_vector(theta + sign * step, state.params)) for sign in (1, -1)]
        wanted.append((moved[0] - moved[1]) / 2e-5)
    np.testing.assert_allclose(2 * force, wanted, atol=1e-8)
    assert np.abs(wanted).max() > 1e-2


@pytest.mark.parametrize("target", [pytest.param("state", marks=pytest.mark.slow), "not hermitian", "data"])
def test_a_step_projects_on_the_tangent_space(target):
    """With learning rate 1 and all directions there, psi becomes psi (1 + F_loc - F), to first order."""
    about, phi = TARGETS[target]
    table = Table(SPACE)
    driver = Projection(
        about, table.state(), optimizer=optax.sgd(1.0), preconditioner=SR(0.0, "parameters", "pinv", cutoff=1e-12)
    )
    before = driver.state
    psi = before.to_array()
    r = phi / psi
    f_loc = r * np.vdot(phi, psi) / np.vdot(phi, phi)
    driver.advance()
    change = np.asarray(driver.state.log_psi(SPACE.all_states()) - before.log_psi(SPACE.all_states()))
    wanted = f_loc - np.abs(psi) ** 2 @ f_loc
    np.testing.assert_allclose(change - change[0], wanted - wanted[0], atol=1e-9)


def test_learning_of_data():
    """From all amplitudes, infidelity 1e-6; a state is found as well."""
    phi = state_of("real", seed=8)
    amplitudes = phi.to_array()
    data = Data(SPACE.all_states(), np.log(amplitudes), np.abs(amplitudes) ** 2, "exact")
    state = VariationalState(ansatz.RBM(alpha=2, param_dtype=complex), Exact(SPACE), seed=3)
    driver = Projection(data, state, optimizer=optax.sgd(0.3), preconditioner=SR(1e-4))
    driver.run(150, progress=False)
    assert infidelity(driver.state.to_array(), amplitudes) < 1e-6
    assert driver.n_traces == 1


def test_learning_of_data_from_chains():
    """Nothing is proposed for data, so that no acceptance is recorded."""
    phi = state_of("real", seed=8)
    data = Data(SPACE.all_states(), np.log(phi.to_array()), np.abs(phi.to_array()) ** 2, "exact")
    state = VariationalState(ansatz.RBM(), *chains(16, 16))
    record = Projection(data, state, optimizer=optax.sgd(0.1)).advance()
    assert record["acceptance"] == {}
    assert np.isfinite(record["contrast"].mean if "contrast" in record else record["infidelity"].mean)


@pytest.mark.slow
def test_learning_of_drawn_data():
    """1000 configurations drawn from |phi|^2, with their amplitudes; what is rarely drawn hardly counts: 1e-2."""
    phi = state_of("real", seed=8)
    rng, weight = np.random.default_rng(0), np.abs(phi.to_array()) ** 2
    sigma = np.asarray(SPACE.all_states())[rng.choice(16, size=1000, p=weight)]
    data = Data(sigma, np.asarray(phi.log_psi(sigma)))
    state = VariationalState(ansatz.RBM(alpha=2, param_dtype=complex), Exact(SPACE), seed=3)
    driver = Projection(data, state, optimizer=optax.sgd(0.3), preconditioner=SR(1e-3, method="parameters"))
    driver.run(150, progress=False)
    assert infidelity(driver.state.to_array(), phi.to_array()) < 1e-2


def chains(n_chains=64, n_samples=1024):
    return Metropolis(SPACE, LocalFlip(), n_chains, sweep_size=8), n_samples


@pytest.mark.parametrize(
    ("target", "refresh"),
    [("operator", True), *(pytest.param(*x, marks=pytest.mark.slow) for x in (("operator", False), ("state", True)))],
)
def test_samples_agree_with_sums(target, refresh):
    """The infidelity of 16 comparisons is right within 4 sigma of what they say; refreshed samples are other ones."""
    base, state = state_of("real", *chains(), seed=8), state_of("holomorphic", *chains())
    about = base if target == "state" else Applied(ISING, base, -0.2j, 1.0)
    phi = base.to_array() if target == "state" else base.to_array() - 0.2j * (ISING.to_dense() @ base.to_array())
    driver = Projection(about, state, optimizer=optax.sgd(0.0), refresh=refresh)
    records = [driver.advance() for _ in range(16)]
    wanted = infidelity(state.to_array(), phi)
    means = np.array([record["infidelity"].mean for record in records])
    error = np.sqrt(np.mean([record["infidelity"].error ** 2 for record in records]))
    # Where samples of the target are drawn once, a part of the error is the same in all records.
    assert abs(means.mean() - wanted) < 4 * error / (4 if refresh else 1)
    assert means.std() < 1.5 * error
    assert not any(record["controlled"] for record in records)
    if target == "operator":
        assert 0.5 < records[0]["target_effective"] < 1
    assert (driver.n_traces, driver.n_regrowths) == (1, 0)


def test_states_of_the_same_seed_have_other_randomness():
    """Samples of psi and phi must be independent, also where both are made alike."""
    state = state_of("real", *chains())
    driver = Projection(state, state, optimizer=optax.sgd(0.0))
    assert not np.array_equal(driver._operator.draws.sigma, state.sample().samples.sigma)


@pytest.mark.slow
def test_the_same_on_several_workers():
    """Numbers of one and of two workers after three steps, 1e-10."""
    found = []
    for comm in (Comm(), mesh_comm(jax.devices()[:2])):
        base, state = (
            VariationalState(NETWORKS[name](), chains()[0], 256, seed=seed, comm=comm)
            for name, seed in (("real", 1), ("holomorphic", 2))
        )
        target = Applied(ISING, base, -0.1j, 1.0)
        driver = Projection(target, state, optimizer=optax.sgd(0.1), preconditioner=SR(1e-2))
        found.append((driver.run(3, progress=False).to_array(), driver.advance()["infidelity"].mean))
    np.testing.assert_allclose(found[0][0], found[1][0], atol=1e-10)
    assert found[0][1] == pytest.approx(found[1][1], abs=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("refresh", [True, False])
def test_a_run_is_taken_up_bit_for_bit(tmp_path, refresh):
    def make():
        base = state_of("real", Metropolis(SPACE, LocalFlip(), 8), 32, seed=8)
        state = state_of("holomorphic", Metropolis(SPACE, LocalFlip(), 8), 32)
        return Projection(Applied(ISING, base, -0.1j, 1.0), state, optimizer=optax.adam(0.01), refresh=refresh)

    whole = make()
    whole.run(4, progress=False)
    make().run(2, out=tmp_path, progress=False)
    second = make()
    with pytest.warns(MadeBefore):
        second.run(2, out=tmp_path, progress=False)  # takes up the finished call, and makes no steps
    second.run(2, out=tmp_path, progress=False)
    for a, b in zip(*(jax.tree.leaves(d.progress.params) for d in (whole, second)), strict=True):
        np.testing.assert_array_equal(a, b)
    other = Projection(state_of("real", Metropolis(SPACE, LocalFlip(), 8), 32), whole.state, optimizer=optax.adam(0.01))
    with pytest.raises(CheckpointError, match="`target` was"):
        other.run(1, out=tmp_path, progress=False)


def test_few_effective_samples_are_reported():
    """A projection on two states of 16, which are rare in phi_0."""
    ups = operator.identity(SPACE)
    for i in range(4):
        ups = ups @ (0.5 * (operator.identity(SPACE) + operator.spin.sigmaz(SPACE, i)))
    base = state_of("positive", *chains())
    with pytest.warns(UserWarning, match="of their number only"):
        Projection(Applied(ups, base), base, optimizer=optax.sgd(0.1))


SIGMA = np.ones((2, 4), np.int8)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda s: "phi", TypeError, "`target` must be"),
        (lambda s: VariationalState(ansatz.RBM(), Exact(Spin(3))), ValueError, "`target` must be on"),
        (lambda s: Applied(hamiltonian.ising(Spin(3), chain(3)), s), ValueError, "`operator` must act on"),
        (lambda s: Applied(2.0, s), TypeError, "`operator` must be"),
        (lambda s: Data(SIGMA[:, :3], [0.0, 0.0]), ValueError, r"`sigma` must have shape \(n, 4\)"),
        (lambda s: Data(3 * SIGMA, [0.0, 0.0]), ValueError, r"belong to .*, got \[3, 3, 3, 3\] at number 0"),
        (lambda s: Data(SIGMA, [0.0]), ValueError, r"`log_phi` must have shape \(2,\)"),
        (lambda s: Data(SIGMA, [0.0, np.nan]), ValueError, "`log_phi` must be finite"),
        (lambda s: Data(SIGMA, [0.0, 0.0], [1.0, -1.0]), ValueError, "`weight` must be positive"),
        (lambda s: Data(SIGMA, [0.0, 0.0], kind="exact"), ValueError, "`weight` must be given"),
        (lambda s: Data(SIGMA, [0.0, 0.0], kind="chain"), ValueError, "`kind` must be one of"),
    ],
)
def test_refused(make, error, words):
    state = state_of("real")
    with pytest.raises(error, match=words):
        Projection(make(state), state, optimizer=optax.sgd(0.1))


def test_data_cannot_be_drawn_anew():
    with pytest.raises(ValueError, match="`refresh` must be False"):
        Projection(Data(SIGMA, [0.0, 0.0]), state_of("real"), optimizer=optax.sgd(0.1), refresh=True)


@pytest.mark.slow
def test_a_target_that_is_drawn_directly():
    """Normalised states, without chains: infidelity of two of them within 4 sigma."""
    one, other = (VariationalState(ansatz.ARDense(SPACE), Direct(SPACE), 2000, seed=seed) for seed in (0, 1))
    record = Projection(one, other, optimizer=optax.sgd(0.1)).advance()
    wanted = infidelity(one.to_array(), other.to_array())
    assert abs(record["infidelity"].mean - wanted) < 4 * record["infidelity"].error
