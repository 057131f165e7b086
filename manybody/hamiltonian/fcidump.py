# SPDX-License-Identifier: Apache-2.0
"""Integrals of a molecule from an FCIDUMP file.

The format of P. J. Knowles and N. C. Handy, Comput. Phys. Commun. 54, 75 (1989): a Fortran namelist with the number of
orbitals and electrons, and lines "value i j k l": the two-electron integral (ij|kl) in chemists' order, with k = l = 0
the one-electron integral h_ij, with j = k = l = 0 an orbital energy, which is not needed, and with all zero the energy
of the nuclei and the core. Of integrals that are equal by symmetry one is enough, and those that are zero may be left
out. Irreducible representations (ORBSYM, ISYM) are not read: the integrals vanish where they must.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from manybody import _checks
from manybody.hamiltonian.integrals import Integrals

_SAME = 1e-10
"""Relative difference below which two values of one integral agree."""
_EIGHT = [
    (0, 1, 2, 3),
    (1, 0, 2, 3),
    (0, 1, 3, 2),
    (1, 0, 3, 2),
    (2, 3, 0, 1),
    (3, 2, 0, 1),
    (2, 3, 1, 0),
    (3, 2, 1, 0),
]
"""Orders of the orbitals of a real two-electron integral that do not change it."""


def read_fcidump(path: str | Path) -> Integrals:
    """Read a file, strictly.

    Raises:
        ValueError: if a line cannot be read, an orbital does not exist, an integral is given twice with different
            values, the energy of the nuclei is missing, or the integrals are those of a calculation with different
            orbitals for both spins; names the line.
    """
    path = Path(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    header = _header(path, lines)
    numbers = {key.upper(): (value, line) for line in range(header) for key, value in _entries(lines[line])}
    n = _whole(numbers, "NORB", path)
    for key in ("IUHF", "UHF"):
        flag, line = numbers.get(key, ("0", 0))
        shared = flag.strip(".").upper() in ("0", "F", "FALSE")
        cure = "Orbitals that differ for both spins are not supported."
        _checks.require(shared, key, f"be 0 ({path}, line {line + 1})", flag, cure)
    values, orbitals, where = _body(path, lines, header, n)
    given = np.count_nonzero(orbitals, axis=1)
    constants = values[given == 0]
    must = f'be given by a line "value 0 0 0 0" in {path}'
    _checks.require(len(constants) > 0, "constant", must, f"{len(lines)} lines without one", "Is the file cut off?")
    _require_agreement(path, lines, values, orbitals, where)
    one, two = np.zeros((n, n)), np.zeros((n,) * 4)
    p, q = orbitals[given == 2, :2].T - 1
    one[p, q] = one[q, p] = values[given == 2]
    pairs = orbitals[given == 4] - 1
    for order in _EIGHT:
        two[tuple(pairs[:, order].T)] = values[given == 4]
    n_electrons = _whole(numbers, "NELEC", path, minimum=0) if "NELEC" in numbers else None
    two_sz = _whole(numbers, "MS2", path, minimum=None) if "MS2" in numbers else None
    return Integrals(one, two, float(constants[0]), n_electrons, two_sz)


def _header(path: Path, lines: list[str]) -> int:
    """The number of lines that the namelist takes."""
    start = lines[0].strip() if lines else "an empty file"
    _checks.require(
        bool(re.match(r"[&$]FCI\b", start, re.IGNORECASE)), "header", f"begin with &FCI ({path}, line 1)", start
    )
    for number, line in enumerate(lines):
        if re.search(r"([&$]END|/)\s*$", line, re.IGNORECASE):
            return number + 1
    must = f"end with &END or / ({path}, line {len(lines)})"
    raise ValueError(_checks.requirement("header", must, "the end of the file"))


def _entries(line: str) -> list[tuple[str, str]]:
    """Pairs "key = value" of a line of the namelist; of a list the first entry."""
    return re.findall(r"(\w+)\s*=\s*([^\s,=/&$]+)", line)


def _whole(numbers: dict[str, tuple[str, int]], key: str, path: Path, minimum: int | None = 1) -> int:
    text, line = numbers.get(key, ("nothing", 0))
    where = f"({path}, line {line + 1})"
    good = bool(re.fullmatch(r"[+-]?\d+", text))
    _checks.require(good, key, f"be a whole number {where}", text)
    low = minimum is not None and int(text) < minimum
    _checks.require(not low, key, f"satisfy {key} >= {minimum} {where}", text)
    return int(text)


def _body(path: Path, lines: list[str], first: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values (entries,), orbitals (entries, 4), 0 for none, and the line that each is in, from 0."""
    values, orbitals, where = [], [], []
    for number in range(first, len(lines)):
        words = lines[number].split()
        if not words:
            continue
        try:
            value, *indices = float(words[0].upper().replace("D", "E")), *map(int, words[1:])
        except ValueError:
            indices = []
        place = f"({path}, line {number + 1})"
        good = len(indices) == 4 and np.isfinite(value)
        _checks.require(good, "line", f"be a number and four orbitals {place}", repr(lines[number].strip()))
        inside = 0 <= min(indices) and max(indices) <= n
        _checks.require(inside, "orbital", f"be between 0 and NORB = {n} {place}", indices)
        p, q, r, s = (bool(index) for index in indices)
        ordered = p >= q >= r == s
        _checks.require(ordered, "line", f"name 0, 1, 2 or 4 orbitals, zeros last {place}", repr(lines[number].strip()))
        values.append(value)
        orbitals.append(indices)
        where.append(number)
    return np.array(values), np.array(orbitals, int).reshape(-1, 4), np.array(where, int)


def _require_agreement(
    path: Path, lines: list[str], values: np.ndarray, orbitals: np.ndarray, where: np.ndarray
) -> None:
    """Raise `ValueError` if an integral is given twice with different values."""
    # the same integral has the same pairs, each in descending order and the larger first
    pairs = -np.sort(-orbitals.reshape(-1, 2, 2), axis=2)
    swap = np.lexsort((pairs[:, :, 1], pairs[:, :, 0]), axis=1)[:, ::-1]
    same = np.take_along_axis(pairs, swap[:, :, None], axis=1).reshape(-1, 4)
    _, first, integral = np.unique(same, axis=0, return_index=True, return_inverse=True)
    earlier = first[integral.reshape(-1)]
    wrong = np.flatnonzero(np.abs(values - values[earlier]) > _SAME * np.maximum(1.0, np.abs(values)))
    for entry in wrong[:1]:
        must = f"have one value ({path}, line {where[entry] + 1})"
        got = f"{lines[where[entry]].strip()!r} after {lines[where[earlier[entry]]].strip()!r}"
        raise ValueError(_checks.requirement("integral", must, got))
