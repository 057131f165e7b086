# SPDX-License-Identifier: Apache-2.0
"""Fermions once more: matrices of creation and annihilation operators as Kronecker products."""

import functools

import numpy as np

Z = np.diag([1.0, -1.0])
LOWER = np.array([[0.0, 1.0], [0.0, 0.0]])
PAULI = {"I": np.eye(2), "X": LOWER + LOWER.T, "Y": -1j * LOWER + 1j * LOWER.T, "Z": Z}


def annihilation(mode: int, n_modes: int) -> np.ndarray:
    """c of one mode: signs of the modes before it."""
    return functools.reduce(np.kron, [Z] * mode + [LOWER] + [np.eye(2)] * (n_modes - mode - 1))


def product(factors: list[tuple[int, bool]], n_modes: int) -> np.ndarray:
    """Product of operators (mode, creates), the last acts first."""
    matrices = [annihilation(mode, n_modes) for mode, _ in factors]
    chosen = [m.T if creates else m for m, (_, creates) in zip(matrices, factors, strict=True)]
    return functools.reduce(np.matmul, chosen, np.eye(2**n_modes))


def pauli(string: str) -> np.ndarray:
    """Kronecker product of Pauli matrices."""
    return functools.reduce(np.kron, [PAULI[letter] for letter in string])
