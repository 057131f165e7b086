# SPDX-License-Identifier: Apache-2.0
"""The configurations of programs about time evolution and open systems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from manybody import _checks
from manybody.program.config import HAMILTONIANS, Model, Optimisation, StochasticReconfiguration
from manybody.program.tables import Call
from manybody.program.terms import DRIVES, JUMPS, OBSERVABLES


@dataclass(frozen=True)
class Metric(StochasticReconfiguration):
    """[evolution.sr]: how the equation of motion is solved; the arguments of `manybody.sr.SR`."""

    diag_shift: float = 0.0
    solver: Literal["cholesky", "pinv", "qr", "cg"] = "pinv"
    cutoff: float = 1e-8


@dataclass(frozen=True)
class Evolution:
    """[evolution]: from time 0 to `stop`, with records at so many `points` that are equally far apart."""

    stop: float
    points: int
    kind: Literal["real", "imaginary"] = "real"
    integrator: Literal["euler", "heun", "rk4", "rk23", "rk45"] = "rk23"
    dt: float = 0.01
    tolerance: float | None = None
    min_dt: float | None = None
    max_dt: float | None = None
    sr: Metric = Metric()
    cross_validate: bool = False

    def __post_init__(self) -> None:
        _checks.positive(self.stop, "stop")
        _checks.integer(self.points, "points", minimum=2)

    @property
    def times(self) -> np.ndarray:
        """The grid."""
        return np.linspace(0.0, self.stop, self.points)


@dataclass(frozen=True)
class Start:
    """[start]: the ground state of another Hamiltonian or, if there are jumps, the steady state with it."""

    optimisation: Optimisation
    hamiltonian: Call = field(metadata={"registry": HAMILTONIANS})


@dataclass(frozen=True, kw_only=True)
class Observed(Model):
    """What is measured, by name; and what makes a system open: jump operators, each on all sites."""

    observables: Mapping[str, Call] = field(default_factory=dict, metadata={"registry": OBSERVABLES})
    jumps: Sequence[Call] = field(default=(), metadata={"registry": JUMPS})

    def __post_init__(self) -> None:
        super().__post_init__()
        needed = bool(self.jumps) and bool(self.observables)
        used = vars(self.measure) != vars(type(self.measure)())
        must = "be left out: only observables of density matrices have chains of their own"
        _checks.require(needed or not used, "measure", must, "a table")


@dataclass(frozen=True, kw_only=True)
class TimeEvolution(Observed):
    """The configuration of `manybody time-evolution`."""

    evolution: Evolution
    start: Start | None = None
    drives: Mapping[str, Call] = field(default_factory=dict, metadata={"registry": DRIVES})

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.drives:
            is_number = isinstance(self.hamiltonian.arguments.get(name), int | float)
            _checks.require(is_number, "drives", "name couplings that are given as one number", repr(name))
        is_real = self.evolution.kind == "real"
        _checks.require(is_real or not self.jumps, "evolution.kind", 'be "real" for open systems', self.evolution.kind)


@dataclass(frozen=True, kw_only=True)
class SteadyState(Observed):
    """The configuration of `manybody steady-state`."""

    optimisation: Optimisation
    observe_every: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        _checks.require(len(self.jumps) > 0, "jumps", "be given: without them nothing is steady", "none")
        _checks.integer(self.observe_every, "observe_every", minimum=1)
