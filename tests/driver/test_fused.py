# SPDX-License-Identifier: Apache-2.0
"""Several steps as one program: the same as one after the other."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import optax
import pytest

from manybody import VariationalState
from manybody.ansatz import RBM, Conditioned, DensityRBM
from manybody.driver import VMC, FamilyVMC, Hook, NotFinite, SteadyState, Stratified
from manybody.hamiltonian import heisenberg, ising
from manybody.hilbert import Doubled, Spin
from manybody.io import read_log
from manybody.lattice import chain
from manybody.operator import Liouvillian, spin
from manybody.parallel import mesh_comm
from manybody.sampler import Exact, Exchange, LocalFlip, Metropolis
from manybody.sr import SR
from manybody.stats import Estimate

SPACE = Spin(8)
ISING = ising(SPACE, chain(8))


def vmc(**options) -> VMC:
    state = VariationalState(RBM(), Metropolis(SPACE, LocalFlip(), 32), 64, **options)
    return VMC(ISING, state, optimizer=optax.adam(0.02), preconditioner=SR(1e-2, momentum=0.5))


class Kept(Hook):
    """Keeps all records, and what step the driver had reached when it was told."""

    def __init__(self, stop: int | None = None) -> None:
        self.records, self.reached, self.stop = [], [], stop

    def on_step(self, driver, record) -> bool:
        self.records.append(record)
        self.reached.append(driver.step)
        return record["step"] == self.stop


def same(one, other, rtol: float = 1e-9) -> None:
    """Trees of numbers and estimates are equal up to rounding errors."""

    def numbers(x):
        return dataclasses.asdict(x) if isinstance(x, Estimate) else x

    def compare(a, b):
        if isinstance(a, jax.Array) and jax.numpy.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-12)

    one, other = (jax.tree.map(numbers, x, is_leaf=lambda x: isinstance(x, Estimate)) for x in (one, other))
    jax.tree.map(compare, one, other)


def test_the_same_steps():
    plain, fused, singly, together = vmc(), vmc(), Kept(), Kept()
    plain.run(10, hooks=[singly], progress=False)
    fused.run(10, hooks=[together], progress=False, steps_per_call=4)
    assert [record["step"] for record in together.records] == list(range(1, 11))
    same(singly.records, together.records)
    same(plain.progress, fused.progress)
    assert together.reached == [4] * 4 + [8] * 4 + [10] * 2
    assert (plain.n_traces, fused.n_traces) == (1, 1)  # the last call of two steps is the same program


@pytest.mark.slow
def test_on_two_devices():
    plain, fused = vmc(), vmc(comm=mesh_comm(jax.devices()[:2]))
    plain.run(3, progress=False)
    fused.run(3, progress=False, steps_per_call=3)
    same(plain.progress.params, jax.device_get(fused.progress.params))


def test_files_and_hooks(tmp_path):
    """Checkpoints come when they are due; a run is taken up anywhere; a hook stops it at the end of a call."""
    fused, plain = vmc(), vmc()
    fused.run(9, out=tmp_path / "fused", hooks=[Kept(stop=5)], progress=False, steps_per_call=2, save_every=3)
    assert fused.step == 5  # the calls end at 2, at 3 because of the checkpoint, and at 5
    again = vmc()
    again.run(9, out=tmp_path / "fused", progress=False, steps_per_call=4, save_every=3)
    plain.run(9, out=tmp_path / "plain", progress=False, save_every=3)
    assert {p.name for p in (tmp_path / "fused").iterdir()} == {p.name for p in (tmp_path / "plain").iterdir()}
    logs = [list(read_log(tmp_path / name / "log.jsonl")) for name in ("plain", "fused")]
    same(*logs)


def test_a_buffer_that_becomes_too_small_on_the_way():
    """Chains that start in one domain get more and more connections; what was done before stays."""
    space, lattice = Spin(12, total_sz=0), chain(12)
    drivers = []
    for steps_per_call in (1, 6):
        sampler = Metropolis(space, Exchange(lattice), 32, sweep_size=2, n_burn_in=0, initial=np.repeat([1, -1], 6))
        state = VariationalState(RBM(), sampler)
        driver = VMC(heisenberg(space, lattice, marshall=True), state, optimizer=optax.sgd(0.01))
        driver.run(6, progress=False, steps_per_call=steps_per_call)
        drivers.append(driver)
    plain, fused = drivers
    assert plain.n_regrowths == fused.n_regrowths > 1
    assert plain.n_buffer == fused.n_buffer
    same(plain.progress, fused.progress)


def test_not_finite_in_the_middle():
    """Steps before the bad one count and are seen; then it is said which one it was."""
    schedule = optax.piecewise_constant_schedule(1.0, {2: 1e300})
    driver = VMC(ISING, vmc().state, optimizer=optax.sgd(lambda step: 0.01 * schedule(step)))
    kept = Kept()
    with pytest.raises(NotFinite, match="not finite after step 4"):
        driver.run(8, hooks=[kept], progress=False, steps_per_call=5)
    assert driver.step == len(kept.records) == 3
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(driver.progress.params))


def test_observables_of_a_steady_state_come_when_they_are_due():
    space = Spin(1)
    generator = Liouvillian(spin.sx(space, 0), [spin.sm(space, 0)])
    found = []
    for steps_per_call in (1, 8):
        state = VariationalState(DensityRBM(), Exact(Doubled(space)))
        kept = Kept()
        watched = {"z": spin.sigmaz(space, 0)}
        driver = SteadyState(
            generator, state, optimizer=optax.sgd(0.1), observables=watched, observe_every=3, diagonal=Exact(space)
        )
        driver.run(7, hooks=[kept], progress=False, steps_per_call=steps_per_call)
        found.append(kept.records)
    assert [("observables" in record) for record in found[1]] == [False, False, True] * 2 + [False]
    same(*found)


def test_couplings_drawn_anew_cannot_wait():
    ansatz = Conditioned(RBM(), 0.5, 1.5, degree=1)
    fields = Stratified(0.5, 1.5, 4)
    driver = FamilyVMC(lambda h: ising(SPACE, chain(8), h=h), ansatz, Exact(SPACE), fields, optimizer=optax.sgd(0.05))
    with pytest.raises(ValueError, match=r"`steps_per_call` must be 1 where couplings are drawn anew"):
        driver.run(2, progress=False, steps_per_call=2)
