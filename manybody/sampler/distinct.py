# SPDX-License-Identifier: Apache-2.0
"""Samples without replacement of an autoregressive wave function."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from manybody import _checks
from manybody._random import successors
from manybody._types import Array, Float, PyTree
from manybody.amplitude import Amplitude
from manybody.hilbert import DiscreteSpace
from manybody.parallel import Comm
from manybody.sampler import drawing
from manybody.sampler.base import Samples
from manybody.sampler.drawing import DrawState, Trees


@dataclass(frozen=True)
class Distinct(Trees):
    r"""Draws configurations that are all different from an autoregressive ansatz, with weights that make up for it.

    Where few configurations have most of the probability, as in molecules, independent draws find these again and
    again. Here each configuration gets a perturbed log-probability, log p + Gumbel noise, and those with the k largest
    are taken; they are found by a beam of k + 1 beginnings that grow site by site. A configuration is among them with
    probability q = 1 - exp(-p exp(-kappa)), where kappa is the next largest value, so that

    .. math:: \sum_{\sigma \text{ taken}} \frac{p(\sigma)}{q(\sigma)} O(\sigma)

    is unbiased; as weights these p / q are divided by their sum, which leaves a bias of order 1/k. What could hardly be
    missed, q near 1, adds next to nothing to the error; if all configurations are taken, sums are exact.

    Args:
        space: the space.
        n_trees: number of independent beams on all workers together, each with an equal share of the samples.

    Raises:
        TypeError: if `space` is no discrete space; by the state, if the ansatz is not autoregressive.
        ValueError: if `n_trees` is not positive, or more configurations are wanted than there are; by the state, if
            the ansatz draws configurations outside of `space`.

    Reference:
        Kool, van Hoof, Welling (2020), J. Mach. Learn. Res. 21, 1, algorithm 1 and section 5 (ancestral
        Gumbel-top-k sampling); Duffield, Lund, Thorup (2007), J. ACM 54, 32, for the error.
    """

    space: DiscreteSpace
    n_trees: int = 1

    def __post_init__(self) -> None:
        _checks.require_type(self.space, DiscreteSpace, "space")
        _checks.integer(self.n_trees, "n_trees", minimum=1)

    def n_draws(self, n_samples: int | None, comm: Comm) -> int:
        n, most = super().n_draws(n_samples, comm), self.space.n_states
        must = f"be at most n_trees times the {most} configurations of {self.space}"
        _checks.require(n <= most, "n_samples", must, n_samples)
        return n

    def sample(
        self, comm: Comm, amplitude: Amplitude, state: DrawState, n_draws: int
    ) -> tuple[DrawState, Samples, dict[str, Array]]:
        amplitude = drawing.drawable(self.space, amplitude)
        key_now, key_next = successors(state.key)
        keys, n_beams = comm.chain_keys(key_now, self.n_local(comm)), n_draws + 1
        n_trees = len(keys)
        shape = (n_trees, n_beams)

        def step(walk: PyTree, position: Array) -> tuple[PyTree, None]:
            cache, levels, log_p, perturbed = walk
            last = levels[:, :, position - 1].reshape(-1)  # at position 0 it means nothing
            log_conditional, cache = amplitude.draw_step(cache, position, last)
            n_levels = log_conditional.shape[1]
            children = log_p[:, :, None] + log_conditional.reshape(*shape, n_levels)
            children = jnp.where(jnp.isneginf(log_p)[:, :, None], -jnp.inf, children)
            noise = jax.vmap(lambda key: jax.random.gumbel(jax.random.fold_in(key, position), children.shape[1:]))(keys)
            raised = _with_maximum(children + noise, perturbed).reshape(n_trees, -1)
            perturbed, best = jax.lax.top_k(raised, n_beams)  # (trees, beams)
            cache, levels = drawing.continued(cache, levels, best // n_levels, best % n_levels, position)
            log_p = jnp.take_along_axis(children.reshape(n_trees, -1), best, axis=1)
            return comm.pvary((cache, levels, log_p, perturbed)), None

        first = jnp.where(jnp.arange(n_beams) == 0, 0.0, -jnp.inf)[None] + jnp.zeros(shape)
        root = first + jax.vmap(jax.random.gumbel)(keys)[:, None]
        levels = jnp.zeros((*shape, self.space.size), jnp.int32)
        start = comm.pvary((amplitude.init_draw(n_trees * n_beams), levels, first, root))
        (_, levels, log_p, perturbed), _ = jax.lax.scan(step, start, jnp.arange(self.space.size, dtype=jnp.int32))
        sigma = drawing.in_place(self.space, amplitude, levels[:, :-1].reshape(n_trees * n_draws, -1))
        log_weight, noise = _log_weights(log_p[:, :-1], perturbed[:, -1:])
        weight = jnp.exp(log_weight - comm.pmax(jnp.max(log_weight)))
        weight = weight / comm.psum(jnp.sum(weight))
        log_psi = drawing.log_psi(amplitude, sigma, log_p[:, :-1].reshape(-1))
        sigma, log_psi = drawing.stand_ins(sigma, log_psi, weight.reshape(-1))
        samples = Samples(
            sigma.reshape(n_trees, n_draws, -1), log_psi.reshape(n_trees, n_draws), weight, "independent", noise
        )
        return DrawState(key_next), samples, {}


def _with_maximum(
    perturbed: Float[Array, "*batch levels"], maximum: Float[Array, "*batch"]
) -> Float[Array, "*batch levels"]:
    """Independent Gumbel variables as they are distributed if their largest one is `maximum`.

    Those of children whose parent has that value; -inf stays. Kool et al., appendix B.3, for the form without overflow.
    """
    top = jnp.max(perturbed, axis=-1, keepdims=True)
    exists = jnp.isfinite(perturbed)
    gap = jnp.where(exists, perturbed - jnp.where(jnp.isfinite(top), top, 0.0), -1.0)  # <= 0
    v = maximum[..., None] - jnp.where(exists, perturbed, 0.0) + jnp.log(-jnp.expm1(gap))
    return jnp.where(exists, maximum[..., None] - jnp.maximum(0.0, v) - jnp.log1p(jnp.exp(-jnp.abs(v))), -jnp.inf)


def _log_weights(
    log_p: Float[Array, "trees draws"], threshold: Float[Array, "trees 1"]
) -> tuple[Float[Array, "trees draws"], Float[Array, "trees draws"]]:
    """log p / q, and the probability 1 - q that the configuration is missed."""
    is_all = jnp.isneginf(threshold)  # nothing else is left
    expected = jnp.exp(jnp.where(is_all, jnp.inf, log_p - jnp.where(is_all, 0.0, threshold)))
    return log_p - jnp.log(-jnp.expm1(-expected)), jnp.exp(-expected)
