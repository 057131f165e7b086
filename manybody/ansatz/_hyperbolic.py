# SPDX-License-Identifier: Apache-2.0
r"""Products of hyperbolic cosines under sparse changes: the inner loop of the RBM.

With the odds :math:`r = e^{-2\theta}` that a hidden spin is down rather than up,

.. math::
    \frac{\cosh(\theta + d)}{\cosh\theta} = e^{d} \, \frac{1 + r e^{-2d}}{1 + r} .

No term cancels another one, so that the result is as good as its terms (the usual form, 1 + tanh(theta) tanh(d), loses
a factor of exp(2 |d|) where |theta| is large). With e^{-2d} from a table, a change takes one multiplication and one
addition for each hidden unit, one logarithm, and a multiplication more if it is accepted.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from manybody._precision import widen
from manybody._struct import dataclass
from manybody._types import Array, Bool, Inexact, Int, Int8
from manybody.amplitude import apply_change, where_accepted
from manybody.ansatz._change import MAX_GATHERED, differences, linear_change, rows
from manybody.ansatz._numerics import log_cosh
from manybody.ansatz._scaled_product import BLOCK, ScaledProduct, larger_part, log_quotient, scaled_product


class HiddenLayer(NamedTuple):
    """The angles theta = sigma W + b.

    Attributes:
        kernel: W (sites, hidden).
        bias: b (hidden,), or None.
        spacing: changes of a site by +- these numbers are tabulated.
    """

    kernel: Inexact[Array, "sites hidden"]
    bias: Inexact[Array, "hidden"] | None
    spacing: tuple[int, ...]

    def angles(self, sigma: Int8[Array, "batch sites"]) -> Inexact[Array, "batch hidden"]:
        """theta."""
        theta = sigma.astype(self.kernel.dtype) @ self.kernel
        return theta if self.bias is None else theta + self.bias[None]


@dataclass
class HiddenSpins:
    """Hidden units in the field of the configurations.

    Attributes:
        odds: exp(-2 theta); nan if an angle is, or has been, too large, or after a change that is in no table.
        norm: the product of 1 + odds over units.
    """

    odds: Inexact[Array, "batch hidden"]
    norm: ScaledProduct


def hidden_spins(theta: Inexact[Array, "batch hidden"]) -> HiddenSpins:
    """Hidden units with these angles."""
    odds = _or_nan(jnp.exp(-2 * theta))
    return HiddenSpins(odds, scaled_product(1 + odds))


@dataclass
class Trial:
    """A change of the hidden units that may still be refused: as factors of the odds from a table, or as a whole.

    Attributes:
        index: where in the table the factors stand.
        norm: the product after it.
        whole: the hidden units after it, in the place of all these, if many sites change.
    """

    index: Int[Array, "batch changed"] | None = None
    norm: ScaledProduct | None = None
    whole: HiddenSpins | None = None


def try_change(
    layer: HiddenLayer,
    sigma: Int8[Array, "batch sites"],
    hidden: HiddenSpins,
    sites: Int[Array, "batch changed"],
    values: Int8[Array, "batch changed"],
) -> tuple[Inexact[Array, "batch"], Trial]:
    """Sum over hidden units of log cosh(theta + d) - log cosh(theta), where d = sum_j delta_j W[site_j].

    By the formula above; and by evaluating log cosh twice where a change is not tabulated, or a number out of range.

    Args:
        layer: the weights.
        sigma: configurations before the change.
        hidden: hidden units before the change.
        sites: changed sites.
        values: their values after it.

    Returns:
        The sum, and what `commit` needs.
    """
    delta = differences(sigma, sites, values)

    def evaluated() -> Array:
        theta = layer.angles(sigma)
        return jnp.sum(log_cosh(theta + linear_change(layer.kernel, sites, delta)) - log_cosh(theta), axis=-1)

    def mended() -> Array:
        return jnp.where(jnp.isfinite(ratio), ratio, evaluated())

    if sites.shape[1] > MAX_GATHERED:
        return evaluated(), Trial(whole=hidden_spins(layer.angles(apply_change(sigma, sites, values))))
    index = _rows_of_table(layer, sites, delta)
    # The product is made outside of the branch: there, XLA could not fuse it with gathering the rows of the cache (in
    # local energies). Inside, angles are made again, and nothing has to be at hand for it.
    norm = scaled_product(1 + _changed(layer, hidden.odds, index))
    total = jnp.sum(widen(layer.kernel), axis=1, keepdims=True)
    ratio = log_quotient(norm, hidden.norm) + linear_change(total, sites, delta)[:, 0]
    ratio = ratio.astype(layer.kernel.dtype)
    return jax.lax.cond(jnp.all(jnp.isfinite(ratio)), lambda: ratio, mended), Trial(index, norm)


def commit(layer: HiddenLayer, old: HiddenSpins, trial: Trial, accepted: Bool[Array, "batch"]) -> HiddenSpins:
    """Hidden units after the change that was tried, where it is accepted.

    After one that is in no table the odds are lost, and ratios are evaluated: a branch here would cost more than all
    the rest, because XLA could not change the odds in place.
    """
    if trial.whole is not None:
        return where_accepted(accepted, trial.whole, old)
    odds = _or_nan(_changed(layer, old.odds, jnp.where(accepted[:, None], trial.index, 0)))
    return HiddenSpins(odds, where_accepted(accepted, trial.norm, old.norm))


def update_hidden_spins(
    layer: HiddenLayer,
    sigma: Int8[Array, "batch sites"],
    old: HiddenSpins,
    sites: Int[Array, "batch changed"],
    values: Int8[Array, "batch changed"],
    accepted: Bool[Array, "batch"],
) -> HiddenSpins:
    """Hidden units after any change of `sigma`, where it is accepted."""
    followed = commit(layer, old, try_change(layer, sigma, old, sites, values)[1], accepted)
    lost = accepted & jnp.any(jnp.isnan(followed.odds), axis=-1)

    def anew() -> HiddenSpins:
        return where_accepted(lost, hidden_spins(layer.angles(apply_change(sigma, sites, values))), followed)

    return jax.lax.cond(jnp.any(lost), anew, lambda: followed)


def largest_angle(dtype: jnp.dtype) -> float:
    """Largest |theta| for which exp(-2 theta) of this type, and blocks of factors, are within the number range.

    About 43, in single precision because of the odds, in double precision because of blocks of factors. Of complex
    numbers in single precision 35, since parts that are too small for the number range become zero on CPUs: as parts of
    larger numbers they must not be missed.
    """
    wide, own = jnp.finfo(jax.dtypes.canonicalize_dtype(np.float64)), jnp.finfo(dtype)
    smallest = float(own.tiny) / (float(own.eps) if jnp.issubdtype(dtype, jnp.complexfloating) else 1.0)
    return 0.98 * min(-math.log(smallest), math.log(float(wide.max)) / BLOCK) / 2


def _or_nan(odds: Inexact[Array, "*shape"]) -> Inexact[Array, "*shape"]:
    """Odds, or factors of them, whose angles are at most the largest one; nan in the place of others.

    Those that were too small for the number range would be zero from then on. (Written so that nan stays nan.)
    """
    bound = math.exp(2 * largest_angle(odds.dtype))
    size = larger_part(odds)
    return jnp.where((size >= 1 / bound) & (size <= bound), odds, jnp.nan)


def _rows_of_table(layer: HiddenLayer, sites: Array, delta: Array) -> Int[Array, "batch changed"]:
    """Where in the table a change stands: in its first row if there is none, in its last if it is in no other."""
    steps, n_sites = _steps(layer), layer.kernel.shape[0]
    index = jnp.where(delta == 0, 0, 1 + len(steps) * n_sites)
    for block, step in enumerate(steps):
        index = jnp.where(delta == step, 1 + block * n_sites + sites, index)
    return index


def _steps(layer: HiddenLayer) -> tuple[int, ...]:
    return (*layer.spacing, *(-distance for distance in layer.spacing))


def _table(layer: HiddenLayer) -> Inexact[Array, "rows hidden"]:
    """exp(-2d) for each step of each site; between a row of ones and one of nan."""
    steps, n_sites = np.asarray(_steps(layer)), layer.kernel.shape[0]
    step = np.concatenate([[0], np.repeat(steps, n_sites), [np.nan]]).astype(layer.kernel.dtype)
    site = np.concatenate([[0], np.tile(np.arange(n_sites), len(steps)), [0]])
    return _or_nan(jnp.exp(-2 * step[:, None] * rows(layer.kernel, site)))


def _changed(layer: HiddenLayer, odds: Inexact[Array, "batch hidden"], index: Int[Array, "batch changed"]) -> Array:
    """The odds times factors from the table, which XLA takes out of loops, since it depends on the weights only."""
    table = _table(layer)
    for j in range(index.shape[1]):
        odds = (odds if j == 0 else _or_nan(odds)) * rows(table, index[:, j])
    return odds
