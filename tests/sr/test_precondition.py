# SPDX-License-Identifier: Apache-2.0
"""Choices, arguments, schedules and failures of SR; what it computes is compared in tests/estimator/test_exact.py."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from manybody import VariationalState, driver, hamiltonian, lattice, sr
from manybody._precision import count_real
from manybody.estimator.derivatives import flatten_real
from manybody.hilbert import Spin
from manybody.parallel import REPLICATED, Comm, mesh_comm
from manybody.sampler import Exact, LocalFlip, Metropolis, Samples
from manybody.sampler.base import samples_spec
from manybody.sr import SR, Problem, TangentMap
from manybody.sr.precondition import SOLVERS
from manybody.sr.tangent import unflatten_real
from tests.estimator.ansatzes import pair_apply, pair_init
from tests.exact_formulas import QUICK, from_vector, to_vector


def tangent(n_samples, n_params, is_complex=False, comm=None):
    """A tangent map with these numbers (of one worker) and nothing in it."""
    shape = (n_samples, 1)
    samples = Samples(
        *(jax.ShapeDtypeStruct(s, t) for s, t in [((*shape, 4), jnp.int8), (shape, float), (shape, float)]), "chain"
    )

    def log_psi(params, sigma):
        value = jnp.zeros(sigma.shape[0])
        return jax.lax.complex(value, value) if is_complex else value

    return TangentMap(comm or Comm(), log_psi, {"theta": jnp.zeros(n_params)}, samples, None)


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("n_workers", [1, 2])
def test_auto_takes_the_smaller_matrix(is_complex, n_workers):
    """n_rows is the number of samples of all workers, twice that for complex log psi; at equality: parameters."""
    comm = Comm() if n_workers == 1 else mesh_comm(jax.devices()[:n_workers])
    n_samples = 12
    n_rows = n_samples * n_workers * (2 if is_complex else 1)
    for n_params, expected in [(n_rows - 1, "parameters"), (n_rows, "parameters"), (n_rows + 1, "samples")]:
        problem = tangent(n_samples, n_params, is_complex, comm)
        assert SR().space(problem) == expected
        assert f"space of {expected}, solver cholesky" in SR().describe(problem)
        for method in ("parameters", "samples"):
            assert SR(method=method).space(problem) == method


def test_complex_parameters_count_twice():
    problem = tangent(8, 4)
    both = TangentMap(
        problem.comm, problem.log_psi, {"z": jnp.zeros(4, complex), "x": jnp.zeros(1)}, problem.samples, 2
    )
    assert both.n_params == count_real(both.params) == 9
    assert SR().space(both) == "samples"


def test_flattening():
    """Leaf after leaf, of complex ones the real parts first; types are kept on the way back."""
    tree = {"b": jnp.arange(4.0).reshape(2, 2), "a": jnp.array([1 + 2j, 3 + 4j]), "c": [jnp.float32(7)]}
    flat = flatten_real(tree)
    np.testing.assert_array_equal(flat, to_vector(tree))
    np.testing.assert_array_equal(flat, [1, 3, 2, 4, 0, 1, 2, 3, 7])
    back = unflatten_real(flat, tree)
    for one, other, third in zip(*map(jax.tree.leaves, (tree, back, from_vector(flat, tree))), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, third)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"diag_shift": -1e-3}, ValueError, "diag_shift >= 0"),
        ({"diag_shift": "small"}, TypeError, "`diag_shift` must be a real number"),
        ({"method": "sample"}, ValueError, "Did you mean 'samples'"),
        ({"solver": "cholseky"}, ValueError, "Did you mean 'cholesky'"),
        ({"momentum": 1.0}, ValueError, "0 <= momentum < 1"),
        ({"cutoff": -1.0}, ValueError, "cutoff >= 0"),
        ({"tolerance": 0.0}, ValueError, "tolerance > 0"),
        ({"max_iterations": 0}, ValueError, "1 <= max_iterations"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        SR(**arguments)


def test_recipes():
    assert sr.minsr(0.1) == SR(0.1, "samples")
    assert sr.spring(0.1, 0.8) == SR(0.1, "samples", momentum=0.8)
    assert hash(SR(0.1)) == hash(SR(0.1))
    assert SR(0.1) != SR(0.2)
    assert "momentum=0.8" in repr(sr.spring(0.1, 0.8))


CHAIN = lattice.chain(6)
HAM = hamiltonian.heisenberg(Spin(6, total_sz=0), CHAIN)


def directions(comm):
    """Of all methods and solvers, with momentum, and their codes; one program a layout."""
    state = VariationalState((pair_init, pair_apply), Exact(HAM.space), comm=comm).sample()

    def run(params, samples):
        def log_psi(p, sigma):
            return state.network.log_psi(p, state.constants, sigma)

        problem = TangentMap(comm, log_psi, params, samples, 3)
        values = jnp.sin(samples.log_psi[:, 0])  # some local energies
        mean = comm.psum(jnp.sum(samples.flat_weight.astype(complex) * values))
        found = {}
        for method in ("parameters", "samples"):
            for solver in SOLVERS:
                for momentum in (0.0, 0.9):
                    preconditioner = SR(1e-2, method, solver, momentum=momentum)
                    old = params if momentum else ()
                    direction, _, info = preconditioner.update(Problem(problem, values, mean, jnp.int32(0)), old)
                    found[f"{method} {solver} {momentum}"] = flatten_real(direction), info["sr_code"]
        return found

    specs = (REPLICATED, samples_spec("exact"))
    found = comm.spmd(run, specs, REPLICATED, compiler_options=QUICK)(state.params, state.samples)
    return jax.device_get(found)


def test_every_solver_on_several_workers():
    """20 states on 3 workers (one is filled up) and complex log psi: the directions of one worker to 1e-10."""
    one, three = directions(Comm()), directions(mesh_comm(jax.devices()[:3]))
    assert len(one) == 16
    size = np.abs(one["samples cholesky 0.0"][0]).max()
    for name, (direction, code) in one.items():
        assert code == three[name][1] == 0
        tolerance = 1e-7 if "cg" in name else 1e-10
        np.testing.assert_allclose(three[name][0], direction, rtol=0, atol=tolerance * size, err_msg=name)
        np.testing.assert_allclose(
            direction, one[f"samples cholesky {name.split()[2]}"][0], rtol=0, atol=max(1e-8, tolerance) * size
        )


def test_momentum_and_failure_in_a_run():
    """Cholesky of a singular metric without shift may fail: then the code says so, and the step is zero, not nan."""
    ham = hamiltonian.ising(Spin(4), lattice.chain(4))

    def constant(params, sigma):  # the metric is zero
        return jnp.zeros(sigma.shape[0]) + 0 * params["x"].sum()

    state = VariationalState((lambda key, s: {"x": jnp.ones(2)}, constant), Exact(Spin(4)))
    vmc = driver.VMC(ham, state, optimizer=optax.sgd(0.1), preconditioner=SR(0.0, "parameters"))
    record = vmc.advance()
    assert record["sr_code"] == 1
    np.testing.assert_array_equal(vmc.progress.params["x"], 1)


@functools.cache
def chains(n_samples):
    sampler = Metropolis(Spin(4), LocalFlip(), n_chains=8)
    return VariationalState((pair_init, pair_apply), sampler, n_samples).sample()


def test_metric_from_samples():
    """The covariance of the derivatives at the samples, of equal weights."""
    state = chains(64)
    sigma = np.asarray(state.samples.flat_sigma)
    rows = jax.jacfwd(lambda theta: pair_apply(from_vector(theta, state.params), jnp.asarray(sigma)))(
        jnp.asarray(to_vector(state.params))
    )
    covariance = np.cov(np.concatenate([np.asarray(rows).real, np.asarray(rows).imag], axis=1).T, bias=True)
    n = rows.shape[1]
    right = covariance[:n, :n] + covariance[n:, n:]
    np.testing.assert_allclose(sr.qgt(state), right, atol=1e-12 * np.abs(right).max())
    assert sr.kernel(state).shape == (128, 128)
    np.testing.assert_allclose(np.trace(sr.kernel(state)), np.trace(right), rtol=1e-12)


def test_metric_needs_samples():
    with pytest.raises(ValueError, match="`state` must have samples, got none yet"):
        sr.qgt(chains(64).replace(samples=None))
