# SPDX-License-Identifier: Apache-2.0
"""Parameters as Chebyshev series in couplings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from numpy.polynomial import chebyshev

from manybody.ansatz import MLP, RBM, Conditioned, Jastrow, Product
from manybody.hilbert import Spin

SIGMA = Spin(5).all_states()
ONE = Conditioned(Product((RBM(param_dtype=complex), Jastrow())), 0.5, 2.0, 4)
TWO = Conditioned(MLP((3,)), (-1.0, 2.0), (1.0, 3.0), 3)


def filled(ansatz, couplings, seed=0):
    """Parameters with coefficients of all orders."""
    start = jax.device_get(ansatz.init(jax.random.key(seed), SIGMA, couplings)["params"])
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: (x + 0.1 * rng.normal(size=x.shape)).astype(x.dtype), start)


def test_one_coupling_is_a_chebyshev_series():
    params = filled(ONE, 1.0)
    for g in (0.5, 0.9, 2.0):
        found = ONE.at(params, g)
        right = jax.tree.map(lambda c, g=g: chebyshev.chebval((g - 1.25) / 0.75, np.asarray(c)), params["ansatz"])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), found, right)
        assert {x.dtype for x in jax.tree.leaves(found)} == {np.dtype(float), np.dtype(complex)}


def test_several_couplings_are_products_up_to_the_total_degree():
    params, g = filled(TWO, (0.0, 2.5)), np.array([0.3, 2.9])
    pairs = [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0), (0, 3), (1, 2), (2, 1), (3, 0)]
    x = np.array([0.3, 0.8])
    basis = [np.cos(a * np.arccos(x[0])) * np.cos(b * np.arccos(x[1])) for a, b in pairs]
    np.testing.assert_allclose(TWO.features(g), basis, rtol=1e-12)
    right = jax.tree.map(lambda c: np.tensordot(basis, c, axes=1), params["ansatz"])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11), TWO.at(params, g), right)


@pytest.mark.parametrize(("ansatz", "g"), [(ONE, 0.7), (TWO, (0.3, 2.1))], ids=["one", "two"])
def test_log_psi_is_that_of_the_plain_ansatz(ansatz, g):
    params = filled(ansatz, g)
    found = jax.jit(ansatz.apply)({"params": params}, SIGMA, jnp.asarray(g))
    np.testing.assert_allclose(found, ansatz.ansatz.apply({"params": ansatz.at(params, g)}, SIGMA), rtol=1e-12)
    assert np.std(found - ansatz.apply({"params": params}, SIGMA, np.asarray(g) + 0.1)) > 1e-3


@pytest.mark.parametrize(("ansatz", "g"), [(ONE, 0.7), (TWO, (0.3, 2.1))], ids=["one", "two"])
def test_slopes_are_finite_differences(ansatz, g):
    params, g, step = filled(ansatz, g), np.asarray(g), 1e-5
    found = ansatz.slopes(params, g)
    for number, direction in enumerate(np.eye(g.size).reshape(-1, *g.shape)):
        after, before = (ansatz.at(params, g + sign * step * direction) for sign in (1, -1))
        right = jax.tree.map(lambda a, b: (a - b) / (2 * step), after, before)
        own = found if g.ndim == 0 else jax.tree.map(lambda x, n=number: x[n], found)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-8), own, right)


class Cosh(nnx.Module):
    """A hidden layer, and a factor that is no parameter."""

    def __init__(self, rngs):
        self.hidden = nnx.Linear(5, 3, rngs=rngs, param_dtype=float)
        self.factor = nnx.Variable(jnp.array(0.7))

    def __call__(self, sigma):
        return self.factor[...] * jnp.sum(jnp.log(jnp.cosh(self.hidden(sigma.astype(float)))), axis=-1)


def test_nnx_modules():
    module = Cosh(nnx.Rngs(1))
    family = Conditioned(module, 0.5, 2.0, 2)
    start = family.init(jax.random.key(0), SIGMA, 0.7)["params"]
    np.testing.assert_allclose(family.apply({"params": start}, SIGMA, 1.9), module(SIGMA), rtol=1e-14)
    params, g = filled(family, 0.7), 0.9
    series = params["ansatz"]["hidden"]
    kernel, bias = (chebyshev.chebval((g - 1.25) / 0.75, np.asarray(series[name][...])) for name in ("kernel", "bias"))
    right = 0.7 * np.sum(np.log(np.cosh(SIGMA @ kernel + bias)), axis=-1)
    np.testing.assert_allclose(jax.jit(family.apply)({"params": params}, SIGMA, g), right, rtol=1e-12)
    np.testing.assert_allclose(family.at(params, g)["hidden"]["bias"][...], bias, rtol=1e-12)
    assert np.std(right - module(SIGMA)) > 1e-2


def test_starts_as_one_state_for_all_couplings():
    start = ONE.init(jax.random.key(4), SIGMA, 1.0)["params"]
    one, other = (ONE.at(start, g) for g in (0.5, 1.7))
    jax.tree.map(np.testing.assert_array_equal, one, other)
    assert np.std(ONE.apply({"params": start}, SIGMA, 1.0)) > 0.1
    jax.tree.map(np.testing.assert_array_equal, ONE.from_plain(one), start)
    constant = Conditioned(RBM(), 0.0, 1.0, 0)
    assert constant.init(jax.random.key(0), SIGMA, 0.3)["params"]["ansatz"]["hidden"]["bias"].shape == (1, 5)


def test_equal_when_made_alike():
    again = Conditioned(MLP((3,)), np.array([-1, 2]), np.array([1, 3]), 3)
    assert again == TWO
    assert hash(again) == hash(TWO)
    assert (ONE.n_couplings, TWO.n_couplings, ONE.shape, TWO.shape) == (1, 2, (), (2,))


def test_ends_of_a_grid_are_inside():
    grid = np.linspace(0.1, 0.7, 7)
    assert 0.1 + 6 * 0.1 > 0.7
    box = Conditioned(RBM(), 0.1, 0.7, 1)
    np.testing.assert_array_equal(box.check_inside(0.1 + 0.1 * np.arange(7)), 0.1 + 0.1 * np.arange(7))
    assert box.check_inside(grid).shape == (7,)
    assert TWO.check_inside([[0, 2], [1, 3], [-1, 2]]).shape == (3, 2)


def test_what_is_refused():
    with pytest.raises(TypeError, match=r"`ansatz` must be a flax\.linen or flax\.nnx module"):
        Conditioned(lambda sigma: sigma, 0, 1, 2)
    with pytest.raises(ValueError, match=r"`upper` must be larger than `lower` \(1\.0\)"):
        Conditioned(RBM(), 1, 1, 2)
    with pytest.raises(ValueError, match=r"`upper` must have the form of `lower`"):
        Conditioned(RBM(), 0, (1, 2), 2)
    with pytest.raises(ValueError, match="`lower` must be a number, or one for each coupling"):
        Conditioned(RBM(), np.nan, 1, 2)
    with pytest.raises(ValueError, match="`degree` must satisfy 0 <= degree, got -1"):
        Conditioned(RBM(), 0, 1, -1)
    params = filled(ONE, 1.0)
    with pytest.raises(ValueError, match=r"`couplings` must have shape \(\), got \(2,\)"):
        ONE.at(params, (1.0, 1.0))
    with pytest.raises(ValueError, match=r"`couplings` must lie between \(-1\.0, 2\.0\) and \(1\.0, 3\.0\)"):
        TWO.check_inside((0.0, 3.5))
    with pytest.raises(ValueError, match=r"`couplings` must have shape \(\.\.\., 2\)"):
        TWO.check_inside(0.5)
