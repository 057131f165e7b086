# SPDX-License-Identifier: Apache-2.0
r"""Convolutions over a finite group, by Fourier transforms over its commuting part.

Let T be a normal subgroup whose elements commute: a product of cyclic groups, whose elements t(n) form a grid. With one
element r of each coset, every element of the group is some r t(n)^-1. What lives on the group is stored as
x[n, batch, r], so that

.. math:: y(g) = \sum_k V(k g^{-1})\, x(k) \quad\text{becomes}\quad
    y_r[n] = \sum_{s, r'} V(r' t(s)^{-1} r^{-1})\, x_{r'}[n + s] :

sums over a grid, which are products of Fourier transforms. Without such a subgroup, T is the identity and all is one
matrix product. So few points are transformed fastest by multiplying with the matrix of the transform.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from manybody._types import Array, Inexact
from manybody.symmetry import FiniteGroup

WORTHWHILE = 6
"""Fewer grid points than this are not worth a transform."""


class Grid(NamedTuple):
    """How the elements of a group are stored.

    Attributes:
        shape: lengths of the cyclic groups.
        elements: the element r t(n)^-1, shape (points, cosets).
        differences: r' t(s)^-1 r^-1, the element whose weight leads from r' to r, shape (points, cosets, cosets).
    """

    shape: tuple[int, ...]
    elements: np.ndarray
    differences: np.ndarray


@functools.lru_cache(maxsize=64)
def grid(group: FiniteGroup, mode: str) -> Grid:
    """By mode: "matrix" for T the identity, "fft" for the largest one found, "auto" for that if it is worthwhile."""
    own = np.array([0]) if mode == "matrix" else commuting_subgroup(group)
    if mode == "auto" and len(own) < WORTHWHILE:
        own = np.array([0])
    shape, points = cyclic_factors(group, own)
    back = group.inverse[points]
    first = np.sort(group.cosets(own.tolist())[:, 0])
    elements = group.multiply(first[None, :], back[:, None])
    differences = group.multiply(elements[:, :, None], group.inverse[first])
    return Grid(shape, elements, differences)


def commuting_subgroup(group: FiniteGroup) -> np.ndarray:
    """The largest normal subgroup found whose elements commute, ascending.

    Starting from each conjugacy class, others are added as long as all commute: on a lattice this finds translations.
    """
    if group.is_abelian:
        return np.arange(group.order)
    commute = group.product_table == group.product_table.T
    classes = [np.flatnonzero(group.classes.of == c) for c in range(group.n_irreps)]
    classes = [own for own in classes if commute[own[0], own].all()]  # so do their conjugates
    best, tried = np.array([0]), np.zeros(group.order, bool)
    for start in classes:
        if tried[start[0]]:
            continue
        inside = np.zeros(group.order, bool)
        inside[start] = True
        for own in classes:
            if commute[own[0], inside].all():
                inside[own] = True
        tried |= inside
        if inside.sum() > len(best):
            best = np.flatnonzero(inside)
    return best


def cyclic_factors(group: FiniteGroup, own: np.ndarray) -> tuple[tuple[int, ...], np.ndarray]:
    """Lengths of cyclic groups whose product is a commuting subgroup, and its elements in the order of their grid.

    The next generator is the longest of those whose powers meet what is there in the identity only; there is always one
    (the theorem of finite abelian groups).
    """
    shape: list[int] = []
    points = np.array([0])
    while len(points) < len(own):
        inside = np.zeros(group.order, bool)
        inside[points] = True
        lengths, power = np.zeros(len(own), int), own
        for k in range(1, group.exponent + 1):
            lengths = np.where((lengths == 0) & inside[power], k, lengths)
            power = group.multiply(power, own)
        free = np.where(lengths == group.element_orders[own], lengths, 0)
        generator = own[np.argmax(free)]
        powers = [np.array(0)]
        for _ in range(int(free.max()) - 1):
            powers.append(group.multiply(powers[-1], generator))
        shape.append(len(powers))
        points = group.multiply(points[:, None], np.array(powers)).ravel()
    return tuple(shape), points


def convolve(
    x: Inexact[Array, "points batch c_in"], kernel: Inexact[Array, "points c_in c_out"], shape: tuple[int, ...]
) -> Inexact[Array, "points batch c_out"]:
    """y[n] = sum_s x[n + s] kernel[s], with n + s modulo the shape of the grid."""
    if len(x) == 1:
        return x @ kernel
    if jnp.iscomplexobj(x):
        wave = jnp.asarray(_waves(shape), x.dtype)
        return _along(wave.conj().T / len(x), _along(wave, x) @ _along(wave.conj(), kernel))
    # Of a real function half of the transform is enough; in real numbers, since products of complex matrices are slow.
    n_own, *tables = _real_waves(shape)
    forward, backward = (jnp.asarray(table, x.dtype) for table in tables)
    ends = [n_own, (n_own + len(x)) // 2]
    (x_own, x_re, x_im), (k_own, k_re, k_im) = (jnp.split(_along(forward, array), ends) for array in (x, kernel))
    y = [x_own @ k_own, x_re @ k_re + x_im @ k_im, x_im @ k_re - x_re @ k_im]
    return _along(backward, jnp.concatenate(y))


def _along(matrix: Array, x: Array) -> Array:
    """A matrix applied to the first axis."""
    return (matrix @ x.reshape(x.shape[0], -1)).reshape(-1, *x.shape[1:])


@functools.lru_cache(maxsize=64)
def _waves(shape: tuple[int, ...]) -> np.ndarray:
    """exp(-i q.n) for all waves q and points n, (points, points)."""
    index = np.indices(shape).reshape(len(shape), -1)  # (axes, points)
    turns = np.einsum("aq,an->qn", index / np.array(shape)[:, None], index)
    return np.exp(-2j * np.pi * (turns % 1))


@functools.lru_cache(maxsize=64)
def _real_waves(shape: tuple[int, ...]) -> tuple[int, np.ndarray, np.ndarray]:
    """How many waves are their own opposites q = -q; the transform (points, points); and the one back.

    Its rows are the transforms with these waves, which are real, then the real parts for one of each other pair q, -q,
    then the imaginary parts.
    """
    index = np.indices(shape).reshape(len(shape), -1)
    opposite = np.ravel_multi_index(tuple(-index % np.array(shape)[:, None]), shape)
    q = np.arange(len(opposite))
    own, paired = _waves(shape)[q == opposite].real, _waves(shape)[q < opposite]
    rows = np.concatenate([own, paired.real, paired.imag])
    weights = np.concatenate([np.ones(len(own)), np.full(2 * len(paired), 2.0)])
    return len(own), rows, (weights[:, None] * rows).T / len(q)
