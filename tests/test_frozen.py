# SPDX-License-Identifier: Apache-2.0
"""Parameters that are not optimised."""

import jax
import numpy as np
import optax
import pytest

from manybody import VariationalState, ansatz, driver, hamiltonian, lattice, sr
from manybody.hilbert import Spin
from manybody.sampler import Exact
from tests.estimator.ansatzes import NnxNet

SPACE = Spin(4)
ISING = hamiltonian.ising(SPACE, lattice.chain(4))


def state(wave_function=None):
    wave_function = ansatz.MLP(hidden=(30, 40)) if wave_function is None else wave_function
    return VariationalState(wave_function, Exact(SPACE), seed=1).sample()


def leaves(tree):
    return {jax.tree_util.keystr(path): np.asarray(x) for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]}


def test_the_same_state_with_fewer_parameters():
    free = state()
    frozen = free.freeze("layers_0", "layers_1/bias")
    assert frozen.n_params == free.n_params - 4 * 30 - 30 - 40
    assert set(leaves(frozen.params)) == {"['layers_1']['kernel']", "['output']['kernel']"}
    np.testing.assert_array_equal(frozen.log_psi(SPACE.all_states()), free.log_psi(SPACE.all_states()))
    assert frozen.expect(ISING).mean == free.expect(ISING).mean
    assert frozen.network.is_incremental
    thawed = frozen.thaw()
    assert thawed.network == free.network
    assert jax.tree.structure(thawed.params) == jax.tree.structure(free.params)
    assert jax.tree.all(jax.tree.map(np.array_equal, thawed.params, free.params))
    assert free.thaw() is free


def test_twice_is_both():
    free = state()
    frozen = free.freeze("layers_0/kernel").freeze("*/bias")
    assert set(leaves(frozen.params)) == {"['layers_1']['kernel']", "['output']['kernel']"}
    assert frozen.network == free.freeze("*/bias", "layers_0/kernel").network


@pytest.mark.parametrize("method", ["parameters", "samples"])
def test_a_step_is_that_of_the_smaller_set_of_parameters(method):
    """Force and metric are the blocks of those that are left; what is frozen stays."""
    free = state()
    frozen = free.freeze("layers_0")
    whole, part = (one.expect_and_force(ISING)[1] for one in (free, frozen))
    for name, force in leaves(part).items():
        np.testing.assert_allclose(force, leaves(whole)[name], rtol=1e-12)
    flat, unravel = jax.flatten_util.ravel_pytree(part)
    metric = np.asarray(sr.qgt(frozen)) + 0.01 * np.eye(len(flat))
    expected = unravel(np.linalg.solve(metric, flat))
    before = leaves(frozen.params)
    solver = sr.SR(diag_shift=0.01, method=method)
    run = driver.VMC(ISING, frozen, optimizer=optax.sgd(1.0), preconditioner=solver)
    after = run.run(1, progress=False)
    for name, value in leaves(after.params).items():
        np.testing.assert_allclose(value, before[name] - leaves(expected)[name], rtol=1e-6, atol=1e-9)
    old, new = leaves(free.params), leaves(after.thaw().params)
    for name in old:
        assert np.array_equal(old[name], new[name]) == ("layers_0" in name)


def test_saved_and_loaded(tmp_path):
    frozen = state().freeze("layers_0")
    frozen.save(tmp_path / "state.npz")
    other = VariationalState(ansatz.MLP(hidden=(30, 40)), Exact(SPACE), seed=2).freeze("layers_0")
    np.testing.assert_array_equal(
        other.load(tmp_path / "state.npz").log_psi(SPACE.all_states()), frozen.log_psi(SPACE.all_states())
    )


def test_nnx_module():
    free = state(NnxNet(4))
    name = next(iter(leaves(free.params)))
    assert free.freeze("*kernel*").n_params < free.n_params, name
    np.testing.assert_array_equal(free.freeze("*kernel*").log_psi(SPACE.all_states()), free.log_psi(SPACE.all_states()))


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["layer_0"], r"`patterns` must name parameters \(layers_0/bias, layers_0/kernel, .*got layer_0"),
        (["*"], "`patterns` must leave a parameter to be optimised"),
    ],
)
def test_bad_patterns(patterns, message):
    with pytest.raises(ValueError, match=message):
        state().freeze(*patterns)
