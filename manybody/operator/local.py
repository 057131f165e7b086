# SPDX-License-Identifier: Apache-2.0
"""Operators from matrices on a few sites."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from manybody import _checks
from manybody.hilbert import DiscreteSpace
from manybody.operator.discrete import DiscreteOperator, make_operator


def LocalOperator(
    space: DiscreteSpace,
    terms: Sequence[tuple[Sequence[int], Any]],
    couplings: Any = None,
    *,
    project: bool = False,
) -> DiscreteOperator:
    """Sum of matrices that act on a few sites each.

    Args:
        space: the space.
        terms: pairs (sites, matrix): k distinct sites and a (D, D) matrix on their joint local basis, in the local
            order of the space (spins from +s down to -s) with the first site most significant.
        couplings: real (n_terms,), one factor for each term, kept as leaves; by default one factor 1 for all.
        project: leave out what leads out of the space.

    Raises:
        TypeError: if a term is no pair of sites and a matrix.
        ValueError: for a site outside the space, repeated sites, a matrix of the wrong shape, an element or coupling
            that is not finite, or a sum that leads out of `space` and is not projected.

    Example:
        >>> import numpy as np, manybody as mb
        >>> space = mb.hilbert.Spin(4)
        >>> zz = np.diag([1.0, -1.0, -1.0, 1.0])
        >>> mb.operator.LocalOperator(space, [((i, (i + 1) % 4), zz) for i in range(4)]).is_diagonal
        True
    """
    checked = [(_checked_sites(space, sites), np.asarray(matrix)) for sites, matrix in map(_as_pair, terms)]
    for sites, matrix in checked:
        dimension = math.prod(space.local_dimensions[s] for s in sites)
        _checks.require(
            matrix.shape == (dimension, dimension),
            "matrix",
            f"have shape ({dimension}, {dimension}) for sites {sites}",
            matrix.shape,
        )
        _checks.require(bool(np.isfinite(matrix).all()), "matrix", "be finite", f"{matrix.tolist()!r:.80}")
    if couplings is not None:
        shape = np.shape(couplings)
        _checks.require(shape == (len(checked),), "couplings", f"have shape ({len(checked)},)", shape)

    def build(module: Any, first: Any) -> Any:
        return module.concatenate(
            first,
            [
                module.from_matrix(first, sites, matrix, 0 if couplings is None else i)
                for i, (sites, matrix) in enumerate(checked)
            ],
        )

    return make_operator(space, build, np.ones(1) if couplings is None else couplings, project=project)


def _as_pair(term: Any) -> tuple[tuple[int, ...], Any]:
    """Sites and matrix of a term."""
    try:
        sites, matrix = term
        return tuple(sites), matrix
    except (TypeError, ValueError):
        cure = "A single matrix is LocalOperator(space, [(sites, matrix)])."
        must = "hold pairs (sites, matrix), with the sites in a tuple or list"
        raise TypeError(_checks.requirement("terms", must, f"{term!r:.80}", cure)) from None


def _checked_sites(space: DiscreteSpace, sites: Sequence[int]) -> tuple[int, ...]:
    checked = tuple(_checks.integer(s, "site", minimum=0, maximum=space.size - 1) for s in sites)
    _checks.require(len(set(checked)) == len(checked), "sites", "be distinct", checked)
    return checked
