# SPDX-License-Identifier: Apache-2.0
"""Couplings drawn anew in every step: where they lie, the Hamiltonians made of them, and runs with them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import kstest

from manybody.ansatz import RBM, Conditioned
from manybody.driver import FamilyVMC, Hook, Stratified
from manybody.driver.couplings import Members, stacked, traced
from manybody.exact.free_fermions import ising_chain_energy
from manybody.hamiltonian import ising
from manybody.hilbert import Spin
from manybody.io import CheckpointError, read_log
from manybody.lattice import chain
from manybody.operator import spin
from manybody.sampler import Exact, LocalFlip, Metropolis
from manybody.sr import SR
from tests.exact_formulas import Dense

N_SITES = 4
SPACE, CHAIN = Spin(N_SITES), chain(N_SITES)
ONE, TWO = Stratified(0.5, 1.5, 3), Stratified((0.5, 0.5), (1.5, 2.0), 3)
N_KEYS = 400


def hamiltonian(h):
    return ising(SPACE, CHAIN, h=h)


def of_two(g):
    return ising(SPACE, CHAIN, J=g[0], h=g[1]) + g[0] * g[1] * spin.sz(SPACE, 0)


def drawn(stratified, n_keys=N_KEYS):
    """Draws (keys, points, couplings)."""
    found = np.stack([stratified(key) for key in jax.random.split(jax.random.key(3), n_keys)])
    return found.reshape(*found.shape[:2], -1)


def walking(couplings=ONE, function=hamiltonian, seed=0, lower=0.5, upper=1.5, **options):
    """A family sampled by chains."""
    options = {"optimizer": optax.adam(0.02), "preconditioner": SR(1e-2, "samples", momentum=0.5), **options}
    sampler = Metropolis(SPACE, LocalFlip(), 8, **{key: options.pop(key) for key in ("sweep_size",) if key in options})
    return FamilyVMC(function, Conditioned(RBM(), lower, upper, 1), sampler, couplings, 16, seed=seed, **options)


def summed(couplings, function=hamiltonian, **options):
    """A family without noise."""
    options = {"optimizer": optax.sgd(0.1), **options}
    return FamilyVMC(function, Conditioned(RBM(), 0.5, 1.5, 1), Exact(SPACE), couplings, **options)


def numbers(progress):
    """All that a step needs, as arrays."""

    def number(x):
        return np.asarray(jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x)

    return [number(x) for x in jax.tree.leaves(progress)]


# --- where they lie --------------------------------------------------------------------------------------------------


def test_one_coupling_lies_in_each_interval_and_anywhere_in_it():
    found = drawn(Stratified(-1.0, 3.0, 5))[..., 0]
    places = (found + 1) / 0.8 - np.arange(5)
    assert np.all((places >= 0) & (places <= 1))
    assert kstest(places.ravel(), "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(places.T)[0, 1]) < 5 / np.sqrt(N_KEYS)


def test_several_couplings_are_a_latin_hypercube():
    stratified = Stratified((0.0, -1.0, 2.0), (1.0, 1.0, 3.0), 4)
    places = (drawn(stratified) - stratified.lower) / np.subtract(stratified.upper, stratified.lower) * 4
    cells = np.floor(places).astype(int)
    np.testing.assert_array_equal(cells[..., 0], np.tile(np.arange(4), (N_KEYS, 1)))
    np.testing.assert_array_equal(np.sort(cells, axis=1), np.tile(np.arange(4)[:, None], (N_KEYS, 1, 3)))
    for one, other in ((0, 1), (0, 2), (1, 2)):  # all pairs of intervals meet equally often
        met = np.zeros((4, 4))
        np.add.at(met, (cells[..., one], cells[..., other]), 1)
        assert np.max(np.abs(met - N_KEYS / 4)) < 5 * np.sqrt(N_KEYS * 3 / 16)  # five sigma of a binomial number
    assert kstest((places % 1).ravel(), "uniform").pvalue > 1e-3


def test_a_grid_keeps_each_point_in_its_cell():
    found = drawn(Stratified((0.0, 1.0), (1.0, 3.0), (2, 3)), 50)
    cells = [(i, j) for i in range(2) for j in range(3)]
    np.testing.assert_array_equal(np.floor(found * [2, 1.5] - [0, 1.5]), np.tile(cells, (50, 1, 1)))


def test_draws_are_those_of_the_key():
    one, again, other = (TWO(jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert np.all(one != other)
    assert (ONE(jax.random.key(0)).shape, one.shape) == ((3,), (3, 2))
    assert Stratified(0, 1, 2) == Stratified(0.0, np.float64(1), 2)
    assert hash(Stratified([0, 1], np.array([2, 3]), [2, 2])) == hash(Stratified((0, 1), (2, 3), (2, 2)))


def test_what_no_draws_are_made_of():
    for lower, upper, points, message in (
        (1.0, 0.5, 3, r"`upper` must be larger than `lower` \(1\.0\)"),
        (0.0, (1.0, 1.0), 3, "`upper` must have the form of `lower`"),
        (0.0, 1.0, 0, "`points` must satisfy 1 <= points, got 0"),
        (0.0, 1.0, (2,), "`points` must be one number, or one for each of `lower`"),
        ((0.0, 0.0), (1.0, 1.0), (2, 2, 2), "`points` must be one number, or one for each of `lower`"),
    ):
        with pytest.raises(ValueError, match=message):
            Stratified(lower, upper, points)
    with pytest.raises(TypeError, match="`points` must be an integer"):
        Stratified(0.0, 1.0, 2.5)


# --- their Hamiltonians ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("function", "box"), [(hamiltonian, ONE), (of_two, TWO)], ids=["one", "two"])
def test_traced_hamiltonians_are_those_that_the_function_makes(function, box):
    points, others = (jnp.asarray(box(jax.random.key(seed))) for seed in (0, 1))
    like = Members(points, stacked([function(g) for g in np.asarray(points)]))
    build = traced(function, like)
    expected = stacked([function(g) for g in np.asarray(others)])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-14), build(others), expected)
    assert np.max(np.abs(expected.couplings - like.operator.couplings)) > 0.01


def test_hamiltonians_that_ask_for_numbers_are_not_traced():
    points = jnp.asarray(ONE(jax.random.key(0)))
    for function in (lambda h: hamiltonian(float(h)), lambda h: hamiltonian(h if h > 1 else 2 * h)):
        assert traced(function, Members(points, stacked([function(h) for h in np.asarray(points)]))) is None


# --- runs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["traced", pytest.param("called", marks=pytest.mark.slow)])
def test_steps_are_made_at_couplings_that_are_drawn_anew(how):
    """Energies of each step against dense matrices at the couplings of its record."""
    function = hamiltonian if how == "traced" else lambda h: hamiltonian(float(h))
    driver, seen = summed(ONE, function), []
    assert (driver._traced is not None) == (how == "traced")
    for _ in range(4):
        coefficients = jax.device_get(driver.progress.params)
        record = driver.advance()
        for r, (h, energy) in enumerate(zip(record["couplings"], record["energies"], strict=True)):
            assert 0.5 + r / 3 <= h <= 0.5 + (r + 1) / 3
            log_psi = lambda c, sigma, h=h: driver.ansatz.apply({"params": c}, sigma, h)  # noqa: E731
            member = Dense(log_psi, coefficients, SPACE.all_states(), hamiltonian(h).to_dense())
            assert energy == pytest.approx(member.energy, rel=1e-12)
        seen.append(record["couplings"])
    assert len(np.unique(seen)) == 12
    assert (driver.n_traces, driver.n_regrowths) == (1, 0)
    assert "space of" in driver.describe()


def test_both_ways_to_make_hamiltonians_lead_to_the_same():
    one, other = summed(ONE), summed(ONE, lambda h: hamiltonian(float(h)))
    for driver in (one, other):
        driver.run(3, progress=False)
    for a, b in zip(numbers(one.progress.params), numbers(other.progress.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_chains_go_on_from_where_they_were():
    """With one proposal between two samples, no chain of any point changes by more than a spin."""
    driver = walking(TWO, of_two, lower=TWO.lower, upper=TWO.upper, sweep_size=1)
    driver.advance()  # starts with the sweeps that new chains owe
    moved = 0
    for _ in range(5):
        before = np.asarray(driver.progress.chains.sigma)
        record = driver.advance()
        assert record["couplings"].shape == (3, 2)
        changed = np.sum(driver.progress.chains.sigma != before, axis=-1)  # (chains, points)
        assert changed.max() <= 2  # two samples a step
        moved += changed.sum()
    assert moved > 0


class _StopAt(Hook):
    def on_step(self, driver, record):
        return record["step"] == 3


@pytest.mark.slow  # so does tests/distributed
@pytest.mark.parametrize("make", [walking, lambda: summed(ONE)], ids=["chains", "exact"])
def test_taken_up_bit_for_bit(tmp_path, make):
    whole = make()
    couplings = [whole.advance()["couplings"] for _ in range(5)]
    make().run(5, out=tmp_path, hooks=[_StopAt()], progress=False, save_every=2)
    again = make()
    again.run(5, out=tmp_path, progress=False, save_every=2)
    for a, b in zip(numbers(again.progress), numbers(whole.progress), strict=True):
        np.testing.assert_array_equal(a, b)
    records = list(read_log(tmp_path / "log.jsonl"))
    assert [record["step"] for record in records] == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal([record["couplings"] for record in records], couplings)


def test_runs_know_how_their_couplings_are_drawn(tmp_path):
    summed(ONE).run(1, out=tmp_path, progress=False)
    words = summed(ONE).identity()["couplings"]
    assert words.startswith("Stratified(lower=0.5, upper=1.5, points=3), at first 3 points ")
    moved = summed(ONE)
    moved.advance()
    moved.advance()  # which changes nothing of what the run is about
    assert moved.identity() == summed(ONE).identity()
    for other, what in (
        (summed(ONE, seed=1), "hamiltonian"),
        (summed(lambda key: ONE(key)), "couplings"),
        (summed(ONE, lambda h: ising(SPACE, CHAIN, J=1.1, h=h)), "hamiltonian"),
        (summed(Stratified(0.5, 1.5, 4)), "hamiltonian"),
    ):
        assert other.identity()[what] != summed(ONE).identity()[what]
        with pytest.raises(CheckpointError, match=f"`{what}` was"):
            other.run(2, out=tmp_path, progress=False)


def test_any_function_of_a_key_draws():
    driver = summed(lambda key: jax.random.uniform(key, (2,), minval=0.6, maxval=0.9))
    found = np.concatenate([driver.advance()["couplings"] for _ in range(3)])
    assert np.all((found > 0.6) & (found < 0.9))
    assert len(np.unique(found)) == 6


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"`couplings` must lie between 0\.5 and 1\.5, got \[0\.49"):
        summed(Stratified(0.499, 0.9, 2))  # whatever the first draws are
    with pytest.raises(ValueError, match=r"`couplings` must have shape \(points\)"):
        summed(Stratified((0.6, 0.6), (1.4, 1.4), 3))
    calls = []

    def fewer(key):
        calls.append(key)
        return jnp.array([0.7, 0.8, 0.9])[: 4 - len(calls)]

    with pytest.raises(ValueError, match="`couplings` must be 3 points in every step, got 2"):
        summed(fewer).advance()


@pytest.mark.parametrize(
    ("later", "message"),
    [
        (spin.sz(SPACE, 0) + spin.sx(SPACE, 1) @ spin.sx(SPACE, 2), "have the same terms for all couplings"),
        (1j * spin.sz(SPACE, 0), "be Hermitian"),
    ],
    ids=["terms", "not Hermitian"],
)
def test_hamiltonians_that_turn_out_wrong_are_refused(later, message):
    extra = [0.5 * spin.sz(SPACE, 0)]
    driver = summed(ONE, lambda h: hamiltonian(float(h)) + extra[-1])
    driver.advance()
    extra.append(later)
    with pytest.raises(ValueError, match=f"`hamiltonian` must {message}"):
        driver.advance()
    assert driver.step == 1


@pytest.mark.slow
def test_couplings_that_were_not_seen():
    """Between and beyond the draws of the last step the states are right, against free fermions."""
    n_sites, lattice, space = 8, chain(8), Spin(8)
    rbm = RBM(alpha=2, symmetries=lattice.translations(), use_visible_bias=False, use_hidden_bias=False)
    driver = FamilyVMC(
        lambda h: ising(space, lattice, h=h),
        Conditioned(rbm, 0.5, 1.5, 4),
        Exact(space),
        Stratified(0.5, 1.5, 8),
        optimizer=optax.sgd(0.1),
        seed=1,
    )
    states = driver.run(100, progress=False)
    for h in (0.5, 0.55, 0.72, 0.87, 1.0, 1.13, 1.31, 1.45, 1.5):
        energy, exact = states.at(h).expect(ising(space, lattice, h=h)).mean, ising_chain_energy(n_sites, h=h)
        assert -1e-12 < (energy - exact) / abs(exact) < 1e-3
