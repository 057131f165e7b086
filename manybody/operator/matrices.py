# SPDX-License-Identifier: Apache-2.0
"""Operators on sites of any local dimension as sums of small matrices.

The counterpart of `bits` for spaces whose sites have more than two levels: a term is a matrix on the levels of a few
sites, times the sign (-1)^level of others, two-level ones (the Jordan-Wigner string of fermions that share a space with
bosons). It is compiled to tables in `compiled`. NumPy; runs once, when an operator is made.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import NamedTuple

import numpy as np

from manybody.hilbert import SumSector

_TOLERANCE = 1e-14
_Z = np.diag([1.0, -1.0])


class Place(NamedTuple):
    """Where a term acts.

    Attributes:
        sites: sites of its matrix, ascending.
        string: two-level sites of its sign, ascending; none of them among `sites`.
        coupling: number of the coupling that multiplies it.
    """

    sites: tuple[int, ...]
    string: tuple[int, ...]
    coupling: int


@dataclass(frozen=True, eq=False)
class MatrixTerms:
    """Sum over terms of couplings[coupling] * matrix on sites * sign of a string; immutable, compared by content.

    Attributes:
        dimensions: local dimension of every site.
        terms: place -> matrix (D, D), D the product of the sites' dimensions, first site most significant.
    """

    dimensions: tuple[int, ...]
    terms: dict[Place, np.ndarray]

    @cached_property
    def digest(self) -> bytes:
        """Fingerprint of the content."""
        state = hashlib.blake2b(repr(self.dimensions).encode())
        for place, matrix in sorted(self.terms.items(), key=lambda item: item[0]):
            state.update(repr((tuple(place), matrix.dtype.str)).encode())
            state.update(np.ascontiguousarray(matrix).tobytes())
        return state.digest()

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, MatrixTerms) and self.digest == other.digest)

    @property
    def is_real(self) -> bool:
        return not any(np.iscomplexobj(matrix) for matrix in self.terms.values())

    # --- algebra -----------------------------------------------------------------------------------------------------

    def add(self, other: MatrixTerms, shift: int) -> MatrixTerms:
        """Sum; the couplings of `other` are numbered from `shift` on."""
        shifted = [(place._replace(coupling=place.coupling + shift), m) for place, m in other.terms.items()]
        return merged(self.dimensions, [*self.terms.items(), *shifted])

    def scale(self, factor: complex) -> MatrixTerms:
        """All matrices times a number."""
        return merged(self.dimensions, [(place, matrix * factor) for place, matrix in self.terms.items()])

    def fold(self, couplings: np.ndarray) -> MatrixTerms:
        """The values of the couplings multiplied into the matrices; one coupling (of value 1) is left."""
        items = self.terms.items()
        return merged(
            self.dimensions, [(p._replace(coupling=0), matrix * couplings[p.coupling]) for p, matrix in items]
        )

    def adjoint(self) -> MatrixTerms:
        """Conjugate transpose of every matrix."""
        return merged(self.dimensions, [(place, matrix.conj().T) for place, matrix in self.terms.items()])

    def conjugate(self) -> MatrixTerms:
        """The complex conjugate in the basis of levels."""
        return merged(self.dimensions, [(place, matrix.conj()) for place, matrix in self.terms.items()])

    def product(self, right: MatrixTerms) -> MatrixTerms:
        """self @ right; both must be folded."""
        products = []
        for left_place, left_matrix in self.terms.items():
            for right_place, right_matrix in right.terms.items():
                union = tuple(sorted({*left_place.sites, *right_place.sites}))
                left = _widened(left_place, left_matrix, union, self.dimensions)
                other = _widened(right_place, right_matrix, union, self.dimensions)
                string = (set(left_place.string) ^ set(right_place.string)) - set(union)
                products.append((Place(union, tuple(sorted(string)), 0), left @ other))
        return merged(self.dimensions, products)

    def conjugate_signs(self, sites: Sequence[int]) -> MatrixTerms:
        """U (this) U^dagger with U = product over `sites` of (-1)^level."""
        rotated = []
        for place, matrix in self.terms.items():
            sign = 1.0 - 2.0 * (self._charge(place.sites, sites) % 2)
            rotated.append((place, sign[:, None] * matrix * sign[None, :]))
        return merged(self.dimensions, rotated)

    # --- properties --------------------------------------------------------------------------------------------------

    def as_irreducible(self) -> MatrixTerms:
        """The unique form in which every matrix is traceless on each of its sites, and no factor is a sign.

        Used to compare operators.
        """
        items = self.terms.items()
        return merged(
            self.dimensions, [piece for item in items for piece in _irreducible_parts(*item, self.dimensions)]
        )

    def within(self, sectors: Sequence[SumSector]) -> MatrixTerms:
        """The form in which no element leads out of `sectors`, for operators that do not (see `leaves_sector`).

        What is removed is what rounding has left of cancellations.
        """
        if not any(self._leads_out(sector, 0.0) for sector in sectors):
            return self
        kept = []
        for place, matrix in self.as_irreducible().terms.items():
            stays = np.ones(matrix.shape, bool)
            for sector in sectors:
                charge = self._charge(place.sites, sector.sites)
                stays &= charge[:, None] == charge[None, :]
            kept.append((place, np.where(stays, matrix, 0.0)))
        return merged(self.dimensions, kept)

    def _charge(self, support: tuple[int, ...], sites: Sequence[int]) -> np.ndarray:
        """Sum (D,) of the levels on those sites of `support` that are in `sites`."""
        counted = set(sites)
        return local_levels(support, self.dimensions)[:, [s in counted for s in support]].sum(axis=1)

    def is_hermitian(self) -> bool:
        """Whether the terms of every coupling are Hermitian."""
        return not self.differs(self.adjoint())

    def differs(self, other: MatrixTerms) -> bool:
        """Whether the terms of some coupling are another operator, beyond rounding errors."""
        if not self.add(other.scale(-1.0), 0).terms:
            return False
        mine, theirs = self.as_irreducible(), other.as_irreducible()
        return _largest(mine.add(theirs.scale(-1.0), 0)) > 1e-12 * _largest(self)  # of what may cancel

    def leaves_sector(self, sector: SumSector) -> bool:
        """Whether some term changes the sum of the levels on the sites of a sector."""
        return self._leads_out(sector, 0.0) and self.as_irreducible()._leads_out(sector, 1e-12 * _largest(self))

    def _leads_out(self, sector: SumSector, negligible: float) -> bool:
        """Whether an element of some matrix, cancelled by others or not, changes the sum of a sector."""
        for place, matrix in self.terms.items():
            charge = self._charge(place.sites, sector.sites)
            if np.any((np.abs(matrix) > negligible) & (charge[:, None] != charge[None, :])):
                return True
        return False


def merged(dimensions: tuple[int, ...], items: Sequence[tuple[Place, np.ndarray]]) -> MatrixTerms:
    """Terms at the same place added up, zero terms dropped, real where possible."""
    sums: dict[Place, np.ndarray] = {}
    sizes: dict[Place, float] = {}
    for place, matrix in items:
        sums[place] = sums[place] + matrix if place in sums else matrix
        sizes[place] = max(sizes.get(place, 0.0), float(np.max(np.abs(matrix), initial=0.0)))
    kept = {place: m for place, m in sums.items() if np.max(np.abs(m), initial=0.0) > _TOLERANCE * sizes[place]}
    return MatrixTerms(dimensions, {place: _as_real(matrix) for place, matrix in kept.items()})


def from_matrix(
    dimensions: tuple[int, ...],
    sites: Sequence[int],
    matrix: np.ndarray,
    coupling: int = 0,
    string: Sequence[int] = (),
) -> MatrixTerms:
    """One term; `sites` in any order, first one most significant in `matrix`."""
    ordered = tuple(sorted(sites))
    place = Place(ordered, tuple(sorted(string)), coupling)
    return merged(dimensions, [(place, embed(matrix, sites, ordered, dimensions))])


def concatenate(dimensions: tuple[int, ...], terms: Sequence[MatrixTerms]) -> MatrixTerms:
    """Sum of many, with the coupling numbers that they have."""
    return merged(dimensions, [item for t in terms for item in t.terms.items()])


def embed(matrix: np.ndarray, sites: Sequence[int], union: Sequence[int], dimensions: Sequence[int]) -> np.ndarray:
    """`matrix` on `sites` as a matrix on the larger (or reordered) `union`, with identities on the other sites."""
    others = [s for s in union if s not in sites]
    order = [*sites, *others]
    shape = [dimensions[s] for s in order]
    full = np.kron(matrix, np.eye(math.prod(dimensions[s] for s in others)))
    axes = [order.index(s) for s in union]
    n = len(order)
    full = full.reshape(shape * 2).transpose(axes + [n + a for a in axes])
    size = math.prod(shape)
    return full.reshape(size, size)


def local_levels(sites: Sequence[int], dimensions: Sequence[int]) -> np.ndarray:
    """Levels (D, k) of the D joint states of k sites, in order."""
    shape = [int(dimensions[s]) for s in sites]
    return np.indices(shape).reshape(len(sites), math.prod(shape)).T


def _widened(place: Place, matrix: np.ndarray, union: tuple[int, ...], dimensions: tuple[int, ...]) -> np.ndarray:
    """The part of a term on the sites of `union`, which hold those of its matrix: the string there made part of it."""
    inside = tuple(s for s in place.string if s in union)
    signs = reduce(np.kron, [_Z] * len(inside), np.ones((1, 1)))
    return embed(np.kron(matrix, signs), (*place.sites, *inside), union, dimensions)


def _irreducible_parts(place: Place, matrix: np.ndarray, dimensions: tuple[int, ...]) -> list[tuple]:
    """Split into parts that have on each site of `place` the identity, a sign, or a traceless matrix without a sign."""
    parts = [(place, matrix)]
    for site in place.sites:
        split = []
        for (support, string, coupling), m in parts:
            without = tuple(s for s in support if s != site)
            for signed in [False, True] if dimensions[site] == 2 else [False]:
                weights = np.array([1.0, -1.0]) if signed else np.ones(dimensions[site])
                mean = _partial_trace(m, support, site, weights, dimensions) / dimensions[site]
                split.append((Place(without, tuple(sorted((*string, site))) if signed else string, coupling), mean))
                factor = embed(np.kron(mean, np.diag(weights)), (*without, site), support, dimensions)
                m = m - factor
            split.append((Place(support, string, coupling), m))
        parts = split
    return parts


def _partial_trace(
    matrix: np.ndarray, sites: tuple[int, ...], site: int, weights: np.ndarray, dimensions: tuple[int, ...]
) -> np.ndarray:
    """Trace over one site of the matrix times a diagonal one."""
    shape = [dimensions[s] for s in sites]
    axis = sites.index(site)
    diagonal = np.diagonal(matrix.reshape(shape * 2), axis1=axis, axis2=axis + len(sites))  # its axis comes last
    traced = diagonal @ weights.astype(matrix.dtype)
    size = math.prod(shape) // dimensions[site]
    return traced.reshape(size, size)


def _as_real(matrix: np.ndarray) -> np.ndarray:
    real = matrix.real if np.iscomplexobj(matrix) and np.all(matrix.imag == 0) else matrix
    return real + 0.0  # a copy, without -0.0: equal terms have equal bytes


def _largest(terms: MatrixTerms) -> float:
    return reduce(max, (float(np.max(np.abs(m), initial=0.0)) for m in terms.terms.values()), 0.0)
