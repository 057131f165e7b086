# SPDX-License-Identifier: Apache-2.0
"""Matrices of an irreducible representation, from its character.

Among the functions on the group the translates of the character span a space V x V^*, on which the group acts from the
left on V alone, and from the right on V^* alone. A random Hermitian element that acts from the right has d different
eigenvalues there; the character is a sum of one eigenvector of each, so that d steps of Lanczos' iteration find one.
What the group makes of this function from the left is a copy of V.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np

from manybody.symmetry.words import Layer

ATTEMPTS = 20
"""Random elements that are tried; one fails only if it has nearly equal eigenvalues."""
SEPARATION = 1e-3
"""Smallest distance of different eigenvalues, relative to the largest, so that digits are not lost."""
NOISE = 1e-10
"""What is smaller, relative to the rest, is zero."""


@runtime_checkable
class Group(Protocol):
    """What is read of a group here; see `manybody.symmetry.FiniteGroup`."""

    @property
    def order(self) -> int: ...
    @property
    def inverse(self) -> np.ndarray: ...
    @property
    def generators(self) -> np.ndarray: ...
    @property
    def words(self) -> tuple[Layer, ...]: ...

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
        function = _eigenfunction(_random_element(group, d, is_real, rng), character.conj(), d)
        basis = None if function is None else _copy_of_v(group, function, d, rng)
        if basis is not None:
            return _left_action(group, basis)
    raise RuntimeError(f"No basis found in {ATTEMPTS} attempts: this is no irreducible character.")


def _random_element(
    group: Group, d: int, is_real: bool, rng: np.random.Generator
) -> Callable[[np.ndarray], np.ndarray]:
    """A Hermitian sum of some elements and their inverses, acting on functions (order,) from the right."""
    elements = rng.integers(group.order, size=2 * d + 2)
    weights = rng.normal(size=len(elements)) + (0 if is_real else 1j * rng.normal(size=len(elements)))
    every = np.arange(group.order)[:, None]
    there, back = group.multiply(every, elements), group.multiply(every, group.inverse[elements])  # (order, elements)
    return lambda function: function[there] @ weights + function[back] @ weights.conj()


def _eigenfunction(act: Callable[[np.ndarray], np.ndarray], start: np.ndarray, d: int) -> np.ndarray | None:
    """The eigenvector, among the d that `start` is a sum of, whose eigenvalue is furthest from others."""
    basis = np.zeros((len(start), d), start.dtype)
    basis[:, 0] = start / np.linalg.norm(start)
    for k in range(1, d):
        new = act(basis[:, k - 1])
        size = np.linalg.norm(new)
        for _ in range(2):  # twice is enough to be orthogonal to the last digit
            new = new - basis[:, :k] @ (basis[:, :k].conj().T @ new)
        if np.linalg.norm(new) < SEPARATION * size:
            return None
        basis[:, k] = new / np.linalg.norm(new)
    images = np.stack([act(column) for column in basis.T], axis=1)
    small = basis.conj().T @ images
    values, vectors = np.linalg.eigh((small + small.conj().T) / 2)
    scale = np.abs(values).max()
    gaps = np.diff(values)
    apart = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf))
    best = int(np.argmax(apart))
    closed = np.linalg.norm(images - basis @ small) < NOISE * scale * d
    return basis @ vectors[:, best] if closed and apart[best] > SEPARATION * scale else None


def _copy_of_v(group: Group, function: np.ndarray, d: int, rng: np.random.Generator) -> np.ndarray | None:
    """Orthonormal functions (order, d) that span the left translates of a function."""
    some = np.append(0, rng.integers(group.order, size=3 * d))
    translates = function[group.multiply(group.inverse[some], np.arange(group.order)[:, None])]  # (order, some)
    sizes, modes = np.linalg.eigh(translates.conj().T @ translates)  # d of them are not zero
    sizes, modes = sizes[::-1], modes[:, ::-1]
    if sizes[d - 1] < SEPARATION * sizes[0] or sizes[d] > NOISE * sizes[0]:
        return None
    basis = translates @ (modes[:, :d] / np.sqrt(sizes[:d]))
    # once more, as digits are lost in squares
    return basis @ np.linalg.inv(np.linalg.cholesky(basis.conj().T @ basis)).conj().T


def _left_action(group: Group, basis: np.ndarray) -> np.ndarray:
    """The matrices of the generators from scalar products, those of all other elements by multiplication."""
    every = np.arange(group.order)
    moved = basis[group.multiply(group.inverse[group.generators][:, None], every)]  # (generators, order, d)
    u, _, v = np.linalg.svd(basis.conj().T @ moved)
    of_generators = u @ v  # unitary to the last digit
    found = np.empty((group.order, *of_generators.shape[1:]), basis.dtype)
    found[0] = np.eye(basis.shape[1])
    for layer in group.words:
        found[layer.elements] = of_generators[layer.generators] @ found[layer.before]
    return found
