# SPDX-License-Identifier: Apache-2.0
"""Matrices of an irreducible representation, from its character.

Among the functions on the group phi_x(h) = d / |G| chi(h x^-1)^* span a space V x V^*, on which the group acts from the
left on V alone and from the right on V^* alone. The eigenspaces of a random Hermitian element that acts from the right
are therefore copies of V, and in the basis of one of them the left action is the representation. All scalar products
are characters: <phi_x, a phi_y> = d / |G| chi(x^-1 a y).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

ATTEMPTS = 10
"""Random elements that are tried; one fails only if it has nearly equal eigenvalues."""
SEPARATION = 1e-3
"""Smallest distance of different eigenvalues, relative to the largest, so that digits are not lost."""


class Group(Protocol):
    """What is read of a group here; see `manybody.symmetry.FiniteGroup`."""

    @property
    def order(self) -> int: ...
    @property
    def inverse(self) -> np.ndarray: ...
    @property
    def generators(self) -> np.ndarray: ...

    def multiply(self, a: np.ndarray, b: np.ndarray) -> np.ndarray: ...


def matrices(group: Group, character: np.ndarray) -> np.ndarray:
    """Unitary matrices (order, d, d) with this irreducible character (order,); real if the representation can be."""
    d = round(float(character[0].real))
    every = np.arange(group.order)
    is_real = bool(np.all(character.imag == 0)) and character[group.multiply(every, every)].real.sum() > 0
    character = character.real if is_real else character
    if d == 1:
        return character.reshape(-1, 1, 1).copy()
    rng = np.random.default_rng(0)
    for _ in range(ATTEMPTS):
        basis = _copy_of_v(group, character, d, rng)
        if basis is not None:
            x, coefficients = basis
            return _left_action(group, character, d, x, coefficients)
    raise RuntimeError(f"No basis found in {ATTEMPTS} attempts: this is no irreducible character.")


def _copy_of_v(
    group: Group, character: np.ndarray, d: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """Elements x and coefficients (x, d) of orthonormal combinations of the phi_x that span a copy of V."""
    x = rng.permutation(group.order)[: 3 * d * d]
    left = group.multiply(group.inverse[x][:, None], np.arange(group.order)[None, :])  # x^-1 h, (x, order)
    gram = character[left[:, x]] * d / group.order
    sizes, modes = np.linalg.eigh(gram)
    if sizes[-d * d] < SEPARATION * sizes[-1]:  # the x do not span all of V x V^*
        return None
    orthonormal = modes[:, -d * d :] / np.sqrt(sizes[-d * d :])
    element = np.zeros_like(gram)  # <phi_x, phi_y r> for a random Hermitian r; phi_y z is phi_{y z}
    for z in rng.integers(group.order, size=2 * d + 2):
        weight = rng.normal() + (0 if np.isrealobj(gram) else 1j * rng.normal())
        element += weight * character[left[:, group.multiply(x, z)]]
    element += element.conj().T
    values, vectors = np.linalg.eigh(orthonormal.conj().T @ element @ orthonormal)
    # d different eigenvalues, d times each: take the one that is furthest from its neighbours
    levels = values.reshape(d, d)
    width = np.ptp(levels, axis=1).max()
    gaps = np.diff(levels.mean(axis=1))
    apart = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf))
    best = int(np.argmax(np.where(np.isinf(apart), 0, apart))) if d > 2 else 0
    scale = np.abs(values).max()
    if width > 1e-9 * scale or apart[best] < SEPARATION * scale:
        return None
    return x, orthonormal @ vectors[:, best * d : (best + 1) * d]


def _left_action(group: Group, character: np.ndarray, d: int, x: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """The matrices of the generators from scalar products, those of all other elements by multiplication."""
    generators = group.generators
    moved = group.multiply(group.inverse[x][:, None], group.multiply(generators[:, None, None], x))
    products = character[moved] * d / group.order  # <phi_x, a phi_y>, (generators, x, x)
    u, _, v = np.linalg.svd(coefficients.conj().T @ products @ coefficients)
    of_generators = u @ v  # unitary to the last digit
    found = np.empty((group.order, d, d), coefficients.dtype)
    found[0] = np.eye(d)
    known, new = np.zeros(group.order, bool), np.array([0])
    known[0] = True
    while len(new):
        reached, first = np.unique(group.multiply(generators[:, None], new[None, :]), return_index=True)
        reached, first = reached[~known[reached]], first[~known[reached]]
        generator, before = np.divmod(first, len(new))
        found[reached] = of_generators[generator] @ found[new[before]]
        known[reached] = True
        new = reached
    return found
