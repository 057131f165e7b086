# SPDX-License-Identifier: Apache-2.0
"""Operators once more, in a few lines that share nothing with the library: matrices, and single rows."""

import itertools
import math

import numpy as np

from manybody.hilbert import DiscreteSpace
from manybody.operator import DiscreteOperator
from manybody.operator.bits import BitTerms
from manybody.operator.matrices import Place

Term = tuple[tuple[int, ...], np.ndarray]


def all_levels(dimensions: tuple[int, ...]) -> np.ndarray:
    """All choices of levels (states, sites), first site most significant."""
    return np.array(list(itertools.product(*map(range, dimensions))), int).reshape(math.prod(dimensions), -1)


def dense(dimensions: tuple[int, ...], terms: list[Term]) -> np.ndarray:
    """Sum of matrices on some sites: one level after the other is put on the sites of all states."""
    states = all_levels(dimensions)
    place = np.array([math.prod(dimensions[i + 1 :]) for i in range(len(dimensions))])
    total = np.zeros((len(states), len(states)), complex)
    for sites, matrix in terms:
        joint = all_levels(tuple(dimensions[s] for s in sites))
        column = [joint.tolist().index(levels) for levels in states[:, list(sites)].tolist()]
        for row, levels in enumerate(joint):
            target = states.copy()
            target[:, list(sites)] = levels
            total[target @ place, np.arange(len(states))] += matrix[row, column]
    return total


def dense_of(operator: DiscreteOperator) -> np.ndarray:
    """The matrix of an operator from its terms, as they are defined and without compiling anything."""
    terms, couplings = operator.terms, np.asarray(operator.couplings)
    dimensions = operator.space.local_dimensions
    if isinstance(terms, BitTerms):
        total = np.zeros((2 ** len(dimensions),) * 2, complex)
        states = all_levels(dimensions)
        place = 2 ** np.arange(len(dimensions))[::-1]
        masks = (
            terms.masks[:, :, :1] >> np.arange(len(dimensions), dtype=np.uint32)
        ) & 1  # of one word: (4, rows, sites)
        for flip, need, value, sign, c, weight in zip(*masks, terms.coupling, terms.weight, strict=True):
            legal = np.all((states & need) == value, axis=1)
            element = weight * couplings[c] * (-1.0) ** (states & sign).sum(axis=1)
            np.add.at(total, ((states ^ flip) @ place, states @ place), np.where(legal, element, 0))
    else:
        signed = [((*p.sites, *p.string), couplings[p.coupling] * with_signs(m, p)) for p, m in terms.terms.items()]
        total = dense(dimensions, signed)
    keep = legal_states(operator.space)
    return total[np.ix_(keep, keep)]


def with_signs(matrix: np.ndarray, place: Place) -> np.ndarray:
    """A matrix times Pauli Z on the sites of a string."""
    for _ in place.string:
        matrix = np.kron(matrix, np.diag([1.0, -1.0]))
    return matrix


def legal_states(space: DiscreteSpace) -> np.ndarray:
    """Numbers, among all choices of levels, of those that the sectors of the space allow."""
    levels = all_levels(space.local_dimensions)
    allowed = [np.all([row[list(s.sites)].sum() == s.total for s in space.sectors]) for row in levels]
    return np.flatnonzero(allowed)


def projected(space: DiscreteSpace, terms: list[Term]) -> np.ndarray:
    """`dense` between the legal configurations of a space."""
    keep = legal_states(space)
    return dense(space.local_dimensions, terms)[np.ix_(keep, keep)]


def leads_out(space: DiscreteSpace, terms: list[Term]) -> bool:
    """Whether the operator leads from the sector to configurations outside."""
    keep = legal_states(space)
    away = np.delete(dense(space.local_dimensions, terms)[:, keep], keep, axis=0)
    return bool(np.any(np.abs(away) > 1e-10))


def row_of(dimensions: tuple[int, ...], terms: list[Term], levels: tuple[int, ...]) -> dict[tuple[int, ...], complex]:
    """The non-zero elements <levels|O|other levels>."""
    row: dict[tuple[int, ...], complex] = {}
    for sites, matrix in terms:
        joint = list(itertools.product(*(range(dimensions[s]) for s in sites)))
        entries = matrix[joint.index(tuple(levels[s] for s in sites))]
        for column in np.flatnonzero(entries):
            target = list(levels)
            for site, level in zip(sites, joint[column], strict=True):
                target[site] = level
            row[tuple(target)] = row.get(tuple(target), 0.0) + entries[column]
    return {target: element for target, element in row.items() if abs(element) > 1e-13}


def random_matrix(rng: np.random.Generator, size: int, kind: str) -> np.ndarray:
    """A random matrix: dense, with few entries, or diagonal, with small integers so that cancellations happen."""
    matrix = rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size))
    if kind == "few":
        return matrix * (rng.random(matrix.shape) < 2 / size)
    if kind == "diagonal":
        return np.diag(rng.integers(-2, 3, size)).astype(float)
    return matrix.real if kind == "real" else matrix


def conserving(dimensions: tuple[int, ...], sites: tuple[int, ...], matrix: np.ndarray) -> np.ndarray:
    """The part of a matrix that keeps the sum of the levels."""
    charge = np.array([sum(c) for c in itertools.product(*(range(dimensions[s]) for s in sites))])
    return np.where(charge[:, None] == charge[None, :], matrix, 0.0)
