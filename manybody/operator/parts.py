# SPDX-License-Identifier: Apache-2.0
"""Operators on one factor of a product of spaces."""

from __future__ import annotations

import numpy as np

from manybody import _checks
from manybody.hilbert import DiscreteSpace, Product
from manybody.operator import bits, matrices
from manybody.operator.bits import BitTerms
from manybody.operator.discrete import DiscreteOperator, Terms, from_terms
from manybody.operator.matrices import MatrixTerms, Place
from manybody.operator.permuted import LocalTerms, PermutedTerms, collected


def on_part(operator: DiscreteOperator, space: Product, part: int) -> DiscreteOperator:
    """The same operator on one factor of a product: the identity on the others.

    Fermionic modes anticommute within one factor only; all fermions of a model belong into one `Fermion`.

    Args:
        operator: acts on factor number `part`, or on a space with the same sites (for instance without its sector,
            where several parts conserve a sum only together).
        space: the product.
        part: number of the factor.

    Raises:
        ValueError: if there is no such factor, it has other sites, or the operator leads out of its sector.
    """
    part = _checks.integer(part, "part", minimum=0, maximum=len(space.spaces) - 1)
    factor = space.spaces[part]
    same = factor.local_dimensions == operator.space.local_dimensions
    _checks.require(same, "operator", f"act on the sites of {factor}", operator.space)
    return from_terms(space, moved(operator.terms, space.offsets[part].start, space), operator.couplings)


def moved(terms: Terms, offset: int, space: DiscreteSpace) -> Terms:
    """Terms whose site 0 is site `offset` of a larger space."""
    if not isinstance(terms, PermutedTerms):
        return _moved(terms, offset, space.local_dimensions)
    pieces = (
        (u.among(offset, space.size, space.fermions), _moved(a, offset, space.local_dimensions))
        for u, a in terms.pieces
    )
    return collected(_moved(terms.zero, offset, space.local_dimensions), pieces)


def _moved(terms: LocalTerms, offset: int, dimensions: tuple[int, ...]) -> LocalTerms:
    if all(d == 2 for d in dimensions):
        assert isinstance(terms, BitTerms)
        return _moved_rows(terms, offset, len(dimensions))
    small = _as_matrices(terms) if isinstance(terms, BitTerms) else terms
    items = [
        (Place(_shifted(place.sites, offset), _shifted(place.string, offset), place.coupling), matrix)
        for place, matrix in small.terms.items()
    ]
    return matrices.merged(dimensions, items)


def _shifted(sites: tuple[int, ...], offset: int) -> tuple[int, ...]:
    return tuple(site + offset for site in sites)


def _moved_rows(terms: BitTerms, offset: int, n_sites: int) -> BitTerms:
    space_after = n_sites - offset - terms.n_sites
    masks = [np.pad(bits.unpacked(mask, terms.n_sites), ((0, 0), (offset, space_after))) for mask in terms.masks]
    return bits.merged_rows(n_sites, np.stack([bits.packed(mask) for mask in masks]), terms.coupling, terms.weight)


def _as_matrices(terms: BitTerms) -> MatrixTerms:
    """The same rows as matrices on the sites that they flip or ask, and strings on the others."""
    items = []
    for flip, need, value, sign, coupling, weight in zip(*terms.masks, terms.coupling, terms.weight, strict=True):
        sites = tuple(bits.unpack_sites(flip | need))
        string = tuple(bits.unpack_sites(sign & ~(flip | need)))
        levels = matrices.local_levels(sites, (2,) * terms.n_sites)
        flipped, needed, wanted, signed = (_chosen(mask, sites) for mask in (flip, need, value, sign))
        legal = np.all((levels == wanted) | ~needed, axis=1)
        place_values = 2 ** np.arange(len(sites))[::-1]
        matrix = np.zeros((2 ** len(sites),) * 2, terms.weight.dtype)
        element = weight * (1.0 - 2.0 * ((levels * signed).sum(axis=1) % 2))
        matrix[(levels ^ flipped) @ place_values, np.arange(len(levels))] = np.where(legal, element, 0.0)
        items.append((Place(sites, string, int(coupling)), matrix))
    return matrices.merged((2,) * terms.n_sites, items)


def _chosen(mask: np.ndarray, sites: tuple[int, ...]) -> np.ndarray:
    """Which of `sites` are in a mask (words,)."""
    return np.array([bool((int(mask[s // bits.WORD]) >> (s % bits.WORD)) & 1) for s in sites], bool)
