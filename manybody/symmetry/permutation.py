# SPDX-License-Identifier: Apache-2.0
"""Permutations of sites, with signs and inversion, and groups of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from manybody import _checks
from manybody._struct import read_only
from manybody._types import Bool, Int
from manybody.symmetry.group import FiniteGroup


@dataclass(frozen=True, init=False)
class Permutation:
    """Moves site i to site `sites[i]`.

    Args:
        sites: where each site goes (n_sites,).
        signs: factor +1 or -1 that a particle picks up that leaves site i (n_sites,); by default 1 everywhere. Signs
            belong to antiperiodic boundaries and to gauges, as of Hamiltonians turned by `marshall`.
        inverts: whether all levels are inverted as well: spins up to down, empty to occupied.

    Raises:
        ValueError: if `sites` is no permutation, or there are other signs.

    Example:
        >>> shift = Permutation([1, 2, 0])
        >>> (shift @ shift).sites, (shift @ shift @ shift).is_identity
        ((2, 0, 1), True)
    """

    sites: tuple[int, ...]
    signs: tuple[int, ...]
    inverts: bool

    def __init__(self, sites: Sequence[int], signs: Sequence[int] | None = None, inverts: bool = False) -> None:
        targets = tuple(_checks.integer(site, "sites") for site in sites)
        must = f"name each of the sites 0, ..., {len(targets) - 1} once"
        _checks.require(sorted(targets) == list(range(len(targets))), "sites", must, targets)
        factors = (1,) * len(targets) if signs is None else tuple(_checks.integer(sign, "signs") for sign in signs)
        right = len(factors) == len(targets) and set(factors) <= {1, -1}
        _checks.require(right, "signs", f"be 1 or -1 for each of the {len(targets)} sites", factors)
        _checks.require_type(inverts, (bool, np.bool_), "inverts")
        for name, value in (("sites", targets), ("signs", factors), ("inverts", bool(inverts))):
            object.__setattr__(self, name, value)

    def __matmul__(self, first: Permutation) -> Permutation:
        """The permutation that does `first`, then this one."""
        _checks.require_type(first, Permutation, "first")
        same = len(first.sites) == len(self.sites)
        _checks.require(same, "first", f"act on {len(self.sites)} sites as well", len(first.sites))
        sites = [self.sites[site] for site in first.sites]
        signs = [sign * self.signs[site] for site, sign in zip(first.sites, first.signs, strict=True)]
        return Permutation(sites, signs, self.inverts != first.inverts)

    def inverse(self) -> Permutation:
        """The permutation that undoes this one."""
        back = np.argsort(self.sites)
        return Permutation(back.tolist(), np.array(self.signs)[back].tolist(), self.inverts)

    @property
    def is_identity(self) -> bool:
        """Whether nothing is moved, inverted or multiplied by -1."""
        return self == Permutation(range(len(self.sites)))


class Lookup(NamedTuple):
    """Finds elements by what they do to a few sites.

    Attributes:
        base: these sites.
        rank: elements in the order of their keys, shape (order,).
        keys: ascending, shape (order,).
    """

    base: np.ndarray
    rank: np.ndarray
    keys: np.ndarray


class PermutationGroup(FiniteGroup):
    """A group of permutations of sites, with or without signs and inversion.

    Args:
        sites: for each element where the sites go, shape (order, n_sites); the identity comes first.
        signs: +1 or -1 that a particle picks up that leaves a site, shape (order, n_sites); by default 1.
        inverts: whether an element inverts all levels, shape (order,); by default False.

    Raises:
        TypeError: if they are given as `Permutation`s, of which `generated` makes a group.
        ValueError: if the elements are no permutations, are not closed under products, or occur twice.

    Example:
        >>> ring = PermutationGroup.generated([Permutation([1, 2, 3, 0])])
        >>> ring.order, ring.sites[1].tolist(), ring.is_abelian
        (4, [1, 2, 3, 0], True)
    """

    def __init__(self, sites: ArrayLike, signs: ArrayLike | None = None, inverts: ArrayLike | None = None) -> None:
        moves = np.array(sites)
        if moves.dtype == object and all(isinstance(one, Permutation) for one in moves.ravel()):
            cure = "Use PermutationGroup.generated([...])."
            raise TypeError(_checks.requirement("sites", "be arrays of sites", "objects of Permutation", cure))
        _checks.require(moves.ndim == 2 and moves.size > 0, "sites", "have shape (order, n_sites)", moves.shape)
        factors = np.ones_like(moves) if signs is None else np.array(signs)
        _checks.require(factors.shape == moves.shape, "signs", f"have shape {moves.shape}", factors.shape)
        _checks.require(bool(np.isin(factors, (1, -1)).all()), "signs", "be 1 or -1", np.unique(factors).tolist())
        flips = np.zeros(len(moves), bool) if inverts is None else np.array(inverts, bool)
        _checks.require(flips.shape == moves.shape[:1], "inverts", f"have shape {moves.shape[:1]}", flips.shape)
        rows = np.array_equal(np.sort(moves, axis=1), np.broadcast_to(np.arange(moves.shape[1]), moves.shape))
        _checks.require(rows, "sites", "have permutations by rows", "a row that is none")
        self._codes = read_only(_encode(moves, factors, flips))
        _require_group(self._codes)

    @classmethod
    def generated(cls, generators: Iterable[Permutation]) -> PermutationGroup:
        """The smallest group that contains some permutations.

        Raises:
            ValueError: if there are none, or they act on different numbers of sites.
        """
        given = list(generators)
        _checks.require(len(given) > 0, "generators", "be at least one permutation", "none")
        for one in given:
            _checks.require_type(one, Permutation, "generators")
        lengths = {len(one.sites) for one in given}
        _checks.require(len(lengths) == 1, "generators", "act on the same sites", f"{sorted(lengths)} sites")
        codes = _encode(
            np.array([one.sites for one in given]),
            np.array([one.signs for one in given]),
            np.array([one.inverts for one in given]),
        )
        return cls._from_codes(_closure(codes))

    @classmethod
    def _from_codes(cls, codes: np.ndarray) -> PermutationGroup:
        """Of elements that are known to be a group."""
        group = cls.__new__(cls)
        group._codes = read_only(codes)
        return group

    @cached_property
    def _hash(self) -> int:
        return hash(self._codes.tobytes())

    @cached_property
    def _lookup(self) -> Lookup:
        base = _base(self._codes)
        keys = _keys(self._codes[:, base])
        rank = np.argsort(keys)
        return Lookup(base, rank, keys[rank])

    def _find(self, codes: np.ndarray) -> np.ndarray:
        """The elements with these codes on the sites of the base (..., base); they must be there."""
        return np.asarray(self._lookup.rank[np.searchsorted(self._lookup.keys, _keys(codes))])

    # --- elements ----------------------------------------------------------------------------------------------------

    @property
    def order(self) -> int:
        """Number of permutations."""
        return len(self._codes)

    @property
    def n_sites(self) -> int:
        """Number of sites they act on."""
        return self._codes.shape[1] - 1

    @cached_property
    def sites(self) -> Int[np.ndarray, "order sites"]:
        """Where the elements move the sites: site i to sites[g, i]."""
        return read_only(self._codes[:, :-1] >> 1)

    @cached_property
    def signs(self) -> Int[np.ndarray, "order sites"]:
        """Factor that a particle on site i picks up, 1 or -1."""
        return read_only(1 - 2 * (self._codes[:, :-1] & 1))

    @cached_property
    def inverts(self) -> Bool[np.ndarray, " order"]:
        """Whether the elements invert all levels."""
        return read_only((self._codes[:, -1] & 1).astype(bool))

    def __getitem__(self, element: int) -> Permutation:
        return Permutation(self.sites[element].tolist(), self.signs[element].tolist(), bool(self.inverts[element]))

    def index(self, permutation: Permutation) -> int:
        """The number of a permutation.

        Raises:
            ValueError: if it is not in the group.
        """
        _checks.require_type(permutation, Permutation, "permutation")
        code = _encode(np.array([permutation.sites]), np.array([permutation.signs]), np.array([permutation.inverts]))
        fits = code.shape[1] == self._codes.shape[1]
        same = np.flatnonzero((self._codes == code).all(axis=1)) if fits else np.array([], int)
        _checks.require(len(same) == 1, "permutation", "be an element of the group", permutation)
        return int(same[0])

    def multiply(self, a: ArrayLike, b: ArrayLike) -> Int[np.ndarray, "..."]:
        """The element that does b, then a."""
        a, b = np.broadcast_arrays(a, b)
        if "product_table" in self.__dict__:  # somebody asked for it before
            return np.asarray(self.product_table[a, b], np.int64)
        first = self._codes[:, self._lookup.base][b]  # (..., base)
        return self._find(self._codes[a[..., None], first >> 1] ^ (first & 1))

    @cached_property
    def inverse(self) -> Int[np.ndarray, " order"]:
        """The inverse of every element."""
        back = np.argsort(self._codes >> 1, axis=1)
        codes = 2 * back + (np.take_along_axis(self._codes, back, axis=1) & 1)
        return read_only(self._find(codes[:, self._lookup.base]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PermutationGroup) and np.array_equal(self._codes, other._codes)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"{type(self).__name__}(order={self.order}, n_sites={self.n_sites})"

    # --- other groups ------------------------------------------------------------------------------------------------

    def subgroup(self, elements: Sequence[int]) -> PermutationGroup:
        """Some of the elements as a group, in ascending order.

        Raises:
            ValueError: if they are not closed under products.
        """
        own = np.unique(self._checked_elements(elements))
        closed = bool(len(own)) and self.is_subgroup(own)
        _checks.require(closed, "elements", "be closed under products", f"{own.tolist()!r:.80}")
        return PermutationGroup._from_codes(self._codes[own])

    def __matmul__(self, other: PermutationGroup) -> PermutationGroup:
        """All products g h of an element g of this group and h of another one, h fastest.

        Raises:
            ValueError: if these are no group, or the groups have more than the identity in common.
        """
        _checks.require_type(other, PermutationGroup, "other")
        _checks.require(other.n_sites == self.n_sites, "other", f"act on {self.n_sites} sites", other.n_sites)
        codes = _compose(self._codes[:, None, :], other._codes[None, :, :])
        codes = codes.reshape(-1, codes.shape[-1])
        _require_group(codes, "other")
        return PermutationGroup._from_codes(codes)

    def on_components(self, n_components: int, *, exchange: bool = False) -> PermutationGroup:
        """This group acting alike on components of fermions, as permutations of all their modes.

        Args:
            n_components: number of components, or of parts of a product with one site each.
            exchange: make the group larger by all exchanges of components: of spin up and down that is the inversion of
                spins. Element e of the exchanges after element g of this group has number g * n_exchanges + e.

        Raises:
            ValueError: if there are no components.
        """
        n = _checks.integer(n_components, "n_components", minimum=1)
        starts = np.arange(n)[:, None, None] * self.n_sites
        moves = np.concatenate(list(self.sites + starts), axis=1)
        group = PermutationGroup(moves, np.tile(self.signs, n), self.inverts)
        if not exchange:
            return group
        orders = np.array(list(itertools.permutations(range(n))))  # (exchanges, components)
        modes = orders[:, :, None] * self.n_sites + np.arange(self.n_sites)
        return group @ PermutationGroup(modes.reshape(len(orders), -1))

    def with_inversion(self) -> PermutationGroup:
        """This group times the inversion of all levels: spin inversion, or the exchange of particles and holes.

        Element 2 g + 1 is element g of this group followed by the inversion.

        Raises:
            ValueError: if it has elements with inversion already.
        """
        _checks.require(not self.inverts.any(), "group", "have no element that inverts", "one that does")
        identity = np.arange(self.n_sites)
        return self @ PermutationGroup([identity, identity], inverts=[False, True])


# An element is a row of codes 2 * site + (1 if the sign is -1), one for each site; one more column, for a site beyond
# the last, has the sign of the inversion. The product of two elements then needs no special cases.


def _encode(sites: np.ndarray, signs: np.ndarray, inverts: np.ndarray) -> np.ndarray:
    codes = 2 * sites + (signs < 0)
    return np.concatenate([codes, (2 * sites.shape[1] + inverts)[:, None]], axis=1).astype(np.int32)


def _compose(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """First b, then a; (..., n_sites + 1) each."""
    a, b = np.broadcast_arrays(a, b)
    return np.take_along_axis(a, b >> 1, axis=-1) ^ (b & 1)


def _keys(codes: np.ndarray) -> np.ndarray:
    """A number for each row of codes (..., n): a random hash, whose uniqueness in a group `_base` has checked."""
    weights = np.random.default_rng(codes.shape[-1]).integers(2**63, size=codes.shape[-1], dtype=np.uint64) | 1
    return np.asarray((codes.astype(np.uint64) * weights).sum(axis=-1, dtype=np.uint64))


def _base(codes: np.ndarray) -> np.ndarray:
    """Sites, few if possible, by whose images the elements (order, n_sites + 1) can be told apart."""
    base: list[int] = []
    label = np.zeros(len(codes), int)
    n_labels = 1
    for site in range(codes.shape[1]):
        joint = label * (2 * codes.shape[1]) + codes[:, site]
        values, refined = np.unique(joint, return_inverse=True)
        if len(values) > n_labels:
            base, label, n_labels = [*base, site], refined, len(values)
    unique = n_labels == len(codes) and len(np.unique(_keys(codes[:, base]))) == len(codes)
    _checks.require(unique, "sites", "have no permutation twice", f"{len(codes)} rows, {n_labels} different ones")
    return np.array(base, int)


def _closure(generators: np.ndarray) -> np.ndarray:
    """All products of some elements (generators, n_sites + 1), the identity first, in the order they are found."""
    identity = 2 * np.arange(generators.shape[1], dtype=np.int32)[None, :]
    found, new = identity, identity
    while len(new):
        products = _compose(generators[:, None, :], new[None, :, :]).reshape(-1, generators.shape[1])
        both = np.concatenate([found, products])
        _, first = np.unique(both, axis=0, return_index=True)
        new = both[np.sort(first[first >= len(found)])]
        found = np.concatenate([found, new])
    return found


def _require_group(codes: np.ndarray, name: str = "sites") -> None:
    """Raise `ValueError` unless the rows are a group with the identity first: it is enough to try some generators."""
    cure = "`PermutationGroup.generated` finds the group of some permutations."
    first = Permutation((codes[0, :-1] >> 1).tolist(), (1 - 2 * (codes[0, :-1] & 1)).tolist(), bool(codes[0, -1] & 1))
    _checks.require(first.is_identity, name, "have the identity first", first, cure)
    keys = _keys(codes)
    rank = np.argsort(keys)
    repeated = int(np.count_nonzero(np.diff(keys[rank]) == 0))
    _checks.require(repeated == 0, name, "have no permutation twice", f"{repeated} repetitions")
    inside = np.zeros(len(codes), bool)
    inside[0] = True
    products: list[np.ndarray] = []  # of all elements with the generators so far
    while not inside.all():
        wanted = _keys(_compose(codes, codes[np.argmin(inside)]))
        place = np.searchsorted(keys, wanted, sorter=rank)
        found = rank[np.minimum(place, len(codes) - 1)]
        closed = bool(np.all(keys[found] == wanted))
        _checks.require(closed, name, "be closed under products", "a product that is not there", cure)
        products.append(found)
        new = np.flatnonzero(inside)
        while len(new):
            reached = np.unique(np.concatenate([product[new] for product in products]))
            new = reached[~inside[reached]]
            inside[new] = True
