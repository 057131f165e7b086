# SPDX-License-Identifier: Apache-2.0
"""Means of Monte Carlo samples with error bars that mean what they say.

Every error bar is one formula. With the normalised weights w, the n samples x and their *influence* on the
self-normalised mean, y = n w (x - mean), the variance of the mean is the sum of the autocovariances of y,

    V = 1/n^2 sum_{|k| <= M} G_k,    G_k = sum_{chains c} sum_t Re(y*_{c,t} y_{c,t+|k|}),

and the kinds of samples differ only in the window M:

* independent draws: M = 0. Where a configuration was drawn several times, or could hardly be missed, G_0 is the sum of
  noise |y|^2 with a factor below 1 for each (see `Samples.noise`);
* `MANY_CHAINS` chains or more: all lags. The sum is then the scatter of the chain means, which is unbiased however
  short and correlated the chains are, as long as they are independent and in equilibrium; no G_k is computed;
* fewer chains: Geyer's initial positive sequence of G. It is pooled over the chains around the *grand* mean, so that
  chains which disagree keep the window open, up to the scatter of their means. Not Geyer's monotone sequence nor
  Sokal's window: both miss slow modes of small amplitude (two sigma of a mixture of tau = 3 and 99 covered 93.7 % and
  91 %, against 95.0 %), and an error bar had better be 3 % too long.

A window that takes S = sum_{|k| <= M} (1 - |k|/draws) leaves nu = n/S - 1 degrees of freedom (chains - 1 for all lags,
n - 1 for independent draws). V is divided by nu/(nu + 1) for the subtracted mean and multiplied by nu/(nu - 3/2) for
its own uncertainty: a compromise, since no single factor makes both one and two sigma of Student's t cover 68.3 % and
95.4 %.

References: Geyer, Stat. Sci. 7, 473 (1992), section 3.3; Vehtari et al., Bayesian Anal. 16, 667 (2021),
arXiv:1903.08008, sections 3.1 (split R-hat) and 3.2 (autocorrelations of several chains).
"""

from __future__ import annotations

import math
import numbers
from typing import TYPE_CHECKING, Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._struct import dataclass
from manybody._types import Array, Float, Inexact, Num
from manybody.parallel.comm import Comm

__all__ = ["KINDS", "MANY_CHAINS", "Estimate", "estimate", "v_score"]

KINDS = ("chain", "independent", "exact")
"""How samples came about: Markov chains, independent draws, or an enumeration of the whole space."""
MANY_CHAINS = 32
"""From this number of chains on, the scatter of the chain means alone gives the error (uncertain by 13 % or less)."""


@dataclass
class Estimate:
    """A mean with its error bar and what is needed to judge it. All leaves have one shape, () unless batched.

    Where the mean is not finite, the error, the variance, tau and R-hat are nan.

    Attributes:
        mean: weighted mean, real or complex.
        error: one standard deviation of the mean; for complex values (E|mean - truth|^2)^(1/2). 0 for exact sums, nan
            for a single sample.
        variance: <|x - mean|^2>, of the values and not of the mean; no small-sample correction.
        tau: factor by which correlation along the chains multiplies error^2, sum_{|k| < draws} (1 - |k|/draws) rho_k.
            For long chains the integrated autocorrelation time 1 + 2 sum_k rho_k in units of draws, so 1 for white
            noise; short chains see less, by the fraction tau / (2 draws) to first order. nan where there is one draw
            per chain, and for exact sums.
        r_hat: split R-hat, near 1 for chains that agree; nan where undefined.
        n_effective: Kish's number 1 / sum w^2, over tau; inf for exact sums.
        n_draws: draws per chain, by which printing judges `tau`; nan for samples that are not chains.
    """

    mean: Inexact[Array, "*batch"]
    error: Float[Array, "*batch"]
    variance: Float[Array, "*batch"]
    tau: Float[Array, "*batch"]
    r_hat: Float[Array, "*batch"]
    n_effective: Float[Array, "*batch"]
    n_draws: Float[Array, "*batch"] | float = math.nan

    if TYPE_CHECKING:

        def replace(self, **changes: Any) -> Self: ...

    def __str__(self) -> str:
        """One line such as ``-18.130 +- 0.010 [var=0.52, tau=1.3, R-hat=1.002]``, with what speaks against it."""
        leaves = jax.tree.leaves(self)
        if not all(isinstance(x, numbers.Number | np.ndarray | Array) and not _is_traced(x) for x in leaves):
            return f"Estimate({', '.join(map(str, leaves))})"  # inside a transformation, or a tree of specs
        columns = [x.reshape(-1) for x in np.broadcast_arrays(*leaves)]
        shape = np.broadcast_shapes(*(np.shape(x) for x in leaves))
        if not shape:
            return _line(*(x[0] for x in columns))
        lines = [_line(*row) for row in zip(*columns, strict=True)]
        if len(lines) > 8:
            lines = [*lines[:4], f"... ({len(lines) - 6} more)", *lines[-2:]]
        return "\n  ".join([f"Estimate of shape {shape}:", *lines])

    def __repr__(self) -> str:  # what an interactive session shows
        return str(self)


def estimate(
    comm: Comm,
    values: Num[Array, "chains draws"],
    weight: Float[Array, "chains draws"],
    kind: str,
    noise: Float[Array, "chains draws"] | None = None,
) -> Estimate:
    """Mean and error bar of samples (per-worker function, see the module for the formula).

    Measured over 2,000 runs with the right answer known (``tests/test_calibration.py``), one sigma covers it in
    66.7-71.1 % and two sigma in 94.6-96.5 %: 1 x 4000 to 1024 x 1 draws of chains with tau up to 22, also where tau
    exceeds the length of (many) chains. Not reliable:

    * few chains with less than about 20 effective samples together: a correlation nobody saw is not in the error bar;
    * chains out of equilibrium, or that all miss the same region: no error bar knows;
    * two or three chains of one draw: right within a factor of two at best;
    * weights or values with so long tails that the central limit theorem is not there yet;
    * complex values whose real and imaginary parts fluctuate alike: one sigma covers 63 %, two sigma 98 %.

    Weights enter through the influence, so that a correlation of weights with values is accounted for; where there is
    none, error^2 = variance / n_effective with Kish's effective number.

    Args:
        comm: the workers.
        values: local block of the values, real or complex.
        weight: local block of the weights; they sum to 1 over all workers.
        kind: one of `KINDS` (static).
        noise: what each sample adds to the variance of the mean, in units of weight^2 |value - mean|^2; None for 1
            ("independent" samples only).

    Returns:
        The estimate, the same on all workers and in every layout to rounding.

    Raises:
        ValueError: if `kind` is unknown or the shapes are not two equal ones (chains, draws).

    Example:
        >>> import jax.numpy as jnp
        >>> from manybody.parallel import Comm
        >>> from manybody.stats import estimate
        >>> energy = jnp.array([[-2.0, -2.0], [0.0, 0.0]])
        >>> estimate(Comm(), energy, jnp.full((2, 2), 0.25), "exact")
        -1 (exact) [var=1]
    """
    _checks.choice(kind, KINDS, "kind")
    _checks.require(values.ndim == 2, "values", "have axes (chains, draws)", f"shape {values.shape}")
    _checks.require(weight.shape == values.shape, "weight", f"have the shape of `values` {values.shape}", weight.shape)
    values = values.astype(jnp.result_type(complex if jnp.iscomplexobj(values) else float))
    weight = weight.astype(jnp.result_type(float))
    mean = comm.psum(jnp.sum(weight.astype(values.dtype) * values))
    deviation = values - mean
    # A conserved quantity must not show the rounding of its mean as fluctuations with a tau and an R-hat.
    rounding = 16 * float(jnp.finfo(weight.dtype).eps)
    deviation = jnp.where(jnp.abs(deviation) > rounding * jnp.abs(mean), deviation, jnp.zeros_like(deviation))
    n_chains, n_draws = comm.size * values.shape[0], values.shape[1]
    factor = jnp.ones_like(weight) if noise is None else noise
    sums = {"variance": jnp.sum(weight * _abs2(deviation)), "weight2": jnp.sum(factor * weight**2)}
    if kind == "exact":
        variance = comm.psum(sums["variance"])
        nan = jnp.full_like(variance, math.nan)
        exact = Estimate(mean, jnp.zeros_like(variance), variance, nan, nan, jnp.full_like(variance, math.inf), nan)
        return _where_finite(exact)
    influence = (n_chains * n_draws * weight).astype(values.dtype) * deviation
    # One reduction for all of it: layout only changes the order of these sums.
    sums = comm.psum(sums | _influence_sums(influence, kind, n_chains) | {"power": jnp.sum(factor * _abs2(influence))})
    n_kish = 1 / jnp.maximum(sums["weight2"], jnp.finfo(weight.dtype).tiny)
    error, tau = _error_and_tau(sums, n_kish, kind, n_chains, n_draws)
    n_effective = n_kish / tau
    if kind == "chain" and n_draws == 1:
        tau = jnp.full_like(tau, math.nan)
    return _where_finite(
        Estimate(
            mean=mean,
            error=error,
            variance=sums["variance"],
            tau=tau,
            r_hat=_r_hat(sums, n_chains, n_draws),
            n_effective=n_effective,
            n_draws=jnp.full_like(tau, n_draws if kind == "chain" else math.nan),
        )
    )


def v_score(estimate: Estimate, n_dof: float, e_infinity: float = 0.0) -> Float[Array, "*batch"]:
    """V-score of a variational energy, n_dof Var / (E - E_inf)^2: small for good states, comparable between systems.

    Reference: Wu et al., Science 386, 296 (2024), arXiv:2302.04919.

    Args:
        estimate: of the energy; the real part of its mean is used.
        n_dof: number of degrees of freedom (spins, or particles).
        e_infinity: energy at infinite temperature: for spins without the Sz constraint (0 for Heisenberg), for
            particles at fixed numbers.

    Returns:
        The score, of the shape of the leaves of `estimate`.
    """
    return n_dof * estimate.variance / (jnp.real(estimate.mean) - e_infinity) ** 2


def _where_finite(found: Estimate) -> Estimate:
    """The estimate, of whose spread nothing is known if its mean is nan or infinite."""
    is_finite = jnp.isfinite(found.mean)
    error, variance, tau, r_hat = (
        jnp.where(is_finite, x, math.nan) for x in (found.error, found.variance, found.tau, found.r_hat)
    )
    return found.replace(error=error, variance=variance, tau=tau, r_hat=r_hat)


def _is_traced(x: Any) -> bool:
    return isinstance(x, jax.core.Tracer)


def _abs2(x: Inexact[Array, "*shape"]) -> Float[Array, "*shape"]:
    return jnp.real(x) ** 2 + jnp.imag(x) ** 2 if jnp.iscomplexobj(x) else x**2


def _is_windowed(kind: str, n_chains: int, n_draws: int) -> bool:
    return kind == "chain" and n_draws > 1 and n_chains < MANY_CHAINS


def _influence_sums(influence: Inexact[Array, "chains draws"], kind: str, n_chains: int) -> dict[str, Array]:
    """What the local chains contribute to the error bar and to R-hat; everything here is a sum over chains."""
    n_draws = influence.shape[1]
    sums: dict[str, Array] = {}
    if kind != "chain":
        return sums
    if _is_windowed(kind, n_chains, n_draws):
        # Zero padding to twice the length, or the ends of the chains would meet. G_k for 0 <= k < draws.
        spectrum = jnp.sum(_abs2(jnp.fft.fft(influence, n=2 * n_draws, axis=1)), axis=0)
        sums["lags"] = jnp.real(jnp.fft.ifft(spectrum))[:n_draws]
    else:
        sums["total"] = jnp.sum(_abs2(jnp.sum(influence, axis=1)))
    if n_draws >= 4:  # halves; an odd draw in the middle belongs to none
        half = n_draws // 2
        influence = jnp.concatenate([influence[:, :half], influence[:, n_draws - half :]], axis=0)
    means = jnp.mean(influence, axis=1, keepdims=True)
    return sums | {
        "within": jnp.sum(_abs2(influence - means)),
        "means": jnp.sum(means),
        "means2": jnp.sum(_abs2(means)),
    }


def _error_and_tau(
    sums: dict[str, Array], n_kish: Array, kind: str, n_chains: int, n_draws: int
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The error of the mean, and tau as V over what it would be without correlations."""
    n = n_chains * n_draws
    power, one = sums["power"], jnp.ones_like(sums["power"])
    if _is_windowed(kind, n_chains, n_draws):
        total, window = _geyer_sum(sums["lags"])
        # Anticorrelated chains can leave nothing or less; the bound is Stan's, n_effective <= n log10(n).
        total = jnp.maximum(total, power / max(1.0, math.log10(n)))
    else:
        total, window = (sums["total"], n_draws * one) if kind == "chain" else (power, one)
    nu = jnp.maximum(n_kish / window - 1, 1.0)
    variance_of_mean = total / n**2 * (nu + 1) / nu
    unbiased = power / n + variance_of_mean * n / n_kish
    # Values that are all the same (an eigenstate) have error 0 and tau 1.
    tau = jnp.where(unbiased > 0, n * variance_of_mean / jnp.where(unbiased > 0, unbiased, 1.0), 1.0)
    nu = jnp.maximum(nu, 2.2)  # a finite factor where no multiple of V is right: 1.77 for t, 1.84 at nu = 1
    error = jnp.sqrt(variance_of_mean * nu / (nu - 1.5))
    return (error if n > 1 else jnp.full_like(error, math.nan)), tau


def _geyer_sum(lags: Float[Array, "draws"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Sum of G_k over Geyer's window |k| <= M, and S = sum_{|k| <= M} (1 - |k|/draws).

    Gamma_m = G_2m + G_(2m+1) is positive for a reversible chain, so the window ends before the first one that is not.
    """
    n_draws = lags.shape[0]
    n_pairs = -(-n_draws // 2)
    odd = 2 * n_pairs - n_draws
    pairs = jnp.pad(lags, (0, odd)).reshape(n_pairs, 2).sum(axis=1)  # (n_pairs,)
    taper = np.pad(1 - np.arange(n_draws) / n_draws, (0, odd)).reshape(n_pairs, 2).sum(axis=1)
    inside = jnp.cumprod((pairs > 0).at[0].set(True).astype(lags.dtype))
    # Both signs of k, and k = 0 once.
    return 2 * jnp.sum(inside * pairs) - lags[0], 2 * jnp.sum(inside * taper) - 1


def _r_hat(sums: dict[str, Array], n_chains: int, n_draws: int) -> Float[Array, ""]:
    """R-hat of half-chains, of whole chains if these have 2 or 3 draws; nan for one draw, or 2 or 3 of one chain."""
    parts, length = (2 * n_chains, n_draws // 2) if n_draws >= 4 else (n_chains, n_draws)
    if "within" not in sums or parts < 2 or length < 2:
        return jnp.full_like(sums["power"], math.nan)
    within = sums["within"] / (parts * (length - 1))
    between = (sums["means2"] - _abs2(sums["means"]) / parts) / (parts - 1)
    # 0/0 (an eigenstate) is agreement; chains stuck at different values give inf, or nearly so.
    ratio = jnp.where(between > 0, between / within, 0.0)
    return jnp.where(within > 0, jnp.sqrt((length - 1) / length + ratio), jnp.where(between > 0, math.inf, 1.0))


def _line(
    mean: complex, error: float, variance: float, tau: float, r_hat: float, n_effective: float, n_draws: float
) -> str:
    """One estimate in words. Error bars get two significant digits, and the mean as many decimals."""
    if n_effective == math.inf:
        return f"{mean:.10g} (exact) [var={variance:.3g}]"
    facts, doubts = [f"var={variance:.3g}"], []
    if not math.isnan(n_draws) and not math.isnan(tau):
        facts.append(f"tau={tau:.1f}" if tau < 10 else f"tau={tau:.0f}")
        if n_draws < 5 * (tau - 1):
            doubts.append("chains are too short for tau")
    if n_effective < 20:
        doubts.append(f"effective sample size only {n_effective:.2g}")
    if not math.isnan(r_hat):
        facts.append(f"R-hat={r_hat:.3f}" if r_hat < 10 else f"R-hat={r_hat:.3g}")
        if r_hat > 1.1:
            doubts.append("R-hat > 1.1, chains disagree")
    if n_draws == 1:
        doubts.append("one draw per chain: no tau, no R-hat")
    return f"{_plus_minus(mean, error)} [{'; '.join([', '.join(facts), *doubts])}]"


def _plus_minus(mean: complex, error: float) -> str:
    size = max(abs(mean), error)
    if not (0 < error < math.inf and size < math.inf):
        return f"{mean:.10g} +- {error:.2g}"
    power = math.floor(math.log10(size))
    shift = 0 if -4 <= power < 7 else power
    mean, error, power = mean / 10.0**shift, error / 10.0**shift, power - shift
    # The exponent after rounding (0.0996 is 0.10); more than 15 digits of the mean would be noise.
    decimals = min(max(1 - int(f"{error:.1e}".split("e")[1]), 0), 15 - power)
    value = f"{mean.real:.{decimals}f}" + (f"{mean.imag:+.{decimals}f}j" if np.iscomplexobj(mean) else "")
    text = f"{value} +- {error:.{decimals}f}"
    return f"({text})e{shift:+03d}" if shift else text
