# SPDX-License-Identifier: Apache-2.0
"""From a configuration to the objects that it describes."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from manybody._types import Array
from manybody.ansatz import MixedPrecision
from manybody.driver import VMC
from manybody.hilbert import DiscreteSpace, Doubled
from manybody.lattice import Lattice
from manybody.operator import DiscreteOperator, Liouvillian
from manybody.program.config import (
    ANSATZES,
    GROUPS,
    HAMILTONIANS,
    LATTICES,
    MOVES,
    OPTIMIZERS,
    SPACES,
    GroundState,
    Model,
    Optimisation,
    Schedule,
    StochasticReconfiguration,
)
from manybody.program.tables import Call, ConfigError
from manybody.program.terms import JUMPS
from manybody.sampler import Direct, Exact, Metropolis, Sampler
from manybody.sr import SR
from manybody.state import VariationalState


@dataclass(frozen=True)
class Problem:
    """What is to be solved.

    Attributes:
        jumps: jump operators; with them the system is open, and states are density matrices.
    """

    lattice: Lattice
    space: DiscreteSpace
    hamiltonian: DiscreteOperator
    jumps: tuple[DiscreteOperator, ...] = ()

    @property
    def state_space(self) -> DiscreteSpace:
        """The space of the states."""
        return Doubled(self.space) if self.jumps else self.space

    @property
    def generator(self) -> DiscreteOperator:
        """The Hamiltonian, or the Liouvillian of an open system."""
        return Liouvillian(self.hamiltonian, self.jumps) if self.jumps else self.hamiltonian


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


def problem(config: Model, jumps: Sequence[Call] = ()) -> Problem:
    """Lattice, space and Hamiltonian, and the jump operators of an open system.

    Raises:
        ConfigError: if they cannot be made; names the table.
    """
    with table("lattice"):
        lattice = LATTICES.make(config.lattice)
    with table("space"):
        space = SPACES.make(config.space, lattice.n_sites)
    with table("hamiltonian"):
        hamiltonian = HAMILTONIANS.make(config.hamiltonian, space, lattice)
    with table("jumps"):
        return Problem(
            lattice, space, hamiltonian, tuple(k for call in jumps for k in JUMPS.make(call, space, lattice))
        )


def sampler(config: Model, problem: Problem, space: DiscreteSpace | None = None, **changes: Any) -> Sampler:
    """The sampler of the states or of another space, with some of its numbers changed.

    Raises:
        ConfigError: if it cannot be made.
    """
    choice = config.sampler
    space = problem.state_space if space is None else space
    with table("sampler"):
        if choice.kind != "Metropolis":
            return {"Exact": Exact, "Direct": Direct}[choice.kind](space)
        move = MOVES.make(choice.move, problem.lattice)
        numbers = {name: getattr(choice, name) for name in ("n_chains", "sweep_size", "n_burn_in")} | changes
        return Metropolis(space, move, **{name: n for name, n in numbers.items() if n is not None})


def ansatz(config: Model, problem: Problem) -> Any:
    """The ansatz; its symmetries, named in the file, are those of the lattice.

    Raises:
        ConfigError: if it cannot be made.
    """
    call = config.ansatz
    with table("ansatz"):
        wanted = inspect.signature(ANSATZES.functions[call.kind]).parameters
        known = {"lattice": problem.lattice, "graph": problem.lattice, "space": problem.state_space}
        supplied = {name: value for name, value in known.items() if name in wanted}
        chosen = {name: named[call.arguments[name]] for name, named in GROUPS.items() if name in call.arguments}
        groups = {name: make(problem.lattice) for name, make in chosen.items()}
        made = ANSATZES.make(Call(call.kind, {**supplied, **call.arguments, **groups}))
        made = MixedPrecision(made, config.run.products) if config.run.products else made
        # Some arguments can only be checked against the configurations, which a module sees when it is initialised.
        sigma = jax.ShapeDtypeStruct((1, problem.state_space.size), jnp.int8)
        jax.eval_shape(made.init, jax.random.key(0), sigma)
        return made


def state(config: Model, problem: Problem) -> VariationalState:
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


def optimizer(options: Optimisation) -> optax.GradientTransformation:
    """What turns directions into updates."""
    return OPTIMIZERS[options.optimizer](number(options.learning_rate, options.steps))


def preconditioner(options: Optimisation) -> SR | None:
    """What turns local energies into directions; None for the plain force.

    Raises:
        ConfigError: if a number is out of range.
    """
    if options.preconditioner == "none":
        return None
    given = vars(options.sr or StochasticReconfiguration())
    with table("optimisation.sr"):
        return SR(**{**given, "diag_shift": number(given["diag_shift"], options.steps)})


def vmc(options: Optimisation, problem: Problem, start: VariationalState) -> VMC:
    """The driver that finds the ground state.

    Raises:
        ConfigError: if it cannot be made.
    """
    chosen = {"optimizer": optimizer(options), "preconditioner": preconditioner(options)}
    with table("hamiltonian"):
        return VMC(problem.hamiltonian, start, **chosen)


def fresh_chains(config: GroundState, problem: Problem, final: VariationalState) -> VariationalState:
    """The final wave function with new chains for [measure], which share no random numbers with those of the run.

    Raises:
        ConfigError: if the numbers in [measure] do not fit.
    """
    draws = sampler(config, problem, **measuring(config))
    with table("measure"):
        return VariationalState(
            ansatz(config, problem),
            draws,
            n_measured(config),
            seed=jax.random.fold_in(jax.random.key(config.run.seed), 1),
            chunk_size=config.sampler.chunk_size,
            params=final.params,
        )


def measuring(config: Model) -> dict[str, int]:
    """What [measure] changes about the sampler."""
    numbers = {name: getattr(config.measure, name) for name in ("n_chains", "n_burn_in")}
    return {name: n for name, n in numbers.items() if n is not None}


def n_measured(config: Model) -> int | None:
    """How many samples are measured; None for all states."""
    return None if config.sampler.kind == "Exact" else config.measure.n_samples or config.sampler.n_samples


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
