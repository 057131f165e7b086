# SPDX-License-Identifier: Apache-2.0
"""Operators from OpenFermion and to it.

Its modes are interleaved: number n_components * orbital + component, where ours are all orbitals of one component after
the other. Ladder operators are renumbered and keep their coefficients, so that both sums are the same element of the
algebra and have the same spectrum. Basis states are products of creation operators in the order of the modes, so they
differ by a sign: that of the permutation that brings the occupied modes from one order into the other.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np
import scipy

from manybody import _checks
from manybody.hilbert import Constrained, DiscreteSpace, Fermion, Fock
from manybody.operator.bits import WORD, BitTerms, concatenate
from manybody.operator.boson import annihilation_matrix
from manybody.operator.discrete import DiscreteOperator, from_rows
from manybody.operator.fermion import FermionOperator
from manybody.operator.local import LocalOperator
from manybody.operator.matrices import MatrixTerms
from manybody.operator.optional import load
from manybody.operator.pauli import PauliStrings
from manybody.operator.permuted import PermutedTerms
from manybody.operator.strings import fermion_rows

_MAX_SPLIT = 16
"""A row of masks becomes at most 2^16 products."""
_TOLERANCE = 1e-14


def from_openfermion(operator: Any, space: DiscreteSpace) -> DiscreteOperator:
    """An operator of OpenFermion on a space (extra `interop`).

    * `FermionOperator`, and `InteractionOperator` or another `PolynomialTensor`, on `Fermion`. Mode
      n_components * orbital + component of OpenFermion becomes that orbital of that component, and coefficients stay as
      they are. The spectrum is the same. Matrices are so after a change of basis: the occupied modes of a state go
      into another order, and the state gets the sign of this permutation.
    * `QubitOperator` on two-level sites that are no fermions: qubit i is site i, and |0> is spin up, bit 0.
    * `BosonOperator` on `Fock`: mode i is site i. Ladder operators are cut off at n_max one by one, before they are
      multiplied, as in `openfermion.linalg.boson_operator_sparse`.

    Args:
        operator: the operator, with numbers as coefficients.
        space: the space; may be a sector or `Constrained`.

    Raises:
        ImportError: if OpenFermion is not installed.
        TypeError: for another operator, another kind of space, or coefficients that are not numbers.
        ValueError: for a mode or qubit that the space does not have, coefficients that are not finite, products of
            bosonic operators on too many sites, or an operator that leads out of `space`.

    Example:
        >>> import openfermion, manybody as mb
        >>> space = mb.hilbert.Fermion(2, n_per_component=(1, 1), n_components=2)
        >>> hubbard = mb.operator.from_openfermion(openfermion.fermi_hubbard(2, 1, 1.0, 4.0), space)
        >>> mb.exact.ground_state(hubbard).energies.round(6)
        array([-0.828427])
    """
    openfermion = load("openfermion", "interop")
    if isinstance(operator, openfermion.PolynomialTensor):
        return _from_tensors(operator.n_body_tensors, _of_kind(space, Fermion))
    kinds = {
        openfermion.FermionOperator: _from_ladders,
        openfermion.QubitOperator: _from_qubits,
        openfermion.BosonOperator: _from_bosons,
    }
    read = next((read for kind, read in kinds.items() if isinstance(operator, kind)), None)
    if read is None:
        must = "be a FermionOperator, InteractionOperator, QubitOperator or BosonOperator of OpenFermion"
        raise TypeError(_checks.requirement("operator", must, type(operator).__name__))
    return read(list(operator.terms), _weights(list(operator.terms.values())), space)


def to_openfermion(operator: DiscreteOperator) -> Any:
    """The operator in OpenFermion (extra `interop`).

    On fermions a `FermionOperator`, normal ordered (creation operators first, higher modes first); mode `orbital` of
    `component` becomes number n_components * orbital + component. See `from_openfermion` for the signs of basis states.
    On other two-level sites a `QubitOperator`, in which site i is qubit i. On bosons a `BosonOperator`, normal ordered
    on each site i, which is mode i: the one with the matrix elements of the operator between the levels of the space.
    (Ladder operators that were cut off one by one do not come back as they were, and rounding grows with the factorial
    of n_max.)

    Couplings go in with their values. An operator on a sector becomes one on all configurations, which is the same in
    the sector and means nothing outside.

    Args:
        operator: on `Fermion`, `Fock`, or two-level sites that are no fermions.

    Returns:
        `openfermion.FermionOperator`, `openfermion.QubitOperator` or `openfermion.BosonOperator`.

    Raises:
        ImportError: if OpenFermion is not installed.
        TypeError: on another kind of space, or under a JAX transformation, where couplings are not known.
        ValueError: if the operator is projected on a constrained space, or a string of signs that is not that of a
            product of fermionic operators is so long that a single term becomes more than 2^16 products.

    Example:
        >>> import manybody as mb
        >>> space = mb.hilbert.Fermion(2, n_components=2)
        >>> hop = mb.operator.FermionOperator(space, {"2^ 3": 0.5})
        >>> mb.operator.to_openfermion(hop)
        0.5 [1^ 3]
    """
    openfermion = load("openfermion", "interop")
    _checks.require_type(operator, DiscreteOperator, "operator")
    _checks.require(not operator.is_projected, "operator", "not be projected on a constrained space", operator.space)
    space = operator.space
    inner = _inner(space)
    terms = operator.fold().terms
    plain = not isinstance(terms, PermutedTerms)
    _checks.require(
        plain, "operator", "not permute sites", "a permutation of them", "OpenFermion has no such operators."
    )
    if isinstance(inner, Fermion):
        result, sums = openfermion.FermionOperator(), _ladder_sums(terms, _our_modes(inner))
    elif isinstance(terms, MatrixTerms) and isinstance(inner, Fock):
        result, sums = openfermion.BosonOperator(), _boson_sums(terms)
    else:
        _check_qubits(space, "operator")
        result, sums = openfermion.QubitOperator(), _pauli_sums(terms)
    result.terms.update(sums)
    return result


# --- in ---------------------------------------------------------------------------------------------------------------


def _from_ladders(terms: Sequence[tuple], weights: np.ndarray, space: DiscreteSpace) -> DiscreteOperator:
    order = _our_modes(_of_kind(space, Fermion))
    _check_range([mode for term in terms for mode, _ in term], len(order))
    products = [[(int(order[mode]), bool(creates)) for mode, creates in term] for term in terms]
    return FermionOperator(space, products, weights)


def _from_tensors(tensors: dict[tuple, Any], space: DiscreteSpace) -> DiscreteOperator:
    """sum over modes of tensor[p, q, ...] times ladder operators p, q, ...; a pattern says which of them create."""
    order = _our_modes(_of_kind(space, Fermion))
    rows = []
    for pattern, tensor in tensors.items():
        tensor = np.asarray(tensor)
        modes, weights = np.argwhere(tensor), _weights(tensor[tensor != 0])  # (terms, factors), (terms,)
        _check_range(modes, len(order))
        creates = np.broadcast_to(np.array(pattern, bool), modes.shape)
        rows.append(fermion_rows(len(order), order[modes], creates, np.zeros(len(modes), np.int32), weights))
    return from_rows(space, concatenate(len(order), rows), np.ones(1))


def _from_qubits(terms: Sequence[tuple], weights: np.ndarray, space: DiscreteSpace) -> DiscreteOperator:
    _check_qubits(space, "space")
    _check_range([qubit for term in terms for qubit, _ in term], space.size)
    return PauliStrings(space, [" ".join(f"{letter}{qubit}" for qubit, letter in term) for term in terms], weights)


def _from_bosons(terms: Sequence[tuple], weights: np.ndarray, space: DiscreteSpace) -> DiscreteOperator:
    dimensions = _of_kind(space, Fock).local_dimensions
    _check_range([mode for term in terms for mode, _ in term], len(dimensions))
    local = []
    for term, weight in zip(terms, weights, strict=True):
        sites = sorted({mode for mode, _ in term})
        levels = math.prod(dimensions[site] for site in sites)
        _checks.require(levels <= 2**12, "operator", "have products with at most 4096 joint levels of sites", levels)
        factors = [_product(dimensions[site], [c for mode, c in term if mode == site]) for site in sites]
        local.append((sites, weight * reduce(np.kron, factors, np.ones((1, 1)))))
    return LocalOperator(space, local)


def _product(dimension: int, creates: Sequence[int]) -> np.ndarray:
    """Product of the bosonic operators of one site."""
    lower = annihilation_matrix(dimension)
    return reduce(np.matmul, [lower.T if c else lower for c in creates], np.eye(dimension))


def _weights(coefficients: Any) -> np.ndarray:
    try:
        weights = np.array([complex(c) for c in coefficients], complex)
    except TypeError as error:
        raise TypeError(_checks.requirement("operator", "have numbers as coefficients", "symbols")) from error
    _checks.require(bool(np.all(np.isfinite(weights))), "operator", "have finite coefficients", "one that is not")
    return weights if np.any(weights.imag) else weights.real


# --- out --------------------------------------------------------------------------------------------------------------


def _pauli_sums(terms: BitTerms) -> dict[tuple, complex]:
    """Weights of Pauli strings: a row X^flip Z^sign is one, because X Z = -i Y."""
    rows = terms.as_pauli_strings()
    sums = {}
    for flip, _, _, sign, weight in _integers(rows):
        flips, signs = _sites(flip), _sites(sign)
        letters = {**dict.fromkeys(signs, "Z"), **dict.fromkeys(flips, "X"), **dict.fromkeys(_sites(flip & sign), "Y")}
        sums[tuple(sorted(letters.items()))] = _number(weight * (-1j) ** ((flip & sign).bit_count() % 4))
    return sums


def _boson_sums(terms: MatrixTerms) -> dict[tuple, complex]:
    """Weights of products of (b_i^dag)^p b_i^q."""
    sums: dict[tuple, complex] = {}
    for place, matrix in terms.terms.items():
        dimensions = [terms.dimensions[site] for site in place.sites]
        weights = matrix.reshape(2 * dimensions)  # first all rows, then all columns
        for axis, d in enumerate(dimensions):
            weights = _normal_ordered(np.moveaxis(weights, (axis, len(dimensions) + axis), (0, 1)), d)
            weights = np.moveaxis(weights, (0, 1), (axis, len(dimensions) + axis))
        for powers in np.argwhere(weights):
            raised, lowered = np.split(powers, 2)
            factors = [((s, 1),) * p + ((s, 0),) * q for s, p, q in zip(place.sites, raised, lowered, strict=True)]
            product = tuple(itertools.chain(*factors))
            sums[product] = sums.get(product, 0.0) + _number(weights[tuple(powers)].item())
    return sums


def _normal_ordered(matrix: np.ndarray, d: int) -> np.ndarray:
    """Coefficients c_pq of (b^dag)^p b^q of a matrix (d, d, ...) between the lowest levels of an oscillator.

    From M_mn = sum over k of c_(m-k)(n-k) sqrt(m! n!) / k!, with (-1)^k / k! in the inverse. What is left of a
    cancellation is zero.
    """
    root = np.sqrt(scipy.special.factorial(np.arange(d)))
    scaled = matrix / np.expand_dims(np.outer(root, root), tuple(range(2, matrix.ndim)))
    found, size = np.zeros_like(scaled), np.zeros(scaled.shape)
    for k in range(d):
        term = scaled[: d - k, : d - k] / math.factorial(k)
        found[k:, k:] += (-1) ** k * term
        size[k:, k:] += np.abs(term)
    return np.where(np.abs(found) <= _TOLERANCE * size, 0, found)


def _ladder_sums(terms: BitTerms, order: np.ndarray) -> dict[tuple, complex]:
    """Weights of normal ordered products."""
    parts: dict[tuple[int, int], list[complex]] = {}
    for row in _integers(terms):
        for created, destroyed, weight in _ladder_parts(*row):
            parts.setdefault((created, destroyed), []).append(weight)
    theirs = {int(mode): number for number, mode in enumerate(order)}
    sums = {}
    for (created, destroyed), weights in parts.items():
        total = sum(weights)
        if abs(total) <= _TOLERANCE * max(map(abs, weights)):
            continue
        factors = [(mode, 1) for mode in sorted(_sites(created), key=theirs.__getitem__, reverse=True)]
        factors += [(mode, 0) for mode in sorted(_sites(destroyed), key=theirs.__getitem__, reverse=True)]
        number = tuple((theirs[mode], creates) for mode, creates in factors)
        sums[number] = _number(total * _sign([mode for mode, _ in factors], destroyed))
    return sums


def _ladder_parts(flip: int, need: int, value: int, sign: int, weight: complex) -> Iterator[tuple[int, int, complex]]:
    """Products of ladder operators that a row is the sum of: modes created, modes destroyed, weight.

    The modes are bits, an occupation number is both, and the weight is for a product that has the sign +1 where all
    other modes are empty. A flip of a mode of any occupation is a creation or an annihilation. Creation and
    annihilation have signs of their own, on the modes `string`; where the row does not have them, or has others, the
    difference is a factor 1 - 2 n for each mode. A mode that has to be empty is a factor 1 - n.
    """
    string = reduce(lambda mask, mode: mask ^ ((1 << mode) - 1), _sites(flip), 0)
    either = flip & ~need
    extra = (sign ^ string) & ~need & ~flip
    optional = extra | (need & ~value & ~flip)
    split = _sites(either | optional)
    must = f"be made of products of few ladder operators: a term may be a sum of 2^{_MAX_SPLIT} of them"
    _checks.require(len(split) <= _MAX_SPLIT, "operator", must, f"one of 2^{len(split)}")
    for choice in itertools.product((0, 1), repeat=len(split)):
        chosen = sum(bit << mode for bit, mode in zip(choice, split, strict=True))
        negative = (sign & chosen & either).bit_count() + (chosen & optional).bit_count()
        negative += (string & chosen & optional).bit_count()
        factor = (-1) ** negative * 2 ** (extra & chosen).bit_count()
        destroyed = value | chosen
        yield (flip ^ destroyed), destroyed, weight * factor


def _sign(modes: Sequence[int], occupied: int) -> int:
    """The sign that ladder operators of `modes`, the last of which acts first, get from the modes before them."""
    sign = 1
    for mode in reversed(modes):
        before = occupied & ((1 << mode) - 1)
        sign *= (-1) ** before.bit_count()
        occupied ^= 1 << mode
    return sign


def _integers(terms: BitTerms) -> Iterator[tuple[int, int, int, int, complex]]:
    """Masks of every row as integers whose bit i is site i, and its weight."""
    words: Any = [terms.masks[:, :, w].astype(object) << (WORD * w) for w in range(terms.masks.shape[2])]
    return zip(*sum(words), terms.weight.tolist(), strict=True)


def _sites(mask: int) -> list[int]:
    return [site for site in range(mask.bit_length()) if (mask >> site) & 1]


def _number(weight: complex) -> complex:
    return weight.real if weight.imag == 0 else weight


# --- spaces and modes -------------------------------------------------------------------------------------------------


def _our_modes(space: DiscreteSpace) -> np.ndarray:
    """For each mode of OpenFermion the site that holds it."""
    fermions = _inner(space)
    assert isinstance(fermions, Fermion)
    orbital, component = np.divmod(np.arange(fermions.size), fermions.n_components)
    return component * fermions.n_orbitals + orbital


def _inner(space: DiscreteSpace) -> DiscreteSpace:
    """The space without its constraints."""
    return _inner(space.space) if isinstance(space, Constrained) else space


def _of_kind(space: DiscreteSpace, kind: type) -> DiscreteSpace:
    if not isinstance(_inner(space), kind):
        raise TypeError(_checks.requirement("space", f"be a {kind.__name__} for this operator", space))
    return space


def _check_qubits(space: DiscreteSpace, name: str) -> None:
    if space.fermions or any(d != 2 for d in space.local_dimensions):
        must = "have two levels on each site, and no fermions next to others" if name == "operator" else "be of qubits"
        raise TypeError(_checks.requirement(name, must, space))


def _check_range(modes: Any, n_modes: int) -> None:
    most = int(np.max(np.asarray(modes, int), initial=0))
    _checks.require(most < n_modes, "operator", f"act on modes below {n_modes}, as many as the space has", most)
