# SPDX-License-Identifier: Apache-2.0
"""Reconstruction of states from measurements: amplitudes in other bases, forces, directions, and known states found."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from manybody import VariationalState, ansatz, exact, hamiltonian
from manybody.driver import Measurements, Reconstruction
from manybody.driver.measurements import data_force
from manybody.hilbert import Fock, Qubit, Spin
from manybody.lattice import chain
from manybody.parallel import Comm, mesh_comm
from manybody.sampler import Exact, LocalFlip, Metropolis
from manybody.sr import SR
from tests.estimator.ansatzes import pair_apply, pair_init, spread
from tests.exact_formulas import from_vector, to_vector

SPACE = Spin(4)
BRAS = {
    "X": np.array([[1, 1], [1, -1]]) / np.sqrt(2),
    "Y": np.array([[1, -1j], [1, 1j]]) / np.sqrt(2),
    "Z": np.eye(2),
}
"""Rows: the adjoints of the eigenvectors of the Pauli matrices for +1 and -1."""
PAULI = {"X": [[0, 1], [1, 0]], "Y": [[0, -1j], [1j, 0]], "Z": [[1, 0], [0, -1]]}


def rotation(basis):
    """The matrix of all <b|U."""
    return functools.reduce(np.kron, [BRAS[letter] for letter in basis])


def drawn(space, psi, bases, n, seed=0):
    """n outcomes of each basis, from the probabilities of a state vector."""
    rng, states = np.random.default_rng(seed), np.asarray(space.all_states())
    outcomes = {}
    for basis in bases:
        p = np.abs(rotation(basis) @ psi) ** 2
        outcomes[basis] = states[rng.choice(len(p), size=n, p=p / p.sum())]
    return Measurements(outcomes)


def test_rows_are_eigenvectors():
    for letter, rows in BRAS.items():
        for row, value in zip(rows, (1, -1), strict=True):
            np.testing.assert_allclose(row @ np.array(PAULI[letter]), value * row)


NETWORKS = {
    "holomorphic": lambda: ansatz.RBM(alpha=1, param_dtype=complex),
    "real": lambda: ansatz.RBM(alpha=1, separate_phase=True),
    "positive": lambda: ansatz.RBM(alpha=1),
    "neither": lambda: (pair_init, pair_apply),
}


def state_of(name, space=SPACE, **options):
    state = VariationalState(NETWORKS[name](), Exact(space), **options)
    return state.replace(params=spread(state.params, 0.3))


BASES = ("ZZZZ", "XZZY", "YXZZ", "XYXY", "ZZZX")


def likelihood(state, data):
    """L from dense vectors."""
    psi = state.to_array()
    numbers = []
    for basis, values in data.outcomes.items():
        p = np.abs(rotation(basis) @ psi) ** 2
        numbers += list(-np.log(p[np.asarray(state.space.states_to_index(values))]))
    return np.mean(numbers)


@pytest.mark.parametrize(
    ("space", "chunk_size"),
    [pytest.param(SPACE, None, marks=pytest.mark.slow), (Qubit(4), 7)],
    ids=["spins", "qubits in chunks"],
)
def test_loss_and_probabilities(space, chunk_size):
    """Every basis of X, Y and Z on some sites, against the dense matrix of the rotation."""
    state = state_of("real", space, chunk_size=chunk_size)
    data = drawn(space, state_of("holomorphic", space).to_array(), BASES, 5)
    driver = Reconstruction(data, state, optimizer=optax.sgd(0.1))
    assert driver.advance()["loss"].mean == pytest.approx(likelihood(state, data), abs=1e-12)


@pytest.mark.parametrize(
    "name", ["real", "neither", *(pytest.param(name, marks=pytest.mark.slow) for name in ("holomorphic", "positive"))]
)
def test_force(name):
    """Central differences of the likelihood, 1e-7; dL = 2 Re f for real parts and 2 Im f for imaginary ones."""
    state = state_of(name)
    data = drawn(SPACE, state_of("real").to_array(), BASES, 20, seed=3)
    driver = Reconstruction(data, state, optimizer=optax.sgd(1.0), preconditioner=None)
    driver.advance()
    force = to_vector(state.params) - to_vector(driver.progress.params)
    theta, wanted = to_vector(state.params), []
    for i in range(len(theta)):
        values = []
        for sign in (1, -1):
            moved = theta + sign * 1e-5 * np.eye(len(theta))[i]
            values.append(likelihood(state.replace(params=from_vector(moved, state.params)), data))
        wanted.append((values[0] - values[1]) / 2e-5)
    np.testing.assert_allclose(2 * force, wanted, atol=1e-7)
    assert np.abs(wanted).max() > 1e-2


@pytest.mark.slow
def test_equal_outcomes_count_once_and_rows_are_filled_up():
    """The same force on three workers, whose rows do not divide evenly."""
    state = state_of("holomorphic")
    data = drawn(SPACE, state_of("real").to_array(), BASES[:2], 30)
    found = []
    for comm in (Comm(), mesh_comm(jax.devices()[:3])):
        own = VariationalState(NETWORKS["holomorphic"](), Exact(SPACE), comm=comm)
        own = own.replace(params=comm.replicate(state.params))
        driver = Reconstruction(data, own, optimizer=optax.sgd(0.5), preconditioner=SR(1e-3, method="samples"))
        groups = driver._operator
        assert sum(float(jnp.sum(group.weight)) for group in groups) == pytest.approx(1)
        assert sum(len(group.sigma) for group in groups) <= 2 * 16 + 4
        driver.advance()
        found.append(to_vector(driver.progress.params))
    np.testing.assert_allclose(*found, atol=1e-12)


@pytest.mark.parametrize(
    ("method", "solver", "momentum"),
    [
        pytest.param("parameters", "cholesky", 0.8, marks=pytest.mark.slow),
        ("parameters", "pinv", 0.0),
        pytest.param("parameters", "cg", 0.0, marks=pytest.mark.slow),
        ("samples", "cholesky", 0.0),
        pytest.param("samples", "cg", 0.8, marks=pytest.mark.slow),
    ],
)
def test_directions_for_a_given_force(method, solver, momentum):
    """(S + shift)^-1 f with the dense metric of psi; and with momentum what minimises the distance to it."""
    state, shift, rate = state_of("neither").sample(), 1e-2, 1e-3
    data = drawn(SPACE, state_of("real").to_array(), BASES[:2], 30)
    plain = Reconstruction(data, state, optimizer=optax.sgd(1.0), preconditioner=None)
    sr = SR(shift, method, solver, momentum=momentum, tolerance=1e-13)
    driver = Reconstruction(data, state, optimizer=optax.sgd(rate), preconditioner=sr)
    directions = []
    for _ in range(2):
        before = driver.progress.params
        plain._progress = plain.progress.replace(params=before)
        plain.advance()
        force = to_vector(before) - to_vector(plain.progress.params)
        metric = dense_metric(state.replace(params=before))
        old = momentum * directions[-1] if directions else np.zeros_like(force)
        wanted = old + np.linalg.solve(metric + shift * np.eye(len(force)), force - metric @ old)
        driver.advance()
        directions.append((to_vector(before) - to_vector(driver.progress.params)) / rate)
        np.testing.assert_allclose(directions[-1], wanted, atol=1e-7 * np.abs(wanted).max())


def dense_metric(state):
    """Re S from derivatives of all amplitudes, forwards."""
    theta, sigma = to_vector(state.params), SPACE.all_states()

    def log_psi(vector):
        return state.network.log_psi(from_vector(vector, state.params), state.constants, sigma)

    steps = np.eye(len(theta)) * 1e-6
    o = np.stack([(log_psi(theta + e) - log_psi(theta - e)) / 2e-6 for e in steps], axis=1)
    weight = np.abs(state.to_array()) ** 2
    o = np.sqrt(weight)[:, None] * (o - weight @ o)
    return (o.conj().T @ o).real


@pytest.mark.parametrize(
    "sr", [SR(1e-3, solver="qr"), SR(1e-3, solver="pinv", snr=1.0), SR(1e-3, "samples", "pinv"), SR(0.0, "samples")]
)
def test_solvers_that_need_local_values(sr):
    state = state_of("holomorphic")
    data = drawn(SPACE, state.to_array(), BASES[:1], 5)
    with pytest.raises(ValueError, match=r"`(solver|diag_shift)` must be"):
        Reconstruction(data, state, optimizer=optax.sgd(0.1), preconditioner=sr).advance()


@pytest.mark.slow
def test_samples_agree_with_sums():
    """The force from chains is that of the exact sampler within 6 sigma of its scatter over 8 steps."""
    data = drawn(SPACE, state_of("real").to_array(), BASES[:3], 50)
    chains = VariationalState(NETWORKS["holomorphic"](), Metropolis(SPACE, LocalFlip(), n_chains=64, sweep_size=8), 512)
    start = state_of("holomorphic")
    forces = []
    driver = Reconstruction(data, chains, optimizer=optax.sgd(1.0), preconditioner=None)
    for _ in range(8):
        driver._progress = driver.progress.replace(params=start.params)
        record = driver.advance()
        forces.append(to_vector(start.params) - to_vector(driver.progress.params))
    assert "contrast" in record
    assert driver.n_traces == 1
    known = Reconstruction(data, start, optimizer=optax.sgd(1.0), preconditioner=None)
    known.advance()
    wanted = to_vector(start.params) - to_vector(known.progress.params)
    error = np.std(forces, axis=0, ddof=1) / np.sqrt(8)
    assert (np.abs(np.mean(forces, axis=0) - wanted) < 6 * error + 1e-12).all()


@pytest.mark.slow
def test_a_ground_state_from_three_bases():
    """The critical chain of 6 spins in a field along -x, whose amplitudes have both signs: fidelity 0.99 from 5000
    outcomes in each basis."""
    space = Spin(6)
    psi = exact.ground_state(hamiltonian.ising(space, chain(6), h=-1.0)).states[:, 0]
    assert min(psi.max(), -psi.min()) > 0.1
    data = drawn(space, psi, ("ZZZZZZ", "XXXXXX", "XZXZXZ"), 5000, seed=1)
    state = VariationalState(ansatz.RBM(alpha=2, param_dtype=complex), Exact(space), seed=2)
    driver = Reconstruction(data, state, optimizer=optax.adam(0.03))
    found = driver.run(500, progress=False)
    fidelity = abs(np.vdot(psi, found.to_array())) ** 2
    assert fidelity > 0.99
    assert driver.n_traces == 1


@pytest.mark.parametrize(
    ("outcomes", "options", "words"),
    [
        ({"XQZZ": [[1, 1, 1, 1]]}, {}, r"letters X, Y, Z, got \['Q'\]"),
        ({"XXZZ": [[1, 1, 1]]}, {}, r"outcomes\['XXZZ'\]` must have shape \(n, 4\)"),
        ({"XXZZ": [[1, 1, 1, 1]], "XX": [[1, 1]]}, {}, "one length"),
        ({}, {}, "have a basis"),
        ({"XXZX": [[1, 1, 1, 1]]}, {"max_rotated": 2}, r"at most max_rotated = 2 sites .* got 3"),
        ({"XXZZ": [[1, 1, 0, 1]]}, {}, r"belong to .* got \[1, 1, 0, 1\] at number 0"),
        ({"XXZ": [[1, 1, 1]]}, {}, r"have shape \(n, 4\)"),
    ],
)
def test_refused(outcomes, options, words):
    with pytest.raises(ValueError, match=words):
        Reconstruction(Measurements(outcomes, **options), state_of("real"), optimizer=optax.sgd(0.1))


@pytest.mark.parametrize("space", [Spin(4, total_sz=0), Fock(4, 2)])
def test_spaces_that_cannot_be_rotated(space):
    state = VariationalState(ansatz.RBM(), Exact(space))
    with pytest.raises(ValueError, match="two levels each"):
        Reconstruction(Measurements({"XXZZ": [[1, 1, 1, 1]]}), state, optimizer=optax.sgd(0.1))


@pytest.mark.slow
def test_amplitudes_that_are_small_do_not_vanish():
    """Logarithms of amplitudes around -1000, whose exponentials are 0."""
    state = state_of("holomorphic")
    groups = drawn(SPACE, state.to_array(), BASES, 3).rotated(state)

    def log_psi(p, sigma):
        return state.network.log_psi(p, {}, sigma)

    one = data_force(Comm(), log_psi, state.params, groups, None)
    other = data_force(Comm(), lambda p, sigma: log_psi(p, sigma) - 1000.0, state.params, groups, None)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), one[0], other[0])
    assert other[1] - one[1] == pytest.approx(2000.0)
