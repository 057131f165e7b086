# SPDX-License-Identifier: Apache-2.0
"""What programs say about a run: a header before it, a result after it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from manybody import parallel
from manybody.driver import TDVP, VMC
from manybody.driver import SteadyState as SteadyStateDriver
from manybody.program.build import Problem
from manybody.program.config import GroundState, Model, Optimisation, Schedule
from manybody.program.dynamics import SteadyState, TimeEvolution
from manybody.program.reference import ExactEnergy
from manybody.sampler import Metropolis
from manybody.state import VariationalState
from manybody.stats import Estimate, v_score

KEPT = ("mean", "error")
"""What files say about an observable."""


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
    lines = {
        **_model(config, problem, state),
        "optimiser": _optimiser(config.optimisation),
        "direction": driver.describe() + _shift(config.optimisation),
        "exact energy": "not known" if exact is None else exact.source,
        **_machine(config),
    }
    return _table(lines)


def evolution_header(config: TimeEvolution, problem: Problem, state: VariationalState, driver: TDVP) -> str:
    """Model, space, ansatz, samples, start and integrator in a few lines."""
    chosen, start = config.evolution, config.start
    steps = f"steps of {chosen.dt:g}" if chosen.tolerance is None else f"steps of an error up to {chosen.tolerance:g}"
    kind = f"{driver.kind}, to time {chosen.stop:g} in {chosen.points} points"
    drives = "; ".join(f"{name}: {drive}" for name, drive in config.drives.items())
    lines = {
        **_model(config, problem, state),
        **({"drives": drives} if drives else {}),
        "start": "random parameters" if start is None else f"lowest state of {start.hamiltonian}",
        "evolution": f"{kind}, {chosen.integrator}, {steps}",
        "equation": driver.describe(),
        **_machine(config),
    }
    return _table(lines)


def steady_header(config: SteadyState, problem: Problem, state: VariationalState, driver: SteadyStateDriver) -> str:
    """Model, space, ansatz, samples and optimiser in a few lines."""
    lines = {
        **_model(config, problem, state),
        "optimiser": _optimiser(config.optimisation),
        "direction": driver.describe() + _shift(config.optimisation),
        **_machine(config),
    }
    return _table(lines)


def _model(config: Model, problem: Problem, state: VariationalState) -> dict[str, str]:
    sampler = f"{config.sampler.kind}, {state.n_samples} samples"
    if isinstance(state.sampler, Metropolis):
        sampler += f", {state.sampler.n_chains} chains, sweeps of {state.sampler.sweep_size}, {config.sampler.move}"
    jumps = ", ".join(map(str, getattr(config, "jumps", ())))
    return {
        "hamiltonian": str(config.hamiltonian),
        **({"jumps": jumps} if jumps else {}),
        "lattice": f"{config.lattice}, {problem.lattice.n_sites} sites",
        "space": f"{problem.space}, {problem.space.n_states:,} states",
        "ansatz": f"{config.ansatz}, {state.n_params} real parameters",
        "sampler": sampler,
    }


def _optimiser(options: Optimisation) -> str:
    return f"{options.steps} steps of {options.optimizer}, learning rate {_words(options.learning_rate)}"


def _machine(config: Model) -> dict[str, str]:
    return {"workers": parallel.describe(), "seed": str(config.run.seed)}


def _table(lines: Mapping[str, str]) -> str:
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


def _shift(options: Optimisation) -> str:
    sr = options.sr
    return "" if sr is None else f", diag_shift {_words(sr.diag_shift)}"


# --- observables -----------------------------------------------------------------------------------------------------


def numbers(estimate: Estimate | Mapping[str, Any]) -> dict[str, float | None]:
    """Mean and error, of an estimate or of what a log says about one, for a file."""
    values = {key: getattr(estimate, key) for key in KEPT} if isinstance(estimate, Estimate) else estimate
    return {key: None if values[key] is None else _real(values[key]) for key in KEPT}


def _real(value: Any) -> float:
    """The real part, also of a complex number as logs write it."""
    return value["re"] if isinstance(value, Mapping) else float(np.real(value))


def observables(
    found: Mapping[str, Estimate | Mapping[str, Any]], exact: Mapping[str, float] | None
) -> dict[str, dict[str, float | None]]:
    """Mean and error by name, next to what is exact."""
    return {name: {**numbers(x), "exact": None if exact is None else exact[name]} for name, x in found.items()}


def observable_lines(found: Mapping[str, Mapping[str, Any]]) -> str:
    """A line for each of them."""
    lines = []
    for name, x in found.items():
        error = "" if x["error"] is None else f" +- {x['error']:.1e}"
        exact = "" if x["exact"] is None else f" (exact {x['exact']:.6f})"
        lines.append(f"{name:<13} {x['mean']:.6f}{error}{exact}")
    return "\n".join(lines)
