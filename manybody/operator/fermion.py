# SPDX-License-Identifier: Apache-2.0
"""Fermionic operators. Mode i is site i of the space; c_i carries the sign (-1)^(number of occupied modes before i)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from manybody import _checks
from manybody.hilbert import DiscreteSpace, Fermion
from manybody.operator.bits import concatenate
from manybody.operator.discrete import DiscreteOperator, from_rows
from manybody.operator.pauli import numbered
from manybody.operator.strings import fermion_rows

Product = Sequence[tuple[int, bool]]
"""Factors (mode, creates) from left to right; the last acts first."""


def FermionOperator(
    space: DiscreteSpace,
    terms: Mapping[Any, complex] | Sequence[str | Product],
    weights: Any = None,
    couplings: Any = None,
) -> DiscreteOperator:
    """Sum of weighted products of creation and annihilation operators, in any order.

    Args:
        space: a space whose sites all have two levels, each of them a mode.
        terms: products as "2^ 0" for c^dagger_2 c_0, or as ((2, True), (0, False)); the empty product is the identity.
            Or a mapping of products to their weights.
        weights: real or complex (n_terms,); by default 1 for each.
        couplings: real (n_terms,), one factor for each product, kept as leaves; by default one factor 1 for all.

    Raises:
        ValueError: for a product that cannot be read, a mode outside the space, weights of the wrong shape, sites with
            more levels, or a sum that leads out of the sector of `space`.

    Example:
        >>> import manybody as mb
        >>> space = mb.hilbert.Fermion(3, n_fermions=1)
        >>> hop = mb.operator.FermionOperator(space, {"0^ 1": -1.0, "1^ 0": -1.0})
        >>> hop.to_dense()
        array([[ 0.,  0.,  0.],
               [ 0.,  0., -1.],
               [ 0., -1.,  0.]])
    """
    if isinstance(terms, Mapping):
        _checks.require(weights is None, "weights", "be left out where `terms` holds them", "weights")
        weights = list(terms.values())
    products = [_product(term) for term in terms]
    weight = np.ones(len(products)) if weights is None else np.asarray(weights)
    _checks.require(weight.shape == (len(products),), "weights", f"have shape ({len(products)},)", weight.shape)
    number, factors = numbered(len(products), couplings)
    rows = []
    for length in sorted({len(product) for product in products}):
        chosen = [i for i, product in enumerate(products) if len(product) == length]
        pairs = np.array([products[i] for i in chosen], int).reshape(len(chosen), length, 2)
        modes, creates = checked_modes(space, pairs[..., 0]), pairs[..., 1].astype(bool)
        rows.append(fermion_rows(space.size, modes, creates, number[chosen], weight[chosen]))
    return from_rows(space, concatenate(space.size, rows), factors)


def products(space: DiscreteSpace, modes: Any, creates: Sequence[bool], weights: Any) -> DiscreteOperator:
    """Sum of many products of the same pattern, from arrays: the fast way to millions of terms.

    Args:
        space: a space whose sites all have two levels.
        modes: int (n_terms, n_factors), the last factor acts first.
        creates: which of the factors create (n_factors,).
        weights: real or complex (n_terms,).

    Raises:
        ValueError: for arrays whose shapes do not fit, a mode outside the space, or a sum that leads out of the sector.
    """
    modes, weights = np.asarray(modes), np.asarray(weights)
    shape = (len(weights), len(creates))
    _checks.require(modes.shape == shape, "modes", f"have shape {shape}", modes.shape)
    pattern = np.broadcast_to(np.asarray(creates, bool), shape)
    number = np.zeros(len(weights), np.int32)
    return from_rows(space, fermion_rows(space.size, checked_modes(space, modes), pattern, number, weights), np.ones(1))


def create(space: Fermion, orbital: int, component: int = 0) -> DiscreteOperator:
    """c^dagger of one mode."""
    return FermionOperator(space, [((space.mode(orbital, component), True),)])


def destroy(space: Fermion, orbital: int, component: int = 0) -> DiscreteOperator:
    """c of one mode."""
    return FermionOperator(space, [((space.mode(orbital, component), False),)])


def number(space: Fermion, orbital: int, component: int = 0) -> DiscreteOperator:
    """n = c^dagger c of one mode."""
    mode = space.mode(orbital, component)
    return FermionOperator(space, [((mode, True), (mode, False))])


def checked_modes(space: DiscreteSpace, modes: np.ndarray) -> np.ndarray:
    """`modes` if all are sites of the space.

    Raises:
        ValueError: if one is not.
    """
    outside = modes[(modes < 0) | (modes >= space.size)]
    _checks.require(outside.size == 0, "mode", f"satisfy 0 <= mode < {space.size}", outside.ravel()[:1].tolist())
    return modes


def _product(term: Any) -> Product:
    """The factors of a product in either form."""
    if isinstance(term, str):
        found = [re.fullmatch(r"(\d+)(\^?)", word) for word in term.split()]
        factors = [(int(match[1]), match[2] == "^") for match in found if match]
        _checks.require(len(factors) == len(found), "terms", 'be products like "2^ 0"', repr(term))
        return factors
    try:
        return [(int(mode), bool(creates)) for mode, creates in term]
    except (TypeError, ValueError) as error:
        raise ValueError(_checks.requirement("terms", "be products of pairs (mode, creates)", repr(term))) from error
