# SPDX-License-Identifier: Apache-2.0
"""The square of the total spin."""

from __future__ import annotations

import functools

import numpy as np

from manybody import _checks
from manybody.hilbert import DiscreteSpace
from manybody.observables.sites import check_state, spin_components, stacked, total
from manybody.operator import DiscreteOperator
from manybody.state import VariationalState
from manybody.stats import Estimate


@functools.lru_cache(maxsize=16)
def total_spin_squared(space: DiscreteSpace) -> DiscreteOperator:
    """S^2 = sum_ij S_i . S_j of spins of any length, or of electrons, with the eigenvalues S (S + 1).

    Raises:
        TypeError: if the space is none.
        ValueError: if it has no spins.

    Example:
        >>> import numpy as np, manybody as mb
        >>> squared = total_spin_squared(mb.hilbert.Spin(2)).to_dense()
        >>> abs(np.linalg.eigvalsh(squared)).round(9).tolist()
        [0.0, 2.0, 2.0, 2.0]
    """
    _checks.require_type(space, DiscreteSpace, "space")
    sums = [total(component) for component in spin_components(space)]
    return stacked(space, [total([s.product(s) for s in sums])]).replace(couplings=np.ones(1))


def total_spin(state: VariationalState) -> Estimate:
    """<S^2>, which is S (S + 1) in a state of definite spin; there its variance is 0.

    Raises:
        TypeError: if the state is none.
        ValueError: if it has no samples, or its space no spins.
    """
    check_state(state)
    return state.expect(total_spin_squared(state.observed))
