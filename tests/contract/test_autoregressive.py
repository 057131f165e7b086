# SPDX-License-Identifier: Apache-2.0
"""The laws of autoregressive wave functions: normalised in every sector, causal, drawn as they are evaluated."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from manybody import VariationalState
from manybody._types import Array, PyTree
from manybody.ansatz import ARRNN, ARConv, ARDense, ARTransformer
from manybody.hilbert import DiscreteSpace, Fermion, Fock, Product, Spin
from manybody.lattice import rectangle
from manybody.parallel import REPLICATED, SHARD
from manybody.parallel.launch import mesh_comm
from manybody.sampler import Direct
from tests.cases import some_slow

SPIN = Spin(6, total_sz=0)
ELECTRONS = Fermion(3, n_per_component=(1, 2), n_components=2)
MIXED = Product(Fock(3, n_max=3, n_particles=4), Spin(2, s=1), Spin(2, total_sz=0))
FREE = Product(Fock(2, n_max=2), Spin(3))


class Case(NamedTuple):
    make: Callable[..., nn.Module]
    space: DiscreteSpace

    @property
    def ansatz(self) -> nn.Module:
        return self.make(self.space)


CASES = {
    "dense-spin": Case(lambda s: ARDense(s, (5, 4), phase=True), SPIN),
    "dense-mixed": Case(lambda s: ARDense(s, (4,), order=(4, 0, 6, 2, 5, 1, 3), phase=True), MIXED),
    "conv-open": Case(lambda s: ARConv(s, (3, 2), kernel_size=2, phase=True), FREE),
    "conv-cones": Case(lambda s: ARConv(s, (4,), kernel_size=2, phase=True), MIXED),
    "conv-electrons": Case(lambda s: ARConv(s, (4, 3), kernel_size=4, order=(0, 3, 1, 4, 2, 5)), ELECTRONS),
    "conv-lattice": Case(lambda s: ARConv(s, (4,), kernel_size=2, lattice=rectangle(2, 3), phase=True), SPIN),
    "lstm-free": Case(lambda s: ARRNN(s, 4, layers=2), FREE),
    "gru-mixed": Case(lambda s: ARRNN(s, 4, cell="gru", phase=True), MIXED),
    "lstm-lattice": Case(lambda s: ARRNN(s, 4, lattice=rectangle(3, 2), phase=True), SPIN),
    "gru-lattice": Case(lambda s: ARRNN(s, 4, layers=2, cell="gru", lattice=rectangle(2, 3)), SPIN),
    "transformer-electrons": Case(lambda s: ARTransformer(s, 2, 6, 2, expansion=2, phase=True), ELECTRONS),
}
every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
SLOW = ("dense-mixed", "conv-open", "conv-cones", "lstm-free", "gru-mixed", "gru-lattice")
few = pytest.mark.parametrize("case", some_slow(CASES, SLOW))
"""Of each kind of ansatz at least one, for laws that take longer."""


@functools.cache
def apply(case: Case, method: str) -> Callable[..., PyTree]:
    return jax.jit(functools.partial(case.ansatz.apply, method=method))


@functools.cache
def variables(case: Case) -> PyTree:
    """Random numbers, so that no bias is zero."""
    fresh = jax.jit(case.ansatz.init)(jax.random.key(1), case.space.random_state(jax.random.key(2), 1))
    rng = np.random.default_rng(3)
    return jax.tree.map(lambda x: np.asarray(x) + 0.3 * rng.normal(size=x.shape), fresh)


@functools.cache
def log_psi(case: Case) -> np.ndarray:
    """Of all states."""
    return np.asarray(apply(case, "__call__")(variables(case), case.space.all_states()))


def in_order(case: Case, levels: np.ndarray) -> np.ndarray:
    return levels[..., np.array(case.ansatz.order)]


@few
def test_normalised(case: Case) -> None:
    log = log_psi(case)
    assert log.dtype == (complex if case.ansatz.phase else float)
    np.testing.assert_allclose(np.sum(np.exp(2 * log.real)), 1, atol=1e-10)
    assert np.std(log.real) > 0.05
    assert np.std(log.imag) > 0.05 or not case.ansatz.phase


@few
def test_conditionals_know_what_can_follow(case: Case) -> None:
    """By enumeration: a level has a probability where a state with these levels exists, and p is that of log psi."""
    states = case.space.all_states()
    levels = in_order(case, case.space.to_levels(states))
    log_p = np.asarray(apply(case, "conditionals")(variables(case), states))
    assert log_p.shape == (*states.shape, max(case.space.local_dimensions))
    np.testing.assert_allclose(np.exp(log_p).sum(axis=-1), 1, atol=1e-12)
    for p in range(case.space.size):
        same_prefix = np.all(levels[:, None, :p] == levels[None, :, :p], axis=-1)
        for level in range(log_p.shape[-1]):
            follows = np.any(same_prefix & (levels[None, :, p] == level), axis=1)
            np.testing.assert_array_equal(np.isfinite(log_p[:, p, level]), follows)
    picked = np.take_along_axis(log_p, levels[..., None], axis=-1)[..., 0].sum(axis=-1)
    np.testing.assert_allclose(picked, 2 * log_psi(case).real, atol=1e-12)


@few
def test_causal(case: Case) -> None:
    """Whatever stands at later positions, legal or not, the conditionals at a position stay the same."""
    rng = np.random.default_rng(4)
    dimensions = np.array(case.space.local_dimensions)
    levels = rng.integers(dimensions, size=(case.space.n_states, case.space.size))
    other = rng.integers(dimensions, size=levels.shape)
    position = np.argsort(case.ansatz.order)
    conditionals = apply(case, "conditionals")
    found = conditionals(variables(case), case.space.from_levels(levels))
    seen = np.zeros(case.space.size, bool)
    for p in range(case.space.size):
        changed = np.where(position >= p, other, levels)
        now = conditionals(variables(case), case.space.from_levels(changed))
        np.testing.assert_allclose(now[:, : p + 1], found[:, : p + 1], rtol=1e-13, atol=1e-14)
        seen |= np.any(np.abs(np.exp(now) - np.exp(found)) > 1e-9, axis=(0, 2))
    assert not seen[0]
    assert seen[1:].any(), "nothing depends on what stands before"


@few
def test_drawn_as_evaluated(case: Case) -> None:
    """The product of conditionals along each state is |psi|^2; the position is traced, first levels mean nothing."""
    levels = in_order(case, case.space.to_levels(case.space.all_states()))
    size = case.space.size

    @jax.jit
    def along(params: PyTree, levels: Array) -> Array:
        def step(cache: PyTree, now: tuple[Array, Array]) -> tuple[PyTree, Array]:
            log_p, cache = case.ansatz.apply(params, cache, *now, method="draw_step")
            return cache, log_p[0]

        cache = case.ansatz.apply(params, 1, method="init_draw")
        before = jnp.concatenate([jnp.ones(1, jnp.int32), levels[:-1]])[:, None]
        return jax.lax.scan(step, cache, (jnp.arange(size, dtype=jnp.int32), before))[1]

    log_p = np.asarray(jax.vmap(along, in_axes=(None, 0))(variables(case), jnp.asarray(levels, jnp.int32)))
    drawn = np.take_along_axis(log_p, levels[..., None], axis=-1)[..., 0].sum(axis=-1)
    np.testing.assert_allclose(drawn, 2 * log_psi(case).real, atol=1e-12)
    conditionals = np.asarray(apply(case, "conditionals")(variables(case), case.space.all_states()))
    np.testing.assert_allclose(np.exp(log_p), np.exp(conditionals), atol=1e-12)


def moves(space: DiscreteSpace, n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of states, other states that differ on at most two sites, and such two sites."""
    states = space.all_states()
    near = np.sum(states[:, None] != states[None], axis=-1) <= 2
    rng = np.random.default_rng(seed)
    start, stop = rng.permutation(np.argwhere(near))[rng.integers(near.sum(), size=n)].T
    differs = states[start] != states[stop]
    return start, stop, np.argsort(~differs, axis=1, stable=False)[:, :2]


@pytest.mark.parametrize(
    ("case", "n"),
    some_slow({name: (case, 301) for name, case in CASES.items()} | {"one-row": (CASES["lstm-free"], 1)}, SLOW),
)
def test_log_ratio_is_the_difference_of_full_evaluations(case: Case, n: int) -> None:
    """Of all kinds of changes; so many rows are parted into blocks by the first changed position."""
    states, log = case.space.all_states(), log_psi(case)
    start, stop, sites = moves(case.space, n, seed=5)
    cache = apply(case, "init_cache")(variables(case), states[start])
    np.testing.assert_allclose(cache.terms.sum(axis=1), log[start], atol=1e-12)
    values = np.take_along_axis(states[stop], sites, axis=1)
    found = apply(case, "log_ratio")(variables(case), cache, sites, values)
    assert found.dtype == log.dtype
    np.testing.assert_allclose(found, log[stop] - log[start], atol=1e-12)


@few
def test_outside_of_the_sector(case: Case) -> None:
    """psi is 0 for illegal sums and values, and the derivatives of log psi are still numbers."""
    dimensions = np.array(case.space.local_dimensions)
    levels = np.random.default_rng(6).integers(dimensions, size=(60, case.space.size))
    sigma = np.concatenate([case.space.from_levels(levels), case.space.from_levels(levels[:1]) + np.int8(100)])
    legal = case.space.contains(sigma)
    assert not legal.all()

    def total(params: PyTree) -> tuple[Array, Array]:
        log = case.ansatz.apply(params, sigma).real
        return jnp.sum(log), log

    slope, log = jax.jit(jax.grad(total, has_aux=True))(variables(case))
    np.testing.assert_array_equal(np.isneginf(log), ~legal)
    assert np.isfinite(log[legal]).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
    assert any(np.abs(leaf).max() > 1e-3 for leaf in jax.tree.leaves(slope))


WORKERS = [pytest.param(CASES[name], marks=pytest.mark.slow) for name in ("conv-cones", "gru-mixed")]
WORKERS += [CASES[name] for name in ("lstm-lattice", "transformer-electrons")]


@pytest.mark.parametrize("case", WORKERS)
def test_on_two_workers(case: Case) -> None:
    """The types of all values must say which ones differ between workers; a quarter of the changes is accepted."""
    states, log = case.space.all_states(), log_psi(case)
    start, stop, sites = moves(case.space, 64, seed=8)
    values, accepted = np.take_along_axis(states[stop], sites, axis=1), np.arange(64) % 4 == 0

    def worker(params: PyTree, sigma: Array, sites: Array, values: Array, accepted: Array) -> tuple[Array, Array]:
        cache = case.ansatz.apply(params, sigma, method="init_cache")
        ratio = case.ansatz.apply(params, cache, sites, values, method="log_ratio")
        cache = case.ansatz.apply(params, cache, sites, values, accepted, method="update_cache")
        return ratio, jnp.sum(cache.terms, axis=-1)

    run = mesh_comm(jax.devices()[:2]).spmd(worker, (REPLICATED, SHARD, SHARD, SHARD, SHARD), (SHARD, SHARD))
    ratio, after = run(variables(case), states[start], sites, values, accepted)
    np.testing.assert_allclose(ratio, log[stop] - log[start], atol=1e-12)
    np.testing.assert_allclose(after, np.where(accepted, log[stop], log[start]), atol=1e-12)


@every
def test_equal_modules_are_equal(case: Case) -> None:
    """A new instance does not trace jitted functions again; one that is copied keeps its order."""
    assert case.ansatz == case.ansatz
    assert hash(case.ansatz) == hash(case.ansatz)
    assert case.ansatz.clone().order == case.ansatz.order


@pytest.mark.slow  # tests/sampler draws from others
def test_direct_samples() -> None:
    """3,000 draws of 20 states, chi-square: p > 1e-4."""
    case = CASES["conv-lattice"]
    state = VariationalState(case.ansatz, Direct(case.space), n_samples=3000, seed=1)
    samples = state.sample().samples
    count = np.bincount(case.space.states_to_index(np.asarray(samples.flat_sigma)), minlength=case.space.n_states)
    p = np.exp(2 * state.log_psi(case.space.all_states()).real)
    assert scipy.stats.chisquare(count, 3000 * p).pvalue > 1e-4
    np.testing.assert_allclose(samples.log_psi.ravel(), state.log_psi(samples.flat_sigma), atol=1e-12)
