# SPDX-License-Identifier: Apache-2.0
"""The laws of every ansatz: one list, all laws for each."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable

import flax.linen as nn
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from manybody._types import Array, PyTree
from manybody.ansatz import (
    GCNN,
    MLP,
    MPS,
    RBM,
    ARConv,
    ARDense,
    DensityRBM,
    GraphNetwork,
    Jastrow,
    MeanField,
    MixedPrecision,
    PurifiedDensity,
    ResNet,
    Symmetrised,
    ViT,
)
from manybody.ansatz._numerics import scaled_normal
from manybody.ansatz.composition import ModulusPhase, Product, Sum
from manybody.hilbert import Spin
from manybody.lattice import chain
from manybody.network import TRYING, has_methods
from manybody.parallel import REPLICATED, SHARD
from manybody.parallel.launch import mesh_comm
from manybody.symmetry import Sector
from tests.cases import some_slow

N_SITES, BATCH = 11, 16
HALF, ONE, QUBIT, BOSON = (1, -1), (2, 0, -2), (0, 1), (0, 1, 2, 3, 4)


@dataclasses.dataclass(frozen=True)
class Case:
    """An ansatz (made for a dtype of parameters), and the values that its sites take.

    `large` scales the parameters so that a cosh overflows; a function with poles would be chaotic there. An ansatz with
    a symmetry group is made for a number of sites as well, and a density matrix (`is_density`) for pairs.
    """

    make: Callable[..., nn.Module]
    values: tuple[int, ...] = HALF
    param_dtype: str = "float64"
    is_complex: bool = False
    large: float = 60.0
    n_sites: int | None = None
    is_density: bool = False

    @property
    def ansatz(self) -> nn.Module:
        return self.make(self.param_dtype) if self.n_sites is None else self.make(self.param_dtype, self.n_sites)

    def resized(self, n_sites: int) -> Case:
        return self if self.n_sites is None else dataclasses.replace(self, n_sites=n_sites)

    @property
    def result_dtype(self) -> str:
        single = self.param_dtype in SINGLE.values()
        return ("complex64" if single else "complex128") if self.is_complex else ("float32" if single else "float64")

    def sigma(self, seed: int, n_sites: int = N_SITES) -> np.ndarray:
        n_sites += n_sites % 2 if self.is_density else 0
        return np.random.default_rng(seed).choice(np.int8(self.values), (BATCH, n_sites))

    @property
    def sites(self) -> np.ndarray:
        return np.arange(self.sigma(0).shape[1], dtype=np.int32)

    def variables(self, scale: float = 1.0, n_sites: int = N_SITES) -> PyTree:
        return jax.tree.map(lambda x: x * scale, initialise(self, n_sites))

    def log_psi(self, variables: PyTree, sigma: Array) -> Array:
        return apply(self, "__call__")(variables, sigma)

    def init_cache(self, variables: PyTree, sigma: Array) -> PyTree:
        return apply(self, "init_cache")(variables, sigma)

    def log_ratio(self, variables: PyTree, cache: PyTree, sites: Array, values: Array) -> Array:
        return apply(self, "log_ratio")(variables, cache, sites, values)

    def update_cache(self, variables: PyTree, cache: PyTree, sites: Array, values: Array, accepted: Array) -> PyTree:
        return apply(self, "update_cache")(variables, cache, sites, values, accepted)


def complex_case(make: Callable[..., nn.Module], values: tuple[int, ...] = HALF, **fields: float) -> Case:
    return Case(make, values, "complex128", True, **fields)


def density_case(make: Callable[..., nn.Module], values: tuple[int, ...] = HALF) -> Case:
    return Case(make, values, is_complex=True, is_density=True)


SINGLE = {"float64": "float32", "complex128": "complex64"}
ANSATZES = {
    "mean-field": Case(lambda t: MeanField(param_dtype=t)),
    "jastrow-complex-spin-1": complex_case(lambda t: Jastrow(param_dtype=t), ONE),
    "jastrow-pairs-only-qubit": Case(lambda t: Jastrow(param_dtype=t, use_visible_bias=False), QUBIT),
    "rbm": Case(lambda t: RBM(param_dtype=t)),
    "rbm-complex-bare": complex_case(
        lambda t: RBM(alpha=2, use_visible_bias=False, use_hidden_bias=False, param_dtype=t)
    ),
    "rbm-phase-qubit": Case(lambda t: RBM(separate_phase=True, spacing=1, param_dtype=t), QUBIT, is_complex=True),
    "rbm-spin-1": Case(lambda t: RBM(spacing=(2, 4), param_dtype=t), ONE),
    "rbm-boson-no-table": Case(lambda t: RBM(param_dtype=t), BOSON),
    "mlp": Case(lambda t: MLP(hidden=(7, 5), param_dtype=t)),
    "mlp-phase-spin-1": Case(lambda t: MLP(hidden=(8,), separate_phase=True, param_dtype=t), ONE, is_complex=True),
    "mlp-complex-qubit": complex_case(lambda t: MLP((6, 4), jnp.tanh, param_dtype=t), QUBIT, large=1.0),
    "product": complex_case(lambda t: Product((Jastrow(param_dtype=t), RBM(param_dtype=t), MeanField(param_dtype=t)))),
    "sum": Case(lambda t: Sum((RBM(param_dtype=t), Jastrow(param_dtype=t)), t, scaled_normal(0.5))),
    "sum-complex": complex_case(lambda t: Sum((RBM(param_dtype=t), MeanField(param_dtype=t)), t), ONE),
    "density-rbm": density_case(lambda t: DensityRBM(beta=2, param_dtype=t)),
    "modulus-phase": Case(lambda t: ModulusPhase(RBM(param_dtype=t), MLP((5,), param_dtype=t)), QUBIT, is_complex=True),
}


@dataclasses.dataclass(frozen=True)
class TensorCase(Case):
    """Tensors near identities, of which the rest is scaled: zeros would be no state. Real ones may have any sign."""

    n_sites: int | None = N_SITES

    @property
    def result_dtype(self) -> str:
        return "complex64" if self.param_dtype in SINGLE.values() else "complex128"

    def variables(self, scale: float = 1.0, n_sites: int = N_SITES) -> PyTree:
        def scaled(x: np.ndarray) -> np.ndarray:
            identity = np.eye(x.shape[1], x.shape[3], dtype=x.dtype)[:, None, :]
            return identity + scale * (x - identity)

        return jax.tree.map(scaled, initialise(self, n_sites))


ANSATZES |= {
    "mps": TensorCase(lambda t, n: MPS(Spin(n), 4, param_dtype=t)),
    "mps-ring-complex-spin-1": TensorCase(
        lambda t, n: MPS(Spin(n, s=1), 3, periodic=True, param_dtype=t), ONE, "complex128", is_complex=True
    ),
    "mps-ring-of-one-tensor": TensorCase(
        lambda t, n: MPS(Spin(n), 3, periodic=True, translation_invariant=True, param_dtype=t)
    ),
}

NORMALISED = {
    "ar-dense": Case(lambda t, n: ARDense(Spin(n), (4,), param_dtype=t), n_sites=N_SITES),
    "ar-conv-phase-spin-1": Case(
        lambda t, n: ARConv(Spin(n, s=1), (3,), 2, phase=True, param_dtype=t), ONE, is_complex=True, n_sites=N_SITES
    ),
}
"""Their log psi is larger the more sites there are: the squares of all amplitudes add up to 1."""
ANSATZES |= NORMALISED


def shifts(n_sites: int) -> Sector:
    """Momentum 0: all lengths have it."""
    return Sector(chain(n_sites).translation_group())


def wave(n_sites: int) -> Sector:
    """The first momentum that is not 0."""
    return Sector(chain(n_sites).translation_group(), momentum=[2 * np.pi / n_sites])


FULL = {
    "gcnn": Case(lambda t, n: GCNN(shifts(n), (4, 3), param_dtype=t), n_sites=N_SITES),
    "gcnn-complex": complex_case(lambda t, n: GCNN(wave(n), (4, 4), param_dtype=t, residual=True), n_sites=N_SITES),
    "gcnn-even": Case(lambda t, n: GCNN(shifts(n), (2, 2), parity=1, param_dtype=t), n_sites=N_SITES),
    "symmetrised-rbm": Case(lambda t, n: Symmetrised(RBM(param_dtype=t), shifts(n), Spin(n)), n_sites=N_SITES),
    "symmetrised-chunks": complex_case(
        lambda t, n: Symmetrised(RBM(param_dtype=t, kernel_init=scaled_normal(4.0)), shifts(n), Spin(n), chunk_size=64),
        n_sites=N_SITES,
    ),
    "resnet": Case(lambda t, n: ResNet(chain(n), 3, 1, output="real", param_dtype=t), n_sites=N_SITES),
    "resnet-complex": complex_case(lambda t, n: ResNet(chain(n), 3, 1, param_dtype=t), n_sites=N_SITES),
    "vit": Case(lambda t, n: ViT(chain(n), 1, 1, 8, 2, param_dtype=t), is_complex=True, n_sites=N_SITES),
    "purified-density": density_case(
        lambda t: PurifiedDensity(nn.Sequential((nn.Dense(6, param_dtype=t), nn.tanh)), 3, t)
    ),
    "mixed-precision-mlp": Case(lambda t: MixedPrecision(MLP(hidden=(7, 5), param_dtype=t), t)),
    "mixed-precision-resnet-complex": complex_case(
        lambda t, n: MixedPrecision(ResNet(chain(n), 3, 1, param_dtype=t), "float64"), n_sites=N_SITES
    ),
    "graph-network-phase": Case(
        lambda t, n: GraphNetwork(chain(n), (1, 2), 3, 1, "phase", param_dtype=t), is_complex=True, n_sites=N_SITES
    ),
}
"""Those without methods for changes: only the laws of values hold for them."""


def every(slow: Iterable[str] = ()) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", some_slow(ANSATZES | FULL, slow))


def incremental(slow: Iterable[str] = ()) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", some_slow(ANSATZES, slow))


LIKE_OTHERS = (
    "jastrow-complex-spin-1",
    "rbm-complex-bare",
    "rbm-phase-qubit",
    "rbm-boson-no-table",
    "mlp",
    "product",
    "sum-complex",
    "mps-ring-complex-spin-1",
    "mps-ring-of-one-tensor",
    "ar-dense",
)
"""Of those with methods for changes: others are made of the same parts. Laws that take long leave them out."""
FULL_LIKE_OTHERS = ("gcnn", "gcnn-even", "symmetrised-rbm", "resnet", "purified-density", "mixed-precision-mlp")


@functools.cache
def apply(case: Case, method: str) -> Callable[..., PyTree]:
    """Jitted, and compiled once for all tests."""
    return jax.jit(functools.partial(case.ansatz.apply, method=method))


@functools.cache
def initialise(case: Case, n_sites: int) -> PyTree:
    return jax.device_get(jax.jit(case.ansatz.init)(jax.random.key(7), case.sigma(0, n_sites)))


def change(case: Case, n_changed: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Distinct sites and random values of them, some of which are the old ones."""
    rng = np.random.default_rng(seed)
    sites = rng.permuted(np.tile(case.sites, (BATCH, 1)), axis=1)[:, :n_changed]
    return sites, rng.choice(np.int8(case.values), (BATCH, n_changed))


def changed(sigma: np.ndarray, sites: np.ndarray, values: np.ndarray) -> np.ndarray:
    new = sigma.copy()
    np.put_along_axis(new, sites, values, axis=1)
    return new


def assert_same_log(found: Array, expected: Array, tolerance: float) -> None:
    """Equal, imaginary parts modulo 2 pi."""
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    gap = np.asarray(found) - np.asarray(expected)
    np.testing.assert_allclose(gap.real, 0, atol=tolerance)
    np.testing.assert_allclose(np.exp(1j * gap.imag), 1, atol=tolerance)


def assert_same_tree(found: PyTree, expected: PyTree, tolerance: float) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


# --- values ----------------------------------------------------------------------------------------------------------


@every((*LIKE_OTHERS, *FULL_LIKE_OTHERS))
def test_batches_dtype_and_determinism(case: Case) -> None:
    variables, sigma = case.variables(), case.sigma(1)
    log_psi = case.log_psi(variables, sigma)
    assert log_psi.shape == (BATCH,)
    assert log_psi.dtype == case.result_dtype
    assert {str(x.dtype) for x in jax.tree.leaves(variables)} == {case.param_dtype}
    np.testing.assert_array_equal(case.log_psi(variables, sigma), log_psi)
    shape = (4, 1, BATCH // 4)
    found = case.log_psi(variables, sigma.reshape(*shape, -1))
    assert found.shape == shape
    np.testing.assert_allclose(found.ravel(), log_psi, rtol=1e-12, atol=1e-12)
    one = case.log_psi(variables, sigma[5])
    assert one.shape == ()
    np.testing.assert_allclose(one, log_psi[5], rtol=1e-12, atol=1e-12)
    assert np.std(log_psi.real) > 1e-3
    assert not case.is_complex or np.std(log_psi.imag) > 1e-3
    assert case.ansatz == case.ansatz, "a new instance would trace jitted functions again"
    assert hash(case.ansatz) == hash(case.ansatz)


@pytest.mark.parametrize(
    "case",
    some_slow(
        {name: case for name, case in (ANSATZES | FULL).items() if name not in NORMALISED},
        {*LIKE_OTHERS, *FULL_LIKE_OTHERS} - NORMALISED.keys(),
    ),
)
def test_of_order_one_at_any_size(case: Case, n_sites: int = 400) -> None:
    case = case.resized(n_sites)
    log_psi = case.log_psi(case.variables(1.0, n_sites), case.sigma(3, n_sites))
    assert np.isfinite(log_psi).all()
    assert np.abs(log_psi).max() < 15
    assert np.sqrt(np.mean(np.abs(log_psi) ** 2)) > 0.01


@pytest.mark.parametrize("n_sites", [10, 400])
def test_of_order_one_with_shared_weights(n_sites: int) -> None:
    translations = (np.arange(n_sites)[:, None] + np.arange(n_sites)) % n_sites
    case = Case(lambda t: RBM(alpha=2, symmetries=translations, param_dtype=t))
    log_psi = case.log_psi(case.variables(1.0, n_sites), case.sigma(3, n_sites))
    assert np.abs(log_psi).max() < 15


@every((*LIKE_OTHERS, *FULL_LIKE_OTHERS))
def test_gradient_is_that_of_finite_differences(case: Case) -> None:
    """Forward mode along random directions, complex ones too; reverse mode is its transpose."""
    sigma = case.sigma(4)
    flat, unravel = jax.flatten_util.ravel_pytree(case.variables())
    direction = jax.random.normal(jax.random.key(5), flat.shape, flat.dtype)
    cotangent = jax.random.normal(jax.random.key(6), (BATCH,), case.result_dtype)

    @jax.jit
    def slopes(v: Array) -> tuple[Array, ...]:
        def log_psi(theta: Array) -> Array:
            return case.ansatz.apply(unravel(theta), sigma)

        step = 1e-5
        difference = (log_psi(flat + step * v) - log_psi(flat - step * v)) / (2 * step)
        pulled = jnp.sum(jax.vjp(log_psi, flat)[1](cotangent)[0] * v)
        return jax.jvp(log_psi, (flat,), (v,))[1], difference, pulled

    for v in [direction, 1j * direction] if jnp.iscomplexobj(flat) else [direction]:
        slope, difference, pulled = slopes(v)
        np.testing.assert_allclose(slope, difference, rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(pulled.real, jnp.sum(cotangent * slope).real, rtol=1e-10)


# --- changes ---------------------------------------------------------------------------------------------------------


def check_log_ratio(case: Case, variables: PyTree, n_changed: int, tolerance: float) -> None:
    sigma = case.sigma(8)
    sites, values = change(case, n_changed, seed=n_changed)
    old, new = case.log_psi(variables, sigma), case.log_psi(variables, changed(sigma, sites, values))
    found = case.log_ratio(variables, case.init_cache(variables, sigma), sites, values)
    assert found.dtype == case.result_dtype
    assert_same_log(found, new - old, tolerance * max(1.0, np.abs(old).max(), np.abs(new).max()))


@incremental(LIKE_OTHERS)
@pytest.mark.parametrize("n_changed", [1, 3, 9])
def test_log_ratio_is_the_difference_of_full_evaluations(case: Case, n_changed: int) -> None:
    """Nine sites are more than are gathered one by one."""
    for scale in (1.0, 5.0, case.large):
        check_log_ratio(case, case.variables(scale), n_changed, 1e-12)


@incremental(LIKE_OTHERS)
def test_log_ratio_in_single_precision(case: Case) -> None:
    double, case = case, dataclasses.replace(case, param_dtype=SINGLE[case.param_dtype])
    shapes = jax.eval_shape(case.ansatz.init, jax.random.key(0), case.sigma(0))
    for scale in (1.0, 5.0, double.large):
        variables = jax.tree.map(lambda x, single: x.astype(single.dtype), double.variables(scale), shapes)
        assert {str(x.dtype) for x in jax.tree.leaves(variables)} == {case.param_dtype}
        check_log_ratio(case, variables, 2, 5e-6)


@incremental(LIKE_OTHERS)
def test_update_keeps_rejected_rows_and_renews_accepted_ones(case: Case) -> None:
    sigma, accepted = case.sigma(10), np.arange(BATCH) % 3 == 0
    sites, values = change(case, 2, seed=11)
    for scale in (1.0, case.large):
        variables = case.variables(scale)
        cache = jax.device_get(case.init_cache(variables, sigma))
        updated = jax.device_get(case.update_cache(variables, cache, sites, values, accepted))
        new = jax.device_get(case.init_cache(variables, changed(sigma, sites, values)))
        np.testing.assert_array_equal(updated.sigma, np.where(accepted[:, None], new.sigma, sigma))
        for after, before, fresh in zip(*map(jax.tree.leaves, (updated, cache, new)), strict=True):
            np.testing.assert_array_equal(after[~accepted], before[~accepted])
            np.testing.assert_allclose(after[accepted], fresh[accepted], rtol=1e-11, atol=1e-11)
            assert after.dtype == before.dtype
        ratio = case.log_ratio(variables, cache, sites, np.take_along_axis(sigma, sites, axis=1))
        np.testing.assert_allclose(ratio, 0, atol=1e-12 * scale)  # no change at all


def moves(
    case: Case, variables: PyTree, cache: PyTree, sites: Array, values: Array, tried: bool
) -> tuple[Array, Callable[[Array], PyTree]]:
    """The log-ratio of a change, and a function from what is accepted to the next cache; if possible by `commit`."""
    run = functools.partial(case.ansatz.apply, variables)
    if tried and has_methods(case.ansatz, TRYING):
        ratio, trial = run(cache, sites, values, method="try_change")
        return ratio, lambda accepted: run(cache, trial, sites, values, accepted, method="commit")
    ratio = run(cache, sites, values, method="log_ratio")
    return ratio, lambda accepted: run(cache, sites, values, accepted, method="update_cache")


@incremental(LIKE_OTHERS)
def test_ten_thousand_accepted_moves(case: Case) -> None:
    """The sum of log-ratios, and the cache, stay within 1e-10 of what a full evaluation gives."""
    variables, sigma = case.variables(3.0), case.sigma(12)
    rng = np.random.default_rng(13)
    sites = rng.permuted(np.tile(case.sites, (5000, BATCH, 1)), axis=2)[:, :, :2]
    values = rng.choice(np.int8(case.values), (5000, BATCH, 1))

    def move(walk: tuple[PyTree, Array], sites: Array, values: Array, tried: bool) -> tuple[PyTree, Array]:
        cache, log_psi = walk
        ratio, updated = moves(case, variables, cache, sites, values, tried)
        return updated(jnp.full(len(sigma), True)), log_psi + ratio

    def flip_then_exchange(walk: tuple[PyTree, Array], now: tuple[Array, Array]) -> tuple[PyTree, None]:
        sites, values = now
        walk = move(walk, sites[:, :1], values, True)
        return move(walk, sites, jnp.take_along_axis(walk[0].sigma, sites[:, ::-1], axis=1), False), None

    @jax.jit
    def walk_on(walk: PyTree, now: tuple[Array, Array]) -> PyTree:
        return jax.lax.scan(flip_then_exchange, walk, now)[0]

    walk = case.init_cache(variables, sigma), case.log_psi(variables, sigma)
    for part in range(0, 5000, 1000):
        cache, log_psi = walk = walk_on(walk, (sites[part : part + 1000], values[part : part + 1000]))
        assert_same_log(log_psi, case.log_psi(variables, cache.sigma), 1e-10)
        assert_same_tree(cache, case.init_cache(variables, cache.sigma), 1e-10)
    assert np.any(cache.sigma != sigma)


# --- transformations -------------------------------------------------------------------------------------------------


@incremental(LIKE_OTHERS)
def test_loop_on_two_workers(case: Case) -> None:
    """As a sampler runs it: the types of all values must say which ones differ between workers."""
    comm = mesh_comm(jax.devices()[:2])
    sigma = case.sigma(13)
    sites, values = (np.stack(x, axis=1) for x in zip(*(change(case, 2, s) for s in range(6)), strict=True))

    def worker(variables: PyTree, sigma: Array, sites: Array, values: Array) -> tuple[PyTree, Array]:
        def step(number: Array, walk: tuple[PyTree, Array], tried: bool) -> tuple[PyTree, Array]:
            cache, log_psi = walk
            ratio, updated = moves(case, variables, cache, sites[:, number], values[:, number], tried)
            accepted = ratio.real > -0.5
            return updated(accepted), log_psi + jnp.where(accepted, ratio, jnp.zeros_like(ratio))

        walk = case.ansatz.apply(variables, sigma, method="init_cache"), case.ansatz.apply(variables, sigma)
        for tried in [True, False] if has_methods(case.ansatz, TRYING) else [False]:
            walk = jax.lax.fori_loop(0, sites.shape[1], functools.partial(step, tried=tried), walk)
        return walk

    run = comm.spmd(worker, (REPLICATED, SHARD, SHARD, SHARD), SHARD)
    for scale in (1.0, case.large):
        variables = case.variables(scale)
        cache, log_psi = jax.device_get(run(variables, sigma, sites, values))
        expected = case.log_psi(variables, cache.sigma)
        assert_same_log(log_psi, expected, 1e-11 * max(1.0, np.abs(expected).max()))
        assert_same_tree(cache, jax.device_get(case.init_cache(variables, cache.sigma)), 1e-10)
        assert np.any(cache.sigma != sigma)


@incremental(LIKE_OTHERS)
def test_vmap_over_parameters(case: Case) -> None:
    """Of which some are large, so that the members of the batch need different formulas."""
    sigma = case.sigma(14)
    members = [case.variables(scale) for scale in (1.0, case.large, 0.0)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    sites, values = change(case, 2, seed=15)

    def ratio(variables: PyTree) -> Array:
        cache = case.ansatz.apply(variables, sigma, method="init_cache")
        return case.ansatz.apply(variables, cache, sites, values, method="log_ratio")

    for row, variables in zip(jax.jit(jax.vmap(ratio))(stacked), members, strict=True):
        old, new = case.log_psi(variables, sigma), case.log_psi(variables, changed(sigma, sites, values))
        assert_same_log(row, new - old, 1e-12 * max(1.0, np.abs(old).max(), np.abs(new).max()))
