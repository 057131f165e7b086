# SPDX-License-Identifier: Apache-2.0
"""Energies of the literature, and of programs that share nothing with this one: every row of `data/energies.json`.

Rows whose space has more than 3.5 million states are listed, with the reason, as out of reach.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import manybody as mb
from manybody.hamiltonian import aklt, bose_hubbard, heisenberg, hubbard, ising, j1j2, molecule, t_v
from manybody.hilbert import DiscreteSpace, Fermion, Fock, Spin
from manybody.lattice import AbstractLattice, chain, shuriken, square
from manybody.operator import DiscreteOperator

ROWS = json.loads((Path(__file__).parent.parent / "data" / "energies.json").read_text(encoding="utf-8"))
"""What each energy is, in which convention, and where it comes from."""
MOST_STATES = 3_500_000
MOST_STATES_BY_DEFAULT = 300_000
"""More take longer than a test that always runs may, and so do molecules of ten orbitals."""
ATOMS = {
    "H2 R=0.735": "H 0 0 0; H 0 0 0.735",
    "H2 R=0.7414": "H 0 0 0; H 0 0 0.7414",
    **{f"H{n} chain R=1.0": "; ".join(f"H 0 0 {i}" for i in range(n)) for n in (4, 6, 10)},
    "BeH2 linear R=1.3264": "H 0 0 -1.3264; Be 0 0 0; H 0 0 1.3264",
    "H2O O(0,0,0) H(+-0.757,0.586,0)": "O 0 0 0; H 0.757 0.586 0; H -0.757 0.586 0",
    "N2 R=1.0977": "N 0 0 0; N 0 0 1.0977",
    "N2 R=2.0": "N 0 0 0; N 0 0 2.0",
    "C2 R=1.2425": "C 0 0 0; C 0 0 1.2425",
}
TEN_ORBITALS = ("H10", "N2", "C2")
System = tuple[DiscreteSpace, Callable[[DiscreteSpace], DiscreteOperator]]


def spins(row: dict) -> System:
    """Heisenberg models at the smallest |S_z|, where their ground states are."""
    name, params = row["model"], row["params"]
    if "shuriken" in name:
        lattice: AbstractLattice = shuriken(2)
    else:
        open_ends = params.get("bc", "P") == "O"
        lattice = square(int(name.split("x")[-1])) if "square" in name else chain(params["N"], periodic=not open_ends)
    if name.startswith("TFIM"):
        return Spin(lattice.n_sites), lambda space: ising(space, lattice, J=1.0, h=params["h"])
    couplings = {"J2": params["J2"]} if "J2" in params else None
    space = Spin(lattice.n_sites, total_sz=0)
    return space, lambda space: j1j2(space, lattice, **couplings) if couplings else heisenberg(space, lattice)


def particles(row: dict) -> System:
    """Hubbard, t-V and Bose-Hubbard models: sites, boundary and numbers of particles are in the name."""
    name, params = row["model"], row["params"]
    side = re.search(r"(\d)x\1", name)
    length = re.search(r"chain(\d+)", name)
    lattice = (
        square(int(side[1])) if side else chain(int(length[1]) if length else params["L"], periodic="OBC" not in name)
    )
    if name.startswith("Hubbard"):
        up, down = map(int, re.search(r"(\d)\+(\d)", name).groups())
        space: DiscreteSpace = Fermion(lattice.n_sites, n_per_component=(up, down), n_components=2)
        return space, lambda space: hubbard(space, lattice, U=params["U"])
    n = params["N"] if "N" in params else int(re.search(r"N=(\d+)", name)[1])
    if name.startswith("t-V"):
        return Fermion(lattice.n_sites, n), lambda space: t_v(space, lattice, V=params["V"])
    space = Fock(lattice.n_sites, n_max=params["nmax"] or n, n_particles=n)
    return space, lambda space: bose_hubbard(space, lattice, U=params["U"])


def electrons(row: dict) -> System:
    """Molecules in STO-3G by restricted Hartree-Fock, without a frozen core."""
    scf, gto = pytest.importorskip("pyscf.scf"), pytest.importorskip("pyscf.gto")
    atoms = ATOMS[row["model"].removeprefix("molecule STO-3G ")]
    mean_field = scf.RHF(gto.M(atom=atoms, basis="sto-3g", verbose=0)).run(conv_tol=1e-12)
    operator = molecule(mean_field)
    return operator.space, operator.on


def label(row: dict) -> str:
    return "-".join([row["model"], *(f"{key}={value}" for key, value in row["params"].items())])


OUT_OF_REACH = {
    "an infinite chain": lambda row: "inf" in row["model"] or row["params"].get("N") == "inf",
    "Monte Carlo": lambda row: row["kind"].startswith("QMC"),
    "4e9 states and more, but see the closed form": lambda row: (
        "TFIM" in row["model"] and row["params"].get("N", 0) > 20
    ),
    "9e9 states": lambda row: "square 6x6" in row["model"] or "triangular 6x6" in row["model"],
    "3e13 states": lambda row: "48" in row["model"],
    "6e8 states": lambda row: "pyrochlore" in row["model"],
    "particles in continuous space": lambda row: "trap" in row["model"] or "Calogero" in row["model"],
    "of each bond: see below": lambda row: row["model"].startswith("AKLT"),
}
REACHED = [row for row in ROWS if not any(excluded(row) for excluded in OUT_OF_REACH.values())]


def system(row: dict) -> System:
    name = row["model"]
    if name.startswith("molecule"):
        return electrons(row)
    return spins(row) if name.startswith(("Heisenberg", "J1-J2", "TFIM")) else particles(row)


def is_slow(row: dict) -> bool:
    if row["model"].startswith("molecule"):
        return any(name in row["model"] for name in TEN_ORBITALS)
    return system(row)[0].n_states > MOST_STATES_BY_DEFAULT


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=label(row), marks=[pytest.mark.slow] * is_slow(row)) for row in REACHED]
)
def test_reference_energies(row: dict) -> None:
    """To 1e-8, or the error of the row; where a gap or a degeneracy is stated, that as well."""
    space, make = system(row)
    assert space.n_states <= MOST_STATES
    has_gap, is_double = "gap" in row["params"], "2-fold" in row["kind"]
    k = 3 if is_double else 2 if has_gap else 1
    energies = mb.exact.ground_state(make(space), k=k).energies
    tolerance = max(1e-8, row["err"])
    assert energies[0] == pytest.approx(row["value"], rel=0, abs=tolerance)
    if has_gap:
        assert energies[1] - energies[0] == pytest.approx(row["params"]["gap"], rel=0, abs=tolerance)
    if is_double:
        assert energies[1] == pytest.approx(row["value"], rel=0, abs=tolerance)
        assert energies[2] > energies[1] + 0.1


def test_rows_are_reproduced_or_out_of_reach_for_one_reason() -> None:
    reasons = Counter(tuple(why for why, excluded in OUT_OF_REACH.items() if excluded(row)) for row in ROWS)
    assert all(len(why) <= 1 for why in reasons)
    assert reasons[()] == len(REACHED) == len({label(row) for row in REACHED}) == 80
    assert sum(reasons.values()) == len(ROWS) == 107


@pytest.mark.parametrize("row", [row for row in ROWS if row["model"] == "TFIM chain"], ids=label)
def test_ising_chains_of_any_length_in_closed_form(row: dict) -> None:
    n, h = row["params"]["N"], row["params"]["h"]
    assert mb.exact.ising_chain_energy(n, h=h) == pytest.approx(row["value"], rel=0, abs=1e-9)


def test_aklt_chain() -> None:
    """For each bond, open and periodic."""
    (row,) = (row for row in ROWS if row["model"].startswith("AKLT"))
    for periodic, n_bonds in ((False, 6), (True, 7)):
        operator = aklt(Spin(7, s=1, total_sz=0), chain(7, periodic=periodic))
        energy = mb.exact.ground_state(operator).energies[0]
        assert energy / n_bonds == pytest.approx(row["value"], rel=0, abs=1e-8)
