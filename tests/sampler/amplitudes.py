# SPDX-License-Identifier: Apache-2.0
"""Wave functions for tests of samplers: given by tables, or counting how often they are evaluated."""

import collections

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from manybody._struct import dataclass as pytree
from manybody._struct import static
from manybody.amplitude import FullEvaluation, apply_change, where_accepted
from manybody.hilbert import DiscreteSpace
from manybody.parallel import Comm
from tests.exact_formulas import QUICK


def table(space, log_psi):
    """The amplitude with these log psi (n_states,)."""
    return FullEvaluation(lambda values, sigma: values[space.states_to_index(sigma)], jnp.asarray(log_psi))


def random_log_psi(space, seed=0, spread=0.7):
    """Complex, with |psi|^2 over two orders of magnitude."""
    rng = np.random.default_rng(seed)
    return spread * rng.normal(size=space.n_states) + 1j * rng.uniform(0, 2 * np.pi, space.n_states)


def probabilities(log_psi):
    p = np.exp(2 * np.real(log_psi))
    return p / p.sum()


def draw(sampler, amplitude, n_draws, *, seed=0, n_calls=1, comm=None):
    """(samples, info) of the last of `n_calls` calls from new chains."""
    comm = Comm() if comm is None else comm

    def run(key):
        state = sampler.init(comm, key)
        for _ in range(n_calls):
            state, samples, info = sampler.sample(comm, amplitude, state, n_draws)
        return samples, info

    return jax.jit(run, compiler_options=QUICK)(jax.random.key(seed))


@pytree
class DrawnTable(FullEvaluation):
    """The amplitude with log psi by a table, normalised; its conditionals are sums over the table.

    Sites are drawn from the last one to the first one. What cannot be reached has log p nan, which nobody may look at.
    """

    space: DiscreteSpace = static()

    @property
    def order(self):
        return np.arange(self.space.size)[::-1]

    def init_draw(self, n_draws):
        return jnp.full((n_draws, self.space.size), -1, jnp.int32)

    def draw_step(self, cache, position, levels):
        site = self.space.size - 1 - position
        cache = jnp.where(position > 0, cache.at[:, (site + 1) % self.space.size].set(levels), cache)
        every = jnp.asarray(self.space.to_levels(self.space.all_states()), jnp.int32)
        fits = jnp.all(
            (cache[:, None] == every[None].astype(cache.dtype)) | (cache[:, None] < 0), axis=2
        )  # (draws, states)
        n_levels = max(self.space.local_dimensions)
        p = jnp.exp(2 * self.log_psi(self.space.all_states()).real)
        sums = jnp.where(fits, p[None], 0.0) @ (
            every[:, site, None] == jnp.arange(n_levels, dtype=jnp.int32)[None]
        ).astype(p.dtype)
        return jnp.log(sums / sums.sum(axis=1, keepdims=True)), cache


def drawn_table(space, log_psi):
    """The amplitude with these log psi (n_states,) less a constant, from which configurations can be drawn."""
    log_psi = log_psi - np.log(np.sum(np.exp(2 * np.real(log_psi)))) / 2
    plain = table(space, log_psi)
    return DrawnTable(plain.apply, plain.params, space)


CALLS = collections.Counter()
"""How often the methods of `Counting` were executed."""


def count(name):
    jax.debug.callback(lambda: CALLS.update([name]))


class Counting(nn.Module):
    """The Jastrow factor of docs/extending.md; it counts its calls, and its mistakes can be switched on.

    The cache is sigma and the field sum_j v_ij sigma_j.
    """

    mistake: str = ""

    @nn.compact
    def v(self, n_sites):
        v = self.param("v", nn.initializers.normal(0.2), (n_sites, n_sites), float)
        return (v + v.T) / 2 * (1 - jnp.eye(n_sites))

    def __call__(self, sigma):
        count("full")
        x = sigma.astype(float)
        return jnp.einsum("si,ij,sj->s", x, self.v(x.shape[-1]), x) / 2

    def cache_of(self, sigma):
        count("init_cache")
        x = sigma.astype(float)
        return sigma, x @ self.v(x.shape[-1])

    def ratio(self, cache, sites, values):
        count("log_ratio")
        sigma, field = cache
        v = self.v(sigma.shape[-1])
        delta = (values - jnp.take_along_axis(sigma, sites, axis=-1)).astype(float)
        linear = jnp.sum(jnp.take_along_axis(field, sites, axis=-1) * delta, axis=-1)
        mutual = jnp.einsum("si,sij,sj->s", delta, v[sites[:, :, None], sites[:, None, :]], delta) / 2
        return linear + (0 if self.mistake == "mutual" else 1) * mutual

    def updated(self, cache, sites, values, accepted):
        count("update_cache")
        sigma, field = cache
        new = apply_change(sigma, sites, values)
        if self.mistake == "accepted":
            accepted = jnp.ones_like(accepted)
        grown = field + (new - sigma).astype(float) @ self.v(sigma.shape[-1])
        if self.mistake == "stale":
            grown = field
        return where_accepted(accepted, new, sigma), where_accepted(accepted, grown, field)


class CountingIncremental(Counting):
    """With the methods of the protocol."""

    def init_cache(self, sigma):
        return self.cache_of(sigma)

    def log_ratio(self, cache, sites, values):
        return self.ratio(cache, sites, values)

    def update_cache(self, cache, sites, values, accepted):
        return self.updated(cache, sites, values, accepted)
