# SPDX-License-Identifier: Apache-2.0
"""The configuration files that are shipped."""

import re

import pytest

import manybody as mb
from manybody.program import GroundState, SteadyState, TimeEvolution, build, catalogue, cli, evolve
from manybody.program.config import load
from manybody.program.reference import exact_energy

CONFIGS = catalogue.configs()
GROUND_STATES = ["heisenberg_square", "ising_chain", "j1j2_square"]


def test_names() -> None:
    assert sorted(CONFIGS) == sorted([*GROUND_STATES, "driven_ising", "ising_quench"])


@pytest.mark.parametrize(
    ("name", "n_states", "exact"),
    [
        ("heisenberg_square", 9_075_135_300, 36 * -0.678872151),
        ("ising_chain", 2**40, mb.exact.ising_chain_energy(40)),
        ("j1j2_square", 9_075_135_300, -18.1371475400715),
    ],
)
def test_build(name: str, n_states: int, exact: float) -> None:
    config = load(CONFIGS[name], GroundState)
    problem = build.problem(config)
    start = build.state(config, problem)
    assert build.vmc(config.optimisation, problem, start).describe().startswith("SR")
    assert problem.space.n_states == n_states
    assert exact_energy(config, problem).find() == pytest.approx(exact)
    assert start.n_samples >= 500
    assert build.fresh_chains(config, problem, start).n_samples > 4 * start.n_samples


def test_build_quench() -> None:
    config = load(CONFIGS["ising_quench"], TimeEvolution)
    problem = evolve.problem(config)
    start = build.state(config, problem)
    assert evolve.start_driver(config, config.start, start).describe().startswith("SR")
    assert evolve.tdvp(config, problem, start).integrator.tolerance == 1e-4
    assert problem.space.n_states == 1024


def test_build_steady_state() -> None:
    config = load(CONFIGS["driven_ising"], SteadyState)
    problem = evolve.problem(config)
    assert evolve.steady_state(config, problem, build.state(config, problem)).describe().startswith("SR")
    assert problem.state_space.n_states == evolve.LARGEST_STEADY


@pytest.mark.parametrize("name", CONFIGS)
def test_every_option_has_a_comment(name: str) -> None:
    lines = CONFIGS[name].read_text(encoding="utf-8").splitlines()
    command = {"driven_ising": "steady-state", "ising_quench": "time-evolution"}.get(name, "ground-state")
    assert f"#     manybody {command} {name}" in lines
    options = [line for line in lines if re.match(r"\w+ =", line)]
    assert len(options) > 15
    assert [line for line in options if "#" not in line and not line.startswith("source")] == []


def test_run_by_name(tmp_path, capsys) -> None:
    assert cli.main(["ground-state", "ising_chain", "--out", str(tmp_path), "--steps", "-1"]) == 1
    assert "`steps`" in capsys.readouterr().err
