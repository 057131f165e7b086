# SPDX-License-Identifier: Apache-2.0
"""Where the exact energy comes from that a result is compared with; the optimisation never sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from manybody import exact
from manybody.program.build import Problem
from manybody.program.config import GroundState
from manybody.program.tables import Call

LARGEST = 200_000
"""States of the largest space that is diagonalised."""


@dataclass(frozen=True)
class ExactEnergy:
    """The exact ground-state energy, total.

    Attributes:
        source: where it comes from.
        find: computes it (minutes, for the largest spaces).
    """

    source: str
    find: Callable[[], float]


def exact_energy(config: GroundState, problem: Problem) -> ExactEnergy | None:
    """By diagonalisation of a small space, else from the file, else from free fermions; None if none of them does."""
    n_sites, n_states = problem.lattice.n_sites, problem.space.n_states
    given = config.reference
    if n_states <= LARGEST:
        source = f"diagonalisation of {n_states:,} states after the run"
        return ExactEnergy(source, lambda: float(exact.ground_state(problem.hamiltonian).energies[0]))
    if given is not None:
        return ExactEnergy(given.source, lambda: given.total(n_sites))
    if config.hamiltonian.kind == "ising" and is_even_ring(config.lattice):
        couplings = config.hamiltonian.arguments
        return ExactEnergy("free fermions", lambda: exact.ising_chain_energy(n_sites, **couplings))
    return None


def is_even_ring(lattice: Call) -> bool:
    """Whether a lattice is a periodic chain of an even number of sites."""
    arguments = lattice.arguments
    return lattice.kind == "chain" and arguments.get("periodic", True) and arguments["n"] % 2 == 0
