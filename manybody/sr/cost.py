# SPDX-License-Identifier: Apache-2.0
"""What the kernel takes, layer by layer, in either form: operations and bytes; and which form a layer gets.

For n samples of m parts, N = n m rows, a layer with p positions, inputs of length d_in and slopes of length d_out:

    structured  2 p^2 (n^2 d_in + N^2 d_out) operations; n x n overlaps and N x N products of slopes for each of the
                p^2 pairs of positions, written and read; with p > 1 also their sum
    contracted  2 N^2 C operations, less what follows from symmetry (`linalg.gram_share`), for C = (d_in + 1) d_out
                columns (d_in d_out without bias, twice as many if they are complex), and 2 N p d_in d_out in the
                precision of the network to make them; N C numbers of that precision written, put side by side and read

A layer of d features with symmetric weights has (d - 1) d / 2 columns, and by its structure also n x N products of
inputs with slopes in both directions, and N x N ones of what the diagonal would have.

Complex numbers have two real ones and their products four operations. Layers of one input have its overlaps in common.
What is contracted is one product of matrices, which is written, read and added to the rest: an N x N matrix for all
layers together. The time is counted in units of an operation in double precision.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from manybody import linalg
from manybody._precision import count_real
from manybody.sr.layers import Layer, Path

_NEAR = 2**24
"""Bytes of an array that stays in the caches, and in memory that the process has already."""

_BALANCE_NEAR, _BALANCE_FAR = 2.0, 8.0
"""Operations in the time of a byte of such an array and of a larger one.

Of products of (N, k) matrices and passes over the result on a processor (AMD EPYC), 50 GF/s, were measured 0.5 to 1 for
N up to 1024, 1 to 2 with a second one, which helps products more, and 5 to 12 for N = 2048, where each call touches new
pages. A GPU has about 12 (an H200: 60 TF/s, 4.8 TB/s)."""


@dataclass(frozen=True)
class Cost:
    """Operations, bytes that are read or written, and the time of both in operations of double precision."""

    flops: float = 0.0
    bytes: float = 0.0
    time: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.flops + other.flops, self.bytes + other.bytes, self.time + other.time)

    def __str__(self) -> str:
        return f"{self.flops / 1e6:.3g} Mflop, {self.bytes / 1e6:.3g} MB"


@dataclass(frozen=True)
class Rows:
    """Numbers of samples of all workers, and of rows of each."""

    samples: int
    parts: int

    @property
    def all(self) -> int:
        return self.samples * self.parts


def choose(layers: Mapping[Path, Layer], n_others: int, rows: Rows) -> list[Path]:
    """Layers to be treated by their structure: of three sets the one that takes the shortest time.

    The first is none, the last are all. In between are those which are cheaper so if the choice for one costs others
    nothing, as it does but for the overlaps of a common input.

    Args:
        layers: those for which it is possible.
        n_others: number of all other columns of the Jacobian.
        rows: of the Jacobian.
    """
    cheaper: set[Path] = set()
    for group in of_one_input(layers).values():
        gains = {path: contracted(layer, rows).time - _slopes(layer, rows).time for path, layer in group.items()}
        some = {path for path, gain in gains.items() if gain > 0}
        if sum(gains[path] for path in some) > _overlaps(next(iter(group.values())), rows).time:
            cheaper |= some
    sets: tuple[list[Path], ...] = ([], [path for path in layers if path in cheaper], list(layers))
    return min(sets, key=lambda some: total(layers, some, n_others, rows).time)


def total(layers: Mapping[Path, Layer], some: Collection[Path], n_others: int, rows: Rows) -> Cost:
    """All that depends on the choice of `some` layers."""
    chosen = {path: layer for path, layer in layers.items() if path in some}
    remaining = [layer for path, layer in layers.items() if path not in some]
    cost = sum((structured(group, rows) for group in of_one_input(chosen).values()), Cost())
    cost = sum((contracted(layer, rows) for layer in remaining), cost)
    columns = n_others + sum(n_columns(layer) for layer in remaining)
    if chosen and columns:
        cost += _moved(rows.all**2, 2)  # what is contracted, added to the rest
    return cost + _moved((rows.all if chosen else min(rows.all, columns)) * rows.all, 4)  # means subtracted


def of_one_input(layers: Mapping[Path, Layer]) -> dict[int, dict[Path, Layer]]:
    """The layers in groups that have an input in common, by its number."""
    groups: dict[int, dict[Path, Layer]] = {}
    for path, layer in layers.items():
        groups.setdefault(layer.source, {})[path] = layer
    return groups


def structured(layers: Mapping[Path, Layer], rows: Rows) -> Cost:
    """Layers of one input, treated by their structure."""
    every = list(layers.values())
    return sum((_slopes(layer, rows) for layer in every), _overlaps(every[0], rows))


def contracted(layer: Layer, rows: Rows) -> Cost:
    """A layer whose rows are contracted together with those of others."""
    itemsize, columns = jnp.finfo(layer.weights[0].dtype).bits // 8, n_columns(layer)
    made = 2 * rows.all * layer.n_positions * layer.input.shape[-1] * layer.output.shape[-1]
    made *= 4 if _is_complex(layer.output) else 1
    products = _computed(2 * linalg.gram_share(rows.all) * rows.all**2 * columns)
    return products + _computed(made, itemsize) + _moved(rows.all * columns, 4, itemsize)


def _overlaps(layer: Layer, rows: Rows) -> Cost:
    return _of_pairs(layer, rows.samples, rows.samples, layer.input)


def _slopes(layer: Layer, rows: Rows) -> Cost:
    cost = _of_pairs(layer, rows.all, rows.all, layer.output)
    if layer.is_symmetric:
        crossed = _of_pairs(layer, rows.samples, rows.all, layer.output)
        cost += crossed + crossed + cost
    n_pairs = layer.n_positions**2
    return cost + _moved(rows.all**2, 2 * n_pairs) if n_pairs > 1 else cost  # their sum


def _of_pairs(layer: Layer, n: int, m: int, vectors: jax.ShapeDtypeStruct) -> Cost:
    """Products of n with m of these vectors, for each pair of positions."""
    both = layer.is_real and _is_complex(layer.input)  # a b and a^* b
    is_complex = _is_complex(vectors) and (both or not layer.is_real)
    n_pairs, width = (2 if both else 1) * layer.n_positions**2, vectors.shape[-1]
    flops = _computed((8 if is_complex else 2) * n * m * width * n_pairs)
    # A product of numbers is made where it is used.
    return flops + _moved((2 if is_complex else 1) * n * m, 2 * n_pairs) if width > 1 else flops


def n_columns(layer: Layer) -> int:
    """Number of its columns of the Jacobian."""
    return sum(count_real(w) for w in layer.weights)


def _is_complex(x: jax.ShapeDtypeStruct) -> bool:
    return jnp.issubdtype(x.dtype, jnp.complexfloating)


def _computed(flops: float, itemsize: int = 8) -> Cost:
    return Cost(flops=flops, time=flops * itemsize / 8)


def _moved(n_numbers: int, times: int, itemsize: int = 8) -> Cost:
    """An array that is written or read so many times."""
    size = n_numbers * itemsize
    return Cost(bytes=times * size, time=times * size * (_BALANCE_NEAR if size <= _NEAR else _BALANCE_FAR))
