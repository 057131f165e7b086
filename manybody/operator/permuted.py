# SPDX-License-Identifier: Apache-2.0
"""Sums of terms times unitary operators that move sites: what translations generate together with other operators.

They are closed under addition, product and adjoint, because U A = (U A U^dagger) U and U A U^dagger has terms again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from manybody import _checks
from manybody.hilbert import SumSector
from manybody.operator.bits import BitTerms
from manybody.operator.matrices import MatrixTerms
from manybody.operator.relabelling import Relabelling, conjugated

LocalTerms = BitTerms | MatrixTerms


@dataclass(frozen=True, eq=False)
class PermutedTerms:
    """Sum over pieces of terms @ U; immutable, compared by content.

    Attributes:
        zero: terms without any.
        pieces: (U, terms), with different U in ascending order, and terms that are not zero.
    """

    zero: LocalTerms
    pieces: tuple[tuple[Relabelling, LocalTerms], ...]

    @cached_property
    def digest(self) -> bytes:
        """Fingerprint of the content."""
        state = hashlib.blake2b(repr([tuple(u) for u, _ in self.pieces]).encode())
        for _, terms in self.pieces:
            state.update(terms.digest)
        return state.digest()

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, PermutedTerms) and self.digest == other.digest)

    @property
    def is_real(self) -> bool:
        return all(terms.is_real for _, terms in self.pieces)

    # --- algebra -----------------------------------------------------------------------------------------------------

    def add(self, other: PermutedTerms, shift: int) -> PermutedTerms:
        """Sum; the couplings of `other` are numbered from `shift` on."""
        return collected(self.zero, [*self.pieces, *((u, self.zero.add(a, shift)) for u, a in other.pieces)])

    def scale(self, factor: complex) -> PermutedTerms:
        """All terms times a number."""
        return self._each(lambda terms: terms.scale(factor))

    def fold(self, couplings: np.ndarray) -> PermutedTerms:
        """The values of the couplings multiplied into the terms; one coupling (of value 1) is left."""
        return self._each(lambda terms: terms.fold(couplings))

    def conjugate(self) -> PermutedTerms:
        """The complex conjugate in the basis of levels."""
        return self._each(lambda terms: terms.conjugate())

    def adjoint(self) -> PermutedTerms:
        """(A U)^dagger = (U^dagger A^dagger U) U^dagger."""
        return collected(self.zero, ((u.inverse(), conjugated(a.adjoint(), u.inverse())) for u, a in self.pieces))

    def product(self, right: PermutedTerms) -> PermutedTerms:
        """self @ right; both must be folded: A U B V = A (U B U^dagger) U V."""
        products = ((u.after(v), a.product(conjugated(b, u))) for u, a in self.pieces for v, b in right.pieces)
        return collected(self.zero, products)

    def conjugate_signs(self, sites: Sequence[int]) -> PermutedTerms:
        """W (this) W^dagger with W = product over `sites` of (-1)^level.

        Raises:
            ValueError: if W does not commute with the operators that move sites.
        """
        chosen = set(sites)
        commute = all(
            {u.sites[site] for site in chosen} == chosen and not chosen & set(u.reversed) for u, _ in self.pieces
        )
        _checks.require(commute, "sites", "be kept by all permutations in the operator", sorted(chosen))
        return self._each(lambda terms: terms.conjugate_signs(sites))

    def within(self, sectors: Sequence[SumSector]) -> PermutedTerms:
        """The form in which no term leads out of `sectors`, for operators that do not."""
        return self._each(lambda terms: terms.within(sectors))

    def _each(self, change: Callable[[LocalTerms], LocalTerms]) -> PermutedTerms:
        return collected(self.zero, ((u, change(terms)) for u, terms in self.pieces))

    # --- properties --------------------------------------------------------------------------------------------------

    def is_hermitian(self) -> bool:
        """Whether each U comes with the same terms in the adjoint."""
        mine, theirs = dict(self.pieces), dict(self.adjoint().pieces)
        return mine.keys() == theirs.keys() and not any(mine[u].differs(theirs[u]) for u in mine)

    def leaves_sector(self, sector: SumSector) -> bool:
        """Whether a piece is not known to keep the sum of the levels on the sites of a sector."""
        return self.leaves((sector,))

    def leaves(self, sectors: Sequence[SumSector]) -> bool:
        """Whether a piece is not known to keep all these sums, be it that a permutation exchanges equal ones."""
        return any(
            {_image(sector, u, _dimensions(terms)) for sector in sectors} != set(sectors)
            or any(terms.leaves_sector(sector) for sector in sectors)
            for u, terms in self.pieces
        )


def collected(zero: LocalTerms, items: Iterable[tuple[Relabelling, LocalTerms]]) -> PermutedTerms:
    """Terms of equal U added up; what is zero is dropped."""
    sums: dict[Relabelling, LocalTerms] = {}
    for u, terms in items:
        sums[u] = sums.get(u, zero).add(terms, 0)
    pieces = ((u, terms) for u, terms in sums.items() if terms != zero)
    return PermutedTerms(zero, tuple(sorted(pieces, key=lambda piece: piece[0])))


def lifted(terms: LocalTerms | PermutedTerms, fermions: tuple[tuple[int, ...], ...]) -> PermutedTerms:
    """Terms as a piece that moves nothing."""
    if isinstance(terms, PermutedTerms):
        return terms
    unmoved = Relabelling(tuple(range(len(_dimensions(terms)))), (), fermions)
    return collected(terms.scale(0.0), [(unmoved, terms)])


def plain(terms: LocalTerms | PermutedTerms) -> LocalTerms | PermutedTerms:
    """The same terms without permutations if there are none."""
    if not isinstance(terms, PermutedTerms) or any(not u.is_identity for u, _ in terms.pieces):
        return terms
    return terms.pieces[0][1] if terms.pieces else terms.zero


def _dimensions(terms: LocalTerms) -> tuple[int, ...]:
    return (2,) * terms.n_sites if isinstance(terms, BitTerms) else terms.dimensions


def _image(sector: SumSector, u: Relabelling, dimensions: tuple[int, ...]) -> SumSector | None:
    """The sum that configurations with the given one have after U; None if it is not definite."""
    sites = {u.sites[site] for site in sector.sites}
    turned = sites & set(u.reversed)
    if turned and turned != sites:
        return None
    top = sum(dimensions[site] - 1 for site in turned)
    return SumSector(tuple(sites), top - sector.total if turned else sector.total)
