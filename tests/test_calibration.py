# SPDX-License-Identifier: Apache-2.0
"""Error bars cover the truth as often as they promise: 2,000 independent runs each.

Of 2,000 runs with perfect error bars, 68.3 % are expected within one sigma and 95.4 % within two; the binomial standard
deviation of these shares is 1.04 % and 0.47 %. Of the limits below, 65 % and 71.5 % are three of them away from perfect
and 94 % and 97 % three to three and a half. The estimator itself deviates on the safe side, by up to 3 % of its length
(1.5 % in the first share) where Geyer's window is used.
"""

import jax
import numpy as np
import pytest
import scipy.signal

from manybody.parallel import Comm
from manybody.stats import Estimate, estimate

N_RUNS = 2000
LIMITS = ((0.65, 0.715), (0.94, 0.97))
"""Allowed shares of runs within one and two sigma."""


def coverage(estimates: Estimate, truth: complex) -> tuple[float, float]:
    """Shares of a batch of estimates of which the true value lies within one and within two error bars."""
    distance = np.abs(np.asarray(estimates.mean) - truth)
    error = np.asarray(estimates.error)
    return float(np.mean(distance <= error)), float(np.mean(distance <= 2 * error))


def assert_calibrated(estimates: Estimate, truth: complex) -> None:
    """`coverage` within `LIMITS`; for 2,000 runs."""
    assert np.shape(estimates.mean) == (N_RUNS,)
    shares = coverage(estimates, truth)
    for n_sigma, share, (low, high) in zip((1, 2), shares, LIMITS, strict=True):
        assert low <= share <= high, f"{n_sigma} sigma: {share:.4f} not in [{low}, {high}]"


def estimates_of(values: np.ndarray, kind: str, log_weight: np.ndarray | None = None) -> Estimate:
    """Batched estimate of `values` (runs, chains, draws)."""
    weight = np.exp(np.zeros_like(values) if log_weight is None else log_weight)
    weight /= weight.sum(axis=(1, 2), keepdims=True)

    @jax.jit
    def all_runs(values, weight):
        # A few runs at a time, so that they stay in the cache.
        return jax.lax.map(lambda run: estimate(Comm(), *run, kind), (values, weight), batch_size=20)

    return all_runs(values, weight)


def ar1(n_chains: int, n_draws: int, rho: float, seed: int = 0) -> np.ndarray:
    """Stationary chains of N(0, 1) with autocorrelation rho^k, so tau = (1 + rho)/(1 - rho); (runs, chains, draws)."""
    noise = np.random.default_rng(seed).standard_normal((N_RUNS, n_chains, n_draws))
    noise[..., 1:] *= np.sqrt(1 - rho**2)
    return scipy.signal.lfilter([1.0], [1.0, -rho], noise)


@pytest.mark.parametrize(
    ("n_chains", "n_draws", "rho"),
    [
        (1024, 1, 0.0),
        (1024, 4, 0.9),  # chains shorter than tau = 19
        (64, 8, 0.9),
        pytest.param(32, 50, 0.5, marks=pytest.mark.slow),
        pytest.param(16, 64, 0.8, marks=pytest.mark.slow),
        (16, 8, 0.9),
        (16, 64, 0.0),
        (16, 64, -0.4),  # anticorrelated
        pytest.param(4, 2000, 0.9, marks=pytest.mark.slow),
        (2, 1000, 0.0),
        pytest.param(1, 4000, 0.8, marks=pytest.mark.slow),
    ],
)
def test_autoregressive_chains(n_chains, n_draws, rho):
    assert_calibrated(estimates_of(ar1(n_chains, n_draws, rho), "chain"), 0.0)


def test_slow_mode_of_small_amplitude():
    # 80 % of the variance has tau = 3 and 20 % has tau = 99: what a window cut early misses.
    x = np.sqrt(0.8) * ar1(16, 256, 0.5) + np.sqrt(0.2) * ar1(16, 256, 0.98, seed=1)
    assert_calibrated(estimates_of(x, "chain"), 0.0)


@pytest.mark.parametrize(("n_chains", "n_draws"), [(16, 100), (256, 4)])
def test_metropolis_chains(n_chains, n_draws):
    # Steps to the neighbours on a ring of 8 sites, accepted with min(1, p'/p); a skew, discrete observable.
    p = np.arange(1, 9) / np.arange(1, 9).sum()
    f = np.array([3.0, 0.0, 1.0, -1.0, 2.0, 0.5, -2.0, 0.0])
    rng = np.random.default_rng(0)
    site = rng.choice(8, (N_RUNS, n_chains), p=p)
    draws = []
    for _ in range(n_draws):
        new = (site + rng.choice([-1, 1], site.shape)) % 8
        site = np.where(rng.random(site.shape) < p[new] / p[site], new, site)
        draws.append(f[site])
    assert_calibrated(estimates_of(np.stack(draws, axis=2), "chain"), p @ f)


@pytest.mark.parametrize("n_chains", [64, 8])
def test_weighted_chains(n_chains):
    # Chains of N(0, 1) reweighted to N(1/2, 1). The weights are correlated with the values.
    x = ar1(n_chains, 2048 // n_chains, 0.6)
    assert_calibrated(estimates_of(x, "chain", 0.5 * x), 0.5)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_independent_draws(is_weighted):
    x = ar1(5, 200, 0.0)
    assert_calibrated(estimates_of(x, "independent", 0.5 * x if is_weighted else None), 0.5 if is_weighted else 0.0)


def test_naive_errors_are_not_calibrated():
    # The limits can fail: correlated chains taken for independent draws.
    with pytest.raises(AssertionError, match="1 sigma"):
        assert_calibrated(estimates_of(ar1(16, 64, 0.8), "independent"), 0.0)
