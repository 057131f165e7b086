# SPDX-License-Identifier: Apache-2.0
"""The variational state: what its constructor accepts, that it does not change, and what belongs to what."""

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody import VariationalState, hamiltonian, lattice, operator
from manybody.ansatz import RBM, MeanField
from manybody.hilbert import Spin
from manybody.io import CheckpointError
from manybody.parallel import Comm, mesh_comm
from manybody.sampler import Exact, LocalFlip, Metropolis, Samples
from tests.exact_formulas import to_vector

SPACE = Spin(4)
SAMPLER = Metropolis(SPACE, LocalFlip(), n_chains=8)
HAM = hamiltonian.ising(SPACE, lattice.chain(4))


@functools.cache
def state(**options):
    return VariationalState(RBM(param_dtype=complex), SAMPLER, 16, **options)


def test_facts():
    s = state()
    assert s.space == SPACE
    assert s.n_params == 2 * (4 * 4 + 4 + 4)
    assert (s.n_samples, s.n_local, s.draws) == (16, 16, 2)
    assert s.samples is None
    assert "48 real parameters, 16 samples" in repr(s)
    assert VariationalState(MeanField(), SAMPLER).n_samples == 8
    assert VariationalState(MeanField(), Exact(SPACE)).n_samples == 16
    on_two = VariationalState(MeanField(), SAMPLER, 16, comm=mesh_comm(jax.devices()[:2]))
    assert (on_two.n_samples, on_two.n_local) == (16, 8)


def test_seed_decides_parameters_and_chains():
    same, other = VariationalState(RBM(param_dtype=complex), SAMPLER, 16), state(seed=1)
    key = VariationalState(RBM(param_dtype=complex), SAMPLER, 16, seed=jax.random.key(0))
    for twin in (same, key):
        np.testing.assert_array_equal(to_vector(twin.params), to_vector(state().params))
        np.testing.assert_array_equal(twin.chains.sigma, state().chains.sigma)
    assert np.all(to_vector(other.params) != to_vector(state().params))
    assert np.any(other.chains.sigma != state().chains.sigma)


def test_sampling_gives_another_state():
    s = state()
    first = s.sample()
    assert s.samples is None
    assert first.samples.sigma.shape == (8, 2, 4)
    second = first.sample()
    assert np.any(first.samples.sigma != second.samples.sigma)
    again = s.sample()
    np.testing.assert_array_equal(again.samples.sigma, first.samples.sigma)
    np.testing.assert_array_equal(first.chains.sigma, first.samples.sigma[:, -1])


def test_it_does_not_change():
    s = state().sample()
    with pytest.raises(AttributeError, match=r"state.replace\(params=...\)"):
        s.params = {}
    with pytest.raises(AttributeError, match="make another one"):
        s.anything = 1
    with pytest.raises(TypeError, match="VariationalState has no parameters"):
        s.replace(parameters={})


def test_samples_belong_to_parameters():
    s = state().sample()
    assert s.replace(params=s.params).samples is None
    assert s.replace(chunk_size=4).samples is s.samples
    kept = s.replace(params=s.params, samples=s.samples)
    assert kept.samples is s.samples


def test_it_is_a_pytree():
    s = state().sample()
    leaves, structure = jax.tree.flatten(s)
    twin = jax.tree.unflatten(structure, leaves)
    assert twin.sampler == s.sampler
    np.testing.assert_array_equal(twin.samples.sigma, s.samples.sigma)
    doubled = jax.jit(lambda x: jax.tree.map(lambda a: a + a, x.params))(s)
    np.testing.assert_allclose(to_vector(doubled), 2 * to_vector(s.params))
    paths = {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(s)[0]}
    assert ".params['hidden']['kernel']" in paths


def test_given_parameters():
    s = state()
    doubled = jax.tree.map(lambda x: 2 * x, s.params)
    given = VariationalState(RBM(param_dtype=complex), SAMPLER, 16, params=doubled)
    np.testing.assert_array_equal(to_vector(given.params), 2 * to_vector(s.params))
    for wrong in ({}, {**s.params, "more": jnp.ones(3)}, VariationalState(RBM(alpha=2), Exact(SPACE)).params):
        with pytest.raises(ValueError, match="`params` must have the names and shapes of the parameters of the ansatz"):
            VariationalState(RBM(param_dtype=complex), SAMPLER, 16, params=wrong)


def test_values():
    s = state()
    states = SPACE.all_states()
    log_psi = s.log_psi(states)
    assert log_psi.shape == (16,)
    np.testing.assert_array_equal(s.log_psi(states.reshape(2, 8, 4)), log_psi.reshape(2, 8))
    np.testing.assert_allclose(s.replace(chunk_size=5).log_psi(states), log_psi, rtol=1e-14)
    np.testing.assert_allclose(s.log_psi(states[3]), log_psi[3], rtol=1e-13)
    psi = np.exp(np.asarray(log_psi))
    np.testing.assert_allclose(np.abs(np.vdot(s.to_array(), psi)), np.linalg.norm(psi), rtol=1e-12)
    assert np.linalg.norm(s.to_array()) == pytest.approx(1)


def test_expectation_values_of_samples():
    """Means of local values, which are those of dense matrices; the energy of a Hermitian operator is real."""
    s = state().sample()
    psi = s.to_array()
    local = (HAM.to_dense() @ psi / psi)[SPACE.states_to_index(np.asarray(s.samples.sigma))]
    np.testing.assert_allclose(s.local_values(HAM), local, rtol=1e-10)
    energy = s.expect(HAM)
    assert energy.mean.dtype == jnp.float64
    assert energy.mean == pytest.approx(local.real.mean(), rel=1e-12)
    assert energy.variance == pytest.approx(np.mean(np.abs(local - local.real.mean()) ** 2), rel=1e-10)
    assert energy.n_draws == 2
    again, force = s.expect_and_force(HAM)
    assert again.mean == pytest.approx(float(energy.mean), rel=1e-14)
    assert jax.tree.structure(force) == jax.tree.structure(s.params)


def test_local_values_of_more_samples_than_the_state_draws():
    sigma = jnp.asarray(SPACE.all_states())[:, None]
    s = VariationalState(RBM(), SAMPLER)
    many = Samples(sigma, s.log_psi(sigma), jnp.full(sigma.shape[:2], 1 / len(sigma)), "chain")
    assert many.weight.size > s.n_samples
    psi = s.to_array()
    np.testing.assert_allclose(s.replace(samples=many).local_values(HAM)[:, 0], HAM.to_dense() @ psi / psi, rtol=1e-10)


def half(sigma):
    return sigma.astype(float)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: VariationalState(RBM(), SAMPLER, 20),
            ValueError,
            r"multiple of n_chains \(8\), got 20. Nearest: 16 or 24",
        ),
        (lambda: VariationalState(RBM(), SAMPLER, 0), ValueError, "1 <= n_samples"),
        (lambda: VariationalState(RBM(), Exact(SPACE), 16), ValueError, "`n_samples` must be None for the exact"),
        (lambda: VariationalState(RBM(), LocalFlip()), TypeError, "`sampler` must be a Sampler"),
        (lambda: VariationalState(SAMPLER, RBM()), TypeError, "`sampler` must be a Sampler"),
        (lambda: VariationalState(RBM(), SAMPLER, seed=1.5), TypeError, "`seed` must be an integer"),
        (lambda: VariationalState(RBM(), SAMPLER, chunk_size=0), ValueError, "1 <= chunk_size"),
        (
            lambda: VariationalState((lambda k, s: {}, lambda p, s: half(s)), SAMPLER),
            ValueError,
            r"\(2,\), got \(2, 4\)",
        ),
        (lambda: VariationalState((lambda k, s: {}, lambda p, s: s[:, 0]), SAMPLER), ValueError, "`ansatz` must map"),
        (
            lambda: VariationalState(RBM(), SAMPLER, comm=mesh_comm(jax.devices()[:3])),
            ValueError,
            r"`n_chains` must be a multiple of the number of workers \(3\), got 8. Nearest: 6 or 9",
        ),
        (
            lambda: state().expect(HAM),
            ValueError,
            r"`state` must have samples, got none yet. Use `state = state.sample",
        ),
        (
            lambda: state().log_psi(np.ones((2, 5), np.int8)),
            ValueError,
            r"`sigma` must have shape \(..., 4\), got \(2, 5",
        ),
        (lambda: state().log_psi(np.int8(1)), ValueError, r"`sigma` must have shape \(..., 4\), got \(\)"),
        (lambda: state().log_psi(np.ones((2, 4))), TypeError, "`sigma` must have an integer dtype, got float64"),
        (lambda: state().local_values(HAM), ValueError, "`state` must have samples"),
        (lambda: state().expect(HAM.to_dense()), TypeError, "`operator` must be a Operator"),
        (lambda: state().expect_and_force("H"), TypeError, "`operator` must be a Operator"),
        (lambda: state().expect(operator.spin.sz(Spin(5), 0)), ValueError, r"`operator` must act on Spin\(n_sites=4"),
        (lambda: state().expect_and_force(operator.spin.sp(SPACE, 0)), ValueError, "must be Hermitian to have a force"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_exact_sampler_on_workers_that_do_not_divide_the_space():
    """16 states on 3 workers: the same energy and force."""
    three = VariationalState(RBM(), Exact(SPACE), comm=mesh_comm(jax.devices()[:3])).sample()
    one = VariationalState(RBM(), Exact(SPACE), comm=Comm()).sample()
    (a, f), (b, g) = three.expect_and_force(HAM), one.expect_and_force(HAM)
    assert a.mean == pytest.approx(float(b.mean), rel=1e-13)
    assert a.variance == pytest.approx(float(b.variance), rel=1e-12)
    np.testing.assert_allclose(to_vector(f), to_vector(g), atol=1e-13)


def test_samplers_can_be_pickled():
    assert pickle.loads(pickle.dumps(SAMPLER)) == SAMPLER


@pytest.mark.parametrize("comm", [Comm(), mesh_comm(jax.devices()[:2])], ids=["serial", "mesh"])
def test_saved_and_loaded(tmp_path, comm):
    path = tmp_path / "state.npz"
    saved = VariationalState(RBM(), SAMPLER, 16, seed=1, comm=comm).sample()
    saved.save(path)
    loaded = VariationalState(RBM(), SAMPLER, 16, seed=2).load(path)
    assert loaded.samples is None
    np.testing.assert_array_equal(to_vector(loaded.params), to_vector(saved.params))
    np.testing.assert_array_equal(loaded.sample().samples.sigma, saved.sample().samples.sigma)
    with pytest.raises(CheckpointError, match="must have shape"):
        VariationalState(RBM(alpha=2), SAMPLER, 16).load(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        loaded.load(path)


def test_files_that_are_not_there(tmp_path):
    state = VariationalState(RBM(), SAMPLER, 16)
    with pytest.raises(CheckpointError, match=r"`path` must be a file that is there, got '.*none\.npz'\.$"):
        state.load(tmp_path / "none.npz")
    with pytest.raises(CheckpointError, match=r"cannot be read: Is a directory\.$"):
        state.load(tmp_path)
    with pytest.raises(ValueError, match=r"`path` must lie in a directory that is there, .* Make .*/no first\.$"):
        state.save(tmp_path / "no" / "state.npz")
