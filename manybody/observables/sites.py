# SPDX-License-Identifier: Apache-2.0
"""Products of operators on single sites, many of them as one operator with a coupling for each."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from manybody import _checks
from manybody._types import Int
from manybody.hilbert import Constrained, DiscreteSpace, Fermion, Fock, Product, Qubit, Spin
from manybody.lattice import AbstractLattice
from manybody.operator import DiscreteOperator, boson, fermion, spin
from manybody.operator.bits import BitTerms
from manybody.operator.discrete import from_terms
from manybody.operator.matrices import MatrixTerms
from manybody.state import VariationalState

SiteOperator = Callable[[DiscreteSpace, int], DiscreteOperator]
"""(space, site) -> operator on that site of the lattice."""
Kind = str | tuple[SiteOperator, SiteOperator]
"""One of `KINDS`, or two functions A and B."""
Terms = BitTerms | MatrixTerms

KINDS = {"xx": "x", "yy": "y", "zz": "z", "ss": "xyz", "nn": "n"}
"""Products A_i B_j by name: S^a_i S^a_j, S_i . S_j (a sum of three), and of numbers of particles n_i n_j."""


class Component(NamedTuple):
    """The operators A_i and B_i on all sites of a lattice; the same ones for products of an observable with itself."""

    first: list[Terms]
    second: list[Terms]


class Pairs(NamedTuple):
    """Products on pairs of sites, and what they are made of.

    Attributes:
        operator: a coupling for each product, then, if wanted, for A_i and B_i of each site and component.
        sites: the pairs (n_pairs, 2): i <= j if the order does not matter, else all.
        numbers: which coupling (n_sites, n_sites) the product A_i B_j has.
        lists: which couplings (n_components, 2, n_sites) have A_i and B_i; none without them.
        is_symmetric: whether A_i B_j = B_j A_i = A_j B_i for i != j, and Hermitian.
        is_adjoint: whether B_i is the adjoint of A_i.
    """

    operator: DiscreteOperator
    sites: Int[np.ndarray, "pairs 2"]
    numbers: Int[np.ndarray, "sites sites"]
    lists: Int[np.ndarray, "components 2 sites"]
    is_symmetric: bool
    is_adjoint: bool


def checked(state: VariationalState, lattice: AbstractLattice, kind: Kind) -> None:
    """Raise unless the state has samples, and its space a place for every site of the lattice."""
    check_state(state)
    _checks.require_type(lattice, AbstractLattice, "lattice")
    if isinstance(kind, str):
        _checks.choice(kind, KINDS, "kind")
    else:
        pair = isinstance(kind, tuple) and len(kind) == 2 and all(callable(function) for function in kind)
        _checks.require(pair, "kind", "be a name, or two functions of (space, site)", repr(kind))
    n_sites = _n_places(state.observed)
    _checks.require(
        lattice.n_sites == n_sites, "lattice", f"have {n_sites} sites like {state.observed}", lattice.n_sites
    )


def check_state(state: VariationalState) -> None:
    """Raise unless the state is one with samples."""
    _checks.require_type(state, VariationalState, "state")
    has_samples = state.samples is not None
    _checks.require(has_samples, "state", "have samples", "none yet", "Use `state = state.sample()`.")


@functools.lru_cache(maxsize=16)
def pair_products(space: DiscreteSpace, n_sites: int, kind: Kind, with_single: bool = False) -> Pairs:
    """A_i B_j of all pairs of sites, projected on `space`, as one operator."""
    free = unconstrained(space)
    components = _components(free, n_sites, kind)
    is_symmetric = isinstance(kind, str)
    i, j = np.indices((n_sites, n_sites)).reshape(2, -1)
    keep = i <= j if is_symmetric else i == i
    sites = np.stack([i[keep], j[keep]], axis=1)
    numbers = np.zeros((n_sites, n_sites), int)
    numbers[tuple(sites.T)] = np.arange(len(sites))
    if is_symmetric:
        numbers = np.maximum(numbers, numbers.T)
    terms = [total([c.first[a].product(c.second[b]) for c in components]) for a, b in sites]
    lists = np.zeros((0, 2, n_sites), int)
    if with_single:
        singles = [part for c in components for part in ([c.first] if is_symmetric else [c.first, c.second])]
        starts = len(terms) + n_sites * np.arange(len(singles)).reshape(len(components), -1)
        lists = np.broadcast_to(starts[:, :, None], (len(components), 2, 1)) + np.arange(n_sites)
        terms += [term for part in singles for term in part]
    is_adjoint = all(a.adjoint() == b for c in components for a, b in zip(*c, strict=True))
    return Pairs(stacked(space, terms), sites, numbers, lists, is_symmetric, is_adjoint)


def stacked(space: DiscreteSpace, terms: Sequence[Terms]) -> DiscreteOperator:
    """One operator on `space`, with a coupling for each of some terms on the space without its constraints.

    The couplings are random: with equal ones, terms that are Hermitian only together would be made one.
    """
    couplings = np.random.default_rng(0).uniform(1, 2, len(terms))
    return from_terms(unconstrained(space), _joined(terms), couplings).on(space, project=True)


def weighted(operator: DiscreteOperator, weights: np.ndarray) -> DiscreteOperator:
    """The sum of the terms of a stacked operator with these real weights, with one coupling."""
    return operator.replace(couplings=np.asarray(weights, float)).fold()


def total(terms: Sequence[Terms]) -> Terms:
    """The sum, with one coupling."""
    return functools.reduce(lambda a, b: a.add(b, 0), terms)


def _joined(terms: Sequence[Terms]) -> Terms:
    """The sum, with a coupling for each; halves first, as each sum sorts all its rows."""
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return _joined(terms[:half]).add(_joined(terms[half:]), half)


# --- operators on sites -----------------------------------------------------------------------------------------------


def spin_components(space: DiscreteSpace) -> list[list[Terms]]:
    """S^x, S^y, S^z of all sites, on the space without its constraints.

    Raises:
        ValueError: if the space has no spins.
    """
    n_sites = _n_places(space)
    return [component.first for component in _components(unconstrained(space), n_sites, "ss")]


def unconstrained(space: DiscreteSpace) -> DiscreteSpace:
    """The same sites without sectors and constraints."""
    if isinstance(space, Spin):
        return dataclasses.replace(space, total_sz=None)
    if isinstance(space, Fock):
        return dataclasses.replace(space, n_particles=None)
    if isinstance(space, Fermion):
        return dataclasses.replace(space, n_fermions=None, n_per_component=None)
    if isinstance(space, Constrained):
        return unconstrained(space.space)
    return Product(*map(unconstrained, space.spaces)) if isinstance(space, Product) else space


def _components(free: DiscreteSpace, n_sites: int, kind: Kind) -> list[Component]:
    if isinstance(kind, str):
        named = [[_terms(_named(free, site, name)) for site in range(n_sites)] for name in KINDS[kind]]
        return [Component(terms, terms) for terms in named]
    first, second = ([_terms(function(free, site)) for site in range(n_sites)] for function in kind)
    return [Component(first, second)]


def _named(free: DiscreteSpace, site: int, name: str) -> DiscreteOperator:
    if name == "n":
        return _number(free, site)
    if isinstance(free, Spin | Qubit):
        return getattr(spin, f"s{name}")(free, site)
    has_spins = isinstance(free, Fermion) and free.n_components == 2
    cure = "Give two functions as `kind`."
    _checks.require(has_spins, "space", "have spins: Spin, Qubit, or a Fermion of two components", free, cure)
    assert isinstance(free, Fermion)
    if name == "z":
        return (fermion.number(free, site, 0) - fermion.number(free, site, 1)) / 2
    raised = fermion.create(free, site, 0) @ fermion.destroy(free, site, 1)  # S^+
    return (raised + raised.adjoint()) / 2 if name == "x" else (raised - raised.adjoint()) * -0.5j


def _number(free: DiscreteSpace, site: int) -> DiscreteOperator:
    has_particles = isinstance(free, Fock | Fermion)
    cure = "Give two functions as `kind`."
    _checks.require(has_particles, "space", "have particles: Fock or Fermion", free, cure)
    if isinstance(free, Fermion):
        modes = [fermion.number(free, site, component) for component in range(free.n_components)]
        return sum(modes[1:], modes[0])
    return boson.number(free, site)


def _terms(operator: DiscreteOperator) -> Terms:
    """The terms of an operator, with the values of its couplings."""
    cure = "`kind` names functions (space, site) -> operator."
    _checks.require_type(operator, DiscreteOperator, "kind", cure)
    terms = operator.fold().terms
    _checks.require(isinstance(terms, BitTerms | MatrixTerms), "kind", "give operators on sites", "permutations")
    assert isinstance(terms, BitTerms | MatrixTerms)
    return terms


def _n_places(space: DiscreteSpace) -> int:
    """Sites that a lattice for this space has: electrons have two modes on each."""
    free = unconstrained(space)
    return free.n_orbitals if isinstance(free, Fermion) else free.size
