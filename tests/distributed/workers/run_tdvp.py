# SPDX-License-Identifier: Apache-2.0
"""Time evolution, and all that must not depend on the layout: run_tdvp.py OUTPUT CASE."""

import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from manybody import VariationalState, parallel
from manybody.ansatz import RBM
from manybody.driver import TDVP, Hook
from manybody.hamiltonian import ising
from manybody.hilbert import Spin
from manybody.lattice import chain
from manybody.ode import Integrator
from manybody.parallel.keys import key_data
from manybody.sampler import Exact, LocalFlip, Metropolis
from manybody.sr import SR

SPACE = Spin(5)  # 32 states
GRID = (0.02, 0.05)


def drive(t: float) -> object:
    """The transverse-field Ising chain, in a field that grows."""
    return ising(SPACE, chain(5), h=0.5 + t)


def exact() -> TDVP:
    """All states, with steps chosen for their errors."""
    state = VariationalState(RBM(param_dtype=complex), Exact(SPACE), seed=2)
    return TDVP(drive, state, integrator=Integrator("rk23", 0.02, tolerance=1e-4), preconditioner=SR(1e-4))


def chains() -> TDVP:
    """Samples, of which noisy directions are left out."""
    sampler = Metropolis(SPACE, LocalFlip(), 8)
    state = VariationalState(RBM(alpha=0.4, param_dtype=complex), sampler, 32, seed=2)
    solver = SR(1e-3, "samples", "pinv", cutoff=1e-6, snr=1.0)
    return TDVP(drive, state, integrator=Integrator("heun", 0.01), preconditioner=solver, cross_validate=True)


CASES: dict[str, Callable[[], TDVP]] = {"exact": exact, "chains": chains}


class Keep(Hook):
    """All records; stops after the first one if asked to."""

    def __init__(self, stop: bool = False) -> None:
        self.records: list[dict] = []
        self._stop = stop

    def on_step(self, driver: TDVP, record: dict) -> bool:
        self.records.append(record)
        return self._stop


def progress(driver: TDVP) -> dict[str, np.ndarray]:
    """All that a further step would need."""
    leaves = jax.tree_util.tree_leaves_with_path(driver.gathered_progress())
    return {jax.tree_util.keystr(path): driver.comm.exchange(np.asarray(key_data(leaf))) for path, leaf in leaves}


def main(output: str, case: str) -> None:
    """Write the arrays of a case to a file."""
    comm = parallel.launch()
    found = {"layout": np.array([comm.size, comm.n_processes])}
    driver, keep = CASES[case](), Keep()
    driver.run(GRID, hooks=[keep], progress=False)
    names = [name for name in ("residual", "residual_integral", "cross_residual", "dt") if name in keep.records[0]]
    found |= {name: np.array([record[name] for record in keep.records]) for name in names}
    found["energy"] = np.array([record["energy"].mean for record in keep.records])
    found |= {f"progress/{name}": value for name, value in progress(driver).items()}
    folder = Path(output).parent / case
    CASES[case]().run(GRID, out=folder, hooks=[Keep(stop=True)], progress=False)
    again = CASES[case]()
    again.run(GRID, out=folder, progress=False)
    found |= {f"resumed/{name}": value for name, value in progress(again).items()}
    if comm.is_root:
        np.savez(output, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
