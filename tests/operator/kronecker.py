# SPDX-License-Identifier: Apache-2.0
"""Operators once more, without the library: Kronecker products, and term by term for one configuration."""

import functools
import itertools
import math

import numpy as np

from manybody.hilbert import DiscreteSpace

Term = tuple[tuple[int, ...], np.ndarray]


def dense(dimensions: tuple[int, ...], terms: list[Term]) -> np.ndarray:
    """Sum of matrices on some sites, each entry a Kronecker product of |a><b| on its sites and 1 on the others."""
    size = math.prod(dimensions)
    total = np.zeros((size, size), complex)
    for sites, matrix in terms:
        levels = list(itertools.product(*(range(dimensions[s]) for s in sites)))
        for row, column in np.argwhere(matrix):
            factors = [np.eye(d) for d in dimensions]
            for site, a, b in zip(sites, levels[row], levels[column], strict=True):
                factors[site] = np.zeros((dimensions[site], dimensions[site]))
                factors[site][a, b] = 1.0
            total += matrix[row, column] * functools.reduce(np.kron, factors, np.ones((1, 1)))
    return total


def legal(space: DiscreteSpace) -> np.ndarray:
    """Numbers, among all choices of levels, of those that the sectors of the space allow."""
    levels = np.array(list(itertools.product(*map(range, space.local_dimensions))))
    allowed = [np.all([row[list(s.sites)].sum() == s.total for s in space.sectors]) for row in levels]
    return np.flatnonzero(allowed)


def projected(space: DiscreteSpace, terms: list[Term]) -> np.ndarray:
    """`dense` between the legal configurations of a space."""
    keep = legal(space)
    return dense(space.local_dimensions, terms)[np.ix_(keep, keep)]


def leads_out(space: DiscreteSpace, terms: list[Term]) -> bool:
    """Whether the operator leads from the sector to configurations outside."""
    keep = legal(space)
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
