# SPDX-License-Identifier: Apache-2.0
r"""Exponentials of operators as products of factors that are linear in them.

The Taylor polynomial of order p has p roots r_j, so

.. math:: e^z \approx \sum_{k \le p} \frac{z^k}{k!} = \prod_{j=1}^p (1 + a_j z), \qquad a_j = -1/r_j .

Reference:
    L. Gravina, V. Savona and F. Vicentini, arXiv:2410.10720, section on linear product expansions.
"""

from __future__ import annotations

import functools
import math

import numpy as np

ORDERS = (1, 2, 3, 4)


@functools.lru_cache
def factors(order: int) -> tuple[complex, ...]:
    """The a_j, conjugate pairs next to each other; real ones are floats."""
    roots = np.roots([1 / math.factorial(k) for k in range(order, -1, -1)])
    found = sorted((complex(-1 / root) for root in roots), key=lambda a: (round(a.real, 12), a.imag))
    return tuple(a.real if abs(a.imag) < 1e-12 else a for a in found)


def truncation(order: int, dt: float, deviation: float) -> float:
    r"""About the norm of what the expansion leaves out, :math:`\| (dt (H - E))^{p+1} \psi \| / (p+1)!`.

    .. math:: \frac{(dt\, \sigma_E)^{p+1}}{(p+1)!} \sqrt{(2p+1)!!}

    is right for energies of psi that are distributed normally, as those of large systems with short-ranged correlations
    nearly are.

    Args:
        order: p.
        dt: the step.
        deviation: standard deviation of the energy.
    """
    return _coefficient(order) * (dt * deviation) ** (order + 1)


def largest_step(order: int, error: float, deviation: float) -> float:
    """The step with this truncation; inf for an eigenstate."""
    return (error / _coefficient(order)) ** (1 / (order + 1)) / deviation if deviation > 0 else math.inf


def _coefficient(order: int) -> float:
    return math.sqrt(math.prod(range(1, 2 * order + 2, 2))) / math.factorial(order + 1)
