# SPDX-License-Identifier: Apache-2.0
"""From a configuration to the objects that it describes."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from manybody._types import Array
from manybody.driver import VMC
from manybody.hilbert import DiscreteSpace
from manybody.lattice import Lattice
from manybody.operator import DiscreteOperator
from manybody.program.config import (
    ANSATZES,
    GROUPS,
    HAMILTONIANS,
    LATTICES,
    MOVES,
    OPTIMIZERS,
    SPACES,
    GroundState,
    Schedule,
    StochasticReconfiguration,
)
from manybody.program.tables import Call, ConfigError
from manybody.sampler import Direct, Exact, Metropolis, Sampler
from manybody.sr import SR
from manybody.state import VariationalState


@dataclass(frozen=True)
class Problem:
    """What is to be solved."""

    lattice: Lattice
    space: DiscreteSpace
    hamiltonian: DiscreteOperator


@contextlib.contextmanager
def table(name: str) -> Iterator[None]:
    """Say in which table of the file a value stands that a constructor refuses.

    Raises:
        ConfigError: instead of `ValueError` and `TypeError`.
    """
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ConfigError(f"[{name}] {error}") from error


def problem(config: GroundState) -> Problem:
    """Lattice, space and Hamiltonian.

    Raises:
        ConfigError: if they cannot be made; names the table.
    """
    with table("lattice"):
        lattice = LATTICES.make(config.lattice)
    with table("space"):
        space = SPACES.make(config.space, lattice.n_sites)
    with table("hamiltonian"):
        hamiltonian = HAMILTONIANS.make(config.hamiltonian, space, lattice)
    return Problem(lattice, space, hamiltonian)


def sampler(config: GroundState, problem: Problem, **changes: Any) -> Sampler:
    """The sampler, with some of its numbers changed.

    Raises:
        ConfigError: if it cannot be made.
    """
    choice = config.sampler
    with table("sampler"):
        if choice.kind != "Metropolis":
            return {"Exact": Exact, "Direct": Direct}[choice.kind](problem.space)
        move = MOVES.make(choice.move, problem.lattice)
        numbers = {name: getattr(choice, name) for name in ("n_chains", "sweep_size", "n_burn_in")} | changes
        return Metropolis(problem.space, move, **{name: n for name, n in numbers.items() if n is not None})


def ansatz(config: GroundState, problem: Problem) -> Any:
    """The ansatz; its symmetries, named in the file, are those of the lattice.

    Raises:
        ConfigError: if it cannot be made.
    """
    call = config.ansatz
    with table("ansatz"):
        wanted = inspect.signature(ANSATZES.functions[call.kind]).parameters
        known = {"lattice": problem.lattice, "graph": problem.lattice, "space": problem.space}
        supplied = {name: value for name, value in known.items() if name in wanted}
        chosen = {name: named[call.arguments[name]] for name, named in GROUPS.items() if name in call.arguments}
        groups = {name: make(problem.lattice) for name, make in chosen.items()}
        made = ANSATZES.make(Call(call.kind, {**supplied, **call.arguments, **groups}))
        # Some arguments can only be checked against the configurations, which a module sees when it is initialised.
        sigma = jax.ShapeDtypeStruct((1, problem.space.size), jnp.int8)
        jax.eval_shape(made.init, jax.random.key(0), sigma)
        return made


def state(config: GroundState, problem: Problem) -> VariationalState:
    """The state to start from.

    Raises:
        ConfigError: if it cannot be made.
    """
    network = ansatz(config, problem)
    draws = sampler(config, problem)
    with table("sampler"):
        return VariationalState(
            network, draws, config.sampler.n_samples, seed=config.run.seed, chunk_size=config.sampler.chunk_size
        )


def optimizer(config: GroundState) -> optax.GradientTransformation:
    """What turns directions into updates."""
    options = config.optimisation
    return OPTIMIZERS[options.optimizer](number(options.learning_rate, options.steps))


def preconditioner(config: GroundState) -> SR | None:
    """What turns local energies into directions; None for the plain force.

    Raises:
        ConfigError: if a number is out of range.
    """
    options = config.optimisation
    if options.preconditioner == "none":
        return None
    given = vars(options.sr or StochasticReconfiguration())
    with table("optimisation.sr"):
        return SR(**{**given, "diag_shift": number(given["diag_shift"], options.steps)})


def vmc(config: GroundState, problem: Problem, start: VariationalState) -> VMC:
    """The driver.

    Raises:
        ConfigError: if it cannot be made.
    """
    chosen = {"optimizer": optimizer(config), "preconditioner": preconditioner(config)}
    with table("hamiltonian"):
        return VMC(problem.hamiltonian, start, **chosen)


def fresh_chains(config: GroundState, problem: Problem, final: VariationalState) -> VariationalState:
    """The final wave function with new chains for [measure], which share no random numbers with those of the run.

    Raises:
        ConfigError: if the numbers in [measure] do not fit.
    """
    choice = config.measure
    numbers = {"n_chains": choice.n_chains, "n_burn_in": choice.n_burn_in}
    changes = {name: n for name, n in numbers.items() if n is not None}
    with table("measure"):
        return VariationalState(
            ansatz(config, problem),
            sampler(config, problem, **changes),
            None if config.sampler.kind == "Exact" else choice.n_samples or config.sampler.n_samples,
            seed=jax.random.fold_in(jax.random.key(config.run.seed), 1),
            chunk_size=config.sampler.chunk_size,
            params=final.params,
        )


def number(value: float | Schedule, steps: int) -> float | Callable[[Array], Array]:
    """A number, or a function of the step for a schedule; `steps` is how long that lasts if it does not say."""
    if not isinstance(value, Schedule):
        return value
    length = max(1, steps if value.steps is None else value.steps)
    schedules = {
        "linear": lambda: optax.linear_schedule(value.start, value.stop, length),
        "exponential": lambda: optax.exponential_decay(
            value.start, length, value.stop / value.start, end_value=value.stop
        ),
        "cosine": lambda: optax.cosine_decay_schedule(value.start, length, value.stop / value.start),
    }
    schedule = schedules[value.kind]()
    return lambda step: schedule(jnp.asarray(step, float))
