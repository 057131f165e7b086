# SPDX-License-Identifier: Apache-2.0
"""Energies, forces, metrics and SR steps against dense matrices, for every kind of ansatz; without noise."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from manybody import VariationalState, hamiltonian, lattice, operator, sr
from manybody.estimator.derivatives import flatten_real
from manybody.hilbert import Spin
from manybody.sampler import Exact, Exchange, Metropolis
from manybody.sr import SR, Problem, TangentMap
from manybody.sr.precondition import SOLVERS
from tests.cases import some_slow
from tests.estimator.ansatzes import ANSATZES, N_SITES, spread
from tests.exact_formulas import QUICK, Dense, to_vector

CHAIN = lattice.chain(N_SITES)
HAMILTONIANS = {
    "ising": hamiltonian.ising(Spin(N_SITES), CHAIN, h=0.8),
    "heisenberg": hamiltonian.heisenberg(Spin(N_SITES, total_sz=0), CHAIN),
}
SHIFT = 1e-4
every_ansatz = pytest.mark.parametrize("name", ANSATZES)
ALL_SOLVERS = ("rbm-complex", "mlp", "init-apply")
"""Ansatzes on which every solver is tried; one kind each of log psi and parameters. The others: Cholesky."""


@functools.cache
def exact_state(name, model):
    state = VariationalState(ANSATZES[name](), Exact(HAMILTONIANS[model].space))
    return state.replace(params=spread(state.params)).sample()


@functools.cache
def dense(name, model):
    state = exact_state(name, model)
    ham = HAMILTONIANS[model]
    return Dense(
        lambda params, sigma: state.network.log_psi(params, state.constants, sigma),
        state.params,
        ham.space.all_states(),
        ham.to_dense(),
    )


def relative(found, right):
    return np.max(np.abs(np.asarray(found) - right)) / np.max(np.abs(right))


@pytest.mark.parametrize(
    "name", some_slow({name: name for name in ANSATZES}, ["mean-field", "jastrow", "rbm", "mlp-complex"])
)
@pytest.mark.parametrize("model", ["heisenberg", pytest.param("ising", marks=pytest.mark.slow)])
def test_energy_and_force(name, model):
    state, right = exact_state(name, model), dense(name, model)
    energy, force = state.expect_and_force(HAMILTONIANS[model])
    assert energy.mean == pytest.approx(right.energy, rel=1e-12)
    assert energy.variance == pytest.approx(right.variance, rel=1e-10)
    assert energy.error == 0
    assert jax.tree.structure(force) == jax.tree.structure(state.params)
    assert [x.dtype for x in jax.tree.leaves(force)] == [x.dtype for x in jax.tree.leaves(state.params)]
    assert relative(to_vector(force), right.force) < 1e-10
    assert relative(2 * to_vector(force), right.energy_slopes()) < 1e-6


def test_conventions_of_the_formulas_are_seen():
    """A force of twice the size, or its conjugate, would not pass."""
    right = dense("rbm-complex", "heisenberg")
    slopes = right.energy_slopes()
    assert relative(right.force, slopes) > 0.1
    wrong = np.real(right.deviations.T @ (right.p * (right.e_loc - right.energy)))
    assert relative(2 * wrong, slopes) > 0.1


@functools.cache
def solutions(name):
    """Directions of all methods and solvers, and the Jacobian, of a Heisenberg chain: one compilation for all."""
    state = exact_state(name, "heisenberg")
    old = spread(jax.tree.map(jnp.zeros_like, state.params), 0.1, seed=6)

    def run(params, samples, values, mean, old):
        def log_psi(p, sigma):
            return state.network.log_psi(p, state.constants, sigma)

        tangent = TangentMap(state.comm, log_psi, params, samples, None)
        problem = Problem(tangent, values, mean, jnp.int32(0))
        out = {}
        for method in ("parameters", "samples"):
            for solver in SOLVERS if name in ALL_SOLVERS else ("cholesky",):
                preconditioner = SR(SHIFT, method, solver)
                direction, _, info = preconditioner.update(problem, preconditioner.init(params))
                out[f"{method} {solver}"] = flatten_real(direction), info["sr_code"]
            if name in ALL_SOLVERS:
                spring = SR(SHIFT, method, momentum=0.8)
                direction, kept, info = spring.update(problem, old)
                out[f"{method} momentum"] = flatten_real(direction), info["sr_code"]
                out[f"{method} kept"] = flatten_real(kept), info["sr_code"]
        gradient, _, _ = sr.Gradient().update(problem, ())
        out["force"] = flatten_real(gradient), jnp.int32(0)
        return out, tangent.jacobian()

    right = dense(name, "heisenberg")
    values, mean = jnp.asarray(right.e_loc), jnp.asarray(right.energy)
    if not right.e_loc.imag.any():
        values = values.real
    out, rows = jax.jit(run, compiler_options=QUICK)(state.params, state.samples, values, mean, old)
    return out, np.asarray(rows), to_vector(old)


@pytest.mark.parametrize("name", some_slow({name: name for name in ANSATZES}, ["mlp-complex", "jastrow", "rbm"]))
def test_metric_and_kernel(name):
    state, right = exact_state(name, "heisenberg"), dense(name, "heisenberg")
    rows = np.sqrt(right.p)[:, None] * right.deviations
    parts = [rows.real, rows.imag] if np.iscomplexobj(state.samples.log_psi) else [rows.real]
    rows = np.stack(parts, axis=1).reshape(-1, rows.shape[1])  # (states * parts, params)
    assert relative(solutions(name)[1].reshape(rows.shape), rows) < 1e-10
    if name in ALL_SOLVERS:
        assert relative(sr.qgt(state), right.metric) < 1e-10
        assert relative(sr.kernel(state), rows @ rows.T) < 1e-10


@every_ansatz
def test_directions(name):
    """In both spaces, by the solvers; conjugate gradients at their tolerance times the condition of the problem."""
    right, (found, _, old) = dense(name, "heisenberg"), solutions(name)
    found = dict(found)
    step = right.sr_step(SHIFT)
    condition = np.linalg.norm(right.metric, 2) / SHIFT
    tolerance = {"cholesky": 1e-10, "qr": 1e-10, "pinv": 1e-8, "cg": 1e-10 * condition}
    assert relative(found.pop("force")[0], right.force) < 1e-12
    assert len(found) == 2 * (len(SOLVERS) + 2 if name in ALL_SOLVERS else 1)
    for how, (direction, code) in found.items():
        solver = how.split()[1]
        expected = step if solver in SOLVERS else right.spring_step(SHIFT, 0.8, old)
        assert relative(direction, expected) < tolerance.get(solver, 1e-10), how
        assert code == 0
    assert relative(right.force, step) > 0.01  # another one


def test_observables_that_are_not_hermitian():
    """Complex means, and the variance <|O_loc - <O>|^2>."""
    state, right = exact_state("rbm-complex", "ising"), dense("rbm-complex", "ising")
    space = state.space
    op = operator.spin.sp(space, 1) @ operator.spin.sz(space, 2) + 0.3j * operator.spin.sx(space, 0)
    matrix = op.to_dense()
    found = state.expect(op)
    mean = np.vdot(right.psi, matrix @ right.psi)
    assert found.mean == pytest.approx(mean, rel=1e-12)
    local = matrix @ right.psi / right.psi
    assert found.variance == pytest.approx(np.sum(right.p * np.abs(local - mean) ** 2), rel=1e-10)
    np.testing.assert_allclose(state.local_values(op)[:, 0], local, rtol=1e-9, atol=1e-11)
    with pytest.raises(ValueError, match="`operator` must be Hermitian to have a force"):
        state.expect_and_force(op)


def test_diagonal_operators():
    state, right = exact_state("rbm", "ising"), dense("rbm", "ising")
    op = operator.spin.sz(state.space, 0) @ operator.spin.sz(state.space, 3)
    assert state.expect(op).mean == pytest.approx(right.p @ np.diag(op.to_dense()).real, rel=1e-12)


@pytest.mark.slow
def test_monte_carlo_agrees():
    """16 independent runs: energies within 4 sigma of the exact one, forces as Student's t says with p > 1e-4."""
    name, ham = "rbm-phase", HAMILTONIANS["heisenberg"]
    right, exact = dense(name, "heisenberg"), exact_state(name, "heisenberg")
    sampler = Metropolis(ham.space, Exchange(CHAIN), n_chains=32, n_burn_in=20)
    energies, forces = [], []
    for seed in range(16):
        state = VariationalState(ANSATZES[name](), sampler, 1024, seed=seed, params=exact.params).sample()
        energy, force = state.expect_and_force(ham)
        assert abs(energy.mean - right.energy) < 4 * energy.error
        energies.append(energy.mean)
        forces.append(to_vector(force))
    z = (np.mean(energies) - right.energy) / (np.std(energies, ddof=1) / 4)
    assert abs(z) < 4
    z = (np.mean(forces, axis=0) - right.force) / (np.std(forces, axis=0, ddof=1) / 4)
    assert np.sqrt(np.mean(z**2)) < 1.6
    assert scipy.stats.t.sf(np.abs(z).max(), 15) * 2 * len(z) > 1e-4
