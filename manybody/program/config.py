# SPDX-License-Identifier: Apache-2.0
"""What the configuration files of the programs may say: one dataclass for each table.

An option is described where it is used; the files in drivers/config have a comment for each.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
import optax

from manybody import _checks, ansatz, hamiltonian, hilbert, lattice, sampler
from manybody._struct import FrozenArray
from manybody.program.tables import Call, ConfigError, Registry, from_table


def exchange(lattice: lattice.AbstractLattice, *, pairs: int | Literal["all"] = 1) -> sampler.Exchange:
    """Exchange on the bonds of order `pairs`, or between any two sites."""
    return sampler.Exchange("all" if pairs == "all" else lattice.bonds(pairs))


def hop(lattice: lattice.AbstractLattice, *, pairs: int | Literal["all"] = 1) -> sampler.Hop:
    """Hops on the bonds of order `pairs` (of each component of fermions), or between any two sites of a sector."""
    return sampler.Hop("all") if pairs == "all" else sampler.Hop(lattice.bonds(pairs), lattice.n_sites)


def local_flip(lattice: lattice.AbstractLattice) -> sampler.LocalFlip:
    """Flips of one site."""
    del lattice
    return sampler.LocalFlip()


def multi_flip(lattice: lattice.AbstractLattice, *, n_flips: int) -> sampler.MultiFlip:
    """Flips of several sites."""
    del lattice
    return sampler.MultiFlip(n_flips)


def _exported(module: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(module, name) for name in names}


LATTICES = Registry(
    _exported(lattice, "bcc", "chain", "cubic", "diamond", "fcc", "honeycomb", "kagome", "pyrochlore", "rectangle")
    | _exported(lattice, "shastry_sutherland", "shuriken", "square", "triangular")
)
SPACES = Registry(_exported(hilbert, "Fermion", "Fock", "Qubit", "Spin"))
HAMILTONIANS = Registry(_exported(hamiltonian, "bose_hubbard", "heisenberg", "hubbard", "ising", "j1j2", "t_v", "xxz"))
GROUPS: dict[str, dict[str, Callable[[lattice.Lattice], Any]]] = {
    "symmetries": {"translations": lambda known: FrozenArray(known.translations())},
    "sector": {"translations": lattice.Lattice.translation_group, "space_group": lattice.Lattice.space_group},
}
"""Arguments of ansatzes that are made when the lattice is known, from their names."""
ANSATZES = Registry(
    _exported(ansatz, "ARConv", "ARDense", "ARRNN", "ARTransformer", "DensityRBM", "GCNN", "GraphNetwork", "Jastrow")
    | _exported(ansatz, "MLP", "MPS", "MeanField", "RBM", "ResNet", "ViT"),
    {
        "param_dtype": _exported(jnp, "float32", "float64", "complex64", "complex128"),
        **GROUPS,
        "activation": {"log_cosh": ansatz.log_cosh, **_exported(nn, "gelu", "relu", "selu", "silu", "tanh")},
    },
)
MOVES = Registry({"Exchange": exchange, "Hop": hop, "LocalFlip": local_flip, "MultiFlip": multi_flip})
OPTIMIZERS = {"sgd": optax.sgd, "adam": optax.adam}


@dataclass(frozen=True)
class Schedule:
    """A number that goes from `start` to `stop` in so many `steps` (by default all), and stays there."""

    kind: Literal["linear", "exponential", "cosine"]
    start: float
    stop: float
    steps: int | None = None

    def __post_init__(self) -> None:
        _checks.positive(self.start, "start")
        _checks.positive(self.stop, "stop", strict=self.kind == "exponential")
        if self.steps is not None:
            _checks.integer(self.steps, "steps", minimum=1)


@dataclass(frozen=True)
class Sampling:
    """[sampler]: where samples come from; numbers that are left out are those of `Metropolis`."""

    move: Call | None = field(default=None, metadata={"registry": MOVES})
    kind: Literal["Metropolis", "Exact", "Direct"] = "Metropolis"
    n_samples: int | None = None
    n_chains: int | None = None
    sweep_size: int | None = None
    n_burn_in: int | None = None
    chunk_size: int | Literal["auto"] | None = None

    def __post_init__(self) -> None:
        if self.kind == "Metropolis":
            _checks.require(self.move is not None, "move", "be given for Metropolis", "nothing")
            return
        self.check_left_out(self, "move", "n_samples", "n_chains", "sweep_size", "n_burn_in")
        if self.kind == "Direct":
            _checks.require(self.n_samples is not None, "n_samples", "be given for Direct", "nothing")

    def check_left_out(self, table: Any, *names: str) -> None:
        """Raise `ValueError` for a number in a table that says nothing to this kind of sampler."""
        reason = {"Exact": "takes all states", "Direct": "has no chains"}.get(self.kind)
        for name in names if reason else ():
            unused = getattr(table, name) is not None and not (self.kind == "Direct" and name == "n_samples")
            _checks.require(not unused, name, f"be left out for {self.kind}, which {reason}", getattr(table, name))


@dataclass(frozen=True)
class StochasticReconfiguration:
    """[optimisation.sr]: the arguments of `manybody.sr.SR`."""

    diag_shift: float | Schedule = 1e-3
    method: Literal["auto", "parameters", "samples"] = "auto"
    solver: Literal["cholesky", "pinv", "qr", "cg"] = "cholesky"
    momentum: float = 0.0
    cutoff: float = 1e-10
    snr: float = 0.0
    tolerance: float = 1e-10
    max_iterations: int = 1000


@dataclass(frozen=True)
class Optimisation:
    """[optimisation]: how the energy is lowered."""

    steps: int
    learning_rate: float | Schedule
    optimizer: Literal["sgd", "adam"] = "sgd"
    preconditioner: Literal["sr", "none"] = "sr"
    sr: StochasticReconfiguration | None = None
    steps_per_call: int = 1

    def __post_init__(self) -> None:
        _checks.integer(self.steps, "steps", minimum=0)
        _checks.integer(self.steps_per_call, "steps_per_call", minimum=1)
        if not isinstance(self.learning_rate, Schedule):
            _checks.positive(self.learning_rate, "learning_rate")
        unused = self.preconditioner == "none" and self.sr is not None
        _checks.require(not unused, "sr", 'be left out for preconditioner = "none"', "a table")


@dataclass(frozen=True)
class Measurement:
    """[measure]: fresh chains for the energy at the end; by default like those of the optimisation."""

    n_samples: int | None = None
    n_chains: int | None = None
    n_burn_in: int | None = None

    def __post_init__(self) -> None:
        for name in ("n_samples", "n_chains"):
            if getattr(self, name) is not None:
                _checks.integer(getattr(self, name), name, minimum=1)
        if self.n_burn_in is not None:
            _checks.integer(self.n_burn_in, "n_burn_in", minimum=0)


@dataclass(frozen=True)
class Reference:
    """[reference]: an energy from elsewhere to compare with, where the space is too large to diagonalise."""

    source: str
    energy: float | None = None
    energy_per_site: float | None = None

    def __post_init__(self) -> None:
        given = (self.energy is None) != (self.energy_per_site is None)
        _checks.require(given, "energy", "be given, or energy_per_site instead", "both or none")

    def total(self, n_sites: int) -> float:
        """The energy of all sites."""
        if self.energy is not None:
            return self.energy
        return n_sites * (self.energy_per_site or 0.0)


@dataclass(frozen=True)
class Run:
    """[run]: what does not belong to the physics."""

    seed: int = 0
    save_every: int = 50
    products: Literal["float32", "float16", "bfloat16"] | None = None

    def __post_init__(self) -> None:
        _checks.integer(self.save_every, "save_every", minimum=1)


@dataclass(frozen=True, kw_only=True)
class Model:
    """What the configurations of all programs have: a problem, a state, and how it is sampled."""

    lattice: Call = field(metadata={"registry": LATTICES})
    space: Call = field(default=Call("Spin", {}), metadata={"registry": SPACES})
    hamiltonian: Call = field(metadata={"registry": HAMILTONIANS})
    ansatz: Call = field(metadata={"registry": ANSATZES})
    sampler: Sampling
    measure: Measurement = Measurement()
    run: Run = Run()

    def __post_init__(self) -> None:
        self.sampler.check_left_out(self.measure, "n_samples", "n_chains", "n_burn_in")


@dataclass(frozen=True, kw_only=True)
class GroundState(Model):
    """The configuration of `manybody ground-state`."""

    optimisation: Optimisation
    reference: Reference | None = None


def load(path: Path, cls: type, overrides: Mapping[str, Any] | None = None) -> Any:
    """Read a configuration file.

    Args:
        path: the file.
        cls: the dataclass that says what it may hold.
        overrides: values by dotted key that replace those of the file.

    Raises:
        ConfigError: if the file is missing, is no TOML, or holds an unknown key or a value that cannot be used.
    """
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: no valid TOML: {error}.") from error
    for dotted, value in (overrides or {}).items():
        *parents, key = dotted.split(".")
        inner = table
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[key] = value
    try:
        return from_table(cls, table)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: {error}") from error
