# SPDX-License-Identifier: Apache-2.0
"""Electrons in a molecule, in second quantisation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from manybody import _checks
from manybody.hamiltonian.fcidump import read_fcidump
from manybody.hamiltonian.hopping import check_orbitals
from manybody.hamiltonian.integrals import Integrals, from_pyscf
from manybody.hilbert import DiscreteSpace, Fermion
from manybody.operator import DiscreteOperator, identity
from manybody.operator.bits import concatenate
from manybody.operator.discrete import from_rows
from manybody.operator.strings import fermion_rows

_NEGLIGIBLE = 1e-15
"""Integrals below are rounding errors where symmetry makes them zero; PySCF leaves them out of its files."""


def molecule(source: Any, space: DiscreteSpace | None = None) -> DiscreteOperator:
    """The Hamiltonian of a molecule over its spatial orbitals, with the energy of nuclei and core.

    H = constant + sum h_pq c_ps^dag c_qs + 1/2 sum (pq|rs) c_ps^dag c_rt^dag c_st c_qs over orbitals and spins s, t.

    Args:
        source: path of an FCIDUMP file; a restricted mean-field or active-space calculation of PySCF that has run
            (RHF, ROHF, CASSCF, ...; extra `chem`); or `Integrals`.
        space: `Fermion` with two components; by default that with the numbers of electrons of the source.

    Raises:
        TypeError: if `source` is another calculation, for instance an unrestricted one.
        ValueError: if the file cannot be read, the space does not fit, or the numbers of electrons are not known.
    """
    if isinstance(source, (str, Path)):
        integrals = read_fcidump(source)
    else:
        integrals = source if isinstance(source, Integrals) else from_pyscf(source)
    n = integrals.n_orbitals
    chosen = electrons(integrals) if space is None else space
    check_orbitals(chosen, n, 2)
    spin = n * np.arange(2)
    one, two = integrals.one.array, integrals.two.array
    p, q = np.nonzero(np.abs(one) > _NEGLIGIBLE)
    hops = _with_spins((p, q), spin[:, None] * np.ones(2, int), one[p, q])
    p, q, r, s = np.nonzero(np.abs(two) > _NEGLIGIBLE)
    pairs = [(a, b, b, a) for a in spin for b in spin]
    scattering = _with_spins((p, r, s, q), np.array(pairs), two[p, q, r, s] / 2)
    rows = [
        fermion_rows(2 * n, modes, np.broadcast_to(pattern, modes.shape), np.zeros(len(modes), np.int32), weights)
        for (modes, weights), pattern in ((hops, [True, False]), (scattering, [True, True, False, False]))
    ]
    total = from_rows(chosen, concatenate(2 * n, rows), np.ones(1))
    return total + identity(chosen) * integrals.constant if integrals.constant else total


def electrons(integrals: Integrals) -> Fermion:
    """The space of the electrons of a molecule.

    Raises:
        ValueError: if their numbers are not known.
    """
    n_electrons, two_sz = integrals.n_electrons, integrals.two_sz or 0
    if n_electrons is None:
        raise ValueError(_checks.requirement("space", "be given", "no number of electrons in the source"))
    up, odd = divmod(n_electrons + two_sz, 2)
    _checks.require(odd == 0, "two_sz", f"be even or odd like the number of electrons ({n_electrons})", two_sz)
    most = min(n_electrons, 2 * integrals.n_orbitals - n_electrons)
    must = f"lie between {-most} and {most}, for {n_electrons} electrons in {integrals.n_orbitals} orbitals"
    _checks.require(abs(two_sz) <= most, "two_sz", must, two_sz)
    return Fermion(integrals.n_orbitals, n_per_component=(up, n_electrons - up), n_components=2)


def _with_spins(orbitals: tuple, shifts: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Products of orbitals with each choice of spins: modes (products, factors) and weights (products,)."""
    modes = np.stack(orbitals, axis=1)[None] + shifts[:, None, :]
    return modes.reshape(-1, modes.shape[-1]), np.tile(weights, len(shifts))
