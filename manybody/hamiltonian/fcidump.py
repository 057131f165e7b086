# SPDX-License-Identifier: Apache-2.0
"""Integrals of a molecule from an FCIDUMP file.

The format of P. J. Knowles and N. C. Handy, Comput. Phys. Commun. 54, 75 (1989): a Fortran namelist with the number of
orbitals and electrons, and lines "value i j k l": the two-electron integral (ij|kl) in chemists' order, with k = l = 0
the one-electron integral h_ij, and with all zero the energy of the nuclei and the core. Of integrals that are equal by
symmetry one is enough.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from manybody import _checks
from manybody._struct import FrozenArray
from manybody._types import Float


@dataclass(frozen=True)
class Integrals:
    """Real integrals over spatial orbitals, that both spins share.

    Attributes:
        one: h_pq (orbitals, orbitals).
        two: (pq|rs) in chemists' order (orbitals, orbitals, orbitals, orbitals).
        constant: energy of the nuclei and the core.
        n_electrons: number of electrons, if known.
        two_sz: spins up minus spins down, if known.
    """

    one: FrozenArray
    two: FrozenArray
    constant: float
    n_electrons: int | None = None
    two_sz: int | None = None

    @property
    def n_orbitals(self) -> int:
        """Number of spatial orbitals."""
        return self.one.array.shape[0]


def read_fcidump(path: str | Path) -> Integrals:
    """Read a file, strictly.

    Raises:
        ValueError: if a line cannot be read, an orbital does not exist, an integral is given twice with different
            values, or the integrals are those of a calculation with different orbitals for both spins; names the line.
    """
    path = Path(path)
    header, body, first = _apart(path)
    numbers = {key.upper(): value for key, value in re.findall(r"(\w+)\s*=\s*([^=,/&]+?)\s*(?=,|$)", header)}
    n = _whole(numbers.get("NORB"), "NORB", path)
    flags = {key: numbers.get(key, "0").strip().upper() for key in ("IUHF", "UHF")}
    shared = all(flag in ("0", ".FALSE.", "F", "FALSE") for flag in flags.values())
    _checks.require(shared, "IUHF", f"be 0 in {path}", "1", "Orbitals that differ for both spins are not supported.")
    one, two = np.full((n, n), np.nan), np.full((n,) * 4, np.nan)
    constant = None
    for number, line in enumerate(body, start=first):
        if not line.strip():
            continue
        value, orbitals = _entry(line, n, f"{path}, line {number}")
        where = f"{path}, line {number}"
        p, q, r, s = (x - 1 for x in orbitals)
        if min(p, q, r, s) >= 0:
            for a, b in ((p, q), (q, p)):
                for c, d in ((r, s), (s, r)):
                    _put(two, (a, b, c, d), value, where)
                    _put(two, (c, d, a, b), value, where)
        elif r < 0 and s < 0 and min(p, q) >= 0:
            _put(one, (p, q), value, where)
            _put(one, (q, p), value, where)
        elif max(p, q, r, s) < 0:
            _checks.require(constant in (None, value), "constant", f"be given once in {where}", line.strip())
            constant = value
        else:
            energy_of_orbital = p >= 0 and q < 0 and r < 0 and s < 0
            _checks.require(energy_of_orbital, "line", f"name 0, 2 or 4 orbitals ({where})", repr(line.strip()))
    return Integrals(
        FrozenArray(np.nan_to_num(one)),
        FrozenArray(np.nan_to_num(two)),
        constant or 0.0,
        _whole(numbers["NELEC"], "NELEC", path) if "NELEC" in numbers else None,
        _whole(numbers["MS2"], "MS2", path, minimum=None) if "MS2" in numbers else None,
    )


def from_pyscf(mean_field: Any) -> Integrals:
    """The integrals of a converged mean-field calculation of PySCF, over its molecular orbitals.

    Args:
        mean_field: a restricted one (RHF, ROHF), after `kernel()`.

    Raises:
        TypeError: if it is not restricted, or has not run.
    """
    from pyscf import ao2mo

    coefficients = getattr(mean_field, "mo_coeff", None)
    if not isinstance(coefficients, np.ndarray) or coefficients.ndim != 2:
        raise TypeError(
            _checks.requirement("mean_field", "be a restricted calculation that has run", type(mean_field).__name__)
        )
    molecule = mean_field.mol
    n = coefficients.shape[1]
    one = coefficients.T @ mean_field.get_hcore() @ coefficients
    two = ao2mo.restore(1, ao2mo.kernel(molecule, coefficients), n)
    return Integrals(
        FrozenArray(one), FrozenArray(two), float(molecule.energy_nuc()), int(molecule.nelectron), int(molecule.spin)
    )


def _apart(path: Path) -> tuple[str, list[str], int]:
    """The namelist, the lines after it, and the number of the first of these."""
    lines = path.read_text(encoding="utf-8").splitlines()
    _checks.require(bool(lines) and "&FCI" in lines[0].upper(), "path", "begin with &FCI", f"{path}")
    ends = [i for i, line in enumerate(lines) if re.search(r"(&END|/)\s*$", line.strip().upper())]
    _checks.require(bool(ends), "path", "have a line &END or / behind its header", f"{path}")
    header = " ".join(lines[: ends[0] + 1])
    header = re.sub(r"&FCI|&END|/", " ", header, flags=re.IGNORECASE)
    header = re.sub(r"ORBSYM\s*=[\s\d,]*(?=\b[A-Za-z]|$)", " ", header, flags=re.IGNORECASE)
    return re.sub(r"\s+", " ", header).strip().rstrip(","), lines[ends[0] + 1 :], ends[0] + 2


def _whole(text: str | None, name: str, path: Path, minimum: int | None = 1) -> int:
    try:
        return _checks.integer(int(text or ""), name, minimum=minimum)
    except ValueError as error:
        raise ValueError(_checks.requirement(name, f"be a whole number in {path}", repr(text))) from error


def _entry(line: str, n: int, where: str) -> tuple[float, tuple[int, ...]]:
    words = line.replace("D", "E").replace("d", "e").split()
    try:
        value, orbitals = float(words[0]), tuple(map(int, words[1:]))
        good = len(orbitals) == 4 and np.isfinite(value)
    except (ValueError, IndexError):
        good = False
    _checks.require(good, "line", f"be a number and four orbitals ({where})", repr(line.strip()))
    _checks.require(all(0 <= x <= n for x in orbitals), "orbital", f"be between 0 and {n} ({where})", orbitals)
    return value, orbitals


def _put(array: Float[np.ndarray, "..."], where: tuple[int, ...], value: float, line: str) -> None:
    present = array[where]
    same = bool(np.isnan(present)) or abs(present - value) <= 1e-10 * max(1.0, abs(value))
    _checks.require(same, "integral", f"have one value ({line})", f"{value} after {present}")
    array[where] = value
