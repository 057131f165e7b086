# SPDX-License-Identifier: Apache-2.0
"""Matrix product states against dense contractions: amplitudes, norms, changes, draws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from manybody import VariationalState
from manybody.ansatz import MPS, Jastrow
from manybody.ansatz.composition import Product
from manybody.hilbert import Constrained, Fock, Qubit, Spin
from manybody.hilbert import Product as ProductSpace
from manybody.sampler import Direct, Exact, MultiFlip
from manybody.testing import check_ansatz
from tests.cases import some_slow

MIXED = ProductSpace(Spin(2), Fock(2, n_max=2), Qubit(1))
SPIN = Spin(6)
TAKING_TURNS = ProductSpace(Spin(1), Fock(1, n_max=2), Qubit(2), Fock(1, n_max=2))
STATES = {
    "open": (SPIN, (3, 4, 1, 5, 2), False, float),
    "open-complex": (SPIN, (2, 3, 3, 3, 2), False, complex),
    "open-mixed": (MIXED, (2, 5, 3, 2), False, complex),
    "ring": (SPIN, (3, 3, 3, 3, 3, 3), True, float),
    "ring-mixed": (MIXED, (2, 4, 1, 3, 5), True, complex),
    "ring-of-two-shapes": (TAKING_TURNS, (3, 3, 3, 3, 3), True, float),
}
"""Space, bonds to the right of each site, whether there is one around, and the type."""

states = pytest.mark.parametrize(
    "name", some_slow({name: name for name in STATES}, ("open", "open-complex", "ring", "ring-mixed"))
)


@functools.cache
def random_state(name):
    """The space, tensors of random numbers, and what the package makes of them."""
    space, bonds, periodic, dtype = STATES[name]
    rng = np.random.default_rng(len(name))
    right = bonds if periodic else (*bonds, 1)
    shapes = list(zip((right[-1], *right[:-1]), space.local_dimensions, right, strict=True))
    tensors = [rng.normal(size=s) + (1j * rng.normal(size=s) if dtype is complex else 0) for s in shapes]
    return space, tensors, *MPS.from_tensors(space, tensors, periodic)


def contracted(tensors):
    """psi of all levels, in the order of Kronecker products."""
    product = tensors[0]
    for tensor in tensors[1:]:
        product = np.tensordot(product, np.asarray(tensor), 1)
    return np.trace(product, axis1=0, axis2=-1).ravel()


@functools.cache
def compiled(mps, method="__call__"):
    return jax.jit(functools.partial(mps.apply, method=method))


def psi(mps, variables, sigma):
    return np.exp(np.asarray(compiled(mps)(variables, sigma)))


# --- amplitudes -------------------------------------------------------------------------------------------------------


@states
def test_amplitudes_and_norm_are_those_of_the_tensors(name):
    space, tensors, mps, variables = random_state(name)
    expected = contracted(tensors)
    found = psi(mps, variables, space.all_states())
    np.testing.assert_allclose(found, expected, atol=1e-13 * np.abs(expected).max())
    norm = np.sum(np.abs(expected) ** 2)
    assert compiled(mps, "log_norm")(variables) == pytest.approx(np.log(norm), abs=1e-12)
    assert np.iscomplexobj(found)
    for tensor, given in zip(mps.apply(variables, method="tensors"), tensors, strict=True):
        np.testing.assert_array_equal(tensor, given)
        assert tensor.dtype == given.dtype


@pytest.mark.parametrize(
    ("space", "periodic", "dtype"),
    [
        pytest.param(SPIN, False, float, marks=pytest.mark.slow),
        pytest.param(MIXED, False, complex, marks=pytest.mark.slow),
        (MIXED, True, float),
    ],
)
def test_new_states_are_those_of_their_tensors(space, periodic, dtype):
    mps = MPS(space, 4, periodic, param_dtype=dtype)
    variables = jax.jit(mps.init)(jax.random.key(1), space.all_states())
    expected = contracted(mps.apply(variables, method="tensors"))
    np.testing.assert_allclose(psi(mps, variables, space.all_states()), expected, atol=1e-13)


def test_bonds_are_no_larger_than_they_need_to_be():
    mps = MPS(MIXED, 7)
    variables = jax.eval_shape(mps.init, jax.random.key(0), MIXED.all_states())
    shapes = [tensor.shape for tensor in jax.eval_shape(lambda v: mps.apply(v, method="tensors"), variables)]
    assert shapes == [(1, 2, 2), (2, 2, 4), (4, 3, 6), (6, 3, 2), (2, 2, 1)]
    n_numbers = sum(np.prod(shape) for shape in shapes)
    assert sum(x.size for x in jax.tree.leaves(variables)) == n_numbers


def test_one_tensor_for_all_sites():
    space = Spin(7)
    sigma = space.random_state(jax.random.key(2), 20)
    shifted = jnp.roll(sigma, 3, axis=1)
    for invariant in (True, False):
        mps = MPS(space, 4, periodic=True, translation_invariant=invariant, param_dtype=complex)
        variables = jax.jit(mps.init)(jax.random.key(3), sigma)
        gap = np.abs(psi(mps, variables, shifted) / psi(mps, variables, sigma) - 1)
        assert (np.max(gap) < 1e-12) == invariant
    mps = MPS(SPIN, 4, periodic=True, translation_invariant=True)
    variables = jax.jit(mps.init)(jax.random.key(3), SPIN.all_states())
    assert [x.shape for x in jax.tree.leaves(variables)] == [(1, 4, 2, 4)]
    expected = contracted([variables["params"]["tensors_4x2x4"][0]] * 6)
    np.testing.assert_allclose(psi(mps, variables, SPIN.all_states()), expected, atol=1e-12)


def test_one_tensor_begins_of_order_one_however_often_it_is_multiplied():
    space = Spin(4000)
    sigma = space.random_state(jax.random.key(4), 5)
    mps = MPS(space, 3, periodic=True, translation_invariant=True)
    init = jax.jit(mps.init)
    for seed in range(3):
        assert np.max(np.abs(compiled(mps)(init(jax.random.key(seed), sigma), sigma))) < 5


def test_noise_is_the_spread_around_the_product_state():
    space = Spin(60)
    sigma = space.random_state(jax.random.key(4), 300)
    for noise in (0.0, 0.1, 1.0):
        mps = MPS(space, 1, noise=noise)
        log_psi = compiled(mps)(jax.jit(mps.init)(jax.random.key(5), sigma), sigma)
        assert np.std(log_psi.real) == pytest.approx(noise / np.sqrt(2), rel=0.3)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_no_overflow_at_many_sites(size):
    """A product state, whose logarithm is a sum."""
    space, rng = Spin(400), np.random.default_rng(6)
    factors = size * rng.uniform(0.5, 1.5, (400, 2)) * rng.choice([-1, 1], (400, 2))
    mps, variables = MPS.from_tensors(space, [f[None, :, None] for f in factors])
    sigma = np.asarray(space.random_state(jax.random.key(7), 5))
    chosen = np.where(sigma == 1, factors[:, 0], factors[:, 1])
    log_psi = np.asarray(mps.apply(variables, sigma))
    np.testing.assert_allclose(log_psi.real, np.sum(np.log(np.abs(chosen)), axis=1), rtol=1e-12)
    np.testing.assert_allclose(np.exp(1j * log_psi.imag), np.prod(np.sign(chosen), axis=1), atol=1e-12)
    expected = np.sum(np.log(np.sum(factors**2, axis=1)))
    assert mps.apply(variables, method="log_norm") == pytest.approx(expected, rel=1e-12)


def ghz(n_sites):
    copy = np.eye(2)[:, :, None] * np.eye(2)[:, None, :]
    tensors = [copy] * n_sites
    tensors[0], tensors[-1] = copy.sum(axis=0, keepdims=True), copy.sum(axis=2, keepdims=True)
    return MPS.from_tensors(Qubit(n_sites), tensors)


def test_vanishing_amplitudes_have_no_derivative():
    mps, variables = ghz(4)
    sigma = jnp.array([[0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 1, 1]], jnp.int8)
    log_psi = mps.apply(variables, sigma)
    np.testing.assert_array_equal(log_psi, [0, -np.inf, 0])
    jacobian = jax.jacrev(lambda v: mps.apply(v, sigma).real)(variables)
    for x in jax.tree.leaves(jacobian):
        assert np.all(np.isfinite(x))
        np.testing.assert_array_equal(np.any(x != 0, axis=(1, 2, 3, 4)), [True, False, True])


# --- changes ----------------------------------------------------------------------------------------------------------

LONG = 13


@functools.cache
def long_state(periodic):
    space, rng = Spin(LONG, s=1), np.random.default_rng(8)
    bonds = [3 + i % 2 for i in range(LONG)]
    if not periodic:
        bonds[-1] = 1
    tensors = [rng.normal(size=(bonds[i - 1], 3, bonds[i])) for i in range(LONG)]
    return space, tensors, *MPS.from_tensors(space, tensors, periodic)


def amplitudes(tensors, levels):
    return np.array(
        [np.trace(functools.reduce(np.matmul, [t[:, k] for t, k in zip(tensors, row, strict=True)])) for row in levels]
    )


@pytest.mark.parametrize("periodic", [False, True], ids=["open", "ring"])
@pytest.mark.parametrize(
    "sites", [[0], [12], [5, 6], [7, 5], [1, 11], [0, 12], [6, 2, 4, 9]], ids=lambda s: "-".join(map(str, s))
)
def test_ratios_of_near_and_far_changes(periodic, sites):
    """Near ones take the matrices between them, far ones those of all sites; old values among them do not count."""
    space, tensors, mps, variables = long_state(periodic)
    sigma = np.asarray(space.random_state(jax.random.key(9), 24))
    rng = np.random.default_rng(10)
    sites = np.tile(np.array(sites, np.int32), (24, 1))
    values = rng.choice(np.int8([2, 0, -2]), sites.shape)
    new = sigma.copy()
    np.put_along_axis(new, sites, values, axis=1)
    cache = compiled(mps, "init_cache")(variables, sigma)
    ratio = compiled(mps, "log_ratio")(variables, cache, sites, values)
    expected = amplitudes(tensors, space.to_levels(new)) / amplitudes(tensors, space.to_levels(sigma))
    np.testing.assert_allclose(np.exp(ratio), expected, rtol=1e-10)
    assert np.any(values == np.take_along_axis(sigma, sites, axis=1))


def only(environment, site):
    """All others spoiled."""
    return jax.tree.map(lambda x: x.at[:, jnp.arange(LONG) != site].set(jnp.nan), environment)


def test_environments_at_the_ends_of_the_stretch_are_used():
    """None but those, and none if it is cheaper to multiply all matrices."""
    space, _, mps, variables = long_state(False)
    sigma = np.asarray(space.random_state(jax.random.key(9), 24))
    cache = compiled(mps, "init_cache")(variables, sigma)

    def ratio(sites, kept=None):
        given = cache
        if kept is not None:
            given = cache.replace(before=only(cache.before, kept[0]), behind=only(cache.behind, kept[1]))
        sites = np.tile(np.int32(sites), (24, 1))
        values = np.take_along_axis(sigma, sites, axis=1)
        values[:, 1:] = np.where(values[:, 1:] == 0, 2, 0)  # the first one stays
        return compiled(mps, "log_ratio")(variables, given, sites, values)

    np.testing.assert_array_equal(ratio([9, 6, 5], (5, 6)), ratio([9, 6, 5]))
    assert np.all(np.isnan(ratio([9, 6, 5], (5, 7))))
    assert np.all(np.isnan(ratio([9, 6, 5], (4, 6))))
    np.testing.assert_array_equal(ratio([5, 9, 6], (0, 0)), ratio([5, 9, 6]))


@pytest.mark.slow  # the single laws are in tests/contract
def test_composes_with_others():
    check_ansatz(Product((Jastrow(), MPS(SPIN, 3))), SPIN, moves=[MultiFlip(2)])


# --- draws ------------------------------------------------------------------------------------------------------------


@states
def test_conditionals_multiply_to_the_probability(name):
    space, tensors, mps, variables = random_state(name)
    levels = space.to_levels(space.all_states())
    step = compiled(mps, "draw_step")
    cache, log_p = mps.apply(variables, len(levels), method="init_draw"), np.zeros(len(levels))
    for position, site in enumerate(mps.order):
        found, cache = step(variables, cache, jnp.int32(position), levels[:, mps.order[position - 1]])
        np.testing.assert_allclose(np.sum(np.exp(found), axis=1), 1, rtol=1e-13)
        assert np.all(np.isneginf(found[:, space.local_dimensions[site] :]))
        log_p += np.take_along_axis(np.asarray(found), levels[:, site, None], axis=1)[:, 0]
    probability = np.abs(contracted(tensors)) ** 2
    np.testing.assert_allclose(np.exp(log_p), probability / np.sum(probability), atol=1e-12)


def test_levels_that_cannot_occur():
    mps, variables = ghz(3)
    step = functools.partial(compiled(mps, "draw_step"), variables)
    cache = mps.apply(variables, 2, method="init_draw")
    _, cache = step(cache, jnp.int32(0), jnp.zeros(2, jnp.int32))
    log_p, cache = step(cache, jnp.int32(1), jnp.array([0, 1]))
    np.testing.assert_array_equal(log_p, [[0, -np.inf], [-np.inf, 0]])
    log_p, _ = step(cache, jnp.int32(2), jnp.array([0, 0]))
    np.testing.assert_allclose(np.exp(log_p), [[1, 0], [0.5, 0.5]])  # the second one is not there at all


@pytest.mark.slow
def test_direct_samples_have_the_right_frequencies():
    """Chi-squared test, fixed seed."""
    mps = MPS(MIXED, 3, noise=4.0)
    state = VariationalState(mps, Direct(MIXED), n_samples=4000, seed=1).sample()
    index = MIXED.states_to_index(np.asarray(state.samples.sigma).reshape(-1, MIXED.size))
    amplitudes = np.exp(np.asarray(state.log_psi(MIXED.all_states())))
    p = np.abs(amplitudes) ** 2 / np.sum(np.abs(amplitudes) ** 2)
    often = p > 0.002
    counts, expected = np.bincount(index, minlength=len(p)), 4000 * p
    counts, expected = (np.append(x[often], np.sum(x[~often])) for x in (counts, expected))
    assert len(counts) > 20
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-3


@pytest.mark.parametrize(
    "space", [Spin(4, total_sz=0), Constrained(Qubit(4), lambda sigma: sigma[..., 0] == 0)], ids=["sector", "predicate"]
)
def test_constrained_spaces_cannot_be_drawn_from(space):
    mps = MPS(space, 2)
    variables = jax.jit(mps.init)(jax.random.key(0), jnp.asarray(space.all_states()))
    with pytest.raises(ValueError, match="`space` must have no constraint"):
        mps.apply(variables, 3, method="init_draw")
    expected = contracted(mps.apply(variables, method="tensors"))
    assert mps.apply(variables, method="log_norm") == pytest.approx(np.log(np.sum(expected**2)), abs=1e-12)


# --- arguments --------------------------------------------------------------------------------------------------------


def test_configurations_of_another_space():
    with pytest.raises(
        ValueError, match=r"`sigma` must have shape \(..., 5\), got .* The MPS is one on Spin\(n_sites=5"
    ):
        VariationalState(MPS(Spin(5)), Exact(Spin(4)))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"space": 4}, TypeError, "`space` must be a DiscreteSpace"),
        ({"bond_dim": 0}, ValueError, "`bond_dim` must satisfy 1 <= bond_dim"),
        ({"bond_dim": 2.0}, TypeError, "`bond_dim` must be an integer"),
        ({"bond_dim": (2, 2)}, ValueError, "`bond_dim` must have 5 entries"),
        ({"bond_dim": (2,) * 5, "periodic": True}, ValueError, "`bond_dim` must have 6 entries"),
        ({"translation_invariant": True}, ValueError, "`periodic` must be True"),
        ({"space": MIXED, "periodic": True, "translation_invariant": True}, ValueError, "same dimensions"),
        ({"noise": -1.0}, ValueError, "`noise` must satisfy noise >= 0"),
        ({"param_dtype": int}, TypeError, "`param_dtype` must be a floating-point type"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        MPS(**({"space": SPIN} | arguments))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[:-1], "be one for each of 6 sites"),
        (lambda t: [*t[:2], t[2][:, :1], *t[3:]], "at site 2"),
        (lambda t: [t[0][0], *t[1:]], "at site 0"),
        (lambda t: [t[0], t[1][:1], *t[2:]], "equal bonds between neighbours"),
        (lambda t: [np.ones((2, 2, 3)), *t[1:-1], np.ones((2, 2, 2))], "bonds of dimension 1"),
    ],
)
def test_tensors_that_do_not_fit(change, message):
    space, tensors, *_ = random_state("open")
    with pytest.raises(ValueError, match=message):
        MPS.from_tensors(space, change(tensors))
    with pytest.raises(ValueError, match="the first left bond equal to the last right one"):
        MPS.from_tensors(space, [*tensors[:-1], tensors[-1].repeat(2, axis=2)], periodic=True)


def test_equal_states_are_equal():
    assert MPS(Spin(4), 3) == MPS(Spin(4), 3)
    assert hash(MPS(Spin(4), (2, 3, 2))) == hash(MPS(Spin(4), (2, 3, 2)))
    assert MPS(Spin(4), 3) != MPS(Spin(4), 2)
