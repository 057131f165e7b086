# SPDX-License-Identifier: Apache-2.0
"""Unitary operators that move sites and reverse levels, and what they make of terms.

U moves the level of site i to site sites[i], and then turns level l of the sites in `reversed` into d - 1 - l. Fermions
keep their order of creation: U c_i^dagger U^dagger = c_{sites[i]}^dagger and U |0> = |0>, so that

    U |x> = (-1)^(number of pairs i < j of occupied modes with sites[i] > sites[j]) |x moved>.

The exponent is a quadratic form in x. If x changes by a fixed mask, the form changes by something linear in x: a string
of signs. So terms stay terms when they are conjugated with U.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from manybody.operator import bits, matrices
from manybody.operator.bits import BitTerms
from manybody.operator.matrices import MatrixTerms, Place


class Relabelling(NamedTuple):
    """One such operator.

    Attributes:
        sites: where each site goes.
        reversed: sites, after the move, whose levels are reversed; ascending, none of them fermionic.
        fermions: disjoint sets of modes, ascending; those of one set anticommute.
    """

    sites: tuple[int, ...]
    reversed: tuple[int, ...]
    fermions: tuple[tuple[int, ...], ...]

    @property
    def is_identity(self) -> bool:
        """Whether nothing moves and nothing is reversed."""
        return not self.reversed and self.sites == tuple(range(len(self.sites)))

    def after(self, first: Relabelling) -> Relabelling:
        """The operator that acts as `first` and then as this one."""
        sites = tuple(self.sites[site] for site in first.sites)
        reversed_ = {self.sites[site] for site in first.reversed} ^ set(self.reversed)
        return Relabelling(sites, tuple(sorted(reversed_)), self.fermions)

    def inverse(self) -> Relabelling:
        """The inverse, which is the adjoint."""
        back = np.argsort(self.sites).tolist()
        return Relabelling(tuple(back), tuple(sorted(back[site] for site in self.reversed)), self.fermions)

    def among(self, offset: int, n_sites: int, fermions: tuple[tuple[int, ...], ...]) -> Relabelling:
        """The same on the sites from `offset` on among others, which stay."""
        sites = np.arange(n_sites)
        sites[offset : offset + len(self.sites)] = np.array(self.sites) + offset
        return Relabelling(tuple(sites.tolist()), tuple(site + offset for site in self.reversed), fermions)

    def swapped_pairs(self) -> np.ndarray:
        """Which pairs of modes i < j of one set come in the other order, bool (sites, sites)."""
        order = np.arange(len(self.sites))
        swapped = (order[:, None] < order[None]) & np.greater.outer(self.sites, self.sites)
        together = np.zeros_like(swapped)
        for modes in self.fermions:
            together[np.ix_(modes, modes)] = True
        return swapped & together


def conjugated(terms: BitTerms | MatrixTerms, u: Relabelling) -> BitTerms | MatrixTerms:
    """U (terms) U^dagger."""
    return _conjugated_rows(terms, u) if isinstance(terms, BitTerms) else _conjugated_matrices(terms, u)


def _conjugated_rows(terms: BitTerms, u: Relabelling) -> BitTerms:
    pairs = u.swapped_pairs()
    flip, need, value, sign = (bits.unpacked(mask, terms.n_sites) for mask in terms.masks)  # bool (rows, sites)
    exchanged = np.sum(flip @ pairs.astype(np.int64) * flip, axis=1)
    sign = sign ^ (flip @ (pairs | pairs.T).astype(np.int64) % 2).astype(bool)
    moved = np.empty((4, *flip.shape), bool)
    moved[:, :, list(u.sites)] = flip, need, value, sign
    turned = list(u.reversed)
    moved[2][:, turned] ^= moved[1][:, turned]
    exchanged = exchanged + moved[3][:, turned].sum(axis=1)
    masks = np.stack([bits.packed(mask) for mask in moved])
    return bits.merged_rows(terms.n_sites, masks, terms.coupling, terms.weight * (1.0 - 2.0 * (exchanged % 2)))


def _conjugated_matrices(terms: MatrixTerms, u: Relabelling) -> MatrixTerms:
    pairs = u.swapped_pairs()
    items = [
        (
            Place(tuple(u.sites[s] for s in place.sites), tuple(u.sites[s] for s in place.string), place.coupling),
            piece,
        )
        for term in terms.terms.items()
        for place, piece in _with_exchange_signs(*term, terms.dimensions, pairs)
    ]
    return matrices.merged(terms.dimensions, [_in_order(p, m, u, terms.dimensions) for p, m in items])


def _with_exchange_signs(
    place: Place, matrix: np.ndarray, dimensions: tuple[int, ...], pairs: np.ndarray
) -> list[tuple[Place, np.ndarray]]:
    """A term whose elements |y><x| got the signs of x and y: for each change of modes, a part with its own string."""
    sites = list(place.sites)
    modes = np.flatnonzero(pairs.any(axis=0) | pairs.any(axis=1))
    mine = [k for k, s in enumerate(sites) if s in modes]
    if not mine:
        return [(place, matrix)]
    levels = matrices.local_levels(place.sites, dimensions)[:, mine]  # (states, modes of the term)
    support = np.array(sites)[mine]
    inside = pairs[np.ix_(support, support)].astype(np.int64)
    crossed = np.einsum("xi,ij,xj->x", levels, inside, levels) % 2
    signed = matrix * (1.0 - 2.0 * (crossed[:, None] ^ crossed[None, :]))
    change = (levels[:, None] ^ levels[None]) @ (1 << np.arange(len(mine)))  # (states, states)
    found = []
    for number in np.unique(change[matrix != 0]):
        flipped = support[[bool(number >> k & 1) for k in range(len(mine))]]
        odd = ((pairs | pairs.T)[flipped].sum(axis=0) % 2).astype(bool)
        odd[sites] = False
        string = tuple(sorted(set(place.string) ^ set(np.flatnonzero(odd).tolist())))
        found.append((place._replace(string=string), np.where(change == number, signed, 0.0)))
    return found


def _in_order(
    place: Place, matrix: np.ndarray, u: Relabelling, dimensions: tuple[int, ...]
) -> tuple[Place, np.ndarray]:
    """A term on sites in any order, with the levels that U reverses reversed, on ascending sites."""
    turned = set(u.reversed)
    shape = [dimensions[s] for s in place.sites]
    axes = tuple(k for k, s in enumerate((*place.sites, *place.sites)) if s in turned)
    matrix = np.flip(matrix.reshape(shape * 2), axes).reshape(matrix.shape)
    if len(turned & set(place.string)) % 2:
        matrix = -matrix
    ordered = tuple(sorted(place.sites))
    embedded = matrices.embed(matrix, place.sites, ordered, dimensions)
    return Place(ordered, tuple(sorted(place.string)), place.coupling), embedded
