# SPDX-License-Identifier: Apache-2.0
"""Integrals of a molecule, and how to get them from a calculation with PySCF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from manybody import _checks
from manybody._struct import FrozenArray
from manybody._types import Float

_SYMMETRIC = 1e-8


@dataclass(frozen=True)
class Integrals:
    """Real integrals over orthonormal spatial orbitals, that both spins share.

    Attributes:
        one: h_pq (orbitals, orbitals), symmetric.
        two: (pq|rs) in chemists' order (orbitals, orbitals, orbitals, orbitals), with all its symmetries.
        constant: energy of the nuclei and the core.
        n_electrons: number of electrons, if known.
        two_sz: spins up minus spins down, if known.

    Raises:
        TypeError: if the integrals are not real.
        ValueError: if their shapes do not fit, they are not finite, or lack a symmetry.
    """

    one: Any
    two: Any
    constant: float = 0.0
    n_electrons: int | None = None
    two_sz: int | None = None

    def __post_init__(self) -> None:
        """Validate, and store arrays that hash by content."""
        one, two = (_real(getattr(self, name), name) for name in ("one", "two"))
        n = len(one)
        _checks.require(one.shape == (n, n) and n > 0, "one", "have shape (orbitals, orbitals)", one.shape)
        _checks.require(two.shape == (n,) * 4, "two", f"have shape {(n,) * 4}", two.shape)
        scale = _SYMMETRIC * max(1.0, float(np.abs(one).max()), float(np.abs(two).max()))
        for array, order, name in ((one, (1, 0), "one"), (two, (1, 0, 2, 3), "two"), (two, (2, 3, 0, 1), "two")):
            off = float(np.abs(array - array.transpose(order)).max())
            _checks.require(off <= scale, name, f"be equal with its orbitals in the order {order}", f"{off} off")
        object.__setattr__(self, "one", FrozenArray(one))
        object.__setattr__(self, "two", FrozenArray(two))

    @property
    def n_orbitals(self) -> int:
        """Number of spatial orbitals."""
        return self.one.array.shape[0]


def from_pyscf(calculation: Any) -> Integrals:
    """The integrals of a calculation with PySCF, over its molecular orbitals.

    Args:
        calculation: a restricted mean-field calculation after `kernel()` (RHF, ROHF, RKS), of which the orbitals are
            taken; or one with an active space (CASCI, CASSCF), of which the active orbitals are: the core is frozen.

    Raises:
        TypeError: if it is none of these, has not run, or has complex orbitals.
    """
    coefficients, molecule = (getattr(calculation, name, None) for name in ("mo_coeff", "mol"))
    restricted = isinstance(coefficients, np.ndarray) and coefficients.ndim == 2 and not np.iscomplexobj(coefficients)
    if molecule is None or coefficients is None or not restricted or len(coefficients) != molecule.nao_nr():
        must = "be a restricted calculation of a molecule, with real orbitals, that has run"
        raise TypeError(_checks.requirement("source", must, type(calculation).__name__))
    from pyscf import ao2mo  # there, or the calculation would not be

    if hasattr(calculation, "ncas"):
        one, constant = calculation.get_h1eff()
        up, down = calculation.nelecas
        two = ao2mo.restore(1, calculation.get_h2eff(), len(one))
        return Integrals(one, two, float(constant), int(up + down), int(up - down))
    one = coefficients.T @ calculation.get_hcore() @ coefficients
    two = ao2mo.restore(1, ao2mo.kernel(molecule, coefficients), coefficients.shape[1])
    return Integrals(one, two, float(calculation.energy_nuc()), int(molecule.nelectron), int(molecule.spin))


def _real(value: Any, name: str) -> Float[np.ndarray, "..."]:
    array = value.array if isinstance(value, FrozenArray) else np.asarray(value)
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise TypeError(_checks.requirement(name, "be an array of real numbers", array.dtype))
    _checks.require(bool(np.isfinite(array).all()), name, "be finite", "inf or nan")
    return array.astype(float)
