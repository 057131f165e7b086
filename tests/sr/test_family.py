# SPDX-License-Identifier: Apache-2.0
"""The tangent map of a family against the means of dense forces and metrics of its members; without noise."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody.ansatz import MLP, RBM, Conditioned
from manybody.estimator import local_values
from manybody.estimator.derivatives import flatten_real
from manybody.hamiltonian import ising
from manybody.hilbert import Spin
from manybody.lattice import chain
from manybody.network import as_network
from manybody.parallel import REPLICATED, Comm, mesh_comm
from manybody.sampler import Exact
from manybody.sr import SR, Gradient, Problem, TangentFamily
from manybody.sr.kernel import describe, kernel
from tests.cases import some_slow
from tests.exact_formulas import QUICK, Dense, to_vector

N_SITES, SHIFT = 4, 1e-3
SPACE = Spin(N_SITES)
POINTS = np.array([[0.5, -1.0], [0.7, 0.2], [1.5, 0.9]])
OPERATORS = [ising(SPACE, chain(N_SITES), J=1 + 0.3 * g[1], h=g[0]) for g in POINTS]
ANSATZES = {
    "rbm": RBM(alpha=2),
    "rbm-complex": RBM(param_dtype=complex),
    "mlp-phase": MLP((9,), jnp.tanh, separate_phase=True),  # with layers whose kernel is treated by its structure
}
CHOICES = {
    f"{method} {solver}": SR(SHIFT, method, solver, tolerance=1e-13)
    for method in ("parameters", "samples")
    for solver in ("cholesky", "qr", "cg")
}
every = pytest.mark.parametrize("name", some_slow({name: name for name in ANSATZES}, ["rbm"]))


@functools.cache
def family(name):
    return Conditioned(ANSATZES[name], (0.5, -1.0), (1.5, 1.0), 2)


@functools.cache
def params(name):
    """With coefficients of all orders."""
    start = jax.jit(family(name).init)(jax.random.key(3), SPACE.all_states(), POINTS[0])["params"]
    rng = np.random.default_rng(5)

    def spread(x):
        noise = rng.normal(size=x.shape) + (1j * rng.normal(size=x.shape) if np.iscomplexobj(x) else 0)
        return x + 0.15 * noise

    return jax.tree.map(spread, jax.device_get(start))


@functools.cache
def members(name):
    """The members as functions of all coefficients."""

    def member(g, operator):
        log_psi = lambda coefficients, sigma: family(name).apply({"params": coefficients}, sigma, g)  # noqa: E731
        return Dense(log_psi, params(name), SPACE.all_states(), operator.to_dense())

    return [member(g, operator) for g, operator in zip(POINTS, OPERATORS, strict=True)]


def compiled():
    """The operators of all members."""
    return jax.tree.map(lambda *x: jnp.stack(x), *[operator.compile() for operator in OPERATORS])


def problem(name, comm, coefficients, operators):
    """The equation of all members; only traced on all workers."""
    network, sampler = as_network(ANSATZES[name]), Exact(SPACE)

    def member(params, operator, chains):
        amplitude = network.bind(params["ansatz"], {})
        _, samples, _ = sampler.sample(comm, amplitude, chains, 1)
        values = local_values(comm, amplitude, operator, samples.flat_sigma, samples.weight.size * N_SITES, None).values
        weight, e_loc = samples.flat_weight, values
        return samples, values, comm.psum(jnp.sum(weight.astype(e_loc.dtype) * e_loc)).real

    plain = jax.vmap(lambda g: {"ansatz": family(name).at(coefficients, g)})(jnp.asarray(POINTS))
    chains = sampler.init(comm, jax.random.key(0))
    samples, values, mean = jax.vmap(member, (0, 0, None))(plain, operators, chains)
    features = jax.vmap(family(name).features)(jnp.asarray(POINTS))
    log_psi = lambda p, sigma: network.log_psi(p["ansatz"], {}, sigma)  # noqa: E731
    tangent = TangentFamily(comm, log_psi, coefficients, features, samples, chunk_size=5)
    return Problem(tangent, values.reshape(-1), mean, jnp.int32(0))


@functools.cache
def found(name, n_workers=1):
    """Directions of all choices, the kernel and the Jacobian: one compilation."""
    comm = Comm() if n_workers == 1 else mesh_comm(jax.devices()[:n_workers])
    old = jax.tree.map(lambda x: 0.1 * (1 + jnp.arange(x.size, dtype=x.dtype).reshape(x.shape)) / x.size, params(name))

    def run(coefficients, operators, old):
        equation = problem(name, comm, coefficients, operators)
        tangent = equation.tangent
        notes.append((describe(tangent), tangent.n_local, tangent.n_params, tangent.n_parts))
        directions = {key: choice.update(equation, ())[0] for key, choice in CHOICES.items()}
        directions["force"] = Gradient().update(equation, ())[0]
        directions["momentum"] = SR(SHIFT, "samples", momentum=0.8).update(equation, old)[0]
        rows = comm.all_gather(tangent.jacobian())
        kernels = {"kernel": kernel(tangent), "products": rows.reshape(-1, rows.shape[-1])}
        return jax.tree.map(flatten_real, directions, is_leaf=lambda x: isinstance(x, dict) and "ansatz" in x), kernels

    notes = []
    step = comm.spmd(run, (REPLICATED,) * 3, REPLICATED, compiler_options=QUICK)
    directions, kernels = jax.device_get(step(*comm.replicate((params(name), compiled(), old))))
    return directions, kernels, notes[0], to_vector(old)


def mean(name, attribute):
    return np.mean([getattr(member, attribute) for member in members(name)], axis=0)


@every
def test_force_and_directions_are_those_of_the_mean_energy_and_metric(name):
    directions, _, _, old = found(name)
    force, metric = mean(name, "force"), mean(name, "metric")
    shifted = metric + SHIFT * np.eye(len(force))
    np.testing.assert_allclose(directions.pop("force"), force, rtol=1e-9, atol=1e-12)
    with_momentum = 0.8 * old + np.linalg.solve(shifted, force - 0.8 * metric @ old)
    np.testing.assert_allclose(directions["momentum"], with_momentum, rtol=1e-6, atol=1e-8)
    for key in CHOICES:
        np.testing.assert_allclose(directions[key], np.linalg.solve(shifted, force), rtol=1e-6, atol=1e-8, err_msg=key)


@every
def test_kernel_and_jacobian_belong_together(name):
    _, kernels, _, _ = found(name)
    rows = kernels["products"]
    np.testing.assert_allclose(rows.T @ rows, mean(name, "metric"), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(kernels["kernel"], rows @ rows.T, rtol=1e-9, atol=1e-12)


def test_numbers_and_words():
    words, n_local, n_params, n_parts = found("mlp-phase")[2]
    assert words.startswith("structured: layers_0")
    assert (n_local, n_parts) == (3 * 16, 2)
    assert n_params == 6 * (4 * 9 + 9 + 2 * 9)  # polynomials of two couplings up to degree two


@pytest.mark.slow  # so do runs in tests/distributed
def test_two_workers_find_the_same():
    one, two = (found("mlp-phase", n) for n in (1, 2))
    for key, direction in two[0].items():
        np.testing.assert_allclose(direction, one[0][key], rtol=1e-6, atol=1e-9, err_msg=key)
    assert two[2][1] == one[2][1] / 2


def test_noise_of_several_states_is_refused():
    comm, choice = Comm(), SR(SHIFT, "parameters", "pinv", snr=2.0)
    solve = comm.spmd(lambda c, h: choice.update(problem("rbm", comm, c, h), ())[0], (REPLICATED,) * 2, REPLICATED)
    with pytest.raises(TypeError, match=r"`snr` must be left out for several states at once, got 2\.0"):
        jax.eval_shape(solve, params("rbm"), compiled())
