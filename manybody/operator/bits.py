# SPDX-License-Identifier: Apache-2.0
"""Operators on two-level sites as rows of masks on packed bits.

Site i is bit i % 32 of word i // 32, and holds the level (0 or 1) of that site. One row is the operator

    |x xor flip>  <-  weight * couplings[coupling] * [x & need == value] * (-1)^popcount(x & sign)  |x>

Rows are closed under addition, product and adjoint, hold Pauli strings (no `need`), projectors and fermionic strings
(`sign`) alike, and are evaluated by a handful of integer operations (benchmarks/operators.py). Everything here is
NumPy: it runs once, when an operator is made.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from manybody import _checks
from manybody.hilbert import SumSector

WORD = 32
_TOLERANCE = 1e-14
_MAX_EXPANDED_SITES = 16
"""A row is split into at most 2^16 cases when its conservation laws are read off."""


@dataclass(frozen=True, eq=False)
class BitTerms:
    """Rows of masks; immutable, compared by content.

    Attributes:
        n_sites: number of sites.
        masks: uint32 (4, rows, words): flip, need, value, sign.
        coupling: int32 (rows,), which coupling multiplies the row.
        weight: float64 or complex128 (rows,).
    """

    n_sites: int
    masks: np.ndarray
    coupling: np.ndarray
    weight: np.ndarray

    @cached_property
    def digest(self) -> bytes:
        """Fingerprint of the content."""
        state = hashlib.blake2b(repr((self.n_sites, self.masks.shape, self.weight.dtype.str)).encode())
        for array in (self.masks, self.coupling, self.weight):
            state.update(np.ascontiguousarray(array).tobytes())
        return state.digest()

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, BitTerms) and self.digest == other.digest)

    @property
    def flip(self) -> np.ndarray:
        return self.masks[0]

    @property
    def need(self) -> np.ndarray:
        return self.masks[1]

    @property
    def value(self) -> np.ndarray:
        return self.masks[2]

    @property
    def sign(self) -> np.ndarray:
        return self.masks[3]

    @property
    def is_real(self) -> bool:
        return not np.iscomplexobj(self.weight)

    # --- algebra -----------------------------------------------------------------------------------------------------

    def add(self, other: BitTerms, shift: int) -> BitTerms:
        """Sum; the couplings of `other` are numbered from `shift` on."""
        return merged_rows(
            self.n_sites,
            np.concatenate([self.masks, other.masks], axis=1),
            np.concatenate([self.coupling, other.coupling + np.int32(shift)]),
            np.concatenate([self.weight, other.weight]),
        )

    def scale(self, factor: complex | np.ndarray) -> BitTerms:
        """Weights times `factor` (a number, or one per row)."""
        return merged_rows(self.n_sites, self.masks, self.coupling, self.weight * factor)

    def fold(self, couplings: np.ndarray) -> BitTerms:
        """The values of the couplings multiplied into the weights; one coupling (of value 1) is left."""
        return merged_rows(
            self.n_sites, self.masks, np.zeros_like(self.coupling), self.weight * couplings[self.coupling]
        )

    def adjoint(self) -> BitTerms:
        """Each row reversed: it starts from x xor flip."""
        value = self.value ^ (self.flip & self.need)
        weight = np.conj(self.weight) * parity_sign(self.flip & self.sign)
        return merged_rows(self.n_sites, np.stack([self.flip, self.need, value, self.sign]), self.coupling, weight)

    def conjugate(self) -> BitTerms:
        """The complex conjugate in the basis of levels."""
        return merged_rows(self.n_sites, self.masks, self.coupling, np.conj(self.weight))

    def product(self, right: BitTerms) -> BitTerms:
        """self @ right (`right` acts first). Both must be folded: they have one coupling each."""
        i, j = (index.ravel() for index in np.indices((len(self.weight), len(right.weight))))
        f2, n2, v2, s2 = self.masks[:, i]
        f1, n1, v1, s1 = right.masks[:, j]
        v2 = v2 ^ (f1 & n2)  # the condition on x xor f1, read as one on x
        possible = ~np.any((v1 ^ v2) & n1 & n2, axis=1)
        weight = self.weight[i] * right.weight[j] * parity_sign(f1 & s2)
        masks = np.stack([f1 ^ f2, n1 | n2, v1 | v2, s1 ^ s2])[:, possible]
        return merged_rows(self.n_sites, masks, np.zeros(masks.shape[1], np.int32), weight[possible])

    def conjugate_signs(self, sites: Sequence[int]) -> BitTerms:
        """U (this) U^dagger with U = product over `sites` of (-1)^level."""
        return self.scale(parity_sign(self.flip & pack_sites(sites, self.n_sites)))

    # --- other forms of the same operator ----------------------------------------------------------------------------

    def as_pauli_strings(self) -> BitTerms:
        """The unique form without conditions: [bit == v] = (1 + (-1)^v Z) / 2. Used to compare operators."""
        return self._split(lambda t: t.need, _condition_to_signs)

    def within(self, sectors: Sequence[SumSector]) -> BitTerms:
        """The form in which no row leads out of `sectors`, for operators that do not (see `leaves_sector`).

        Flipped sites get conditions, so that what leads out cancels; what rounding leaves of it is removed.
        """
        known = self._with_known_gains(sectors)
        stays = ~np.any([known._leaves(sector) for sector in sectors], axis=0)
        return BitTerms(self.n_sites, known.masks[:, stays], known.coupling[stays], known.weight[stays])

    def _with_known_gains(self, sectors: Sequence[SumSector]) -> BitTerms:
        """The form in which each row changes the sums of `sectors` by a definite number.

        Every flipped site gets a condition on its old value, but for rows that flip all sites of a half filled sector.
        """

        def pending(terms: BitTerms) -> np.ndarray:
            flips = [np.where(terms._inverts(s)[:, None], 0, terms.flip & self._packed(s)) for s in sectors]
            return np.bitwise_or.reduce(flips).astype(np.uint32) & ~terms.need

        return self._split(pending, _cases)

    def _packed(self, sector: SumSector) -> np.ndarray:
        return pack_sites(sector.sites, self.n_sites)

    def _inverts(self, sector: SumSector) -> np.ndarray:
        """Which rows (rows,) flip all sites of a half filled sector, and so keep its sum."""
        n_sites = len(sector.sites)
        return (_popcount(self.flip & self._packed(sector)) == n_sites) & (2 * sector.total == n_sites)

    def _leaves(self, sector: SumSector) -> np.ndarray:
        """Which rows (rows,) of known gain change the sum of a sector."""
        flip = self.flip & self._packed(sector)
        return (_popcount(flip & ~self.value) != _popcount(flip & self.value)) & ~self._inverts(sector)

    def _split(self, pending: Callable[[BitTerms], np.ndarray], rule: Callable[..., tuple]) -> BitTerms:
        """Apply `rule` to the lowest pending bit of every row until none is pending."""
        terms = self
        for _ in range(self.n_sites + 1):
            mask = pending(terms)
            todo = np.any(mask != 0, axis=1)
            if not todo.any():
                return terms
            bit = _lowest_bit(mask[todo])
            masks, weight, parents = rule(terms.masks[:, todo], terms.weight[todo], bit)
            terms = merged_rows(
                self.n_sites,
                np.concatenate([terms.masks[:, ~todo], masks], axis=1),
                np.concatenate([terms.coupling[~todo], terms.coupling[todo][parents]]),
                np.concatenate([terms.weight[~todo], weight]),
            )
        raise AssertionError("unreachable: every pass removes one site")

    # --- properties --------------------------------------------------------------------------------------------------

    def is_hermitian(self) -> bool:
        """Whether the rows of every coupling are Hermitian."""
        return not self.differs(self.adjoint())

    def differs(self, other: BitTerms) -> bool:
        """Whether the rows of some coupling are another operator, beyond rounding errors."""
        difference = self.add(other.scale(-1.0), 0)
        return not _negligible(difference._independent().weight, self.weight)

    def _independent(self) -> BitTerms:
        """A form that is zero only if it has no rows.

        Rows of one flip are independent where their conditions are on the same sites; all other conditions of theirs
        become signs.
        """
        return self._split(lambda t: t.need & ~t._joint_needs(np.bitwise_and), _condition_to_signs)

    def _weights_in(self, sector: SumSector) -> np.ndarray:
        """Weights of a form that has no rows if these do nothing to the configurations of a sector.

        Rows of one flip get conditions on the same sites; those that no configuration meets are left out. If that takes
        too many rows, what they do outside of the sector counts as well.
        """
        missing = _popcount(self._joint_needs(np.bitwise_or) & ~self.need)
        if (2.0**missing).sum() > 2**_MAX_EXPANDED_SITES:
            return self._independent().weight
        cases = self._split(lambda t: t._joint_needs(np.bitwise_or) & ~t.need, _cases)
        ones = _popcount(cases.value & self._packed(sector))
        free = len(sector.sites) - _popcount(cases.need & self._packed(sector))
        return cases.weight[(ones <= sector.total) & (sector.total <= ones + free)]

    def _joint_needs(self, ufunc: np.ufunc) -> np.ndarray:
        """For every row the sites (rows, words) where all, or some, rows of its flip and coupling have conditions."""
        _, group = _unique_rows(np.concatenate([self.flip, self.coupling[:, None].astype(np.uint32)], axis=1))
        joint = np.full_like(self.need, 0 if ufunc is np.bitwise_or else ~np.uint32(0))
        ufunc.at(joint, group, self.need)
        return joint[group]

    def leaves_sector(self, sector: SumSector) -> bool:
        """Whether some row changes the sum of the levels on the sites of a sector."""
        large = np.abs(self.weight) > 1e-12 * np.max(np.abs(self.weight), initial=0.0)
        free_flips = _popcount(self.flip & self._packed(sector) & ~self.need)
        free_flips = np.where(self._inverts(sector), 0, free_flips)
        n_sites = len(sector.sites)
        if n_sites > _MAX_EXPANDED_SITES and np.any(large & (free_flips == n_sites)):
            return True  # all of them, away from half filling; that so many cases cancel is out of the question
        most = int(np.max(free_flips, initial=0))
        must = f"be unconstrained for terms that flip {most} sites at once"
        _checks.require(most <= _MAX_EXPANDED_SITES, "space", must, "a sector")
        known = self._with_known_gains([sector])
        leave = known._leaves(sector)
        leaving = BitTerms(self.n_sites, known.masks[:, leave], known.coupling[leave], known.weight[leave])
        # What cancels may leave rounding errors, of the size of what it is made of.
        return not _negligible(leaving._weights_in(sector), self.weight)


def from_matrix(n_sites: int, sites: Sequence[int], matrix: np.ndarray, coupling: int = 0) -> BitTerms:
    """Rows of a matrix (2^k, 2^k) that acts on k `sites` (first site most significant).

    For every change either the conditions (one row per non-zero entry) or the Walsh-Hadamard transform (one row per
    sign pattern) is taken, whichever has fewer rows. To be put together with `concatenate`.
    """
    k = len(sites)
    local, weight = _local_rows(matrix.shape[0], matrix.dtype.str, np.ascontiguousarray(matrix).tobytes())
    joint = np.arange(2**k)
    bits = np.stack([pack_sites([s for j, s in enumerate(sites) if (i >> (k - 1 - j)) & 1], n_sites) for i in joint])
    return BitTerms(n_sites, bits[local], np.full(len(weight), coupling, np.int32), weight)


@functools.lru_cache(maxsize=64)
def _local_rows(size: int, dtype: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The rows of a matrix (size, size): masks (4, rows) as joint levels of its sites, and weights (rows,).

    The same matrix acts on many sites, so it is remembered.
    """
    matrix = np.frombuffer(content, dtype).reshape(size, size)
    x = np.arange(size)
    walsh = np.where(np.bitwise_count(x[:, None] & x[None, :]) % 2, -1.0, 1.0) / size
    scale = np.max(np.abs(matrix), initial=0.0)
    masks, weights = [], []
    for change in x:
        amplitude = matrix[x ^ change, x]
        spectrum = walsh @ amplitude
        cases = np.flatnonzero(np.abs(amplitude) > _TOLERANCE * scale)
        signs = np.flatnonzero(np.abs(spectrum) > _TOLERANCE * scale)
        zero = np.zeros(min(len(cases), len(signs)), int)
        if len(signs) <= len(cases):
            masks.append(np.stack([zero + change, zero, zero, signs]))
            weights.append(spectrum[signs])
        else:
            masks.append(np.stack([zero + change, zero + size - 1, cases, zero]))
            weights.append(amplitude[cases])
    return np.concatenate(masks, axis=1), np.concatenate(weights)  # no two rows are equal: nothing to merge


def concatenate(n_sites: int, terms: Sequence[BitTerms]) -> BitTerms:
    """Sum of many, with the coupling numbers that they have."""
    return merged_rows(
        n_sites,
        np.concatenate([t.masks for t in terms], axis=1) if terms else np.zeros((4, 0, words(n_sites)), np.uint32),
        np.concatenate([t.coupling for t in terms]) if terms else np.zeros(0, np.int32),
        np.concatenate([t.weight for t in terms]) if terms else np.zeros(0),
    )


def words(n_sites: int) -> int:
    """Number of words that hold `n_sites` bits."""
    return -(-n_sites // WORD)


def pack_sites(sites: Sequence[int], n_sites: int) -> np.ndarray:
    """uint32 (words,) with the bits of `sites` set."""
    packed = np.zeros(words(n_sites), np.uint32)
    for site in sites:
        packed[site // WORD] |= np.uint32(1 << (site % WORD))
    return packed


def flipped(terms: BitTerms, sites: Sequence[int]) -> BitTerms:
    """U (terms) with U = product over `sites` of the operator that exchanges their levels."""
    masks = terms.masks.copy()
    masks[0] ^= pack_sites(sites, terms.n_sites)
    return merged_rows(terms.n_sites, masks, terms.coupling, terms.weight)


def packed(chosen: np.ndarray) -> np.ndarray:
    """Masks, uint32 (rows, words), of the sites that are chosen in bool (rows, sites)."""
    n_rows, n_sites = chosen.shape
    padded = np.pad(chosen, ((0, 0), (0, words(n_sites) * WORD - n_sites)))
    return np.packbits(padded, axis=1, bitorder="little").view("<u4").astype(np.uint32).reshape(n_rows, words(n_sites))


def unpacked(masks: np.ndarray, n_sites: int) -> np.ndarray:
    """The inverse of `packed`."""
    as_bytes = np.ascontiguousarray(masks, "<u4").view(np.uint8).reshape(len(masks), WORD // 8 * masks.shape[1])
    return np.unpackbits(as_bytes, axis=1, bitorder="little")[:, :n_sites].astype(bool)


def unpack_sites(mask: np.ndarray) -> list[int]:
    """The sites whose bits are set in a mask (words,)."""
    return [WORD * w + b for w, word in enumerate(mask) for b in range(WORD) if (int(word) >> b) & 1]


def merged_rows(n_sites: int, masks: np.ndarray, coupling: np.ndarray, weight: np.ndarray) -> BitTerms:
    """Rows with equal masks and coupling added up, signs on conditioned sites evaluated, zeros dropped; sorted.

    Sums start from 0.0, so no weight has a part -0.0, and equal terms have equal bytes.
    """
    flip, need, value, sign = masks
    weight = weight * parity_sign(sign & need & value)
    sign = sign & ~need
    key = np.concatenate([flip, need, value, sign, coupling[:, None].astype(np.uint32)], axis=1)
    unique, inverse = _unique_rows(key)
    total = _sum_by(inverse, weight, len(unique))
    size = np.zeros(len(unique))
    np.maximum.at(size, inverse, np.abs(weight))
    keep = np.abs(total) > _TOLERANCE * size
    if np.iscomplexobj(total) and np.all(total[keep].imag == 0):
        total = total.real
    n_words = words(n_sites)
    fields = unique[keep, : 4 * n_words].reshape(-1, 4, n_words).transpose(1, 0, 2)
    return BitTerms(n_sites, np.ascontiguousarray(fields), unique[keep, -1].astype(np.int32), total[keep])


def _unique_rows(key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows in ascending order, and for every row which one it is: `np.unique`, made fast for many rows.

    Rows are told apart by a sum of random multiples of their entries, which is then checked.
    """
    factors = np.random.default_rng(0).integers(1, 2**63, key.shape[1], dtype=np.uint64) | np.uint64(1)
    mixed = key.astype(np.uint64) @ factors
    _, first, inverse = np.unique(mixed ^ (mixed >> np.uint64(29)), return_index=True, return_inverse=True)
    inverse = inverse.ravel()
    if not np.array_equal(key[first[inverse]], key):  # two rows with the same sum: all but impossible
        unique, inverse = np.unique(key, axis=0, return_inverse=True)
        return unique, inverse.ravel()
    order = np.lexsort(key[first].T[::-1])
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return key[first[order]], place[inverse]


def _sum_by(index: np.ndarray, weight: np.ndarray, n: int) -> np.ndarray:
    """Sums (n,) of the weights with equal index."""
    if np.iscomplexobj(weight):
        return _sum_by(index, weight.real, n) + 1j * _sum_by(index, weight.imag, n)
    return np.bincount(index, weight, n)


def _condition_to_signs(masks: np.ndarray, weight: np.ndarray, bit: np.ndarray) -> tuple:
    flip, need, value, sign = masks
    plain = np.stack([flip, need & ~bit, value & ~bit, sign])
    signed = np.stack([flip, need & ~bit, value & ~bit, sign ^ bit])
    parents = np.tile(np.arange(len(weight)), 2)
    weights = np.concatenate([weight, weight * parity_sign(value & bit)]) / 2
    return np.concatenate([plain, signed], axis=1), weights, parents


def _cases(masks: np.ndarray, weight: np.ndarray, bit: np.ndarray) -> tuple:
    flip, need, value, sign = masks
    zero, one = (np.stack([flip, need | bit, value | v, sign]) for v in (np.uint32(0), bit))
    parents = np.tile(np.arange(len(weight)), 2)
    return np.concatenate([zero, one], axis=1), np.concatenate([weight, weight]), parents


def _lowest_bit(masks: np.ndarray) -> np.ndarray:
    """Of each row (rows, words) of masks, none of them empty, the mask of its lowest set bit."""
    first = np.argmax(masks != 0, axis=1)
    word = masks[np.arange(len(masks)), first]
    lowest = np.zeros_like(masks)
    lowest[np.arange(len(masks)), first] = word & (~word + np.uint32(1))
    return lowest


def _popcount(masks: np.ndarray) -> np.ndarray:
    return np.bitwise_count(masks).sum(axis=1, dtype=np.int64)


def parity_sign(masks: np.ndarray) -> np.ndarray:
    """-1.0 for masks (rows, words) with an odd number of bits, else 1.0."""
    return 1.0 - 2.0 * (_popcount(masks) % 2)


def _negligible(difference: np.ndarray, reference: np.ndarray) -> bool:
    scale = float(np.max(np.abs(reference), initial=0.0))
    return float(np.max(np.abs(difference), initial=0.0)) <= 1e-12 * scale
