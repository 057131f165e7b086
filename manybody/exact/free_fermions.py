# SPDX-License-Identifier: Apache-2.0
"""Models that are free fermions in disguise, solved at any size."""

from __future__ import annotations

import numpy as np

from manybody import _checks


def ising_chain_energy(n_sites: int, J: float = 1.0, h: float = 1.0) -> float:
    """Ground-state energy of the periodic Ising chain -J sum_i Z_i Z_(i+1) - h sum_i X_i (Pauli matrices).

    E = - sum_k (J^2 + h^2 + 2 J h cos k)^(1/2) over k = (2 m + 1) pi / N, m = 0 ... N - 1: the sector of even parity,
    in which the ground state of an even number of sites is, whatever the signs of J and h.

    Args:
        n_sites: number N of sites; even, at least 4.
        J: coupling.
        h: transverse field.

    Reference:
        P. Pfeuty, Ann. Phys. 57, 79 (1970), section 2.

    Raises:
        ValueError: if `n_sites` is odd or too small.

    Example:
        >>> ising_chain_energy(4)
        -5.22625
    """
    _checks.integer(n_sites, "n_sites", minimum=4)
    _checks.require(n_sites % 2 == 0, "n_sites", "be even", n_sites)
    k = (2 * np.arange(n_sites) + 1) * np.pi / n_sites
    return -float(np.sum(np.sqrt(J**2 + h**2 + 2 * J * h * np.cos(k))))
