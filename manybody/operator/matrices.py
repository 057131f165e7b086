# SPDX-License-Identifier: Apache-2.0
"""Operators on sites of any local dimension as sums of small matrices.

The counterpart of `bits` for spaces whose sites have more than two levels: a term is a matrix on the levels of a few
sites. It is compiled to tables in `compiled`. NumPy; runs once, when an operator is made.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np

from manybody.hilbert import SumSector

_TOLERANCE = 1e-14


@dataclass(frozen=True, eq=False)
class MatrixTerms:
    """Sum over terms of couplings[coupling] * matrix on sites; immutable, compared by content.

    Attributes:
        dimensions: local dimension of every site.
        terms: (sites in ascending order, coupling) -> matrix (D, D), D the product of the sites' dimensions, first
            site most significant.
    """

    dimensions: tuple[int, ...]
    terms: dict[tuple[tuple[int, ...], int], np.ndarray]

    @cached_property
    def digest(self) -> bytes:
        """Fingerprint of the content."""
        state = hashlib.blake2b(repr(self.dimensions).encode())
        for (sites, coupling), matrix in sorted(self.terms.items(), key=lambda item: item[0]):
            state.update(repr((sites, coupling, matrix.dtype.str)).encode())
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
        shifted = [((sites, coupling + shift), matrix) for (sites, coupling), matrix in other.terms.items()]
        return merged(self.dimensions, [*self.terms.items(), *shifted])

    def scale(self, factor: complex) -> MatrixTerms:
        """All matrices times a number."""
        return merged(self.dimensions, [(key, matrix * factor) for key, matrix in self.terms.items()])

    def fold(self, couplings: np.ndarray) -> MatrixTerms:
        """The values of the couplings multiplied into the matrices; one coupling (of value 1) is left."""
        return merged(
            self.dimensions, [((sites, 0), matrix * couplings[c]) for (sites, c), matrix in self.terms.items()]
        )

    def adjoint(self) -> MatrixTerms:
        """Conjugate transpose of every matrix."""
        return merged(self.dimensions, [(key, matrix.conj().T) for key, matrix in self.terms.items()])

    def product(self, right: MatrixTerms) -> MatrixTerms:
        """self @ right; both must be folded."""
        products = []
        for (left_sites, _), left_matrix in self.terms.items():
            for (right_sites, _), right_matrix in right.terms.items():
                union = tuple(sorted({*left_sites, *right_sites}))
                embedded = [
                    embed(matrix, sites, union, self.dimensions)
                    for sites, matrix in ((left_sites, left_matrix), (right_sites, right_matrix))
                ]
                products.append(((union, 0), embedded[0] @ embedded[1]))
        return merged(self.dimensions, products)

    def conjugate_signs(self, sites: Sequence[int]) -> MatrixTerms:
        """U (this) U^dagger with U = product over `sites` of (-1)^level."""
        rotated = []
        for (support, coupling), matrix in self.terms.items():
            sign = 1.0 - 2.0 * (self._charge(support, sites) % 2)
            rotated.append(((support, coupling), sign[:, None] * matrix * sign[None, :]))
        return merged(self.dimensions, rotated)

    # --- properties --------------------------------------------------------------------------------------------------

    def as_irreducible(self) -> MatrixTerms:
        """The unique form in which every matrix is traceless on each of its sites. Used to compare operators."""
        pieces = [
            ((part, coupling), piece)
            for (sites, coupling), matrix in self.terms.items()
            for part, piece in _traceless_parts(matrix, sites, self.dimensions)
        ]
        return merged(self.dimensions, pieces)

    def within(self, sectors: Sequence[SumSector]) -> MatrixTerms:
        """The form in which no element leads out of `sectors`, for operators that do not (see `leaves_sector`).

        What is removed is what rounding has left of cancellations.
        """
        kept = []
        for key, matrix in self.as_irreducible().terms.items():
            stays = np.ones(matrix.shape, bool)
            for sector in sectors:
                charge = self._charge(key[0], sector.sites)
                stays &= charge[:, None] == charge[None, :]
            kept.append((key, np.where(stays, matrix, 0.0)))
        return merged(self.dimensions, kept)

    def _charge(self, support: tuple[int, ...], sites: Sequence[int]) -> np.ndarray:
        """Sum (D,) of the levels on those sites of `support` that are in `sites`."""
        counted = set(sites)
        return local_levels(support, self.dimensions)[:, [s in counted for s in support]].sum(axis=1)

    def is_hermitian(self) -> bool:
        """Whether the terms of every coupling are Hermitian."""
        mine, theirs = self.as_irreducible(), self.adjoint().as_irreducible()
        return _largest(mine.add(theirs.scale(-1.0), 0)) <= 1e-12 * _largest(mine)

    def leaves_sector(self, sector: SumSector) -> bool:
        """Whether some term changes the sum of the levels on the sites of a sector."""
        negligible = 1e-12 * _largest(self)
        for (support, _), matrix in self.as_irreducible().terms.items():
            charge = self._charge(support, sector.sites)
            if np.any((np.abs(matrix) > negligible) & (charge[:, None] != charge[None, :])):
                return True
        return False


def merged(dimensions: tuple[int, ...], items: Sequence[tuple]) -> MatrixTerms:
    """Terms on the same sites with the same coupling added up, zero terms dropped, real where possible."""
    sums: dict = {}
    sizes: dict = {}
    for key, matrix in items:
        sums[key] = sums[key] + matrix if key in sums else matrix
        sizes[key] = max(sizes.get(key, 0.0), float(np.max(np.abs(matrix), initial=0.0)))
    kept = {key: m for key, m in sums.items() if np.max(np.abs(m), initial=0.0) > _TOLERANCE * sizes[key]}
    return MatrixTerms(dimensions, {key: _as_real(matrix) for key, matrix in kept.items()})


def from_matrix(
    dimensions: tuple[int, ...], sites: Sequence[int], matrix: np.ndarray, coupling: int = 0
) -> MatrixTerms:
    """One term; `sites` in any order, first one most significant in `matrix`."""
    ordered = tuple(sorted(sites))
    return merged(dimensions, [((ordered, coupling), embed(matrix, sites, ordered, dimensions))])


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


def _traceless_parts(matrix: np.ndarray, sites: tuple[int, ...], dimensions: tuple[int, ...]) -> list[tuple]:
    """Split into parts that are a traceless matrix on some of the sites and the identity on the others."""
    parts = [(sites, matrix)]
    for site in sites:
        split = []
        for support, m in parts:
            mean = _partial_trace(m, support, site, dimensions) / dimensions[site]
            without = tuple(s for s in support if s != site)
            split += [(without, mean), (support, m - embed(mean, without, support, dimensions))]
        parts = split
    return parts


def _partial_trace(matrix: np.ndarray, sites: tuple[int, ...], site: int, dimensions: tuple[int, ...]) -> np.ndarray:
    shape = [dimensions[s] for s in sites]
    axis = sites.index(site)
    traced = np.trace(matrix.reshape(shape * 2), axis1=axis, axis2=axis + len(sites))
    size = math.prod(shape) // dimensions[site]
    return traced.reshape(size, size)


def _as_real(matrix: np.ndarray) -> np.ndarray:
    real = matrix.real if np.iscomplexobj(matrix) and np.all(matrix.imag == 0) else matrix
    return real + 0.0  # a copy, without -0.0: equal terms have equal bytes


def _largest(terms: MatrixTerms) -> float:
    return reduce(max, (float(np.max(np.abs(m), initial=0.0)) for m in terms.terms.values()), 0.0)
