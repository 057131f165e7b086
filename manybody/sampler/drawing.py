# SPDX-License-Identifier: Apache-2.0
"""What the samplers share that draw from an autoregressive wave function, site by site."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._compile import ONCE
from manybody._struct import dataclass
from manybody._types import Array, Float, Inexact, Int, Int8, PRNGKey, PyTree
from manybody.amplitude import Amplitude, Autoregressive
from manybody.hilbert import DiscreteSpace
from manybody.parallel import REPLICATED, Comm
from manybody.sampler.base import Sampler

N_EXAMPLES = 64
"""Configurations from which costs are estimated before anything is drawn, and which are drawn for a trial."""

N_JUDGED = 2**12
"""States of the space of an ansatz by which another space is judged: all of a small one, random ones of a large one."""


@dataclass
class DrawState:
    """Randomness of the next call."""

    key: PRNGKey


class Drawing(Sampler):
    """A sampler without chains: nothing but randomness is kept from call to call."""

    kind = "independent"

    def check_amplitude(self, amplitude: Amplitude) -> None:
        drawn_from = drawable(self.space, amplitude)
        if _own_space(drawn_from) is None:
            _check_contained(self.space, np.asarray(_trial(self.space, drawn_from)), "on trial")

    def init(self, comm: Comm, key: PRNGKey) -> DrawState:
        del comm
        return DrawState(key)

    @property
    def state_spec(self) -> DrawState:
        return DrawState(REPLICATED)

    def examples(self, comm: Comm, state: DrawState) -> Int8[Array, "examples sites"]:
        """Random states of the space."""
        return comm.pvary(self.space.random_state(state.key, N_EXAMPLES))

    @property
    def info_spec(self) -> dict:
        return {}


class Trees(Drawing):
    """One that grows trees of beginnings, `n_trees` on all workers together, each with as many leaves."""

    n_trees: int

    def n_local(self, comm: Comm) -> int:
        return comm.local_count(self.n_trees, "n_trees")

    def n_draws(self, n_samples: int | None, comm: Comm) -> int:
        del comm
        n = _checks.integer(n_samples, "n_samples", minimum=1)
        _checks.require(n % self.n_trees == 0, "n_samples", f"be a multiple of n_trees ({self.n_trees})", n)
        return n // self.n_trees


def drawable(space: DiscreteSpace, amplitude: Amplitude) -> Autoregressive:
    """The amplitude, of which it is known now that configurations of `space` can be drawn from it.

    Raises:
        TypeError: if it is not autoregressive.
        ValueError: if it has other sites or levels, or its attribute `space` says that it draws what is not in `space`.
    """
    if not isinstance(amplitude, Autoregressive):
        must = "be autoregressive (have the methods `init_draw` and `draw_step`, and `order`)"
        raise TypeError(_checks.requirement("ansatz", must, type(amplitude).__name__, "Sample it with `Metropolis`."))
    n_sites, n_levels = space.size, max(space.local_dimensions)
    _checks.require(len(amplitude.order) == n_sites, "ansatz", f"have {n_sites} sites", len(amplitude.order))
    log_p, _ = jax.eval_shape(_one_step, amplitude)
    _checks.require(log_p.shape == (1, n_levels), "ansatz", f"have {n_levels} levels, like {space}", log_p.shape[1])
    own = _own_space(amplitude)
    if own is not None and own != space:
        _check_contained(space, _judged(own), f"of {own}")
    return amplitude


def drawn(
    comm: Comm, amplitude: Autoregressive, keys: PRNGKey
) -> tuple[Int[Array, "positions draws"], Float[Array, "positions draws"]]:
    """Levels of independent draws, one for each key, position by position, and the log p of each."""
    n_draws = len(keys)

    def step(walk: tuple[PyTree, Array], position: Array) -> tuple[tuple[PyTree, Array], tuple[Array, Array]]:
        log_p, cache = amplitude.draw_step(walk[0], position, walk[1])
        gumbel = jax.vmap(lambda key: jax.random.gumbel(jax.random.fold_in(key, position), log_p.shape[1:]))(keys)
        levels = jnp.argmax(log_p + gumbel, axis=1).astype(jnp.int32)
        chosen = jnp.take_along_axis(log_p, levels[:, None], axis=1)[:, 0]
        return comm.pvary((cache, levels)), (levels, chosen)

    start = comm.pvary((amplitude.init_draw(n_draws), jnp.zeros(n_draws, jnp.int32)))
    _, both = jax.lax.scan(step, start, jnp.arange(len(amplitude.order), dtype=jnp.int32))
    return both


@functools.partial(jax.jit, static_argnums=0, compiler_options=ONCE)
def _trial(space: DiscreteSpace, amplitude: Autoregressive) -> Int8[Array, "draws sites"]:
    """A few configurations, to see what an ansatz draws that does not say which space it is for."""
    levels, _ = drawn(Comm(), amplitude, jax.random.split(jax.random.key(0), N_EXAMPLES))
    return in_place(space, amplitude, levels.T)


def _own_space(amplitude: Autoregressive) -> DiscreteSpace | None:
    own: Any = getattr(amplitude, "space", None)
    return own if isinstance(own, DiscreteSpace) else None


@functools.lru_cache(maxsize=16)
def _judged(own: DiscreteSpace) -> Int8[np.ndarray, "states sites"]:
    if own.is_indexable and own.n_states <= N_JUDGED:
        return own.all_states()
    with jax.ensure_compile_time_eval():  # also inside jit
        return np.asarray(own.random_state(jax.random.key(0), N_JUDGED))


def _check_contained(space: DiscreteSpace, sigma: Int8[np.ndarray, "states sites"], origin: str) -> None:
    """Raise `ValueError` unless what an ansatz may draw is in the space."""
    legal = space.contains(sigma)
    got, cure = f"{np.array2string(sigma[np.argmin(legal)])} {origin}", "Make it for the space of the sampler."
    _checks.require(bool(legal.all()), "ansatz", f"draw configurations of {space} only", got, cure)


def _one_step(amplitude: Autoregressive) -> tuple:
    return amplitude.draw_step(amplitude.init_draw(1), jnp.int32(0), jnp.zeros(1, jnp.int32))


def continued(
    cache: PyTree,
    levels: Int[Array, "trees beginnings positions"],
    parent: Int[Array, "trees beginnings"],
    level: Int[Array, "trees beginnings"],
    position: Int[Array, ""],
) -> tuple[PyTree, Int[Array, "trees beginnings positions"]]:
    """Caches and levels of beginnings that go on from others of the same tree with a level at `position`."""
    n_trees, n_beginnings, _ = levels.shape
    row = (jnp.arange(n_trees, dtype=parent.dtype)[:, None] * n_beginnings + parent).reshape(-1)
    levels = jnp.take_along_axis(levels, parent[:, :, None], axis=1)
    levels = levels.at[:, :, position].set(level.astype(levels.dtype))
    return jax.tree.map(lambda x: x[row], cache), levels


def in_place(
    space: DiscreteSpace, amplitude: Autoregressive, levels: Int[Array, "draws positions"]
) -> Int8[Array, "draws sites"]:
    """Configurations from the levels at the positions."""
    sites = jnp.zeros_like(levels).at[:, jnp.asarray(amplitude.order)].set(levels)
    return jnp.asarray(space.from_levels(sites))


def log_psi(
    amplitude: Autoregressive, sigma: Int8[Array, "draws sites"], log_p: Float[Array, "draws"]
) -> Inexact[Array, "draws"]:
    """log psi of configurations whose probability is known: half of log p if psi is positive, else evaluated."""
    dtype = jax.eval_shape(amplitude.log_psi, sigma).dtype
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return amplitude.log_psi(sigma)
    return (log_p / 2).astype(dtype)


def stand_ins(
    sigma: Int8[Array, "draws sites"], log_psi: Inexact[Array, "draws"], weight: Float[Array, "draws"]
) -> tuple[Int8[Array, "draws sites"], Inexact[Array, "draws"]]:
    """Rows of weight zero replaced by the one of the largest weight, where ratios of amplitudes exist."""
    best = jnp.argmax(weight)
    return jnp.where(weight[:, None] > 0, sigma, sigma[best][None]), jnp.where(weight > 0, log_psi, log_psi[best])
