# SPDX-License-Identifier: Apache-2.0
"""Ten steps of several runs, and everything that must not depend on the layout: run_vmc.py OUTPUT CASE[,CASE...]."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import jax
import numpy as np
import optax

from manybody import VariationalState, parallel
from manybody.ansatz import RBM, Jastrow
from manybody.driver import VMC
from manybody.hamiltonian import heisenberg, ising
from manybody.hilbert import Spin
from manybody.lattice import chain
from manybody.operator import spin
from manybody.sampler import Exact, Exchange, LocalFlip, Metropolis
from manybody.sr import SR, Preconditioner

N_STEPS = 10
FREE, FREE_CHAIN = Spin(6), chain(6)
SECTOR, SECTOR_CHAIN = Spin(7, total_sz=0.5), chain(7, periodic=False)  # 35 states: odd


def free(preconditioner: Preconditioner | None, n_chains: int = 16, n_draws: int = 1, **options: Any) -> VMC:
    """The transverse-field Ising chain with single flips."""
    ansatz = options.pop("ansatz", RBM(alpha=2))
    sampler = Metropolis(FREE, LocalFlip(), n_chains)
    state = VariationalState(ansatz, sampler, n_chains * n_draws, seed=1, **options)
    return VMC(ising(FREE, FREE_CHAIN), state, optimizer=optax.sgd(0.05), preconditioner=preconditioner)


def sector(preconditioner: Preconditioner, ansatz: Any, sampler: Any) -> VMC:
    """The open Heisenberg chain with one more spin up than down."""
    state = VariationalState(ansatz, sampler, seed=2)
    hamiltonian = heisenberg(SECTOR, SECTOR_CHAIN, marshall=True)
    return VMC(hamiltonian, state, optimizer=optax.sgd(0.05), preconditioner=preconditioner)


CASES: dict[str, Callable[[], VMC]] = {
    # Several draws per chain, in chunks that divide neither them nor what a worker has of them.
    "parameters": lambda: free(SR(1e-3, "parameters"), n_chains=8, n_draws=5, chunk_size=3),
    "samples": lambda: free(SR(1e-3, "samples"), n_draws=2),
    "complex": lambda: sector(
        SR(1e-2, "samples", momentum=0.5),
        RBM(alpha=2, param_dtype=complex),
        Metropolis(SECTOR, Exchange(SECTOR_CHAIN), 16),
    ),
    "contraction": lambda: free(
        SR(1e-3, "samples"), n_chains=48, ansatz=Jastrow()
    ),  # no layer is treated by its structure
    "exact": lambda: sector(SR(1e-3, "samples"), RBM(alpha=1), Exact(SECTOR)),
    "cg-parameters": lambda: sector(SR(1e-1, "parameters", "cg"), RBM(alpha=1), Exact(SECTOR)),
    "cg-samples": lambda: sector(SR(1e-1, "samples", "cg"), RBM(alpha=1), Exact(SECTOR)),
    "qr-parameters": lambda: sector(SR(1e-3, "parameters", "qr"), RBM(alpha=1), Exact(SECTOR)),
    "qr-samples": lambda: sector(SR(1e-3, "samples", "qr"), RBM(alpha=1), Exact(SECTOR)),
    "pinv": lambda: free(SR(1e-3, "samples", "pinv"), n_draws=2),
    "force": lambda: free(None, n_draws=2, chunk_size=7),
}
WITH_ESTIMATES = ("parameters", "complex", "exact", "force")


def steps(driver: VMC) -> Iterator[tuple[str, np.ndarray]]:
    """Run, and look at each step and at the end."""
    records = [driver.advance() for _ in range(N_STEPS)]
    for name, column in asdict(jax.tree.map(lambda *steps: np.stack(steps), *[r["energy"] for r in records])).items():
        yield f"energy/{name}", column
    yield "update_norm", np.array([record["update_norm"] for record in records])
    yield "choices", np.array(driver.describe())
    yield "sigma", driver.comm.gather_to_host(driver.progress.chains.sigma)[kept(driver)]
    yield from named("params", driver.progress.params)


def estimates(driver: VMC) -> Iterator[tuple[str, np.ndarray]]:
    """What the state at the end says, with new samples."""
    state = driver.state
    for name in ("sigma", "log_psi", "weight"):
        yield f"samples/{name}", driver.comm.gather_to_host(getattr(state.samples, name))[kept(driver)]
    energy, force = state.expect_and_force(driver.hamiltonian)
    yield from named("expect/energy", asdict(energy))
    yield from named("force", force)
    if state.draws > 1:
        correlation = state.expect(spin.sz(state.space, 0) @ spin.sz(state.space, 3))
        yield from named("expect/correlation", asdict(correlation))


def kept(driver: VMC) -> np.ndarray | slice:
    """Which rows of the chains there are in every layout: the exact sampler fills up the last block."""
    chains = driver.progress.chains
    return driver.comm.gather_to_host(chains.counts) if hasattr(chains, "counts") else slice(None)


def named(name: str, tree: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Values that all workers share, as each process sees them: (n_processes, ...)."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        whole = f"{name}/{jax.tree_util.keystr(path, simple=True, separator='/')}"
        yield whole, parallel.comm().exchange(np.asarray(leaf))


def look(case: str) -> Iterator[tuple[str, np.ndarray]]:
    """All there is to compare."""
    driver = CASES[case]()
    yield from steps(driver)
    if case in WITH_ESTIMATES:
        yield from estimates(driver)


def main(output: str, names: str) -> None:
    """Write the arrays of all cases to one file."""
    comm = parallel.launch()
    found = {"layout": np.array([comm.size, comm.n_processes])}
    for case in names.split(","):
        for name, value in look(case):
            assert f"{case}/{name}" not in found, name
            found[f"{case}/{name}"] = value
    if comm.is_root:
        np.savez(output, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
