# SPDX-License-Identifier: Apache-2.0
"""Colours of bonds; those of sites are in test_lattice.py."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from manybody.lattice import (
    AbstractLattice,
    bcc,
    chain,
    cubic,
    from_networkx,
    honeycomb,
    kagome,
    pyrochlore,
    shuriken,
    square,
    triangular,
)

FEWEST: list[tuple[AbstractLattice, int]] = [
    (chain(6), 2),
    (chain(7), 3),
    (chain(6, periodic=False), 2),
    (chain(2), 1),
    (square(6), 4),
    (square(5), 5),  # an odd number of sites: a colour has at most 12 of 50 bonds
    (square([[5, 1], [-1, 5]]), 4),
    (triangular(6), 6),
    (honeycomb(4), 3),
    (kagome(2), 4),
    (shuriken(2), 4),
    (cubic(4), 6),
    (bcc(4), 8),
    (pyrochlore(2), 6),
    (from_networkx(nx.petersen_graph()), 4),
    (from_networkx(nx.star_graph(5)), 5),
]


@pytest.mark.parametrize(("lattice", "fewest"), FEWEST, ids=repr)
def test_fewest_colours(lattice: AbstractLattice, fewest: int) -> None:
    """No two of a colour meet, 0 ... n - 1 are all used, and fewer are not possible."""
    colours, bonds = lattice.bond_colours(), lattice.bonds()
    assert colours.shape == (len(bonds),) and sorted(set(colours.tolist())) == list(range(fewest))
    for colour in range(fewest):
        sites = bonds[colours == colour].ravel()
        assert len(np.unique(sites)) == len(sites)


def test_selection() -> None:
    """The same arguments as `bonds`."""
    lattice = square(4)
    assert (
        len(lattice.bond_colours(2)) == len(lattice.bonds(2)) != len(lattice.bonds(3)) == len(lattice.bond_colours(3))
    )
    assert sorted(set(lattice.bond_colours(kind="x").tolist())) == [0, 1]
    assert chain(2).bond_colours().tolist() == [0] and sorted(chain(2).bond_colours(images=True).tolist()) == [0, 1]
    with pytest.raises(ValueError, match="`kind` must be one of 'x', 'y'"):
        lattice.bond_colours(kind="z")


def test_no_bonds() -> None:
    assert square(1, 4).bond_colours(kind="x").shape == (0,)
