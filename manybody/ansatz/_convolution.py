# SPDX-License-Identifier: Apache-2.0
r"""Convolutions over the cells of a torus, by Fourier transforms.

.. math:: y_n = \sum_d x_{n + d}\, W_d

The transforms are products with small matrices: for the hundreds of cells that there are, they are many times faster
than gathering the cells of each window, and differentiate to the same. All is done in real numbers, since products of
complex matrices are slow: what is complex has twice as many rows, first the real parts, then the imaginary parts.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from manybody._struct import FrozenArray, read_only
from manybody._types import Array, Inexact
from manybody.ansatz._cells import closed
from manybody.lattice import Lattice
from manybody.lattice.cluster import Matrix, grid, normal_form, numbers, wrap


@dataclass(frozen=True)
class Convolution:
    """A window that moves over cells.

    Attributes:
        torus: its rows T_k are the periods: the cells n and n + T_k are one.
        cells: where x and y live, shape (cells, dim).
        taps: the displacements d, shape (taps, dim).
    """

    torus: Matrix
    cells: FrozenArray
    taps: FrozenArray

    def __call__(
        self, x: Inexact[Array, "cells batch c_in"], kernel: Inexact[Array, "taps c_in c_out"]
    ) -> Inexact[Array, "cells batch c_out"]:
        """y_n = sum_d x_{n + d} W_d, of x and W both real or both complex."""
        is_complex = jnp.iscomplexobj(x)
        waves = _waves(self, is_complex)
        ends = [waves.n_own, (waves.n_own + len(waves.forward)) // 2]
        x_own, x_re, x_im = jnp.split(_product(waves.forward, _in_real_numbers(x)), ends)
        k_own, k_re, k_im = jnp.split(_product(waves.window, _in_real_numbers(kernel)), ends)
        # x times the complex conjugate of k: fewer, wider products are faster
        pairs = x_re @ jnp.concatenate([k_re, -k_im], axis=2) + x_im @ jnp.concatenate([k_im, k_re], axis=2)
        y = _product(waves.backward, jnp.concatenate([x_own @ k_own, *jnp.split(pairs, 2, axis=2)]))
        return jax.lax.complex(*jnp.split(y, 2)) if is_complex else y


def on_lattice(lattice: Lattice, taps: np.ndarray) -> Convolution:
    """Over the cells of a lattice with a window (taps, dim), which sees nothing behind open ends.

    Waves live on the lattice closed behind empty cells; as x is only transformed from cells, and y only to cells, these
    are never stored.
    """
    torus = closed(lattice.torus, lattice.periodic, np.abs(taps).max(axis=0))
    return Convolution(torus, FrozenArray(grid(lattice.shape)), FrozenArray(taps))


def on_box(shape: tuple[int, ...]) -> Convolution:
    """Over a product of rings with a window of all of it, both in the order of their `grid`."""
    cells = FrozenArray(grid(shape))
    return Convolution(tuple(map(tuple, np.diag(shape).tolist())), cells, cells)


class Waves(NamedTuple):
    """The matrices of the transforms; a row stands for the real or the imaginary part of a wave exp(-i q.n).

    Of real x, half of the waves are enough: first those that are their own opposites q = -q, which are real, then the
    real parts for one of each other pair q, -q, then the imaginary parts. Of complex x the real parts for all waves
    come first, then the imaginary parts; x and W are here real and imaginary parts as well.

    Attributes:
        n_own: rows for which transforms are real.
        forward: of x, shape (waves, cells).
        window: of the complex conjugate of W, shape (waves, taps).
        backward: to y, shape (cells, waves).
    """

    n_own: int
    forward: np.ndarray
    window: np.ndarray
    backward: np.ndarray


@functools.lru_cache(maxsize=64)
def _waves(on: Convolution, is_complex: bool) -> Waves:
    dual = tuple(zip(*on.torus, strict=True))
    momenta = grid(normal_form(dual).shape)  # q.n = 2 pi n T^-1 m, the same for m and m + dual vectors
    turns = momenta @ np.linalg.inv(np.array(on.torus, float)).T
    x, k = (np.exp(-2j * np.pi * (turns @ vectors.array.T % 1)) for vectors in (on.cells, on.taps))
    if is_complex:
        forward = np.block([[x.real, -x.imag], [x.imag, x.real]])
        window = np.block([[k.real, k.imag], [k.imag, -k.real]])
        return Waves(0, *map(read_only, (forward, window, forward.T / len(x))))
    opposite, q = numbers(dual, wrap(dual, -momenta)[0]), np.arange(len(x))
    own, one = q == opposite, q < opposite
    forward, window = (np.concatenate([wave[own].real, wave[one].real, wave[one].imag]) for wave in (x, k))
    counts = np.repeat([1, 2], [own.sum(), 2 * one.sum()])  # a pair counts twice in the sum over all waves
    return Waves(int(own.sum()), *map(read_only, (forward, window, forward.T * counts / len(x))))


def _in_real_numbers(x: Array) -> Array:
    return jnp.concatenate([x.real, x.imag]) if jnp.iscomplexobj(x) else x


def _product(matrix: np.ndarray, x: Array) -> Array:
    """A matrix applied to the first axis."""
    return (jnp.asarray(matrix, x.dtype) @ x.reshape(x.shape[0], -1)).reshape(-1, *x.shape[1:])
