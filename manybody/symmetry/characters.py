# SPDX-License-Identifier: Apache-2.0
"""Character tables, found exactly.

The class sums commute, and their joint eigenvalues are |C| chi(C) / d. They are found in a finite field of p elements
that has the roots of unity of the group (W. Burnside; J. D. Dixon, Numerische Mathematik 10, 446 (1967)). From there
each character is lifted to a sum of roots of unity with integer coefficients: how often each is an eigenvalue of the
element, between 0 and d times and d times in all. So a mistake would not be a small error, it would be no table.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol, SupportsInt, runtime_checkable

import numpy as np

ATTEMPTS = 40
"""Random class sums that are tried until one has only different eigenvalues, which about half of them have."""


@runtime_checkable
class Classes(Protocol):
    """Conjugacy classes; see `manybody.symmetry.group.Classes`."""

    @property
    def of(self) -> np.ndarray: ...

    @property
    def representatives(self) -> np.ndarray: ...

    @property
    def sizes(self) -> np.ndarray: ...


@runtime_checkable
class Group(Protocol):
    """What is read of a group here; see `manybody.symmetry.FiniteGroup`."""

    @property
    def order(self) -> int: ...
    @property
    def exponent(self) -> int: ...
    @property
    def is_abelian(self) -> bool: ...
    @property
    def generators(self) -> np.ndarray: ...
    @property
    def inverse(self) -> np.ndarray: ...
    @property
    def element_orders(self) -> np.ndarray: ...
    @property
    def classes(self) -> Classes: ...

    def multiply(self, a: np.ndarray, b: np.ndarray) -> np.ndarray: ...


class Field(NamedTuple):
    """The integers modulo a prime `p`, among which `root` is a primitive root of unity of order `order`."""

    p: int
    root: int
    order: int

    def inverse(self, x: SupportsInt) -> int:
        return pow(int(x), -1, self.p)

    def roots(self, order: int) -> np.ndarray:
        """The powers 0, ..., order - 1 of a primitive root of unity of an order that divides `self.order`."""
        step = pow(self.root, self.order // order, self.p)
        return np.array([pow(step, k, self.p) for k in range(order)])


def character_table(group: Group) -> np.ndarray:
    """Irreducible characters by rows, classes by columns, (n_irreps, n_classes): see `FiniteGroup.character_table`."""
    table = _abelian(group) if group.is_abelian else _dixon(group)
    digits = np.round(table, 9)
    keys = [key for column in digits.T[::-1] for key in (-column.imag, -column.real)]
    return table[np.lexsort((*keys, digits[:, 0].real))]


def roots_of_unity(order: int) -> np.ndarray:
    """exp(2 pi i k / order) for k = 0, ..., order - 1; those with rational parts exactly."""
    return np.round(np.exp(2j * np.pi * np.arange(order) / order), 15)


# --- abelian groups ---------------------------------------------------------------------------------------------------


def _abelian(group: Group) -> np.ndarray:
    """Characters of a subgroup are extended one generator g at a time.

    If g^m is the first power in the subgroup, chi(g) may be any m-th root of chi(g^m). Characters are kept as exponents
    of one root of unity: integers.
    """
    order = group.exponent
    elements, exponents = np.array([0]), np.zeros((1, 1), int)  # exponents: (characters, elements)
    for g in group.generators:
        powers = [np.array(0)]
        while True:
            power = group.multiply(g, powers[-1])
            if power in elements:
                break
            powers.append(power)
        m = len(powers)
        reached = exponents[:, np.flatnonzero(elements == power)[0]]  # of chi(g^m)
        of_g = (reached[None, :] + order * np.arange(m)[:, None]) // m  # (m, characters)
        values = of_g[:, :, None, None] * np.arange(m)[:, None] + exponents[None, :, None, :]
        elements = group.multiply(np.array(powers)[:, None], elements[None, :]).ravel()
        exponents = values.reshape(m * len(exponents), -1) % order
    return roots_of_unity(order)[exponents[:, np.argsort(elements)]]


# --- all groups -------------------------------------------------------------------------------------------------------


def _dixon(group: Group) -> np.ndarray:
    sizes = group.classes.sizes
    field = _field(group.exponent, above=max(group.order, 2 * len(sizes) ** 2))
    values = _joint_eigenvalues(group, field)  # omega = |C| chi(C) / d, (irreps, classes)
    inverse_sizes = np.array([field.inverse(size) for size in sizes])
    opposite = group.classes.of[group.inverse[group.classes.representatives]]
    # orthogonality: sum over C of omega(C) omega(C^-1) / |C| = order / d^2
    norms = (values * values[:, opposite] % field.p * inverse_sizes % field.p).sum(1) % field.p
    squares = {d * d % field.p: d for d in range(1, math.isqrt(group.order) + 1) if group.order % d == 0}
    dimensions = np.array([squares[group.order * field.inverse(norm) % field.p] for norm in norms])
    if (dimensions**2).sum() != group.order:
        raise RuntimeError("The squares of the dimensions do not add up to the order: these products are no group's.")
    return _lifted(group, dimensions[:, None] * values % field.p * inverse_sizes % field.p, dimensions, field)


def _joint_eigenvalues(group: Group, field: Field) -> np.ndarray:
    """Eigenvalues of all class sums (irreps, classes), in the field.

    They are the eigenvectors of multiplication by a random sum of class sums, all of which are in the field. From the
    powers of that matrix A applied to a vector u come its characteristic polynomial, and for each root of that the
    eigenvector, by what is left of the polynomial if the root is taken out.
    """
    rng = np.random.default_rng(0)
    n = len(group.classes.sizes)
    for _ in range(ATTEMPTS):
        matrix = _multiplication(group, rng.integers(field.p, size=n)) % field.p
        krylov = [rng.integers(field.p, size=n)]
        for _ in range(n):
            krylov.append(matrix @ krylov[-1] % field.p)
        powers = np.stack(krylov[:-1], axis=1)  # column k: A^k u
        found = _solve(powers, krylov[-1], field)
        if found is not None:  # then the powers are independent, and all eigenvalues different
            break
    else:
        raise RuntimeError(f"No class sum with different eigenvalues found in {ATTEMPTS} attempts.")
    roots = _roots(found, field)
    quotients = np.ones((len(roots), n), np.int64)  # column k: coefficient of x^k of the polynomial without one root
    for k in range(n - 1, 0, -1):
        quotients[:, k - 1] = (quotients[:, k] * roots - found[k]) % field.p
    vectors = quotients @ powers.T % field.p
    scale = np.array([field.inverse(x) for x in vectors[:, 0]])  # the class sum of the identity is one
    return vectors * scale[:, None] % field.p


def _multiplication(group: Group, weights: np.ndarray) -> np.ndarray:
    """A with A omega = (sum over C of weights(C) omega(C)) omega for the eigenvalues omega of all class sums."""
    classes = group.classes
    # A[i, k]: over all y in class i, the weights of the classes of those x for which x y is the representative of k
    x = group.multiply(classes.representatives[None, :], group.inverse[:, None])  # (order, classes)
    matrix = np.zeros(2 * (len(weights),), np.int64)
    np.add.at(matrix, classes.of, weights[classes.of[x]])
    return matrix


def _lifted(group: Group, values: np.ndarray, dimensions: np.ndarray, field: Field) -> np.ndarray:
    """Complex characters from those in the field (irreps, classes)."""
    table = np.empty(values.shape, complex)
    for c, g in enumerate(group.classes.representatives):
        order = int(group.element_orders[g])
        power = [0]
        for _ in range(order - 1):
            power.append(int(group.multiply(power[-1], g)))
        k = np.arange(order)
        fourier = field.roots(order)[-np.outer(k, k) % order] * field.inverse(order) % field.p
        multiplicities = values[:, group.classes.of[power]] @ fourier % field.p  # (irreps, eigenvalues)
        if np.any(multiplicities.sum(1) != dimensions):
            raise RuntimeError("Multiplicities do not add up to the dimension: these products are no group's.")
        table[:, c] = multiplicities @ roots_of_unity(order)
        is_real = np.all(multiplicities == multiplicities[:, -k % order], axis=1)
        table[is_real, c] = table[is_real, c].real
    return table


# --- arithmetic in the field ------------------------------------------------------------------------------------------


def _field(order: int, above: int) -> Field:
    """The smallest field of more than `above` elements with primitive roots of unity of this order."""
    p = 1 + order * (above // order + 1)
    while not _is_prime(p):
        p += order
    divisors = [q for q in range(2, order + 1) if order % q == 0 and _is_prime(q)]
    for x in range(2, p):
        root = pow(x, (p - 1) // order, p)
        if all(pow(root, order // q, p) != 1 for q in divisors):
            return Field(p, root, order)
    raise AssertionError("every finite field has a generator")


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % q for q in range(2, math.isqrt(n) + 1))


def _roots(coefficients: np.ndarray, field: Field) -> np.ndarray:
    """The x with x^n = sum over k < n of coefficients[k] x^k, by trying all."""
    x = np.arange(field.p)
    value = np.ones_like(x)
    for coefficient in coefficients[::-1]:
        value = (value * x - coefficient) % field.p
    return np.flatnonzero(value == 0)


def _solve(matrix: np.ndarray, right: np.ndarray, field: Field) -> np.ndarray | None:
    """The solution x of matrix @ x = right, None if the matrix is singular."""
    rows = np.concatenate([matrix, right[:, None]], axis=1)
    for k in range(len(matrix)):
        pivot = k + int(np.argmax(rows[k:, k] != 0))
        if rows[pivot, k] == 0:
            return None
        rows[[k, pivot]] = rows[[pivot, k]]
        rows[k] = rows[k] * field.inverse(rows[k, k]) % field.p
        factors = rows[:, k].copy()
        factors[k] = 0
        rows[:, k:] = (rows[:, k:] - factors[:, None] * rows[k, k:]) % field.p
    return rows[:, -1]
