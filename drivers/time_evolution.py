# SPDX-License-Identifier: Apache-2.0
"""Evolve a state in real or imaginary time, or a density matrix in time.

Run by `manybody time-evolution CONFIG`. Writes to its directory

    config.json         the settings
    start/              the run that found the state at time 0, if the configuration asks for one
    log.jsonl           one line for each time of the grid
    checkpoint-*.npz    where the same command takes up an interrupted run
    evolution.png       observables against time, and how much of the motion the ansatz cannot follow
    result.json         observables at the end
"""

import sys
from typing import Any

import numpy as np

from manybody import plot
from manybody.io import read_log
from manybody.program import Job, TimeEvolution, build, cli, evolve, report
from manybody.state import VariationalState

Config = TimeEvolution


def work(job: Job) -> None:
    """Find the start, evolve it, compare."""
    config = job.config
    problem = evolve.problem(config)
    random = build.state(config, problem)
    evolve.tdvp(config, problem, random)  # what it refuses, it refuses before the start is sought
    start = prepare(job, random)
    driver = evolve.tdvp(config, problem, start)
    job.say(report.evolution_header(config, problem, start, driver))

    job.run(driver, config.evolution.times)

    exact = evolve.exact_curves(config, problem, start)
    if job.is_root:
        write(job, list(read_log(job.out / "log.jsonl")), exact)


def write(job: Job, records: list[dict[str, Any]], exact: dict[str, np.ndarray] | None) -> None:
    """The result and the figure."""
    last, config = records[-1], job.config
    found = report.observables(
        last["observables"], None if exact is None else {name: x[-1] for name, x in exact.items()}
    )
    for name, curve in (exact or {}).items():
        means = np.array([record["observables"][name]["mean"] for record in records])
        found[name]["largest_deviation"] = float(np.max(np.abs(means - curve)))
    numbers = {key: last[key] for key in ("t", "residual_integral")}
    job.write_json("result.json", {**numbers, "energy": report.numbers(last["energy"]), "observables": found})
    title = f"{config.hamiltonian}, {config.lattice}"
    figure = plot.observables(records, against="t", exact=exact, below="residual", title=title)
    figure.savefig(job.out / "evolution.png", dpi=150)
    job.say(report.observable_lines(found))
    job.say(f"residual of the motion, integrated over the time: {last['residual_integral']:.2e}")


def prepare(job: Job, state: VariationalState) -> VariationalState:
    """The state at time 0."""
    start = job.config.start
    if start is None:
        return state
    driver = evolve.start_driver(job.config, start, state)
    job.say(f"start: {start.optimisation.steps} steps towards the lowest state of {start.hamiltonian}")
    options = start.optimisation
    job.run(driver, options.steps, "start", steps_per_call=options.steps_per_call)
    return driver.state


if __name__ == "__main__":
    sys.exit(cli.main(["time-evolution", *sys.argv[1:]]))
