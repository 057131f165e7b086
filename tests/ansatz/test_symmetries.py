# SPDX-License-Identifier: Apache-2.0
"""Weights shared over permutations of sites."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manybody.ansatz import RBM, DensityRBM
from manybody.hilbert import Spin
from manybody.lattice import chain, square

LATTICE = square(3, 2)
PERMUTATIONS = LATTICE.translations()


def _setup(**options):
    rbm = RBM(alpha=2, symmetries=PERMUTATIONS, **options)
    sigma = Spin(6).random_state(jax.random.key(0), 7)
    return rbm, rbm.init(jax.random.key(1), sigma), sigma


@pytest.mark.parametrize(
    "options",
    [pytest.param({}, marks=pytest.mark.slow), {"param_dtype": complex}, {"separate_phase": True}],
    ids=str,
)
def test_invariant_with_fewer_parameters(options):
    rbm, variables, sigma = _setup(**options)
    log_psi = rbm.apply(variables, sigma)
    for permutation in PERMUTATIONS:
        np.testing.assert_allclose(rbm.apply(variables, sigma[:, permutation]), log_psi, atol=1e-13)
    n_parts = 2 if options.get("separate_phase") else 1
    assert sum(x.size for x in jax.tree.leaves(variables)) == n_parts * (6 * 2 + 2 + 6)
    assert np.ptp(np.asarray(log_psi).real) > 1e-3  # not a constant


@pytest.mark.parametrize(
    "options",
    [pytest.param({}, marks=pytest.mark.slow), {"param_dtype": complex}, {"use_hidden_bias": False}],
    ids=str,
)
def test_log_ratios_and_caches(options):
    rbm, variables, sigma = _setup(**options)
    sites = jnp.array([[0, 4]] * 7)
    values = -jnp.take_along_axis(sigma, sites, axis=1)
    changed = jnp.put_along_axis(sigma, sites, values, 1, inplace=False)
    cache = rbm.apply(variables, sigma, method="init_cache")
    ratio = rbm.apply(variables, cache, sites, values, method="log_ratio")
    expected = rbm.apply(variables, changed) - rbm.apply(variables, sigma)
    np.testing.assert_allclose(np.exp(ratio), np.exp(expected), rtol=1e-12)
    updated = rbm.apply(variables, cache, sites, values, jnp.ones(7, bool), method="update_cache")
    fresh = rbm.apply(variables, changed, method="init_cache")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-13), updated, fresh)


def test_equals_a_plain_rbm_with_the_copied_weights():
    rbm, variables, sigma = _setup(use_visible_bias=False)
    w = np.asarray(variables["params"]["hidden"]["kernel"])
    b = np.asarray(variables["params"]["hidden"]["bias"])
    x = np.asarray(sigma, float)
    total = 0.0
    for permutation in PERMUTATIONS:
        total = total + np.log(np.cosh(x[:, permutation] @ w + b)).sum(axis=1)
    np.testing.assert_allclose(rbm.apply(variables, sigma), total, rtol=1e-13)


@pytest.mark.parametrize("make", [RBM, DensityRBM])
def test_a_group_is_its_permutations(make):
    assert make(alpha=2, symmetries=LATTICE.translation_group()) == make(alpha=2, symmetries=PERMUTATIONS)


@pytest.mark.parametrize(
    "group", [chain(4).translation_group().with_inversion(), chain(4, twist=np.pi).translation_group()]
)
def test_a_group_that_does_more_than_permute_is_refused(group):
    with pytest.raises(ValueError, match=r"`symmetries` must have neither signs nor inversion.*`GCNN`"):
        RBM(symmetries=group)


def test_bad_permutations():
    with pytest.raises(ValueError, match="`symmetries` must hold permutations"):
        RBM(symmetries=PERMUTATIONS + 1)
    with pytest.raises(ValueError, match="`alpha` must make a number of hidden units that is a multiple of 6"):
        RBM(alpha=1.5, symmetries=PERMUTATIONS).init(jax.random.key(0), jnp.ones((1, 6), jnp.int8))
    with pytest.raises(ValueError, match="`symmetries` must permute 8 sites"):
        RBM(symmetries=PERMUTATIONS).init(jax.random.key(0), jnp.ones((1, 8), jnp.int8))
