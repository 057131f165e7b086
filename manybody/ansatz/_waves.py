# SPDX-License-Identifier: Apache-2.0
r"""Convolutions over the cells of a torus by Fourier transforms, as three products of real matrices.

The transforms of x and of W at a wave q are :math:`X_q = \sum_n x_n e^{-iq.n}` and
:math:`U_q = \sum_d e^{iq.d} W_d`, and the transform of :math:`y_n = \sum_d x_{n+d} W_d` is :math:`X_q U_q`. All is done
in real numbers, since products of complex matrices are slow, and in *pairs* of numbers:

* real x needs one of each two opposite waves, which is a pair of real and imaginary part, and the waves that are their
  own opposites, which are real; of the latter two are put into a pair (one is filled up with zeros).
* complex x has twice as many rows, first the real parts, then the imaginary parts; each wave is a pair.

With the features of a pair in a row, a pair is one product with a real matrix of twice the size, and as the batch comes
last, nothing has to be moved between the three products.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from manybody._struct import FrozenArray, read_only
from manybody._types import Array, Inexact
from manybody.lattice.cluster import Matrix, grid, normal_form, numbers, wrap


class Waves(NamedTuple):
    """The matrices of the transforms. Parts of complex numbers are rows of their own: there are twice as many "cells".

    Attributes:
        forward: of x, shape (2 pairs, cells).
        window: of W to the blocks of the matrix of a pair, shape (4 pairs, taps): pair, part of y, part of x.
        backward: to y, shape (cells, 2 pairs).
    """

    forward: np.ndarray
    window: np.ndarray
    backward: np.ndarray


@functools.lru_cache(maxsize=64)
def waves(torus: Matrix, cells: FrozenArray, taps: FrozenArray, is_complex: bool) -> Waves:
    """Of a window of `taps` over `cells`, where cells that differ by the rows of `torus` are one."""
    dual = tuple(zip(*torus, strict=True))
    momenta = grid(normal_form(dual).shape)  # q.n = 2 pi n T^-1 m, the same for m and m + dual vectors
    turns = momenta @ np.linalg.inv(np.array(torus, float)).T
    x, u = (np.exp(sign * 2j * np.pi * (turns @ n.array.T % 1)) for sign, n in ((-1, cells), (1, taps)))
    if is_complex:
        pairs, blocks, counts = _parts(x), _blocks(_parts(u)), np.ones(len(x))
    else:
        opposite, q = numbers(dual, wrap(dual, -momenta)[0]), np.arange(len(x))
        own, one = q == opposite, q < opposite
        two = _by_twos(u[own].real)
        alone = np.stack([two[:, 0], np.zeros_like(two[:, 0]), np.zeros_like(two[:, 0]), two[:, 1]], axis=1)
        pairs = np.concatenate([_by_twos(x[own].real), np.stack([x[one].real, x[one].imag], axis=1)])
        blocks = np.concatenate([alone, _blocks(np.stack([u[one].real, u[one].imag], axis=1))])
        counts = np.repeat([1, 2], [len(alone), one.sum()])  # opposite waves count twice in the sum over all of them
    backward = pairs * (counts / len(x))[:, None, None]
    forward, window, backward = (m.reshape(-1, m.shape[-1]) for m in (pairs, blocks, backward))
    return Waves(read_only(forward), read_only(window), read_only(backward.T))


def by_waves(
    on: Waves, x: Inexact[Array, "cells c_in batch"], kernel: Inexact[Array, "taps c_in c_out"]
) -> Inexact[Array, "cells c_out batch"]:
    """The convolution, of x and W both real or both complex."""
    n_in, n_out = kernel.shape[1:]
    blocks = _product(on.window, _in_real_numbers(kernel)).reshape(-1, 2, 2, n_in, n_out)
    matrices = jnp.transpose(blocks, (0, 1, 4, 2, 3)).reshape(-1, 2 * n_out, 2 * n_in)
    pairs = _product(on.forward, _in_real_numbers(x)).reshape(-1, 2 * n_in, x.shape[2])
    y = _product(on.backward, (matrices @ pairs).reshape(-1, n_out, x.shape[2]))
    return jax.lax.complex(*jnp.split(y, 2)) if jnp.iscomplexobj(x) else y


def _parts(wave: np.ndarray) -> np.ndarray:
    """Real and imaginary part of sums of complex numbers, from their parts: (waves, 2, numbers and numbers)."""
    return np.stack([np.hstack([wave.real, -wave.imag]), np.hstack([wave.imag, wave.real])], axis=1)


def _blocks(u: np.ndarray) -> np.ndarray:
    """Multiplication by u, whose parts are (waves, 2, taps), as a matrix of parts: (waves, 4, taps)."""
    return np.stack([u[:, 0], -u[:, 1], u[:, 1], u[:, 0]], axis=1)


def _by_twos(rows: np.ndarray) -> np.ndarray:
    """In pairs, the last one filled up with zeros: (pairs, 2, numbers)."""
    return np.pad(rows, ((0, len(rows) % 2), (0, 0))).reshape(-1, 2, rows.shape[1])


def _in_real_numbers(x: Array) -> Array:
    return jnp.concatenate([x.real, x.imag]) if jnp.iscomplexobj(x) else x


def _product(matrix: np.ndarray, x: Array) -> Array:
    """A matrix applied to the first axis."""
    return (jnp.asarray(matrix, x.real.dtype) @ x.reshape(x.shape[0], -1)).reshape(-1, *x.shape[1:])
