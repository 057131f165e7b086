# SPDX-License-Identifier: Apache-2.0
r"""Overlaps of two wave functions, psi and phi, each known up to a factor of its own.

With the ratios r = phi / psi at samples sigma of |psi|^2, and q = psi / phi at samples eta of |phi|^2,

.. math::
    F = \frac{|\langle\phi|\psi\rangle|^2}{\langle\phi|\phi\rangle\langle\psi|\psi\rangle}
      = \langle r \rangle_\psi \langle q \rangle_\phi .

Its local values are F_loc(sigma) = r(sigma) <q>: the derivative of F is that of an energy with these local values, and
so -F_loc stands for the infidelity 1 - F wherever local energies stand for an energy.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from manybody._types import Array, Bool, Inexact
from manybody.estimator.expect import expect
from manybody.parallel import Comm
from manybody.sampler import Samples
from manybody.stats import Estimate

CONTROL_FROM = 0.9
"""Fidelity from which on the control variate is considered."""


class Fidelity(NamedTuple):
    """What samples say about an overlap.

    Attributes:
        values: F_loc (samples,) of the samples of |psi|^2.
        mean: their mean; complex unless both wave functions are real.
        infidelity: 1 - F. Its variance is that of the two sets of samples together.
        controlled: whether its control variate was used.
    """

    values: Inexact[Array, "samples"]
    mean: Inexact[Array, ""]
    infidelity: Estimate
    controlled: Bool[Array, ""]


def fidelity(
    comm: Comm,
    log_ratio: Inexact[Array, "samples"],
    samples: Samples,
    log_inverse: Inexact[Array, "others"],
    others: Samples,
) -> Fidelity:
    """The overlap from independent samples of both.

    Every sample of the one meets every sample of the other: with means R, Q of r, q and R2, Q2 of their squared moduli,
    F is Re(R Q), and R2 Q2 = 1. Near F = 1 the fluctuations of both are nearly the same: Re(R Q) - (R2 Q2 - 1) / 2 has
    the same mean and, to first order, none of them. Far from it |r|^2 fluctuates more than anything else. So this
    control variate is used where F is above `CONTROL_FROM` and it makes the error smaller. Errors are those of the
    linear part (delta method), of both sets of samples.

    Args:
        comm: the workers.
        log_ratio: log phi - log psi at `samples`, up to a constant.
        samples: of |psi|^2.
        log_inverse: log psi - log phi at `others`, up to the negative of that constant.
        others: of |phi|^2.

    Reference:
        A. Sinibaldi, C. Giuliani, G. Carleo and F. Vicentini, arXiv:2305.14294 (the control variate, with pairs of
        samples and c = -1/2).
    """
    r, log_r = _scaled(comm, log_ratio, samples)
    q, log_q = _scaled(comm, log_inverse, others)
    r, q = _alike(r, q * jnp.exp(log_r + log_q).astype(q.dtype))
    mean_r, mean_q = _mean(comm, r, samples), _mean(comm, q, others)
    square_r, square_q = _mean(comm, jnp.abs(r) ** 2, samples), _mean(comm, jnp.abs(q) ** 2, others)
    values = r * mean_q
    linear = (values.real, samples), ((mean_r * q).real, others)
    squares = jnp.abs(r) ** 2 * square_q, square_r * jnp.abs(q) ** 2
    plain = [expect(comm, x, where) for x, where in linear]
    control = [expect(comm, x - square / 2, where) for (x, where), square in zip(linear, squares, strict=True)]
    value = (mean_r * mean_q).real
    one = _together(value, *plain)
    other = _together(value - (square_r * square_q - 1.0) / 2, *control)
    controlled = (one.mean > CONTROL_FROM) & (other.error < one.error)
    best = jax.tree.map(lambda a, b: jnp.where(controlled, a, b), other, one)
    return Fidelity(values, mean_r * mean_q, best.replace(mean=1.0 - best.mean), controlled)


def fidelity_from_target(
    comm: Comm, log_inverse: Inexact[Array, "samples"], log_psi: Inexact[Array, "samples"], samples: Samples
) -> tuple[Samples, Fidelity]:
    """The overlap from samples of |phi|^2 alone, and those as samples of |psi|^2, with weights w |q|^2.

    F = |<q>|^2 / <|q|^2>, whose fluctuations vanish at F = 1 without a control variate.

    Args:
        comm: the workers.
        log_inverse: log psi - log phi, up to a constant.
        log_psi: log psi of the samples.
        samples: of |phi|^2.
    """
    q, _ = _scaled(comm, log_inverse, samples)
    mean_q, square = _mean(comm, q, samples), _mean(comm, jnp.abs(q) ** 2, samples)
    size = jnp.abs(q) ** 2
    influence = 2 * (jnp.conj(mean_q) * q).real / square - jnp.abs(mean_q) ** 2 * size / square**2
    found = expect(comm, influence, samples)
    weight = samples.weight * (size / square).reshape(samples.weight.shape)
    own = dataclasses.replace(samples, weight=weight, log_psi=log_psi.reshape(weight.shape))
    values = jnp.where(size > 0, mean_q / jnp.where(size > 0, q, jnp.ones_like(q)), jnp.zeros_like(q))
    mean = jnp.abs(mean_q) ** 2 / square
    return own, Fidelity(values, mean.astype(values.dtype), found.replace(mean=1.0 - mean), jnp.asarray(False))


def _scaled(comm: Comm, log_x: Inexact[Array, "samples"], samples: Samples) -> tuple[Array, Array]:
    """x over a scale at which its mean neither overflows nor underflows, and the logarithm of that scale.

    Samples without weight, and those at which x vanishes, are 0.
    """
    weight = samples.flat_weight
    counts = (weight > 0) & (log_x.real != -jnp.inf)
    log_weight = jnp.log(jnp.where(counts, weight, jnp.ones_like(weight)))
    scale = comm.pmax(jnp.max(jnp.where(counts, log_x.real + log_weight, -jnp.inf)))
    scale = jnp.where(jnp.isfinite(scale), scale, 0.0)  # nothing counts, or there are nan, which must be seen
    shifted = jnp.where(counts, log_x - scale.astype(log_x.dtype), jnp.zeros_like(log_x))
    return jnp.where(counts, jnp.exp(shifted), jnp.zeros_like(log_x)), scale


def _mean(comm: Comm, x: Inexact[Array, "samples"], samples: Samples) -> Inexact[Array, ""]:
    return comm.psum(jnp.sum(samples.flat_weight.astype(x.dtype) * x))


def _alike(x: Array, y: Array) -> tuple[Array, Array]:
    """Both complex if one of them is."""
    dtype = np.promote_types(x.dtype, y.dtype)
    return x.astype(dtype), y.astype(dtype)


def _together(mean: Array, one: Estimate, other: Estimate) -> Estimate:
    """The estimate of a function of two independent sets of samples, from those of its linear parts."""
    return Estimate(
        mean=mean,
        error=jnp.sqrt(one.error**2 + other.error**2),
        variance=one.variance + other.variance,
        tau=jnp.fmax(one.tau, other.tau),
        r_hat=jnp.fmax(one.r_hat, other.r_hat),
        n_effective=jnp.minimum(one.n_effective, other.n_effective),
        n_draws=jnp.fmin(one.n_draws, other.n_draws),
    )
