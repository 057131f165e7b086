# SPDX-License-Identifier: Apache-2.0
"""What configuration files can name besides Hamiltonians: observables, jump operators, and couplings that change."""

from __future__ import annotations

import functools
import math
import operator as arithmetic
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from manybody import _checks
from manybody.hilbert import DiscreteSpace, Fermion, Fock
from manybody.lattice import Lattice
from manybody.operator import DiscreteOperator, boson, fermion, spin
from manybody.program.tables import Registry

Axis = Literal["x", "y", "z"]
SIGMA = {"x": spin.sigmax, "y": spin.sigmay, "z": spin.sigmaz}
SPIN = {"x": spin.sx, "y": spin.sy, "z": spin.sz}


# --- observables -----------------------------------------------------------------------------------------------------


def sigma(space: DiscreteSpace, lattice: Lattice, *, axis: Axis) -> DiscreteOperator:
    """A Pauli matrix, averaged over the sites."""
    return _mean(SIGMA[axis](space, site) for site in range(lattice.n_sites))


def sigma_sigma(space: DiscreteSpace, lattice: Lattice, *, axis: Axis, order: int = 1) -> DiscreteOperator:
    """The product of a Pauli matrix at both ends of a bond, averaged over the bonds of an order."""
    at = functools.partial(SIGMA[axis], space)
    return _mean(at(int(i)) @ at(int(j)) for i, j in lattice.bonds(order))


def spin_component(space: DiscreteSpace, lattice: Lattice, *, axis: Axis) -> DiscreteOperator:
    """A component of the spin S, averaged over the sites."""
    return _mean(SPIN[axis](space, site) for site in range(lattice.n_sites))


def density(space: DiscreteSpace, lattice: Lattice) -> DiscreteOperator:
    """The number of particles on a site, averaged over the sites."""
    n = lattice.n_sites
    if isinstance(space, Fermion):
        return (1 / n) * _sum(fermion.number(space, i, c) for i in range(n) for c in range(space.n_components))
    _checks.require_type(space, Fock, "space", "Spins are no particles.")
    return _mean(boson.number(space, i) for i in range(n))


# --- jump operators --------------------------------------------------------------------------------------------------


def decay(space: DiscreteSpace, lattice: Lattice, *, rate: float = 1.0) -> list[DiscreteOperator]:
    """Spins that fall: sqrt(rate) S^- on each site."""
    return _each(spin.sm, space, lattice, rate)


def pump(space: DiscreteSpace, lattice: Lattice, *, rate: float = 1.0) -> list[DiscreteOperator]:
    """Spins that rise: sqrt(rate) S^+ on each site."""
    return _each(spin.sp, space, lattice, rate)


def dephasing(space: DiscreteSpace, lattice: Lattice, *, rate: float = 1.0) -> list[DiscreteOperator]:
    """Spins that lose their phase: sqrt(rate) sigma_z on each site."""
    return _each(spin.sigmaz, space, lattice, rate)


def loss(space: DiscreteSpace, lattice: Lattice, *, rate: float = 1.0) -> list[DiscreteOperator]:
    """Bosons that get lost: sqrt(rate) b on each site."""
    return _each(boson.destroy, space, lattice, rate)


# --- couplings that change -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sine:
    """value + amplitude sin(frequency t + phase), the frequency in radians per unit of time."""

    amplitude: float
    frequency: float
    phase: float = 0.0

    def __call__(self, value: float, t: float) -> float:
        return value + self.amplitude * math.sin(self.frequency * t + self.phase)


@dataclass(frozen=True)
class Ramp:
    """From the value at t = 0 linearly to `stop` at t = duration, and no further."""

    stop: float
    duration: float

    def __post_init__(self) -> None:
        _checks.positive(self.duration, "duration")

    def __call__(self, value: float, t: float) -> float:
        return value + (self.stop - value) * min(t / self.duration, 1.0)


OBSERVABLES = Registry({"sigma": sigma, "sigma_sigma": sigma_sigma, "spin": spin_component, "density": density})
JUMPS = Registry({"decay": decay, "pump": pump, "dephasing": dephasing, "loss": loss})
DRIVES = Registry({"sine": Sine, "ramp": Ramp})


def _sum(terms: Iterable[DiscreteOperator]) -> DiscreteOperator:
    return functools.reduce(arithmetic.add, terms)


def _mean(terms: Iterable[DiscreteOperator]) -> DiscreteOperator:
    terms = list(terms)
    return (1 / len(terms)) * _sum(terms)


def _each(kind: Callable, space: DiscreteSpace, lattice: Lattice, rate: float) -> list[DiscreteOperator]:
    _checks.positive(rate, "rate")
    return [math.sqrt(rate) * kind(space, site) for site in range(lattice.n_sites)]
