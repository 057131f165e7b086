# SPDX-License-Identifier: Apache-2.0
"""The laws of every ansatz, in particular of one that updates partial results, to be held by anybody's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from manybody._types import Array, PyTree
from manybody.amplitude import Trying, apply_change, held_by
from manybody.hilbert import DiscreteSpace
from manybody.network import as_network
from manybody.sampler import Exchange, LocalFlip, Move, MultiFlip


def check_ansatz(
    ansatz: Any,
    space: DiscreteSpace,
    *,
    moves: Sequence[Move] | None = None,
    tolerance: float = 1e-9,
    params: PyTree = None,
    seed: int = 0,
) -> None:
    """Hold an ansatz to its contract.

    * log psi is (batch,), finite, the same when evaluated again, and of one configuration independent of the others;
    * `log_ratio` is the difference of log psi (its imaginary part modulo 2 pi);
    * `update_cache` gives the cache of the changed configuration where it is accepted and the old one elsewhere, with
      the structure, shapes and types of `init_cache`, and so that further ratios are right;
    * so are they after `try_change` and `commit`, where there are these;
    * a field `sigma` of a cache that looks like the configurations is them.

    Args:
        ansatz: whatever `VariationalState` takes.
        space: configurations to try it on.
        moves: make the changes that are tried; by default one and two flips, or exchanges in a space with fixed sums.
        tolerance: allowed error of log psi and of the cache.
        params: parameters, by default random ones.
        seed: of parameters and configurations.

    Raises:
        AssertionError: naming the law that is broken.
    """
    network = as_network(ansatz)
    key, key_sigma, key_moves = jax.random.split(jax.random.key(seed), 3)
    sigma, keys = space.random_state(key_sigma, 16), jax.random.split(key_moves, 16)
    fresh, constants = network.init(key, sigma)
    amplitude = network.bind(fresh if params is None else params, constants)
    log_psi = jax.jit(lambda s: amplitude.log_psi(s))
    value = log_psi(sigma)
    _hold(value.shape == (16,), f"log psi of 16 configurations has shape {value.shape}, not (16,)")
    _hold(bool(np.isfinite(value).all()), "log psi is not finite")
    _hold(bool(np.array_equal(value, log_psi(sigma))), "log psi is not the same when evaluated again")
    alone = jnp.concatenate([log_psi(s[None]) for s in sigma[:4]])
    _same(alone, value[:4], tolerance, "log psi depends on the other configurations of the batch")
    for move in _default_moves(space) if moves is None else moves:
        sites, values, _ = jax.vmap(lambda k, s, move=move: move.propose(k, s, space))(keys, sigma)
        _check_change(amplitude, sigma, sites, values, tolerance)


def _check_change(amplitude: Any, sigma: Array, sites: Array, values: Array, tolerance: float) -> None:
    changed = apply_change(sigma, sites, values)
    log_psi, new_log_psi = amplitude.log_psi(sigma), amplitude.log_psi(changed)
    cache = amplitude.init_cache(sigma)
    ratio = amplitude.log_ratio(cache, sites, values)
    _same(ratio, new_log_psi - log_psi, tolerance, "log_ratio is not the difference of log psi")
    accepted = jnp.arange(sigma.shape[0]) % 2 == 0
    updated = amplitude.update_cache(cache, sites, values, accepted)
    wanted = amplitude.init_cache(jnp.where(accepted[:, None], changed, sigma))
    shapes = [jax.tree.map(lambda x: (x.shape, str(x.dtype)), c) for c in (updated, cache)]
    _hold(shapes[0] == shapes[1], f"update_cache changes the form of the cache: {shapes[0]} from {shapes[1]}")
    for new, old, right in zip(*map(jax.tree.leaves, (updated, cache, wanted)), strict=True):
        _hold(
            np.array_equal(new[~accepted], old[~accepted], equal_nan=True),
            "update_cache changes rows that are not accepted",
        )
        _same(new, right, tolerance, "update_cache does not give the cache of the changed configurations", phase=False)
    caches = [cache, updated]
    if isinstance(amplitude, Trying):
        tried, trial = amplitude.try_change(cache, sites, values)
        _same(tried, ratio, tolerance, "try_change does not find what log_ratio does")
        made = amplitude.commit(cache, trial, sites, values, accepted)
        caches.append(made)
        back = amplitude.log_ratio(made, sites, jnp.take_along_axis(sigma, sites, axis=-1))
        _same(back, jnp.where(accepted, -ratio, 0 * ratio), tolerance, "log_ratio is wrong after commit")
    for each, its in zip(caches, (sigma, *[apply_change(sigma, sites, values, accepted)] * 2), strict=False):
        held = held_by(each, sigma)
        _hold(held is None or np.array_equal(held, its), "the field `sigma` of the cache is not the configurations")
    # Back again: from the updated cache.
    before = jnp.take_along_axis(sigma, sites, axis=-1)
    back = amplitude.log_ratio(updated, sites, before)
    _same(back, jnp.where(accepted, -ratio, 0 * ratio), tolerance, "log_ratio is wrong after update_cache")


def _default_moves(space: DiscreteSpace) -> tuple[Move, ...]:
    if space.sectors:
        return (Exchange("all"),)
    return (LocalFlip(), MultiFlip(2)) if space.size > 1 else (LocalFlip(),)


def _same(found: Array, right: Array, tolerance: float, what: str, *, phase: bool = True) -> None:
    gap = np.asarray(found - right)
    if not phase:  # of a cache: what is lost in both
        gap = np.where(np.isnan(found) & np.isnan(right), 0.0, gap)
    if phase and np.iscomplexobj(gap):
        gap = gap.real + 1j * (np.mod(gap.imag + np.pi, 2 * np.pi) - np.pi)
    size = max(1.0, float(np.nanmax(np.abs(np.asarray(right)), initial=0)))
    _hold(bool(np.all(np.abs(gap) <= tolerance * size)), f"{what} (by up to {np.abs(gap).max(initial=0):.1e})")


def _hold(good: bool, what: str) -> None:
    if not good:
        raise AssertionError(what)
