# SPDX-License-Identifier: Apache-2.0
"""The usual lattices, with nearest neighbours at distance 1.

All of them take `periodic` and `twist` as `Lattice` does: one value, or one for each axis. Sizes are in cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from manybody import _checks
from manybody.lattice.lattice import Lattice

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
    lx: int,
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
    return _rectangular((lx, _or(ly, lx)), (1.0, 1.0), periodic, twist, "square")


def rectangle(
    lx: int,
    ly: int,
    a: float = 1.0,
    b: float = 1.0,
    periodic: bool | Sequence[bool] = True,
    twist: float | Sequence[float] = 0.0,
) -> Lattice:
    """Square lattice stretched to spacings `a` along x and `b` along y. Bond kinds "x" and "y".

    With a != b the two directions are different orders of `bonds`; the couplings along them are best told apart by
    kind, and the chequerboard is `sublattices(kinds=("x", "y"))`.

    Example:
        >>> lattice = rectangle(4, 4, b=1.5)
        >>> len(lattice.bonds()), len(lattice.bonds(2))
        (16, 16)
    """
    spacings = (_checks.positive(a, "a"), _checks.positive(b, "b"))
    return _rectangular((lx, ly), spacings, periodic, twist, "rectangle")


def cubic(
    lx: int,
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
    return _rectangular((lx, _or(ly, lx), _or(lz, lx)), (1.0, 1.0, 1.0), periodic, twist, "cubic")


def triangular(
    lx: int,
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
    return Lattice([[1.0, 0.0], [0.5, HEIGHT]], (lx, _or(ly, lx)), None, periodic, twist, kinds, name="triangular")


def honeycomb(
    lx: int,
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
    return Lattice(basis, (lx, _or(ly, lx)), [[0, 0], [0, 1]], periodic, twist, kinds, name="honeycomb")


def kagome(
    lx: int,
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
    return Lattice(basis, (lx, _or(ly, lx)), offsets, periodic, twist, kinds, name="kagome")


def _rectangular(
    extent: tuple[int, ...],
    spacings: tuple[float, ...],
    periodic: bool | Sequence[bool],
    twist: float | Sequence[float],
    name: str,
) -> Lattice:
    """One site at each corner of a box with these spacings, and bonds along the axes."""
    unit = [[int(i == axis) for i in range(len(extent))] for axis in range(len(extent))]
    basis = [[spacing * n for n in row] for spacing, row in zip(spacings, unit, strict=True)]
    kinds = {kind: [(0, 0, tuple(row))] for kind, row in zip("xyz", unit, strict=False)}
    return Lattice(basis, extent, None, periodic, twist, kinds, name=name)


def _or(size: int | None, default: int) -> int:
    return default if size is None else size
