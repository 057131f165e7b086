# SPDX-License-Identifier: Apache-2.0
"""What programs say about a run: a header before it, a result after it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from manybody import parallel
from manybody.driver import VMC
from manybody.program.build import Problem
from manybody.program.config import GroundState, Schedule
from manybody.program.reference import ExactEnergy
from manybody.sampler import Metropolis
from manybody.state import VariationalState
from manybody.stats import Estimate, v_score


@dataclass(frozen=True)
class Result:
    """The energy of the final state from fresh chains; energies are total unless the name says otherwise.

    Attributes:
        relative_error: (E - E_exact) / |E_exact|.
        exact_source: where the exact energy comes from.
    """

    energy: float
    error: float
    energy_per_site: float
    error_per_site: float
    variance: float
    tau: float
    r_hat: float
    n_effective: float
    n_samples: int
    v_score: float
    exact_energy: float | None
    exact_source: str | None
    relative_error: float | None
    steps: int

    def as_json(self) -> dict[str, Any]:
        """The entries; None for what is no finite number, which JSON does not have."""
        items = asdict(self).items()
        return {key: None if isinstance(x, float) and not math.isfinite(x) else x for key, x in items}


def header(
    config: GroundState, problem: Problem, state: VariationalState, driver: VMC, exact: ExactEnergy | None
) -> str:
    """Model, space, ansatz, samples and optimiser in a few lines."""
    options = config.optimisation
    sampler = f"{config.sampler.kind}, {state.n_samples} samples"
    if isinstance(state.sampler, Metropolis):
        sampler += f", {state.sampler.n_chains} chains, sweeps of {state.sampler.sweep_size}, {config.sampler.move}"
    lines = {
        "hamiltonian": str(config.hamiltonian),
        "lattice": f"{config.lattice}, {problem.lattice.n_sites} sites",
        "space": f"{problem.space}, {problem.space.n_states:,} states",
        "ansatz": f"{config.ansatz}, {state.n_params} real parameters",
        "sampler": sampler,
        "optimiser": f"{options.steps} steps of {options.optimizer}, learning rate {_words(options.learning_rate)}",
        "direction": driver.describe() + _shift(config),
        "exact energy": "not known" if exact is None else exact.source,
        "workers": parallel.describe(),
        "seed": str(config.run.seed),
    }
    return "\n".join(f"{name:<13} {text}" for name, text in lines.items())


def result(estimate: Estimate, problem: Problem, n_samples: int, steps: int, exact: ExactEnergy | None) -> Result:
    """Put the result together; looks up or computes the exact energy."""
    n_sites = problem.lattice.n_sites
    energy, error = float(estimate.mean), float(estimate.error)
    value = None if exact is None else exact.find()
    return Result(
        energy=energy,
        error=error,
        energy_per_site=energy / n_sites,
        error_per_site=error / n_sites,
        variance=float(estimate.variance),
        tau=float(estimate.tau),
        r_hat=float(estimate.r_hat),
        n_effective=float(estimate.n_effective),
        n_samples=n_samples,
        # All Hamiltonians of the configuration files are traceless: their energy at infinite temperature is 0.
        v_score=float(v_score(estimate, n_sites)),
        exact_energy=value,
        exact_source=None if exact is None else exact.source,
        relative_error=(energy - value) / abs(value) if value else None,
        steps=steps,
    )


def last_line(estimate: Estimate, result: Result) -> str:
    """The result in one line."""
    per_site = f"{result.energy_per_site:.7f} +- {result.error_per_site:.1e}"
    text = f"energy {estimate}, per site {per_site}, V-score {result.v_score:.2e}"
    if result.exact_energy is None or result.relative_error is None:
        return f"{text}, no exact energy to compare with"
    return f"{text}, relative error {result.relative_error:.2e} (exact {result.exact_energy:.8f})"


def _words(value: float | Schedule) -> str:
    if not isinstance(value, Schedule):
        return f"{value:g}"
    length = "" if value.steps is None else f" in {value.steps} steps"
    return f"{value.kind} from {value.start:g} to {value.stop:g}{length}"


def _shift(config: GroundState) -> str:
    sr = config.optimisation.sr
    return "" if sr is None else f", diag_shift {_words(sr.diag_shift)}"
