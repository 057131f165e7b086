# SPDX-License-Identifier: Apache-2.0
"""Arrays that come in as arguments and go out as shared results."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from manybody import _checks


def real_matrix(value: ArrayLike, name: str) -> np.ndarray:
    """`value` as a non-empty matrix of finite floats.

    Raises:
        TypeError: if it is no array of real numbers.
        ValueError: if it is no matrix, or not finite.
    """
    try:
        array = np.array(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(_checks.requirement(name, "be a matrix of real numbers", f"{value!r:.80}")) from error
    _checks.require(array.ndim == 2 and array.size > 0, name, "be a matrix (a list of vectors)", f"shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(_checks.requirement(name, "be finite", array.tolist()))
    return array


def tuples(array: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """A matrix as nested tuples, which hash and compare by content."""
    return tuple(map(tuple, array.tolist()))
