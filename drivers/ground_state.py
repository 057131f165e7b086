# SPDX-License-Identifier: Apache-2.0
"""Find the ground state of a Hamiltonian by variational Monte Carlo.

Run by `manybody ground-state CONFIG`. Writes to its directory

    config.json         the settings
    log.jsonl           one line for each step
    checkpoint-*.npz    where the same command takes up an interrupted run
    energy.png          the energy over the steps
    result.json         the energy of the final state, from fresh chains
"""

import sys

from manybody import plot
from manybody.io import read_log
from manybody.program import GroundState, Job, build, cli, report
from manybody.program.reference import exact_energy

Config = GroundState


def work(job: Job) -> None:
    """Optimise, measure, compare."""
    config = job.config
    problem = build.problem(config)
    start = build.state(config, problem)
    driver = build.vmc(config.optimisation, problem, start)
    exact = exact_energy(config, problem)
    job.say(report.header(config, problem, start, driver, exact))

    job.run(driver, config.optimisation.steps, steps_per_call=config.optimisation.steps_per_call)

    state = build.fresh_chains(config, problem, driver.state).sample()
    estimate = state.expect(problem.hamiltonian)
    result = report.result(estimate, problem, state.n_samples, driver.step, exact)
    job.write_json("result.json", result.as_json())
    if job.is_root and driver.step > 0:
        figure = plot.energy_curve(
            read_log(job.out / "log.jsonl"),
            exact=result.exact_energy,
            n_sites=problem.lattice.n_sites,
            result=(result.energy, result.error),
            title=f"{config.hamiltonian}, {config.lattice}",
        )
        figure.savefig(job.out / "energy.png", dpi=150)
    job.say(report.last_line(estimate, result))


if __name__ == "__main__":
    sys.exit(cli.main(["ground-state", *sys.argv[1:]]))
