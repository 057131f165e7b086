# SPDX-License-Identifier: Apache-2.0
"""A quench of the Ising chain to its critical point, with an RBM against exact evolution."""

import jax
import numpy as np
import pytest

from manybody import VariationalState, exact, hamiltonian, operator
from manybody.ansatz import RBM
from manybody.driver import TDVP
from manybody.hilbert import Spin
from manybody.lattice import chain
from manybody.ode import Integrator
from manybody.program import terms
from manybody.sampler import Exact, LocalFlip, Metropolis
from manybody.sr import SR
from tests.driver.test_tdvp import Keep

N = 10
SPACE, CHAIN = Spin(N), chain(N)
BEFORE, AFTER = (hamiltonian.ising(SPACE, CHAIN, h=h) for h in (4.0, 1.0))
X = operator.spin.sigmax(SPACE, 0)
ZZ = operator.spin.sigmaz(SPACE, 0) @ operator.spin.sigmaz(SPACE, 1)
TIMES = np.linspace(0.0, 1.5, 7)


def ground_state(ham, t):
    """By imaginary time, from random parameters."""
    # Small weights would leave the metric singular at this nearly uniform state.
    spread = jax.nn.initializers.normal(0.3)
    shared = {"symmetries": CHAIN.translations(), "use_visible_bias": False, "kernel_init": spread}
    state = VariationalState(RBM(alpha=8, param_dtype=complex, **shared), Exact(SPACE), seed=1)
    integrator = Integrator("rk23", 0.01, tolerance=1e-3)
    solver = SR(1e-6, "parameters", "pinv", cutoff=1e-8)
    return TDVP(ham, state, integrator=integrator, kind="imaginary", preconditioner=solver).run(t, progress=False)


HEISENBERG = hamiltonian.heisenberg(SPACE, CHAIN, marshall=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ham", "t"), [(BEFORE, 4.0), (AFTER, 4.0), (HEISENBERG, 10.0)], ids=["h4", "h1", "heisenberg"]
)
def test_imaginary_time_finds_ground_states(ham, t):
    """To 1e-4 of the energy."""
    energy = ground_state(ham, t).expect(ham).mean
    assert energy == pytest.approx(exact.ground_state(ham).energies[0], rel=1e-4)


@pytest.mark.slow
def test_quench():
    """<X> and <ZZ> within 2e-2 up to t = 1.5, and a residual that says so."""
    start = ground_state(BEFORE, 2.0)
    psi = exact.evolve(AFTER, start.to_array(), TIMES)
    driver = TDVP(
        AFTER,
        start,
        integrator=Integrator("rk23", 0.01, tolerance=1e-4),
        preconditioner=SR(0.0, "parameters", "pinv", cutoff=1e-9),
        observables={"X": X, "ZZ": ZZ},
    )
    records = []
    driver.run(TIMES, hooks=[Keep(records)], progress=False)
    for name, op in (("X", X), ("ZZ", ZZ)):
        wanted = np.array([exact.expectation(op, state).real for state in psi])
        assert np.ptp(wanted) > 0.2
        found = [record["observables"][name].mean for record in records]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-2)
    assert 0 < records[-1]["residual_integral"] < 0.01


# --- samples ---------------------------------------------------------------------------------------------------------

MEANS = {"X": terms.sigma(SPACE, CHAIN, axis="x"), "ZZ": terms.sigma_sigma(SPACE, CHAIN, axis="z")}


def chains(n_samples, **options):
    """The start, sampled by Metropolis chains."""
    sampler = Metropolis(SPACE, LocalFlip(), n_chains=1024, sweep_size=2 * N)
    start = ground_state(BEFORE, 2.0)
    return VariationalState(start.network, sampler, n_samples, params=start.params, **options)


@pytest.mark.slow
def test_quench_by_samples():
    """Averages over sites and bonds of X and ZZ within 2e-2 up to t = 1.5, of samples that are drawn for each velocity.

    Eigenvalues of the metric below 1e-6 are left out: smaller ones are mostly noise, and without larger ones the state
    cannot follow. What is measured has 8 times as many samples as a velocity, so the deviation is that of the state.
    """
    start = chains(8192, seed=3)
    psi = exact.evolve(AFTER, start.to_array(), TIMES)
    driver = TDVP(
        AFTER, start, integrator=Integrator("heun", 0.02), preconditioner=SR(0.0, "parameters", "pinv", cutoff=1e-6)
    )
    records = []
    for t, exactly in zip(TIMES, psi, strict=True):
        state = driver.run(t, hooks=[Keep(records)], progress=False)
        many = VariationalState(start.network, start.sampler, 8 * start.n_samples, params=state.params).sample()
        for op in MEANS.values():
            found = many.expect(op)
            assert found.error < 4e-3
            assert found.mean == pytest.approx(exact.expectation(op, exactly).real, abs=2e-2)
    residuals = [record["residual_integral"] for record in records]
    assert np.all(np.diff(residuals) > 0)
    assert 1e-4 < residuals[-1] < 5e-3
