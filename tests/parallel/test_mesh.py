# SPDX-License-Identifier: Apache-2.0
"""Devices of one process as workers: collectives, and the main step with the same numbers in every layout."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from manybody import VariationalState
from manybody.ansatz import RBM
from manybody.driver import VMC
from manybody.hamiltonian import heisenberg, ising
from manybody.hilbert import Spin
from manybody.lattice import chain
from manybody.parallel import REPLICATED, SHARD, Comm, launch, mesh_comm
from manybody.parallel.chunk import map_rows
from manybody.sampler import Exact, Exchange, LocalFlip, Metropolis
from manybody.sr import SR


def _mesh(n: int) -> Comm:
    return mesh_comm(jax.devices()[:n])


@pytest.mark.parametrize("n", [1, 2, 4])
def test_collectives(n):
    comm = _mesh(n)
    x = np.random.default_rng(0).normal(size=(8, 4))

    def work(scale, block):
        columns = comm.shard_to_columns(block)
        return {
            "sum": comm.psum(jnp.sum(scale * block)),
            "max": comm.pmax(jnp.max(block)),
            "all": comm.all_gather(block),
            "gram": comm.psum(columns @ columns.T),
            "first": comm.bcast(block[0]),
        }, comm.global_index(block.shape[0])

    out, index = comm.spmd(work, (REPLICATED, SHARD), (REPLICATED, SHARD))(comm.replicate(2.0), comm.scatter(x))
    np.testing.assert_allclose(out["sum"], 2 * x.sum())
    assert out["max"] == x.max()
    np.testing.assert_array_equal(out["all"], x)
    np.testing.assert_allclose(out["gram"], x @ x.T)
    np.testing.assert_array_equal(out["first"], x[0])
    np.testing.assert_array_equal(index, np.arange(8))
    np.testing.assert_array_equal(comm.gather_to_host(comm.scatter(x)), x)


def test_keys_do_not_depend_on_the_layout():
    def keys(comm):
        work = comm.spmd(lambda key, x: comm.chain_keys(key, len(x)), (REPLICATED, SHARD), SHARD)
        return jax.random.key_data(work(comm.replicate(jax.random.key(5)), comm.scatter(np.zeros(8))))

    expected = [jax.random.key_data(jax.random.fold_in(jax.random.key(5), i)) for i in range(8)]
    for comm in (Comm(), _mesh(2), _mesh(4)):
        np.testing.assert_array_equal(keys(comm), expected)


def test_gradients_through_sums_are_whole():
    comm = _mesh(2)
    x = np.random.default_rng(1).normal(size=(8, 3))
    p = np.array([1.0, 2.0, 3.0])

    def gradient(p, block):
        local = jax.grad(lambda q: jnp.sum(jnp.sin(block @ q)))(comm.pvary(p))
        return comm.psum(local)

    got = comm.spmd(gradient, (REPLICATED, SHARD), REPLICATED)(comm.replicate(p), comm.scatter(x))
    np.testing.assert_allclose(got, np.cos(x @ p) @ x, rtol=1e-12)


def test_uneven_blocks_are_refused():
    with pytest.raises(ValueError, match=r"`n_chains` must be a multiple of the number of workers \(4\), got 6"):
        _mesh(4).local_count(6, "n_chains")
    with pytest.raises(ValueError, match="Nearest: 4 or 8"):
        VariationalState(RBM(), Metropolis(Spin(4), LocalFlip(), 6), comm=_mesh(4))


def test_launch_decides_once():
    assert launch("serial") is launch("serial")
    with pytest.raises(RuntimeError, match="called before with another choice"):
        launch("mesh")
    with pytest.raises(ValueError, match="Did you mean 'mesh'"):
        launch("mash")


@pytest.mark.parametrize("chunk_size", [1, 3, 5, 7, 100])
def test_chunks_change_nothing(chunk_size):
    x = jnp.arange(14.0).reshape(7, 2)
    np.testing.assert_array_equal(map_rows(lambda r: r.sum(axis=1), x, chunk_size), x.sum(axis=1))


def _run(comm: Comm, sampler, hamiltonian, sr: SR, **options) -> tuple[VMC, list]:
    n_samples = None if isinstance(sampler, Exact) else 64
    state = VariationalState(RBM(alpha=2, **options), sampler, n_samples, seed=1, comm=comm)
    driver = VMC(hamiltonian, state, optimizer=optax.sgd(0.05), preconditioner=sr)
    energies = [driver.advance()["energy"].mean for _ in range(10)]
    return driver, energies


CHAIN = chain(6)
SECTOR = Spin(6, total_sz=0)
CASES = {
    "parameters": (Metropolis(Spin(6), LocalFlip(), 16), ising(Spin(6), CHAIN), SR(1e-3, "parameters"), {}),
    "samples": (Metropolis(Spin(6), LocalFlip(), 16), ising(Spin(6), CHAIN), SR(1e-3, "samples"), {}),
    "complex": (
        Metropolis(SECTOR, Exchange(CHAIN), 16),
        heisenberg(SECTOR, CHAIN),
        SR(1e-2, "samples", momentum=0.5),
        {"param_dtype": complex},
    ),
    "qr": (Metropolis(Spin(6), LocalFlip(), 16), ising(Spin(6), CHAIN), SR(1e-3, "samples", "qr"), {}),
    "qr-parameters": (Metropolis(Spin(6), LocalFlip(), 16), ising(Spin(6), CHAIN), SR(1e-3, "parameters", "qr"), {}),
    "cg": (Metropolis(Spin(6), LocalFlip(), 16), ising(Spin(6), CHAIN), SR(1e-1, "samples", "cg"), {}),
    "exact": (Exact(SECTOR), heisenberg(SECTOR, CHAIN, marshall=True), SR(1e-3), {}),  # 20 states: not a multiple of 8
}


# The others have much in common with it, or with what tests/distributed looks at by default.
FEW = ("cg",)


@pytest.mark.parametrize(
    "case", [case if case in FEW else pytest.param(case, marks=pytest.mark.slow) for case in CASES]
)
def test_main_step_on_two_devices(case):
    sampler, hamiltonian, sr, options = CASES[case]
    serial, energies = _run(Comm(), sampler, hamiltonian, sr, **options)
    mesh, on_mesh = _run(_mesh(2), sampler, hamiltonian, sr, **options)
    np.testing.assert_allclose(on_mesh, energies, atol=1e-10)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), mesh.progress.params, serial.progress.params
    )
    np.testing.assert_array_equal(np.asarray(mesh.progress.chains.sigma), np.asarray(serial.progress.chains.sigma))
