# SPDX-License-Identifier: Apache-2.0
r"""Convolutions over the cells of a torus.

.. math:: y_n = \sum_d x_{n + d}\, W_d

There are two forms, with the same results but for rounding:

* *by waves*, Fourier transforms (`_waves`): dense products only, no matter what shape the torus has.
* *by windows*: the cells n + d are gathered, and one matrix has all W_d in its columns. Few operations, but moving a
  number costs as much as tens of them; and the gradient with respect to x adds up numbers one by one.

Which one is taken is decided by counting (`costs`): the transforms for most layers; windows where few features become
many, as in the first layer of a network, and where there are many cells, since transforms grow as their square (with 16
features and windows of 3 from about 45 cells in one dimension, 13 x 13 in two).

The gradient with respect to W of each configuration on its own (a Jacobian, for which a batch is one configuration) is
made of as many numbers as its form has in between: all features times those of the windows, or times those of all
waves. It has the form with fewer, whatever the value has. That with respect to x is by waves.
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
from manybody.ansatz._numerics import at_all_places
from manybody.ansatz._waves import Waves, by_waves, waves
from manybody.lattice import Lattice
from manybody.lattice.cluster import Matrix, grid, normal_form, numbers, wrap

MOVE = 50
"""Multiplications or additions that take as long as gathering a number, measured on processors with AVX-512."""


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
        self, x: Inexact[Array, "cells c_in batch"], kernel: Inexact[Array, "taps c_in c_out"]
    ) -> Inexact[Array, "cells c_out batch"]:
        """y_n = sum_d x_{n + d} W_d, of x and W both real or both complex."""
        forms = self.forms(kernel.shape[1:], x.shape[2], jnp.iscomplexobj(x))
        if forms == Forms("waves", "waves"):
            return by_waves(self.waves(jnp.iscomplexobj(x)), x, kernel)
        return _mixed(self, forms, x, kernel)

    def forms(self, features: tuple[int, ...], n_batch: int, is_complex: bool) -> Forms:
        """The cheaper form of the value, and of the derivative with respect to W, for (c_in, c_out) features."""
        (n_in, n_out), n_cells, n_taps = features, len(self.cells.array), len(self.taps.array)
        value = min(("waves", "windows"), key=self.costs(features, is_complex).__getitem__)
        n_rows = len(self.waves(is_complex).forward)
        is_short = n_cells * n_taps * n_in <= n_rows * 2 * n_in * n_out
        return Forms(value, "windows" if value == "windows" or (n_batch == 1 and is_short) else "waves")

    def costs(self, features: tuple[int, ...], is_complex: bool) -> dict[str, int]:
        """Real operations for a configuration, by form, without those on W, which a batch shares."""
        (n_in, n_out), n_cells, n_taps = features, len(self.cells.array), len(self.taps.array)
        on, n_parts = self.waves(is_complex), 2 if is_complex else 1
        transforms = on.forward.size * n_in + on.backward.size * n_out
        pairs = 2 * len(on.forward) * n_in * n_out
        moved = n_parts * n_cells * n_taps * n_in
        return {"waves": 2 * (transforms + pairs), "windows": moved * (MOVE + 2 * n_parts * n_out)}

    def waves(self, is_complex: bool) -> Waves:
        """The matrices of the transforms."""
        return waves(self.torus, self.cells, self.taps, is_complex)


class Forms(NamedTuple):
    """How a convolution is done.

    Attributes:
        value: "waves" or "windows".
        slope: the same for its derivative with respect to W.
    """

    value: str
    slope: str


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


# A rule for derivatives, not two functions: reverse mode, forward mode and both mixed follow from it.
@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _mixed(on: Convolution, forms: Forms, x: Array, kernel: Array) -> Array:
    return _by(forms.value, on, x, kernel)


@_mixed.defjvp
def _mixed_jvp(
    on: Convolution, forms: Forms, primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    (x, kernel), (dx, d_kernel) = primals, tangents
    return _mixed(on, forms, x, kernel), _by("waves", on, dx, kernel) + _by(forms.slope, on, x, d_kernel)


def _by(form: str, on: Convolution, x: Array, kernel: Array) -> Array:
    return by_waves(on.waves(jnp.iscomplexobj(x)), x, kernel) if form == "waves" else by_windows(on, x, kernel)


def by_windows(
    on: Convolution, x: Inexact[Array, "cells c_in batch"], kernel: Inexact[Array, "taps c_in c_out"]
) -> Inexact[Array, "cells c_out batch"]:
    """The convolution, from the gathered cells of all windows."""
    seen = neighbours(on.torus, on.cells, on.taps)
    windows = x.at[seen].get(mode="fill" if np.any(seen == len(x)) else "promise_in_bounds", fill_value=0)
    windows = windows.reshape(len(x), -1, x.shape[2])  # (cells, taps * c_in, batch)
    return at_all_places(kernel.reshape(-1, kernel.shape[2]).T, windows)


@functools.lru_cache(maxsize=64)
def neighbours(torus: Matrix, cells: FrozenArray, taps: FrozenArray) -> np.ndarray:
    """The numbers of the cells n + d, shape (cells, taps); the number of cells where there is none."""

    def place(vectors: np.ndarray) -> np.ndarray:
        return numbers(torus, wrap(torus, vectors)[0])

    known = np.full(int(np.prod(normal_form(torus).shape)), len(cells.array))
    known[place(cells.array)] = np.arange(len(cells.array))
    return read_only(known[place(cells.array[:, None] + taps.array[None])])
