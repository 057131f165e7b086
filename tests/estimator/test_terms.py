# SPDX-License-Identifier: Apache-2.0
"""All terms of an operator at once: the same numbers as one by one, whatever the couplings are."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody import VariationalState, hamiltonian, lattice, operator
from manybody.ansatz import RBM
from manybody.hilbert import Blockade, Constrained, Fermion, Fock, Qubit, Spin
from manybody.operator.spin import spin_matrices
from manybody.parallel import Comm, mesh_comm
from manybody.sampler import Exact, Exchange, Metropolis
from tests.cases import some_slow

CHAIN = lattice.chain(6)
SPIN = Spin(6, total_sz=0)
X, Y, Z = spin_matrices(2)
DOT = sum(np.kron(s, s) for s in (X, Y, Z)).real
TWIST = (np.kron(X, Y) - np.kron(Y, X)) + 0.5 * np.kron(Z, Z)
"""Hermitian and complex, with a diagonal; conserves S^z."""


def spin_terms():
    """Heisenberg terms of all bonds, complex terms of three of them, and a diagonal one."""
    bonds = [(0, 1), (1, 2), (0, 3), (2, 5)]
    return [*((b, DOT) for b in bonds), *((b, TWIST) for b in bonds[:3]), ((4,), Z)]


def local(space, terms):
    """One operator with a coupling for each term, some of them 0, and the terms one by one."""
    couplings = np.where(np.arange(len(terms)) % 3 == 0, 0.0, 0.3 - np.arange(len(terms)))
    return operator.LocalOperator(space, terms, couplings), [operator.LocalOperator(space, [t]) for t in terms]


def fermions():
    space = Fermion(3, n_per_component=(2, 1), n_components=2)
    words = ["0^ 1", "1^ 0", "2^ 0", "3^ 5", "1^ 1 4^ 4", "0^ 3^ 3 2"]
    return operator.FermionOperator(space, words, couplings=np.arange(6.0)), [
        operator.FermionOperator(space, [word]) for word in words
    ]


def bosons():
    space = Fock(3, n_max=2, n_particles=3)
    b = operator.boson
    free = Fock(3, n_max=2)
    parts = [(b.create(free, i) @ b.destroy(free, j)).on(space) for i, j in [(0, 1), (1, 0), (2, 2), (0, 2)]]
    return sum(parts[1:], 2 * parts[0]), parts  # equal couplings of b_0^dag b_1 and its adjoint would be made one


def blockade():
    """On a constrained space, where what leads out is left out."""
    space = Constrained(Qubit(5), Blockade([(i, i + 1) for i in range(4)]))
    terms = [((i,), 2 * X) for i in range(5)] + [((1, 3), DOT)]
    couplings = np.arange(6.0)
    return operator.LocalOperator(space, terms, couplings, project=True), [
        operator.LocalOperator(space, [t], project=True) for t in terms
    ]


def permuted():
    space = Spin(4)
    shift = operator.permutation(space, [1, 2, 3, 0])
    parts = [shift + shift.adjoint(), operator.spin.sx(space, 0) @ operator.spin.sx(space, 1)]
    return sum(parts), parts


def not_hermitian():
    space = Spin(4)
    terms = [((0,), X + 1j * Y), ((1, 2), np.kron(X, Z) + 0.2j * np.kron(Z, Z)), ((3,), 1j * Z)]
    return local(space, terms)


OPERATORS = {
    "spins": lambda: local(SPIN, spin_terms()),
    "spin 1": lambda: local(
        Spin(3, s=1, total_sz=0),
        [((i, j), sum(np.kron(s, s) for s in spin_matrices(3)).real) for i, j in [(0, 1), (1, 2)]],
    ),
    "diagonal": lambda: local(SPIN, [((i, i + 1), np.kron(Z, Z)) for i in range(5)]),
    "fermions": fermions,
    "bosons": bosons,
    "blockade": blockade,
    "not Hermitian": not_hermitian,
}


@functools.cache
def exact_state(space, dtype=complex, chunk_size=None):
    return VariationalState(RBM(param_dtype=dtype), Exact(space), seed=3, chunk_size=chunk_size).sample()


@functools.cache
def chains(chunk_size=None, n_workers=1):
    comm = mesh_comm(jax.devices()[:n_workers]) if n_workers > 1 else Comm()
    sampler = Metropolis(SPIN, Exchange(CHAIN), n_chains=8)
    return VariationalState(RBM(param_dtype=complex), sampler, 64, seed=3, chunk_size=chunk_size, comm=comm).sample()


def same(found, right, tolerance):
    for name in ("mean", "error", "variance", "tau", "n_effective"):
        expected = np.array([getattr(one, name) for one in right])
        np.testing.assert_allclose(getattr(found, name), expected, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("name", some_slow({name: name for name in OPERATORS}, ["spins", "spin 1", "bosons"]))
def test_terms_of_exact_states(name):
    """Against dense matrices, and no error."""
    op, parts = OPERATORS[name]()
    state = exact_state(op.space)
    found = state.expect_terms(op)
    psi = state.to_array()
    right = np.array([np.vdot(psi, part.to_dense() @ psi) for part in parts])
    np.testing.assert_allclose(found.mean, right, atol=1e-12)
    assert np.abs(right).min() > 1e-4
    assert jnp.isrealobj(found.mean) == op.is_hermitian
    assert not found.error.any()
    local = np.stack([part.to_dense() @ psi / psi for part in parts])
    deviations = np.abs(local - np.asarray(found.mean)[:, None]) ** 2
    np.testing.assert_allclose(found.variance, deviations @ np.abs(psi) ** 2, rtol=1e-9)


def test_operators_that_move_sites():
    op, parts = permuted()
    assert op.couplings.shape == (2,)
    state = exact_state(op.space)
    found = state.expect_terms(op)
    same(found, [state.expect(part) for part in parts], 1e-12)


def test_terms_of_chains():
    op, parts = OPERATORS["spins"]()
    some = [0, 2, 4, 7]
    found = jax.tree.map(lambda x: x[np.array(some)], chains().expect_terms(op))
    same(found, [chains().expect(parts[i]) for i in some], 1e-10)


def test_real_amplitudes():
    """Complex terms of a real wave function, and real ones, which stay real."""
    op, parts = OPERATORS["spins"]()
    state = exact_state(SPIN, float)
    found = jax.tree.map(lambda x: x[np.array([2, 5])], state.expect_terms(op))
    same(found, [state.expect(parts[i]) for i in (2, 5)], 1e-12)


def test_values_of_couplings_do_not_matter():
    op, _ = OPERATORS["spins"]()
    right = chains().expect_terms(op)
    n = len(op.couplings)
    for couplings in (jnp.zeros(n), jnp.ones(n), jnp.asarray((-1.0) ** np.arange(n))):
        found = chains().expect_terms(op.replace(couplings=couplings))
        np.testing.assert_array_equal(found.mean, right.mean)


def test_terms_that_cancel():
    """Two terms on one bond, of which nothing is left with the couplings 1 and -1."""
    op = operator.LocalOperator(SPIN, [((0, 1), DOT), ((0, 1), DOT)], [1.0, -1.0])
    found = chains().expect_terms(op)
    same(found, [chains().expect(operator.LocalOperator(SPIN, [((0, 1), DOT)]))] * 2, 1e-10)


def test_errors_of_sums_know_of_correlations():
    """S_0.S_1 + S_1.S_2 and their difference, with real and complex factors."""
    op = operator.LocalOperator(SPIN, [((0, 1), DOT), ((1, 2), DOT)], [1.0, 1.0])
    matrix = np.array([[1.0, 1.0], [1.0, -1.0], [0.0, 2.0]])
    found = chains().expect_terms(op, matrix)
    right = [chains().expect(operator.LocalOperator(SPIN, [((0, 1), a * DOT), ((1, 2), b * DOT)])) for a, b in matrix]
    same(found, right, 1e-10)
    apart = chains().expect_terms(op).error
    assert abs(found.error[0] ** 2 - apart @ apart) > 0.02 * (apart @ apart)
    turned = chains().expect_terms(op, 1j * matrix)
    np.testing.assert_allclose(turned.mean.imag, found.mean, rtol=1e-12)


def test_chunks():
    op, _ = OPERATORS["spins"]()
    for a, b in zip(*(jax.tree.leaves(chains(c).expect_terms(op)) for c in (None, 5)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.slow
def test_workers():
    """On two devices: the same numbers; neither sums over workers nor parts of sums get lost."""
    op, _ = OPERATORS["spins"]()
    function = jax.tree_util.Partial(ratio)
    for arguments in ((), (np.ones((2, len(op.couplings))),), (None, function)):
        for a, b in zip(*(jax.tree.leaves(s.expect_terms(op, *arguments)) for s in (chains(), two())), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def two():
    return chains(None, 2)


def ratio(x):
    return (x[:3] / x[3])[:, None]


def squares(values):
    return jnp.concatenate([values, values**2], axis=1)


def test_functions_of_local_values():
    """Squares of diagonal terms."""
    op, parts = OPERATORS["diagonal"]()
    found = chains().expect_terms(op, squares)
    found = jax.tree.map(lambda x: x[np.array([1, 5 + 1])], found)
    same(found, [chains().expect(o) for o in (parts[1], parts[1] @ parts[1])], 1e-10)


def product(x):
    return jnp.stack([x[0] * x[1], x[0]])


def test_errors_of_functions():
    """d(xy) = x dy + y dx, as samples fluctuate."""
    op = operator.LocalOperator(SPIN, [((0, 1), DOT), ((1, 2), DOT)], [1.0, 1.0])
    found = chains().expect_terms(op, None, product)
    x, y = chains().expect_terms(op).mean
    linear = operator.LocalOperator(SPIN, [((0, 1), float(y) * DOT), ((1, 2), float(x) * DOT)])
    assert found.mean[0] == pytest.approx(float(x * y), rel=1e-12)
    assert found.error[0] == pytest.approx(float(chains().expect(linear).error), rel=1e-10)
    assert found.error[1] == pytest.approx(float(chains().expect_terms(op).error[0]), rel=1e-10)
    assert chains().expect_terms(op, np.eye(2), product).error[0] == pytest.approx(float(found.error[0]), rel=1e-12)


def test_functions_of_complex_means():
    op, parts = not_hermitian()
    state = exact_state(op.space)
    a, b, _ = (complex(state.expect(part).mean) for part in parts)
    found = state.expect_terms(op, None, product)
    np.testing.assert_allclose(found.mean, [a * b, a], atol=1e-12)


@pytest.mark.slow
def test_errors_are_right():
    """Deviations from the exact values over their errors, 12 runs and 9 quantities: a chi^2 per quantity."""
    sampler = Metropolis(SPIN, Exchange(CHAIN), n_chains=32, n_burn_in=20)
    op, _ = OPERATORS["spins"]()
    exact = exact_state(SPIN)
    right = np.append(exact.expect_terms(op).mean, exact.expect_terms(op, None, product).mean[0])
    scores = []
    for seed in range(12):
        state = VariationalState(RBM(param_dtype=complex), sampler, 512, seed=seed, params=exact.params).sample()
        terms, nonlinear = state.expect_terms(op), state.expect_terms(op, None, product)
        mean, error = np.append(terms.mean, nonlinear.mean[0]), np.append(terms.error, nonlinear.error[0])
        scores.append((mean - right) / error)
    spread = np.sqrt(np.mean(np.square(scores), axis=0))
    assert np.abs(scores).max() < 4
    assert np.all((spread > 0.5) & (spread < 1.6)), spread


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: chains().expect_terms("H"), TypeError, "`operator` must be a DiscreteOperator"),
        (lambda: chains().expect_terms(operator.spin.sz(Spin(6), 0)), ValueError, "`operator` must act on Spin"),
        (
            lambda: chains().expect_terms(operator.spin.sz(SPIN, 0), np.ones(1)),
            ValueError,
            r"`transform` must have shape \(m, 1\), got \(1,\)",
        ),
        (lambda: chains().expect_terms(operator.spin.sz(SPIN, 0), np.ones((3, 2))), ValueError, "`transform` must"),
        (
            lambda: VariationalState(RBM(), Exact(SPIN)).expect_terms(operator.spin.sz(SPIN, 0)),
            ValueError,
            "`state` must have samples",
        ),
        (lambda: chains().expect_terms(hamiltonian.ising(Spin(6), CHAIN)), ValueError, "`operator` must act on"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_nothing_is_compiled_twice():
    """Neither for other samples, nor another matrix of the same shape, nor the same function."""
    op, _ = OPERATORS["diagonal"]()
    sampler = Metropolis(SPIN, Exchange(CHAIN), n_chains=8)
    state = VariationalState(RBM(), sampler, 16).sample()
    traces = []

    def counted(x, factor):
        traces.append(1)
        return factor * x

    for factor in (1.0, 2.0):
        function = jax.tree_util.Partial(counted, factor=jnp.asarray(factor))
        state.sample().expect_terms(op, factor * np.eye(5), function)
    first = len(traces)
    state.sample().expect_terms(op, 3 * np.eye(5), jax.tree_util.Partial(counted, factor=jnp.asarray(3.0)))
    assert len(traces) == first
