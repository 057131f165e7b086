# SPDX-License-Identifier: Apache-2.0
"""The buffer for connections, and work in chunks: the same numbers, with less memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from manybody import VariationalState, driver, hamiltonian, lattice, operator
from manybody.amplitude import FullEvaluation
from manybody.ansatz import MLP, RBM
from manybody.estimator import buffer_size, count_rows, local_values
from manybody.hilbert import Spin
from manybody.parallel import Comm
from manybody.sampler import Exact, Exchange, LocalFlip, Metropolis
from manybody.sr import SR
from manybody.state import _expectation
from tests.exact_formulas import QUICK, to_vector
from tests.sampler.amplitudes import random_log_psi, table

SPACE = Spin(6, total_sz=0)
HAM = hamiltonian.heisenberg(SPACE, lattice.chain(6), J=(1.0, 0.5))
LOG_PSI = random_log_psi(SPACE)


@functools.cache
def evaluate(n_buffer, chunk_size):
    run = functools.partial(local_values, Comm(), n_buffer=n_buffer, chunk_size=chunk_size)
    return jax.jit(lambda op, sigma: run(table(SPACE, LOG_PSI), op, sigma), compiler_options=QUICK)(
        HAM.compile(), jnp.asarray(SPACE.all_states())
    )


def n_nonzero():
    matrix = HAM.to_dense()
    return int(np.count_nonzero(matrix) - np.count_nonzero(np.diag(matrix)))


def test_the_edge_of_the_buffer():
    """As many rows as fit are enough, one less is not and is told; what is left over is not used."""
    n = n_nonzero()
    assert n < SPACE.n_states * HAM.max_connections
    right = HAM.to_dense() @ np.exp(LOG_PSI) / np.exp(LOG_PSI)
    for n_buffer in (n, n + 1, SPACE.n_states * HAM.max_connections):
        values, n_rows = evaluate(n_buffer, None)
        assert n_rows == n
        np.testing.assert_allclose(values, right, rtol=1e-12)
    values, n_rows = evaluate(n - 1, None)
    assert n_rows == n > n - 1
    assert np.sum(np.abs(values - right) > 1e-6) == 1  # one row is missing


@pytest.mark.parametrize("chunk_size", [1, 7, 64, 10_000])
def test_chunks_of_connections(chunk_size):
    assert n_nonzero() % 7 != 0
    assert SPACE.n_states % 7 != 0
    right, _ = evaluate(n_nonzero(), None)
    values, n_rows = evaluate(n_nonzero(), chunk_size)
    np.testing.assert_allclose(values, right, rtol=1e-13)
    assert n_rows == n_nonzero()


@pytest.mark.parametrize("chunk_size", [7, 64])
def test_only_connections_in_use_are_evaluated(chunk_size):
    """And what fills up the last chunk, however large the buffer is."""
    evaluated = []
    inner = table(SPACE, LOG_PSI)

    def log_psi(params, sigma):
        jax.debug.callback(lambda sigma: evaluated.append(len(sigma)), sigma)
        return inner.log_psi(sigma)

    n_buffer = SPACE.n_states * HAM.max_connections
    sigma = jnp.asarray(SPACE.all_states())
    run = functools.partial(local_values, Comm(), FullEvaluation(log_psi, ()), n_buffer=n_buffer, chunk_size=chunk_size)
    _, n_rows = jax.block_until_ready(jax.jit(run)(HAM.compile(), sigma))
    jax.effects_barrier()
    n_chunks = -(-int(n_rows) // chunk_size)
    of_samples = -(-SPACE.n_states // chunk_size)
    assert n_rows < n_buffer - chunk_size
    assert evaluated == [min(chunk_size, SPACE.n_states)] * of_samples + [chunk_size] * n_chunks


def test_count_of_rows():
    for chunk_size in (None, 7):
        assert count_rows(Comm(), HAM.compile(), jnp.asarray(SPACE.all_states()), chunk_size) == n_nonzero()


@pytest.mark.parametrize("chunk_size", [None, 7])
@pytest.mark.parametrize("fields", [(1.0, 1.0, 1.0, 1.0), (0.0, 0.7, 0.0, 0.3), (0.0, 0.0, 0.0, 0.0)])
def test_connections_that_all_configurations_have(fields, chunk_size):
    """They are not looked for, but couplings that vanish still count as none."""
    space = Spin(4)
    ham = sum(h * operator.spin.sx(space, i) for i, h in enumerate(fields)) + operator.spin.sz(space, 0)
    assert ham.compile().never_vanishes
    log_psi = random_log_psi(space)
    psi = np.exp(log_psi)
    sigma = jnp.asarray(space.all_states())
    values, n_rows = local_values(Comm(), table(space, log_psi), ham.compile(), sigma, 64, chunk_size)
    np.testing.assert_allclose(values, ham.to_dense() @ psi / psi, rtol=1e-12)
    assert int(n_rows) == 16 * np.count_nonzero(fields)


def test_which_operators_have_all_connections():
    space = Spin(4)
    flip, sign, raised = operator.spin.sx(space, 1), operator.spin.sz(space, 0), operator.spin.sp(space, 2)
    for every in (hamiltonian.ising(space, lattice.chain(4)), flip, flip @ sign):
        assert every.compile().never_vanishes
    for not_every in (HAM, raised, flip + raised, flip + flip @ sign):
        assert not not_every.compile().never_vanishes


@pytest.mark.parametrize("n_rows", [0, 1, 7, 100, 12_345])
def test_size_of_the_buffer(n_rows):
    """Room for a quarter more, on a coarse grid, and never more than there can be."""
    size = buffer_size(n_rows, 10**6, 10)
    assert n_rows + n_rows // 4 <= size <= 1.6 * n_rows + 1
    assert buffer_size(n_rows, max(1, n_rows // 10), 10) <= max(1, n_rows // 10) * 10
    sizes = {buffer_size(n, 10**6, 10) for n in range(1000, 2000)}
    assert len(sizes) <= 8


def test_rows_that_fill_up_do_no_harm():
    """They may stand for illegal changes, of which the amplitude knows nothing: here it is nan."""
    chain = hamiltonian.heisenberg(Spin(4, total_sz=0), lattice.chain(4))
    space = chain.space

    def log_psi(params, sigma):
        return jnp.where(sigma.astype(float).sum(axis=-1) == 0, 0.0, jnp.nan)

    sigma = jnp.asarray(space.all_states())
    values, n_rows = local_values(Comm(), FullEvaluation(log_psi, {}), chain.compile(), sigma, 24, 5)
    assert n_rows < 24
    np.testing.assert_allclose(values, chain.to_dense().sum(axis=1), rtol=1e-13)


def test_zeros_of_psi():
    """Connections to states where psi vanishes add nothing; such states have no weight in an exact sum."""
    space = Spin(4)
    ham = hamiltonian.ising(space, lattice.chain(4))
    log_psi = np.where(np.arange(16) % 3 == 0, -np.inf, random_log_psi(space))
    psi = np.exp(log_psi)
    state = VariationalState(
        (lambda key, s: {"table": jnp.asarray(log_psi)}, lambda p, s: p["table"][space.states_to_index(s)]),
        Exact(space),
    ).sample()
    energy, force = state.expect_and_force(ham)
    matrix = ham.to_dense()
    norm = np.vdot(psi, psi).real
    right = np.vdot(psi, matrix @ psi).real / norm
    assert energy.mean == pytest.approx(right, rel=1e-12)
    weight = np.abs(psi) ** 2 / norm
    with np.errstate(all="ignore"):
        local = np.where(weight > 0, matrix @ psi / psi, 0)
    np.testing.assert_allclose(force["table"], weight * (local - right), atol=1e-13)


@functools.cache
def estimates(chunk_size):
    ham = hamiltonian.heisenberg(Spin(8, total_sz=0), lattice.chain(8))
    ansatz = RBM(param_dtype=complex)
    state = VariationalState(ansatz, Exact(ham.space), seed=1, chunk_size=chunk_size)
    preconditioner = SR(1e-3, "samples")
    vmc = driver.VMC(ham, state, optimizer=optax.sgd(0.1), preconditioner=preconditioner)
    energy, force = state.sample().expect_and_force(ham)
    vmc.advance()
    return energy, to_vector(force), to_vector(vmc.progress.params)


def test_chunks_change_nothing():
    """Energy, force and a whole step; 70 samples in chunks of 33."""
    right, found = estimates(None), estimates(33)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def memory(compiled):
    return compiled.memory_analysis().temp_size_in_bytes


def test_chunks_save_memory():
    """Estimator of energy and force, and a whole step: less than a fifth of the work space (32 chunks)."""
    space, chain = Spin(10), lattice.chain(10)
    ham = hamiltonian.ising(space, chain)
    sampler = Metropolis(space, LocalFlip(), n_chains=512)
    sizes = {}
    for chunk_size in (None, 128):
        state = VariationalState(MLP(hidden=(128, 128)), sampler, 4096, chunk_size=chunk_size)
        samples = jax.eval_shape(lambda s: s.sample(), state).samples
        arguments = (state.params, state.constants, ham.compile(), samples)
        estimator = _expectation(state.comm, state.network, "chain", 4096 * 10, chunk_size, True, True)
        preconditioner = SR(1e-2, "parameters", "cg")
        vmc = driver.VMC(ham, state, optimizer=optax.sgd(0.1), preconditioner=preconditioner)
        step = vmc._make_step(4096 * 10)
        sizes[chunk_size] = [
            memory(estimator.lower(*arguments).compile()),
            memory(jax.jit(step).lower(vmc.progress, vmc._operator).compile()),
        ]
    for whole, in_chunks in zip(sizes[None], sizes[128], strict=True):
        assert in_chunks < whole / 5, sizes


def test_an_exchange_keeps_to_the_sector_in_local_energies():
    """Every connection of legal configurations with a non-zero element is legal."""
    sampler = Metropolis(SPACE, Exchange("all"), n_chains=16)
    state = VariationalState(RBM(), sampler, 32).sample()
    connections = HAM.connections(state.samples.flat_sigma)
    sigma = np.repeat(np.asarray(state.samples.flat_sigma)[:, None], HAM.max_connections, axis=1)
    np.put_along_axis(sigma, np.asarray(connections.sites), np.asarray(connections.values), axis=-1)
    assert np.all(SPACE.contains(sigma)[np.asarray(connections.elements) != 0])
