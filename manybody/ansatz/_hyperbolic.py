# SPDX-License-Identifier: Apache-2.0
r"""Products of hyperbolic cosines under sparse changes: the inner loop of the RBM.

With the probabilities :math:`p_\pm = e^{\pm\theta} / (2 \cosh\theta)` that a hidden spin is up or down,

.. math::
    \frac{\cosh(\theta + d)}{\cosh\theta} = p_+ e^{d} + p_- e^{-d} = e^{-d} \, (p_- + p_+ e^{2d}) .

No term cancels another one, so that the result is as good as its terms (the usual form, 1 + tanh(theta) tanh(d), loses
a factor of exp(2 |d|) where |theta| is large), and one tabulated number per hidden unit and changed site is enough.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from manybody._struct import dataclass
from manybody._types import Array, Bool, Inexact, Int, Int8
from manybody.amplitude import where_accepted
from manybody.ansatz._change import MAX_GATHERED, linear_change, rows
from manybody.ansatz._numerics import BLOCK, log_cosh, log_product


@dataclass
class HiddenSpins:
    """Hidden units in the field of the configurations.

    Attributes:
        theta: their angles.
        minor: probability of the less likely value (down where Re theta >= 0): exp(-2 |theta|) / (1 + exp(-2 |theta|)).
            The other one is 1 - minor; the converse would be inaccurate.
    """

    theta: Inexact[Array, "batch hidden"]
    minor: Inexact[Array, "batch hidden"]


def hidden_spins(theta: Inexact[Array, "batch hidden"]) -> HiddenSpins:
    """Hidden units with these angles."""
    odds = jnp.exp(jnp.where(theta.real < 0, 2 * theta, -2 * theta))  # of modulus at most one
    return HiddenSpins(theta, odds / (1 + odds))


def update_hidden_spins(
    kernel: Inexact[Array, "sites hidden"],
    old: HiddenSpins,
    sites: Int[Array, "batch changed"],
    delta: Int[Array, "batch changed"],
    accepted: Bool[Array, "batch"],
) -> HiddenSpins:
    """Hidden units after a change, where it is accepted."""
    # From the angles: a probability that has underflowed could not come back.
    new = hidden_spins(old.theta + linear_change(kernel, sites, delta))
    return where_accepted(accepted, new, old)


def log_cosh_ratio(
    kernel: Inexact[Array, "sites hidden"],
    bias: Inexact[Array, "hidden"] | None,
    sigma: Int8[Array, "batch sites"],
    hidden: HiddenSpins,
    sites: Int[Array, "batch changed"],
    delta: Int[Array, "batch changed"],
    spacing: tuple[int, ...],
) -> Inexact[Array, "batch"]:
    """Sum over hidden units of log cosh(theta + d) - log cosh(theta), where d = sum_j delta_j W[site_j].

    By the formula above with a table of exp(2 delta W) if all |delta| are in `spacing` or 0, and if the weights are so
    small that nothing overflows; else by evaluating log cosh twice.

    Args:
        kernel: the weights W.
        bias: of the angles.
        sigma: configurations before the change.
        hidden: hidden units before the change.
        sites: changed sites.
        delta: how much their values change.
        spacing: distances |delta| that are tabulated.
    """
    if sites.shape[1] > MAX_GATHERED:
        return _evaluated_twice(kernel, hidden.theta, sites, delta)
    index, known = _rows_of_table(sites, delta, kernel.shape[0], spacing)
    largest = sites.shape[1] * max(spacing) * jnp.max(jnp.abs(kernel.real), initial=0)
    # The sum is made outside of the branch, and the angles are made again inside: there, XLA could not fuse the sum
    # with gathering the rows of the cache (in local energies), and would gather the angles to have them at hand.
    ratio = _from_table(kernel, hidden, sites, delta, index, spacing)

    def evaluate() -> Array:
        theta = sigma.astype(kernel.dtype) @ kernel
        return _evaluated_twice(kernel, theta if bias is None else theta + bias[None], sites, delta)

    return jax.lax.cond(jnp.all(known) & (largest <= largest_change(kernel.dtype)), lambda: ratio, evaluate)


def largest_change(dtype: jnp.dtype) -> float:
    """Largest |d| for which blocks of factors between exp(-2 |d|) and exp(2 |d|) stay within the number range.

    About 4 in single and 33 in double precision. A quarter of the exponent is left for complex weights, where factors
    are large if theta is near a zero of cosh.
    """
    return 0.75 * math.log(float(jnp.finfo(dtype).max)) / (2 * BLOCK)


def _rows_of_table(
    sites: Array, delta: Array, n_sites: int, spacing: tuple[int, ...]
) -> tuple[Int[Array, "batch changed"], Bool[Array, "batch changed"]]:
    """Where in the table a change stands, and whether it does: its first row is for no change."""
    index, known = jnp.zeros_like(sites), delta == 0
    for block, step in enumerate(_steps(spacing)):
        index = jnp.where(delta == step, 1 + block * n_sites + sites, index)
        known = known | (delta == step)
    return index, known


def _steps(spacing: tuple[int, ...]) -> tuple[int, ...]:
    return (*spacing, *(-distance for distance in spacing))


def _from_table(
    kernel: Array, hidden: HiddenSpins, sites: Array, delta: Array, index: Array, spacing: tuple[int, ...]
) -> Array:
    # XLA takes the table and the sums over hidden units out of loops, since they depend on the weights only.
    no_change = jnp.ones((1, kernel.shape[1]), kernel.dtype)
    table = jnp.concatenate([no_change, *(jnp.exp((2 * step) * kernel) for step in _steps(spacing))])
    total = jnp.sum(kernel, axis=1, keepdims=True)
    exp_2d = rows(table, index[:, 0])
    for j in range(1, index.shape[1]):
        exp_2d = exp_2d * rows(table, index[:, j])
    major = 1 - hidden.minor
    factors = jnp.where(hidden.theta.real < 0, major + hidden.minor * exp_2d, hidden.minor + major * exp_2d)
    return log_product(factors) - linear_change(total, sites, delta)[:, 0]


def _evaluated_twice(kernel: Array, theta: Array, sites: Array, delta: Array) -> Array:
    change = linear_change(kernel, sites, delta)
    return jnp.sum(log_cosh(theta + change) - log_cosh(theta), axis=-1)
