# SPDX-License-Identifier: Apache-2.0
"""Estimates against closed forms and direct sums; how often error bars cover the truth is in test_calibration.py."""

import math
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from manybody.parallel import REPLICATED, SHARD, Comm, mesh_comm
from manybody.stats import KINDS, MANY_CHAINS, Estimate, estimate, v_score

SERIAL = Comm()


def rng(seed=0):
    return np.random.default_rng(seed)


jitted = jax.jit(estimate, static_argnums=(0, 3))


def of(values, weight=None, kind="chain"):
    values = np.asarray(values)
    weight = np.full(values.shape, 1 / values.size) if weight is None else weight
    return jitted(SERIAL, values, weight, kind)


def ar1(n_chains, n_draws, rho, seed=0):
    noise = rng(seed).standard_normal((n_chains, n_draws))
    noise[:, 1:] *= math.sqrt(1 - rho**2)
    return scipy.signal.lfilter([1.0], [1.0, -rho], noise)


def make(mean, error, variance=0.52, tau=1.3, r_hat=1.002, n_effective=1e4, n_draws=100.0):
    return Estimate(
        *(jnp.asarray(x) for x in np.broadcast_arrays(mean, error, variance, tau, r_hat, n_effective, n_draws))
    )


# --- the three kinds --------------------------------------------------------------------------------------------------


def test_exact_sum():
    x, w = rng().standard_normal((3, 5)), rng(1).random((3, 5))
    w /= w.sum()
    result = of(x, w, "exact")
    assert result.mean == pytest.approx(np.sum(w * x), rel=1e-14)
    assert result.variance == pytest.approx(np.sum(w * x**2) - np.sum(w * x) ** 2, rel=1e-12)
    assert result.error == 0
    assert result.n_effective == math.inf
    assert all(np.isnan(leaf) for leaf in (result.tau, result.r_hat, result.n_draws))


def test_independent_is_the_textbook_error():
    x = rng().standard_normal((8, 500))
    result = of(x, kind="independent")
    # The factor for Student's t is 1 + 3/(4n) here.
    assert result.error == pytest.approx(np.std(x, ddof=1) / math.sqrt(x.size), rel=3e-4)
    assert result.tau == pytest.approx(1)
    assert result.n_effective == pytest.approx(x.size)
    assert np.isnan(result.r_hat)


def test_one_draw_per_chain_is_as_good_as_independent():
    x = rng().standard_normal((50, 1))
    chain, independent = of(x), of(x, kind="independent")
    assert chain.error == pytest.approx(float(independent.error), rel=1e-13)
    assert chain.n_effective == pytest.approx(50)
    assert np.isnan(chain.tau)
    assert np.isnan(chain.r_hat)


def test_many_chains_use_the_scatter_of_their_means():
    x = ar1(40, 12, 0.0)  # white noise: a window would end long before the last lag
    expected = np.std(x.mean(axis=1), ddof=1) / math.sqrt(40) * math.sqrt(39 / (39 - 1.5))
    assert MANY_CHAINS <= 40
    assert of(x).error == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n_chains", [1, 16, 200])
@pytest.mark.parametrize("rho", [-0.4, 0.0, 0.6, 0.9])
def test_tau_of_an_autoregressive_chain(n_chains, rho):
    tau = (1 + rho) / (1 - rho)
    n_draws = 64_000 // n_chains
    result = of(ar1(n_chains, n_draws, rho))
    # Scatter of chain means: sqrt(2/199) = 10 %. Window: about sqrt(2 (2M + 1)/n) with M of a few tau, under 7 %.
    assert result.tau == pytest.approx(tau, rel=0.3 if n_chains == 200 else 0.2)
    assert result.n_effective == pytest.approx(n_chains * n_draws / result.tau)
    assert result.error == pytest.approx(math.sqrt(result.variance * result.tau / (n_chains * n_draws)), rel=0.02)


def test_geyer_window_ends_at_the_first_pair_that_is_not_positive():
    # One chain, direct sums over pairs of lags.
    x = ar1(1, 41, 0.7, seed=3)[0]
    y = x - x.mean()
    lags = [np.sum(y[: 41 - k] * y[k:]) for k in range(41)] + [0.0]
    total, size = -lags[0], -1.0
    for k in range(0, 41, 2):
        if k > 0 and lags[k] + lags[k + 1] <= 0:
            break
        total += 2 * (lags[k] + lags[k + 1])
        size += 2 * (2 - (2 * k + 1) / 41)
    assert 0 < k < 40
    nu = 41 / size - 1
    error = math.sqrt(total / 41**2 * (nu + 1) / (nu - 1.5))
    assert of(x[None]).error == pytest.approx(error, rel=1e-12)


def test_stuck_chains_get_the_error_of_their_means():
    # Two of four chains sit around +5: the spread between chains is all that counts.
    x = ar1(4, 500, 0.3) + np.array([5.0, 5.0, 0.0, 0.0])[:, None]
    result = of(x)
    assert result.error > 1.2
    assert result.r_hat > 2


# --- weights ----------------------------------------------------------------------------------------------------------


def test_weights_enter_through_the_influence():
    x, w = rng().standard_normal((10, 30)), rng(1).random((10, 30)) ** 2
    w /= w.sum()
    result = of(x, w, "independent")
    mean, kish = np.sum(w * x), 1 / np.sum(w**2)
    assert result.mean == pytest.approx(mean, rel=1e-13)
    assert result.n_effective == pytest.approx(kish, rel=1e-12)
    expected = np.sum(w**2 * (x - mean) ** 2) * kish / (kish - 1) * (kish - 1) / (kish - 2.5)
    assert result.error == pytest.approx(math.sqrt(expected), rel=1e-12)


def test_integer_weights_repeat_samples():
    # Chains of which every second one counts twice, against the list with copies: same mean, variance, Kish smaller.
    x = rng().standard_normal((64, 4))
    count = np.where(np.arange(64) % 2, 2, 1)
    weighted = of(x, np.repeat(count[:, None], 4, axis=1) / (4 * count.sum()))
    copies = of(np.repeat(x, count, axis=0))
    assert weighted.mean == pytest.approx(float(copies.mean), rel=1e-12)
    assert weighted.variance == pytest.approx(float(copies.variance), rel=1e-12)
    assert weighted.n_effective * weighted.tau == pytest.approx((4 * 96) ** 2 / (4 * 32 * (4 + 1)))


def test_importance_weights_give_the_error_of_direct_samples_over_kish():
    # N(0, 1) seen through samples of N(0, 1) with weights that know nothing of the values.
    x = ar1(64, 2000, 0.5)
    w = np.exp(rng(5).standard_normal((64, 1)) * np.ones((1, 2000)) * 0.5)
    direct, weighted = of(x), of(x, w / w.sum())
    kish = w.sum() ** 2 / np.sum(w**2)
    # Both errors come from 64 chain means, to 9 % each.
    assert weighted.error / direct.error == pytest.approx(math.sqrt(x.size / kish), rel=0.25)


# --- complex values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(64, 5), (6, 90)])
def test_complex_values_use_the_modulus(shape):
    x = ar1(*shape, 0.5)
    phase = np.exp(0.7j)
    real, rotated = of(x), of(phase * x + 2j)
    assert rotated.mean == pytest.approx(phase * float(real.mean) + 2j, rel=1e-12)
    for name in ("error", "variance", "tau", "r_hat", "n_effective"):
        assert getattr(rotated, name) == pytest.approx(float(getattr(real, name)), rel=1e-10), name
        assert getattr(rotated, name).dtype == jnp.float64


def test_values_of_other_types():
    for x in (np.ones((2, 3), np.int8), np.ones((2, 3), np.float32)):
        assert of(x).mean.dtype == jnp.float64
    assert of(np.ones((2, 3), np.complex64)).mean.dtype == jnp.complex128


# --- R-hat ------------------------------------------------------------------------------------------------------------


def split_r_hat(x):
    half = x.shape[1] // 2
    parts = np.concatenate([x[:, :half], x[:, -half:]])
    within, between = parts.var(axis=1, ddof=1).mean(), parts.mean(axis=1).var(ddof=1)
    return math.sqrt((half - 1) / half + between / within)


@pytest.mark.parametrize("shape", [(1, 50), (4, 101), (40, 4)])
def test_r_hat_is_that_of_half_chains(shape):
    x = ar1(*shape, 0.5)
    assert of(x).r_hat == pytest.approx(split_r_hat(x), rel=1e-11)


def test_r_hat_of_good_and_of_separated_chains():
    x = ar1(16, 1000, 0.5)
    assert abs(of(x).r_hat - 1) < 0.01
    assert of(x + np.arange(16)[:, None]).r_hat > 2
    assert of(x + np.linspace(0, 4, 1000)).r_hat > 1.1  # a drift, common to all chains


def test_r_hat_of_short_chains():
    x = rng().standard_normal((500, 3))
    plain = math.sqrt(2 / 3 + x.mean(axis=1).var(ddof=1) / x.var(axis=1, ddof=1).mean())
    assert of(x).r_hat == pytest.approx(plain, rel=1e-12)
    assert np.isnan(of(x[:1]).r_hat)
    assert np.isnan(of(x[:, :1]).r_hat)


def test_constant_values():
    same = of(np.full((8, 10), -0.3), np.full((8, 10), 1 / 80))  # the mean is not -0.3 to the last bit
    assert (same.error, same.variance, same.tau, same.r_hat) == (0, 0, 1, 1)
    stuck = of(np.repeat(np.arange(8.0)[:, None], 10, axis=1))
    assert stuck.r_hat > 1e6
    assert stuck.tau == pytest.approx(10)


@pytest.mark.parametrize("kind", ["chain", "independent", "exact"])
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_nothing_is_known_of_the_spread_where_the_mean_is_not_finite(kind, wrong):
    values = rng().standard_normal((4, 10))
    values[1, 2] = wrong
    for x in (values, values.astype(complex)):
        found = of(x, kind=kind)
        assert not np.isfinite(found.mean)
        for spread in (found.error, found.variance, found.tau, found.r_hat):
            assert np.isnan(spread)
    all_nan = of(np.full((4, 10), math.nan), kind=kind)
    assert str(all_nan) == ("nan (exact) [var=nan]" if kind == "exact" else "nan +- nan [var=nan]")


def test_smallest_cases():
    assert np.isnan(of([[1.0]]).error)
    assert np.isnan(of([[1.0]], kind="independent").error)
    for shape in [(2, 1), (1, 2), (1, 3), (2, 2)]:
        result = of(rng().standard_normal(shape))
        assert 0 < result.error < 10


# --- transformations --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "shape", "is_complex"),
    [
        *((kind, (64, 8), True) for kind in KINDS),
        ("chain", (64, 1), False),
        ("chain", (8, 64), False),
        ("chain", (8, 64), True),
        ("chain", (4, 3), False),
    ],
)
def test_layout_changes_only_rounding(kind, shape, is_complex):
    x = ar1(*shape, 0.8) + (1j * ar1(*shape, 0.3, seed=1) if is_complex else 0)
    w = rng(2).random(shape)
    w /= w.sum()
    for n_workers in (2, 4):
        comm = mesh_comm(jax.local_devices()[:n_workers])
        run = comm.spmd(lambda x, w, comm=comm: estimate(comm, x, w, kind), (SHARD, SHARD), REPLICATED)
        sharded = run(comm.scatter(x), comm.scatter(w))
        for name in Estimate.__dataclass_fields__:
            np.testing.assert_allclose(
                getattr(sharded, name), getattr(of(x, w, kind), name), rtol=1e-12, atol=1e-14, err_msg=name
            )


@pytest.mark.parametrize("shape", [(40, 3), pytest.param((8, 20), marks=pytest.mark.slow)])
def test_vmap_over_seeds(shape):
    x = np.stack([ar1(*shape, 0.5, seed) for seed in range(5)])
    w = jnp.full(shape, 1 / (shape[0] * shape[1]))
    batch = jax.vmap(lambda x: estimate(SERIAL, x, w, "chain"))(x)
    for seed in range(5):
        single = of(x[seed])
        for name in Estimate.__dataclass_fields__:
            np.testing.assert_allclose(getattr(batch, name)[seed], getattr(single, name), rtol=1e-10, err_msg=name)


def test_estimates_are_scanned_and_stacked():
    first, second = of(ar1(4, 10, 0.1)), of(ar1(4, 10, 0.1, seed=1))
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), first, second)
    assert stacked.mean.shape == (2,)
    assert str(first) in str(stacked)


# --- V-score ----------------------------------------------------------------------------------------------------------


def test_v_score():
    energy = make(-10.0, 0.1, variance=2.0)
    assert v_score(energy, 16) == pytest.approx(16 * 2 / 100)
    assert v_score(energy, 16, e_infinity=-2.0) == pytest.approx(16 * 2 / 64)
    assert v_score(make(-10 + 0.3j, 0.1, variance=2.0), 16) == pytest.approx(0.32)
    batch = make(jnp.array([-10.0, -5.0]), 0.1, variance=jnp.array([2.0, 1.0]))
    np.testing.assert_allclose(v_score(batch, 4), [0.08, 0.16])


# --- text -------------------------------------------------------------------------------------------------------------

GOOD = " [var=0.52, tau=1.3, R-hat=1.002]"


@pytest.mark.parametrize(
    ("mean", "error", "text"),
    [
        (-18.1312, 0.0104, "-18.131 +- 0.010"),
        (-18.1312, 0.0996, "-18.13 +- 0.10"),
        (-18.1312, 0.0095, "-18.1312 +- 0.0095"),
        (-18.1312, 3.14, "-18.1 +- 3.1"),
        (4321.6, 123.4, "4322 +- 123"),
        (0.0, 0.25, "0.00 +- 0.25"),
        (-18.13 + 0.0021j, 0.0104, "-18.130+0.002j +- 0.010"),
        (1.234e-9, 5e-11, "(1.234 +- 0.050)e-09"),
        (-1.5e9, 2e8, "(-1.50 +- 0.20)e+09"),
        (-2.0, 0.0, "-2 +- 0"),
        (-2.0, 1e-17, "-2.000000000000000 +- 0.000000000000000"),
        (1.5e-9, 1e-27, "(1.500000000000000 +- 0.000000000000000)e-09"),
        (math.nan, math.nan, "nan +- nan"),
    ],
)
def test_text_of_mean_and_error(mean, error, text):
    assert str(make(mean, error)) == repr(make(mean, error)) == text + GOOD


def test_text_of_exact_sums_and_independent_draws():
    x = np.array([[-2.0, -2.0], [0.0, 0.0]])
    assert str(of(x, kind="exact")) == "-1 (exact) [var=1]"
    assert str(of(rng().standard_normal((10, 10)), kind="independent")) == "0.081 +- 0.097 [var=0.926]"


@pytest.mark.parametrize(
    ("fields", "doubt"),
    [
        ({"r_hat": 1.2}, "R-hat > 1.1"),
        ({"r_hat": math.inf}, "R-hat > 1.1"),
        ({"tau": 30.0}, "too short for tau"),
        ({"tau": 1.5, "n_draws": 2.0}, "too short for tau"),
        ({"n_effective": 6.0}, "effective sample size only 6"),
        ({"tau": math.nan, "r_hat": math.nan, "n_draws": 1.0}, "one draw per chain"),
    ],
)
def test_text_has_doubts(fields, doubt):
    assert ";" not in str(make(-1.0, 0.1))
    assert doubt in str(make(-1.0, 0.1, **fields))


def test_text_of_batches():
    few = str(make(jnp.array([1.0, 2.0]), 0.1))
    assert few == f"Estimate of shape (2,):\n  1.00 +- 0.10{GOOD}\n  2.00 +- 0.10{GOOD}"
    many = str(make(jnp.arange(100.0).reshape(10, 10), 0.1))
    assert "shape (10, 10)" in many
    assert "94 more" in many
    assert many.count("\n") == 7


def test_text_inside_a_transformation():
    texts = []

    @jax.jit
    def f(x):
        texts.append(repr(estimate(SERIAL, x, x, "chain")))
        return x

    f(jnp.ones((2, 2)))
    assert texts[0].startswith("Estimate(")


# --- bad input --------------------------------------------------------------------------------------------------------


unchecked = pytest.mark.skipif(os.environ.get("MANYBODY_TYPECHECK", "0") != "0", reason="jaxtyping complains first")


@pytest.mark.parametrize(
    ("values", "weight", "kind", "message"),
    [
        ((2, 3), (2, 3), "chains", r"`kind` must be one of .* Did you mean 'chain'\?"),
        pytest.param((6,), (6,), "chain", r"`values` must have axes \(chains, draws\)", marks=unchecked),
        pytest.param(
            (2, 3), (3, 2), "chain", r"`weight` must have the shape of `values` \(2, 3\), got \(3, 2\)", marks=unchecked
        ),
    ],
)
def test_bad_input(values, weight, kind, message):
    with pytest.raises(ValueError, match=message):
        estimate(SERIAL, jnp.ones(values), jnp.ones(weight), kind)
