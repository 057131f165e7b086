# SPDX-License-Identifier: Apache-2.0
"""Steps of families, and all that must not depend on the layout: run_family.py OUTPUT CASE[,CASE...]."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from manybody import parallel
from manybody.ansatz import RBM, ARDense, Conditioned
from manybody.driver import FamilyVMC, Hook, Stratified
from manybody.hamiltonian import ising
from manybody.hilbert import Spin
from manybody.lattice import chain
from manybody.parallel.keys import key_data
from manybody.sampler import Direct, Exact, LocalFlip, Metropolis, Sampler
from manybody.sr import SR

N_STEPS = 4
SPACE, CHAIN = Spin(5), chain(5)  # 32 states
FIXED, DRAWN = (0.6, 1.0, 1.4), Stratified(0.5, 1.5, 3)


def family(sampler: Sampler, couplings: Any, ansatz: Any = None, method: str = "samples") -> FamilyVMC:
    """The transverse-field Ising chain."""
    return FamilyVMC(
        lambda h: ising(SPACE, CHAIN, h=h),
        Conditioned(ansatz or RBM(), 0.5, 1.5, 2),
        sampler,
        couplings,
        None if isinstance(sampler, Exact) else 16,
        optimizer=optax.sgd(0.05),
        preconditioner=SR(1e-2, method),
        seed=3,
    )


CHAINS = Metropolis(SPACE, LocalFlip(), 8)
CASES: dict[str, Callable[[], FamilyVMC]] = {
    "exact": lambda: family(Exact(SPACE), FIXED),
    "exact-parameters": lambda: family(Exact(SPACE), FIXED, method="parameters"),
    "exact-drawn": lambda: family(Exact(SPACE), DRAWN),
    "chains": lambda: family(CHAINS, FIXED),
    "chains-drawn": lambda: family(CHAINS, DRAWN),
    "direct-drawn": lambda: family(Direct(SPACE), DRAWN, ARDense(SPACE, (4,))),
}
TAKEN_UP = ("exact-drawn", "chains-drawn")


class StopAt(Hook):
    """In the middle."""

    def on_step(self, driver: FamilyVMC, record: dict) -> bool:
        return record["step"] == N_STEPS // 2


def steps(driver: FamilyVMC) -> Iterator[tuple[str, np.ndarray]]:
    """What the records of all steps say."""
    records = [driver.advance() for _ in range(N_STEPS)]
    for name in ("couplings", "energies", "errors", "update_norm"):
        yield name, np.array([record[name] for record in records])


def progress(driver: FamilyVMC) -> Iterator[tuple[str, np.ndarray]]:
    """All that a further step would need."""
    whole = driver.gathered_progress()
    for path, leaf in jax.tree_util.tree_leaves_with_path(whole):
        yield jax.tree_util.keystr(path), driver.comm.exchange(np.asarray(key_data(leaf)))


def resumed(case: str, folder: Path) -> FamilyVMC:
    """A run that was stopped in the middle and taken up by another driver."""
    CASES[case]().run(N_STEPS, out=folder, hooks=[StopAt()], progress=False)
    driver = CASES[case]()
    driver.run(N_STEPS, out=folder, progress=False)
    return driver


def main(output: str, names: str) -> None:
    """Write the arrays of all cases to one file."""
    comm = parallel.launch()
    found = {"layout": np.array([comm.size, comm.n_processes])}
    for case in names.split(","):
        driver = CASES[case]()
        found |= {f"{case}/{name}": value for name, value in steps(driver)}
        found |= {f"{case}/progress/{name}": value for name, value in progress(driver)}
        if case in TAKEN_UP:
            again = resumed(case, Path(output).parent / case)
            found |= {f"{case}/resumed/{name}": value for name, value in progress(again)}
    if comm.is_root:
        np.savez(output, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
