# SPDX-License-Identifier: Apache-2.0
"""Sums of Pauli strings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from manybody import _checks
from manybody.hilbert import DiscreteSpace
from manybody.operator.discrete import DiscreteOperator, from_rows
from manybody.operator.strings import pauli_rows

_LETTERS = "IXYZ"


def PauliStrings(
    space: DiscreteSpace,
    strings: Mapping[str, complex] | Sequence[str],
    weights: Any = None,
    couplings: Any = None,
) -> DiscreteOperator:
    """Sum of weighted Pauli strings on two-level sites; level 0 (spin up, bit 0) is the +1 eigenstate of Z.

    Args:
        space: a space whose sites all have two levels.
        strings: one letter per site, "XIZY", or the letters that are not I with their sites, "X0 Z2 Y3"; or a mapping
            of such strings to their weights.
        weights: real or complex (n_strings,); by default 1 for each.
        couplings: real (n_strings,), one factor for each string, kept as leaves; by default one factor 1 for all.

    Raises:
        ValueError: for a string of another length, another letter, a site outside the space or given twice, weights of
            the wrong shape, sites with more levels, or a sum that leads out of the sector of `space`.

    Example:
        >>> import manybody as mb
        >>> space = mb.hilbert.Qubit(3)
        >>> ising = mb.operator.PauliStrings(space, {"ZZI": -1.0, "IZZ": -1.0, "X0": -0.5, "X1": -0.5, "X2": -0.5})
        >>> ising.is_hermitian
        True
    """
    if isinstance(strings, Mapping):
        _checks.require(weights is None, "weights", "be left out where `strings` holds them", "weights")
        weights = list(strings.values())
    names = list(strings)
    weight = np.ones(len(names)) if weights is None else np.asarray(weights)
    _checks.require(weight.shape == (len(names),), "weights", f"have shape ({len(names)},)", weight.shape)
    letters = np.stack([_letters(name, space.size) for name in names]) if names else np.zeros((0, space.size), np.int8)
    number, factors = numbered(len(names), couplings)
    return from_rows(space, pauli_rows(space.size, letters, number, weight), factors)


def numbered(n_terms: int, couplings: Any) -> tuple[np.ndarray, Any]:
    """The number of the coupling of each of `n_terms` terms, and the couplings: one of value 1 if none are given.

    Raises:
        ValueError: if there are not as many couplings as terms.
    """
    if couplings is None:
        return np.zeros(n_terms, np.int32), np.ones(1)
    shape = np.shape(couplings)
    _checks.require(shape == (n_terms,), "couplings", f"have shape ({n_terms},)", shape)
    return np.arange(n_terms, dtype=np.int32), couplings


def _letters(string: str, n_sites: int) -> np.ndarray:
    """Numbers (sites,) of the letters of a string in either form."""
    _checks.require_type(string, str, "strings")
    form = 'be letters I, X, Y, Z for all sites ("XIZY") or with their sites ("X0 Z2")'
    if re.fullmatch(r"[IXYZ]*", string) and len(string) == n_sites:
        return np.array([_LETTERS.index(letter) for letter in string], np.int8)
    found = [re.fullmatch(r"([IXYZ])(\d+)", word) for word in string.split()]
    factors = [(match[1], int(match[2])) for match in found if match]
    _checks.require(len(factors) == len(found), "strings", f"{form} of {n_sites} sites", repr(string))
    numbers = np.zeros(n_sites, np.int8)
    for letter, site in factors:
        _checks.integer(site, "site", minimum=0, maximum=n_sites - 1)
        numbers[site] = _LETTERS.index(letter)
    _checks.require(len({site for _, site in factors}) == len(factors), "strings", "name a site once", repr(string))
    return numbers
