# SPDX-License-Identifier: Apache-2.0
"""From the configuration of an evolution, or of a steady state, to drivers; and what is exact about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from manybody import exact
from manybody._types import Float
from manybody.driver import TDVP, VMC, SteadyState
from manybody.ode import Integrator
from manybody.operator import DiscreteOperator, Operator
from manybody.program import build
from manybody.program.build import Problem, table
from manybody.program.config import HAMILTONIANS, Optimisation
from manybody.program.dynamics import Observed, Start, TimeEvolution
from manybody.program.dynamics import SteadyState as SteadyStateConfig
from manybody.program.tables import Call
from manybody.program.terms import DRIVES, OBSERVABLES
from manybody.sr import SR
from manybody.state import VariationalState
from manybody.stats import Estimate

LARGEST = 2**16
"""States of the largest space (pairs of states, for density matrices) whose evolution is computed exactly."""
LARGEST_STEADY = 2**12
"""Pairs of states of the largest space whose steady state is computed exactly."""


@dataclass(frozen=True)
class Driven:
    """H, or L, at a time: the couplings that a drive changes have the values that they have then.

    Attributes:
        problem: where jump operators come from, and at what the Hamiltonian acts.
        hamiltonian: with the couplings that drives start from.
        drives: by the name of the coupling.
    """

    problem: Problem
    hamiltonian: Call
    drives: Mapping[str, Call]

    def __call__(self, t: float) -> DiscreteOperator:
        given = self.hamiltonian.arguments
        now = {name: DRIVES.make(drive)(given[name], t) for name, drive in self.drives.items()}
        call = Call(self.hamiltonian.kind, {**given, **now})
        made = HAMILTONIANS.make(call, self.problem.space, self.problem.lattice)
        return Problem(self.problem.lattice, self.problem.space, made, self.problem.jumps).generator

    def __repr__(self) -> str:
        """In words that say what it depends on; the problem is noted elsewhere."""
        drives = ", ".join(f"{name}: {drive}" for name, drive in self.drives.items())
        return f"{self.hamiltonian} driven by {drives}"


def problem(config: Observed) -> Problem:
    """Lattice, space, Hamiltonian and jump operators.

    Raises:
        ConfigError: if they cannot be made; names the table.
    """
    made = build.problem(config, config.jumps)
    if isinstance(config, TimeEvolution):
        with table("drives"):
            Driven(made, config.hamiltonian, config.drives)(0.0)
    return made


def generator(config: TimeEvolution, problem: Problem) -> Operator | Callable[[float], Operator]:
    """H or L, or a function of the time."""
    return Driven(problem, config.hamiltonian, config.drives) if config.drives else problem.generator


def observables(config: Observed, problem: Problem) -> dict[str, DiscreteOperator]:
    """By name, on the space of one copy.

    Raises:
        ConfigError: if they cannot be made; names the table.
    """
    made = {}
    for name, call in config.observables.items():
        with table(f"observables.{name}"):
            made[name] = OBSERVABLES.make(call, problem.space, problem.lattice)
    return made


def measured(config: Observed, problem: Problem) -> dict[str, Any]:
    """Arguments of drivers: observables, and where those of density matrices are sampled.

    Raises:
        ConfigError: if they cannot be made.
    """
    chosen: dict[str, Any] = {"observables": observables(config, problem)}
    if problem.jumps and chosen["observables"]:
        chosen["diagonal"] = build.sampler(config, problem, problem.space, **build.measuring(config))
        chosen["n_diagonal"] = build.n_measured(config)
    return chosen


def start_driver(config: TimeEvolution, start: Start, state: VariationalState) -> VMC | SteadyState:
    """What finds the state that the evolution starts from.

    Raises:
        ConfigError: if it cannot be made.
    """
    with table("start"):
        before = build.problem(dataclasses.replace(config, hamiltonian=start.hamiltonian, drives={}), config.jumps)
        return _lowest(start.optimisation, before, state)


def tdvp(config: TimeEvolution, problem: Problem, start: VariationalState) -> TDVP:
    """The driver of an evolution.

    Raises:
        ConfigError: if it cannot be made.
    """
    chosen = config.evolution
    with table("evolution"):
        limits = {name: getattr(chosen, name) for name in ("min_dt", "max_dt")}
        steps = {name: value for name, value in limits.items() if value is not None}
        integrator = Integrator(chosen.integrator, chosen.dt, chosen.tolerance, **steps)
    with table("evolution.sr"):
        preconditioner = SR(**vars(chosen.sr))
    with table("evolution"):
        return TDVP(
            generator(config, problem),
            start,
            integrator=integrator,
            kind="dissipative" if problem.jumps else chosen.kind,
            preconditioner=preconditioner,
            cross_validate=chosen.cross_validate,
            **measured(config, problem),
        )


def steady_state(config: SteadyStateConfig, problem: Problem, start: VariationalState) -> SteadyState:
    """The driver that finds a steady state.

    Raises:
        ConfigError: if it cannot be made.
    """
    with table("optimisation"):
        more = {"observe_every": config.observe_every, **measured(config, problem)}
        return _lowest(config.optimisation, problem, start, **more)


def _lowest(options: Optimisation, problem: Problem, start: VariationalState, **more: Any) -> Any:
    if not problem.jumps:
        return build.vmc(options, problem, start)
    chosen = {"optimizer": build.optimizer(options), "preconditioner": build.preconditioner(options)}
    return SteadyState(problem.generator, start, **chosen, **more)


# --- afterwards ------------------------------------------------------------------------------------------------------


def at_the_end(
    config: SteadyStateConfig, problem: Problem, final: VariationalState
) -> tuple[Estimate, dict[str, Estimate]]:
    """The cost of the final state, from samples anew, and its observables, from fresh chains."""
    chosen = measured(config, problem)
    cost = final.sample().expect(problem.generator.adjoint() @ problem.generator)
    if not chosen["observables"]:
        return cost, {}
    seed = jax.random.fold_in(jax.random.key(config.run.seed), 1)
    copy = final.diagonal(chosen["diagonal"], chosen["n_diagonal"], seed=seed).sample()
    return cost, {name: copy.expect(x) for name, x in chosen["observables"].items()}


# --- exactly ---------------------------------------------------------------------------------------------------------


def exact_curves(
    config: TimeEvolution, problem: Problem, start: VariationalState
) -> dict[str, Float[np.ndarray, "times"]] | None:
    """Observables at the times of the grid if the same start evolves exactly; None without any, or in a large space."""
    if not config.observables or problem.state_space.n_states > LARGEST:
        return None
    imaginary = config.evolution.kind == "imaginary"
    states = exact.evolve(generator(config, problem), start.to_array(), config.evolution.times, imaginary=imaginary)
    return {name: _expectations(x, states) for name, x in observables(config, problem).items()}


def exact_steady(config: SteadyStateConfig, problem: Problem) -> dict[str, float] | None:
    """Observables in the exact steady state; None without any, or in a large space."""
    if not config.observables or problem.state_space.n_states > LARGEST_STEADY:
        return None
    rho = exact.steady_state(problem.generator)
    return {name: float(_expectations(x, rho.reshape(1, -1))[0]) for name, x in observables(config, problem).items()}


def _expectations(operator: DiscreteOperator, states: np.ndarray) -> Float[np.ndarray, "states"]:
    """Of vectors, or of density matrices row by row."""
    n = operator.space.n_states
    if states.shape[1] == n:
        return np.array([exact.expectation(operator, psi).real for psi in states])
    matrix = operator.to_sparse()
    traces = [(np.trace(matrix @ rho), np.trace(rho)) for rho in states.reshape(-1, n, n)]
    return np.array([(above / below).real for above, below in traces])
