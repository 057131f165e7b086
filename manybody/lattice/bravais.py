# SPDX-License-Identifier: Apache-2.0
"""The usual lattices, with nearest neighbours at distance 1.

All of them take `periodic` and `twist` as `Lattice` does: one value, or one for each axis. Sizes are in cells, which
are primitive. Instead of the first size there may be the integer matrix of a skewed cluster, as in `Lattice`; then the
others are left out: `square([[5, 1], [-1, 5]])` is the tilted cluster of 26 sites.

A cylinder has one periodic axis, and a ribbon none: `square(8, 4, periodic=(False, True))` is a cylinder of length 8
and circumference 4.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from manybody import _checks
from manybody.lattice.lattice import Lattice

Size = int | Sequence[Sequence[int]]
"""Cells along the first axis, or the matrix of a skewed cluster."""
HEIGHT = math.sqrt(3) / 2
"""Height of the equilateral triangle of side 1."""


def chain(n: int, periodic: bool = True, twist: float = 0.0) -> Lattice:
    """`n` sites in a row. Bond kind "x".

    Example:
        >>> chain(4, periodic=False).bonds().tolist()
        [[0, 1], [1, 2], [2, 3]]
    """
    return Lattice([[1.0]], (n,), None, periodic, twist, {"x": [(0, 0, (1,))]}, name="chain")


def square(
    lx: Size,
    ly: int | None = None,
    periodic: bool | Sequence[bool] = True,
    twist: float | Sequence[float] = 0.0,
) -> Lattice:
    """Square lattice of lx x ly sites (ly = lx by default), site = x * ly + y. Bond kinds "x" and "y".

    Example:
        >>> lattice = square(4)
        >>> len(lattice.bonds()), len(lattice.bonds(2)), len(lattice.bonds(3))
        (32, 32, 16)
    """
    return _rectangular(_extent(lx, ly), (1.0, 1.0), periodic, twist, "square")


def rectangle(
    lx: Size,
    ly: int | None = None,
    a: float = 1.0,
    b: float = 1.0,
    periodic: bool | Sequence[bool] = True,
    twist: float | Sequence[float] = 0.0,
) -> Lattice:
    """Square lattice (ly = lx by default) stretched to spacings `a` along x and `b` along y. Bond kinds "x" and "y".

    With a != b the two directions are different orders of `bonds`; the couplings along them are best told apart by
    kind, and the chequerboard is `sublattices(kinds=("x", "y"))`.

    Example:
        >>> lattice = rectangle(4, 4, b=1.5)
        >>> len(lattice.bonds()), len(lattice.bonds(2))
        (16, 16)
    """
    spacings = (_checks.positive(a, "a"), _checks.positive(b, "b"))
    return _rectangular(_extent(lx, ly), spacings, periodic, twist, "rectangle")


def cubic(
    lx: Size,
    ly: int | None = None,
    lz: int | None = None,
    periodic: bool | Sequence[bool] = True,
    twist: float | Sequence[float] = 0.0,
) -> Lattice:
    """Simple cubic lattice of lx x ly x lz sites (lx by default). Bond kinds "x", "y" and "z".

    Example:
        >>> len(cubic(3).bonds())
        81
    """
    return _rectangular(_extent(lx, ly, lz), (1.0, 1.0, 1.0), periodic, twist, "cubic")


def triangular(
    lx: Size,
    ly: int | None = None,
    periodic: bool | Sequence[bool] = True,
    twist: float | Sequence[float] = 0.0,
) -> Lattice:
    """Triangular lattice of lx x ly sites (ly = lx by default), a_1 = (1, 0), a_2 = (1, sqrt 3) / 2.

    Bond kinds "x" along a_1, "y" along a_2, "z" along a_1 - a_2.

    Example:
        >>> len(triangular(4).bonds())
        48
    """
    kinds = {"x": [(0, 0, (1, 0))], "y": [(0, 0, (0, 1))], "z": [(0, 0, (1, -1))]}
    return Lattice([[1.0, 0.0], [0.5, HEIGHT]], _extent(lx, ly), None, periodic, twist, kinds, name="triangular")


def honeycomb(
    lx: Size,
    ly: int | None = None,
    periodic: bool | Sequence[bool] = True,
    twist: float | Sequence[float] = 0.0,
) -> Lattice:
    """Honeycomb lattice of lx x ly cells (ly = lx by default) of two sites, a_1 = sqrt 3 (1, 0), a_2 = (sqrt 3, 3) / 2.

    Bond kinds "x", "y", "z" are those of the Kitaev model: one of each at every site; "z" is vertical, in the cell.

    Example:
        >>> lattice = honeycomb(3)
        >>> lattice.n_sites, [len(lattice.bonds(kind=kind)) for kind in "xyz"]
        (18, [9, 9, 9])
    """
    kinds = {"x": [(1, 0, (0, 1))], "y": [(1, 0, (-1, 1))], "z": [(0, 1, (0, 0))]}
    basis = [[2 * HEIGHT, 0.0], [HEIGHT, 1.5]]
    return Lattice(basis, _extent(lx, ly), [[0, 0], [0, 1]], periodic, twist, kinds, name="honeycomb")


def kagome(
    lx: Size,
    ly: int | None = None,
    periodic: bool | Sequence[bool] = True,
    twist: float | Sequence[float] = 0.0,
) -> Lattice:
    """Kagome lattice of lx x ly cells (ly = lx by default) of three sites, a_1 = (2, 0), a_2 = (1, sqrt 3).

    Bond kinds "x" along a_1, "y" along a_2, "z" along a_1 - a_2.

    Example:
        >>> lattice = kagome(3)
        >>> lattice.n_sites, len(lattice.bonds())
        (27, 54)
    """
    kinds = {
        "x": [(0, 1, (0, 0)), (1, 0, (1, 0))],
        "y": [(0, 2, (0, 0)), (2, 0, (0, 1))],
        "z": [(1, 2, (0, 0)), (1, 2, (1, -1))],
    }
    basis, offsets = [[2.0, 0.0], [1.0, 2 * HEIGHT]], [[0.0, 0.0], [1.0, 0.0], [0.5, HEIGHT]]
    return Lattice(basis, _extent(lx, ly), offsets, periodic, twist, kinds, name="kagome")


def shuriken(
    lx: Size,
    ly: int | None = None,
    periodic: bool | Sequence[bool] = True,
    twist: float | Sequence[float] = 0.0,
) -> Lattice:
    """Shuriken (square-kagome) lattice of lx x ly cells (ly = lx by default) of six sites: squares and triangles.

    The cell has the four corners of a square, then the two tips that it shares with its neighbours along a_1 and a_2.
    Bond kinds "square" and "triangle", which are the couplings J1 and J2 of the square-kagome literature.

    Example:
        >>> lattice = shuriken(2)
        >>> lattice.n_sites, len(lattice.bonds(kind="square")), len(lattice.bonds(kind="triangle"))
        (24, 16, 32)
    """
    side = 1 + 2 * HEIGHT
    offsets = [[0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5], [0.5, -0.5], [side / 2, 0.0], [0.0, side / 2]]
    kinds = {
        "square": [(0, 1, (0, 0)), (1, 2, (0, 0)), (2, 3, (0, 0)), (3, 0, (0, 0))],
        "triangle": [
            *[(4, 0, (0, 0)), (4, 3, (0, 0)), (4, 1, (1, 0)), (4, 2, (1, 0))],
            *[(5, 0, (0, 0)), (5, 1, (0, 0)), (5, 2, (0, 1)), (5, 3, (0, 1))],
        ],
    }
    return Lattice([[side, 0.0], [0.0, side]], _extent(lx, ly), offsets, periodic, twist, kinds, name="shuriken")


def shastry_sutherland(
    lx: Size,
    ly: int | None = None,
    periodic: bool | Sequence[bool] = True,
    twist: float | Sequence[float] = 0.0,
) -> Lattice:
    """Shastry-Sutherland lattice of lx x ly cells (ly = lx by default) of 2 x 2 sites, a square lattice with dimers.

    Bond kinds "dimer", the coupling J, across every second plaquette in alternating directions, one at each site; and
    "square", the coupling J'. The sites lie on a square lattice of spacing 1, so the nearest neighbours are those of
    "square", and the dimers are one in four of the second neighbours.
    Source: B. S. Shastry and B. Sutherland, Physica B+C 108, 1069 (1981).

    Example:
        >>> lattice = shastry_sutherland(2)
        >>> lattice.n_sites, len(lattice.bonds(kind="square")), len(lattice.bonds(kind="dimer"))
        (16, 32, 8)
    """
    offsets = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    kinds = {
        "dimer": [(0, 3, (0, 0)), (1, 2, (1, -1))],
        "square": [
            *[(0, 1, (0, 0)), (0, 2, (0, 0)), (1, 3, (0, 0)), (2, 3, (0, 0))],
            *[(1, 0, (1, 0)), (3, 2, (1, 0)), (2, 0, (0, 1)), (3, 1, (0, 1))],
        ],
    }
    return Lattice(
        [[2.0, 0.0], [0.0, 2.0]], _extent(lx, ly), offsets, periodic, twist, kinds, name="shastry_sutherland"
    )


def bcc(
    lx: Size,
    ly: int | None = None,
    lz: int | None = None,
    periodic: bool | Sequence[bool] = True,
    twist: float | Sequence[float] = 0.0,
) -> Lattice:
    """Body-centred cubic lattice of lx x ly x lz sites (lx by default), eight neighbours each.

    The cell is the primitive one, a_1 = (-1, 1, 1) / sqrt 3 and its permutations. A cube of n^3 conventional cells, of
    side 2 / sqrt 3 and two sites each, is the matrix n [[0, 1, 1], [1, 0, 1], [1, 1, 0]].

    Example:
        >>> len(bcc(3).bonds()), bcc([[0, 2, 2], [2, 0, 2], [2, 2, 0]]).n_sites
        (108, 16)
    """
    side = 1 / math.sqrt(3)
    basis = [[-side, side, side], [side, -side, side], [side, side, -side]]
    return Lattice(basis, _extent(lx, ly, lz), None, periodic, twist, name="bcc")


def fcc(
    lx: Size,
    ly: int | None = None,
    lz: int | None = None,
    periodic: bool | Sequence[bool] = True,
    twist: float | Sequence[float] = 0.0,
) -> Lattice:
    """Face-centred cubic lattice of lx x ly x lz sites (lx by default), twelve neighbours each.

    The cell is the primitive one, a_1 = (0, 1, 1) / sqrt 2 and its permutations. A cube of n^3 conventional cells, of
    side sqrt 2 and four sites each, is the matrix n [[-1, 1, 1], [1, -1, 1], [1, 1, -1]].

    Example:
        >>> len(fcc(3).bonds()), fcc([[-2, 2, 2], [2, -2, 2], [2, 2, -2]]).n_sites
        (162, 32)
    """
    return Lattice(_face_centred(1.0), _extent(lx, ly, lz), None, periodic, twist, name="fcc")


def diamond(
    lx: Size,
    ly: int | None = None,
    lz: int | None = None,
    periodic: bool | Sequence[bool] = True,
    twist: float | Sequence[float] = 0.0,
) -> Lattice:
    """Diamond lattice of lx x ly x lz primitive cells (lx by default) of two sites, four neighbours each.

    The basis is that of `fcc`, 2 sqrt(2/3) times as long, so a cube of n^3 conventional cells of eight sites is the
    same matrix as there.

    Example:
        >>> diamond(2).n_sites, len(diamond(2).bonds(images=True))
        (16, 32)
    """
    offsets = [[0.0, 0.0, 0.0], [1 / math.sqrt(3)] * 3]
    basis = _face_centred(math.sqrt(8 / 3))
    return Lattice(basis, _extent(lx, ly, lz), offsets, periodic, twist, name="diamond")


def pyrochlore(
    lx: Size,
    ly: int | None = None,
    lz: int | None = None,
    periodic: bool | Sequence[bool] = True,
    twist: float | Sequence[float] = 0.0,
) -> Lattice:
    """Pyrochlore lattice of lx x ly x lz primitive cells (lx by default) of four sites: tetrahedra that share corners.

    The basis is that of `fcc`, twice as long, so a cube of n^3 conventional cells of 16 sites is the same matrix as
    there. Bond kinds "up", within the tetrahedra of the cells, and "down", of those between cells: a breathing lattice
    has two couplings.

    Example:
        >>> lattice = pyrochlore(2)
        >>> lattice.n_sites, len(lattice.bonds(kind="up")), len(lattice.bonds(kind="down"))
        (32, 48, 48)
    """
    basis = _face_centred(2.0)
    offsets = [[0.0, 0.0, 0.0], *([x / 2 for x in row] for row in basis)]
    # Offset k > 0 has offset 0 of the cell that is a_k away on its other side, and offset l of the one a_k - a_l away.
    away = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    pairs = list(itertools.combinations(range(4), 2))
    kinds = {
        "up": [(a, b, (0, 0, 0)) for a, b in pairs],
        "down": [(a, b, tuple(x - y for x, y in zip(away[a], away[b], strict=True))) for a, b in pairs],
    }
    return Lattice(basis, _extent(lx, ly, lz), offsets, periodic, twist, kinds, name="pyrochlore")


def _face_centred(length: float) -> list[list[float]]:
    """Primitive vectors of this length of the face-centred cubic lattice."""
    half = length / math.sqrt(2)
    return [[0.0, half, half], [half, 0.0, half], [half, half, 0.0]]


def _rectangular(
    extent: tuple[int, ...] | Sequence[Sequence[int]],
    spacings: tuple[float, ...],
    periodic: bool | Sequence[bool],
    twist: float | Sequence[float],
    name: str,
) -> Lattice:
    """One site at each corner of a box with these spacings, and bonds along the axes."""
    dim = len(spacings)
    unit = [[int(i == axis) for i in range(dim)] for axis in range(dim)]
    basis = [[spacing * n for n in row] for spacing, row in zip(spacings, unit, strict=True)]
    kinds = {kind: [(0, 0, tuple(row))] for kind, row in zip("xyz", unit, strict=False)}
    return Lattice(basis, extent, None, periodic, twist, kinds, name=name)


def _extent(lx: Size, *others: int | None) -> tuple[int, ...] | Sequence[Sequence[int]]:
    """One number of cells for each axis, by default the first, or the matrix."""
    if not isinstance(lx, Sequence | np.ndarray):
        return (lx, *(lx if size is None else size for size in others))
    for name, size in zip(("ly", "lz"), others, strict=False):
        _checks.require(size is None, name, "be left out when `lx` is the matrix of a skewed cluster", size)
    return lx
