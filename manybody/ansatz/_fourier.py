# SPDX-License-Identifier: Apache-2.0
r"""Convolutions over the cells of a lattice, by Fourier transforms.

.. math:: y_n = \sum_d x_{n + d}\, W_d

The transforms are products with small matrices: for the hundreds of cells that there are, they are many times faster
than gathering the cells of each window, and differentiate to the same. Waves live on the torus, closed behind empty
cells where an axis is open; as x is only transformed from cells, and y only to cells, these are never stored.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from manybody._struct import FrozenArray, read_only
from manybody._types import Array, Inexact
from manybody.ansatz._cells import closed
from manybody.lattice import Lattice
from manybody.lattice.cluster import Matrix, grid, normal_form, numbers, wrap


class Convolution(NamedTuple):
    """The matrices of the transforms; rows stand for real waves, in the order of `real_waves`.

    Attributes:
        n_own: waves that are their own opposites.
        forward: of x, shape (waves, cells).
        backward: to y, shape (cells, waves).
        window: of W, shape (waves, taps).
    """

    n_own: int
    forward: np.ndarray
    backward: np.ndarray
    window: np.ndarray

    def __call__(
        self, x: Inexact[Array, "cells batch c_in"], kernel: Inexact[Array, "taps c_in c_out"]
    ) -> Inexact[Array, "cells batch c_out"]:
        """y_n = sum_d x_{n + d} W_d."""
        ends = [self.n_own, (self.n_own + len(self.forward)) // 2]
        x_own, x_re, x_im = jnp.split(_product(self.forward, x), ends)
        k_own, k_re, k_im = jnp.split(_product(self.window, kernel), ends)
        # x times the complex conjugate of k, as one product of matrices that are twice as large
        pairs = jnp.concatenate([x_re, x_im], axis=2) @ jnp.block([[k_re, -k_im], [k_im, k_re]])
        return _product(self.backward, jnp.concatenate([x_own @ k_own, *jnp.split(pairs, 2, axis=2)]))


@functools.lru_cache(maxsize=64)
def convolution(lattice: Lattice, displacements: FrozenArray) -> Convolution:
    """The convolution with a window of `displacements` (taps, dim)."""
    taps = displacements.array
    torus = closed(lattice.torus, lattice.periodic, np.abs(taps).max(axis=0))
    n_own, forward, weights = real_waves(torus, grid(lattice.shape))
    backward = (weights[:, None] * forward).T
    return Convolution(n_own, read_only(forward), read_only(backward), read_only(real_waves(torus, taps)[1]))


def real_waves(torus: Matrix, cells: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """The number of waves with q = -q; all waves at the cells (waves, cells); and their weights in the inverse.

    They are the real waves exp(-i q.n) with q = -q, then the real parts for one of each other pair q, -q, then the
    imaginary parts. The inverse transform is the transposed one, with these weights.
    """
    dual = tuple(zip(*torus, strict=True))
    shape = normal_form(dual).shape
    momenta = grid(shape)  # q.n = 2 pi n T^-1 m, the same for m and m + dual vectors
    turns = cells @ np.linalg.inv(np.array(torus, float)) @ momenta.T
    waves = np.exp(-2j * np.pi * (turns % 1)).T
    opposite, q = numbers(dual, wrap(dual, -momenta)[0]), np.arange(len(momenta))
    own, paired = waves[q == opposite].real, waves[q < opposite]
    weights = np.concatenate([np.ones(len(own)), np.full(2 * len(paired), 2.0)]) / len(q)
    return len(own), np.concatenate([own, paired.real, paired.imag]), weights


def _product(matrix: np.ndarray, x: Array) -> Array:
    """A matrix applied to the first axis."""
    return (jnp.asarray(matrix, x.dtype) @ x.reshape(x.shape[0], -1)).reshape(-1, *x.shape[1:])
