# SPDX-License-Identifier: Apache-2.0
"""How well samples know the components of the force along the eigenvectors of the metric.

A component is a mean rho = sum_i p_i over samples; its variance is sum_i n_i |p_i - w_i rho|^2 with the weights w and
what a sample adds to the noise, n (1 for independent draws, 0 where all states are summed over). Components whose ratio
of signal to noise, |rho| / sqrt(variance), lies below a threshold tell more about the samples than about the state.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from manybody import _checks
from manybody._types import Array, Float, Inexact
from manybody.linalg import smooth_step
from manybody.sr.tangent import Tangent, TangentMap

SAME, ROUNDING = 1e-6, 1e-13
"""Relative distance of eigenvalues that count as the same; and that of rounding errors, in units of the largest."""


def trust(
    tangent: Tangent,
    values: Float[Array, "components"],
    contributions: Inexact[Array, "samples components"],
    threshold: float,
) -> Float[Array, "components"]:
    """Factors 1 / (1 + (threshold / ratio)^6) for the components.

    Eigenvectors of the same eigenvalue share one ratio, that of the length of their part of the force: which of them
    are found is chance. (Every eigenvalue of a holomorphic state comes twice in its real form, for v and iv.)

    Args:
        tangent: its samples, those of this worker, are taken as independent of each other.
        values: eigenvalues, ascending.
        contributions: p along their eigenvectors, up to a factor for each eigenvalue.
        threshold: of the ratio of signal to noise.

    Raises:
        TypeError: for several states at once.

    Reference:
        M. Schmitt and M. Heyl, arXiv:1912.08828, equations 15 to 17.
    """
    if not isinstance(tangent, TangentMap):
        raise TypeError(_checks.requirement("snr", "be left out for several states at once", threshold))
    comm, samples = tangent.comm, tangent.samples
    if samples.kind == "exact":
        return jnp.ones_like(values)
    weight = samples.flat_weight[:, None].astype(contributions.dtype)
    noise = 1.0 if samples.noise is None else samples.noise.reshape(-1, 1).astype(values.dtype)
    signal = comm.psum(jnp.sum(contributions, axis=0))
    variance = comm.psum(jnp.sum(noise * jnp.abs(contributions - weight * signal[None]) ** 2, axis=0))
    power, variance = _shared(values, jnp.abs(signal) ** 2), _shared(values, variance)
    # A component without noise is known, also where it vanishes.
    ratio = jnp.where(variance > 0, jnp.sqrt(power / jnp.where(variance > 0, variance, 1.0)), jnp.inf)
    return smooth_step(ratio, jnp.asarray(threshold, values.dtype))


def _shared(values: Float[Array, "components"], x: Float[Array, "components"]) -> Float[Array, "components"]:
    """Sums of x over components whose eigenvalues are the same, to rounding."""
    gaps = jnp.diff(values, prepend=values[:1])
    group = jnp.cumsum(gaps > SAME * jnp.abs(values) + ROUNDING * values[-1])
    return jax.ops.segment_sum(x, group, len(values), indices_are_sorted=True)[group]
