# SPDX-License-Identifier: Apache-2.0
"""Find the steady state of an open system by variational Monte Carlo.

Run by `manybody steady-state CONFIG`. Writes to its directory

    config.json         the settings
    log.jsonl           one line for each step
    checkpoint-*.npz    where the same command takes up an interrupted run
    steady_state.png    observables over the steps, and the cost <rho|L^dag L|rho>
    result.json         cost and observables of the final state, from fresh chains
"""

import sys

from manybody import plot
from manybody.io import read_log
from manybody.program import Job, SteadyState, build, cli, evolve, report

Config = SteadyState


def work(job: Job) -> None:
    """Optimise, measure, compare."""
    config = job.config
    problem = evolve.problem(config)
    start = build.state(config, problem)
    driver = evolve.steady_state(config, problem, start)
    job.say(report.steady_header(config, problem, start, driver))

    job.run(driver, config.optimisation.steps, steps_per_call=config.optimisation.steps_per_call)

    exact = evolve.exact_steady(config, problem)
    cost, observed = evolve.at_the_end(config, problem, driver.state)
    found = report.observables(observed, exact)
    job.write_json("result.json", {"steps": driver.step, "cost": report.numbers(cost), "observables": found})
    if job.is_root and driver.step > 0:
        title = f"{config.hamiltonian}, {config.lattice}"
        records = list(read_log(job.out / "log.jsonl"))
        figure = plot.observables(records, against="step", exact=exact, below="cost", title=title)
        figure.savefig(job.out / "steady_state.png", dpi=150)
    job.say(report.observable_lines(found))
    job.say(f"cost {cost}")


if __name__ == "__main__":
    sys.exit(cli.main(["steady-state", *sys.argv[1:]]))
