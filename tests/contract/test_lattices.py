# SPDX-License-Identifier: Apache-2.0
"""What every lattice must obey. A new lattice is added to LATTICES and is held to all of it."""

from __future__ import annotations

import copy
from collections import Counter

import networkx as nx
import numpy as np
import pytest

from manybody.lattice import (
    AbstractLattice,
    Lattice,
    chain,
    cubic,
    from_networkx,
    honeycomb,
    kagome,
    rectangle,
    square,
    triangular,
)

LATTICES: list[AbstractLattice] = [
    chain(2),
    chain(7),
    chain(6, periodic=False),
    chain(5, twist=0.7),
    square(2),
    square(4),
    square(3, 4, periodic=(True, False)),
    square(4, twist=(np.pi, 0.0)),
    rectangle(3, 4, a=0.8, b=1.7),
    triangular(4, 3),
    triangular(3, twist=(0.2, -0.5)),
    honeycomb(3, 2),
    kagome(2, 3),
    kagome(3, periodic=False),
    cubic(2, 3, 4),
    Lattice([[1, 0], [0.2, 1.1]], 3, [[0, 0], [0.5, 0.4]], (False, True), bond_kinds={"in": [(0, 1, (0, 0))]}),
    Lattice([[1.5]], 4, [[0.0], [0.6]], bond_kinds={"short": [(0, 1, (0,))], "long": [(1, 0, (1,))]}),
    from_networkx(nx.petersen_graph()),
    from_networkx(nx.grid_2d_graph(3, 4)),
]  # fmt: skip

every_lattice = pytest.mark.parametrize("lattice", LATTICES, ids=repr)
BRAVAIS = [lattice for lattice in LATTICES if isinstance(lattice, Lattice)]
TWISTED = [lattice for lattice in BRAVAIS if any(lattice.twist)]
"""Those that keep images whatever one asks for, so that there is no last order."""


def selections(lattice: AbstractLattice) -> list[dict]:
    """Arguments of `bonds`: the first orders with and without images, and the kinds."""
    orders = [{"order": k, "images": im} for k in range(1, min(4, lattice.n_shells) + 1) for im in (False, True)]
    return orders + [{"kind": kind, "images": im} for kind in lattice.kinds for im in (False, True)]


@every_lattice
def test_bonds_are_ordered_pairs_of_sites(lattice: AbstractLattice) -> None:
    """0 <= i < j < n_sites, in ascending order, and each once unless images are kept."""
    for selection in selections(lattice):
        bonds = lattice.bonds(**selection)
        assert bonds.shape[1:] == (2,) and np.issubdtype(bonds.dtype, np.integer)
        assert ((bonds >= 0) & (bonds < lattice.n_sites)).all() and (bonds[:, 0] < bonds[:, 1]).all()
        pairs = list(map(tuple, bonds.tolist()))
        assert pairs == sorted(pairs)
        if not selection["images"] and lattice not in TWISTED:
            assert len(set(pairs)) == len(pairs)


@every_lattice
def test_pairs_vectors_and_phases_are_aligned(lattice: AbstractLattice) -> None:
    """One vector and one phase of modulus 1 for each bond; phases are 1 without a twist."""
    for selection in selections(lattice):
        n = len(lattice.bonds(**selection))
        phases = lattice.bond_phases(**selection)
        assert lattice.bond_vectors(**selection).shape == (n, lattice.positions.shape[1])
        assert phases.shape == (n,) and phases.dtype == complex
        np.testing.assert_allclose(abs(phases), 1, rtol=1e-14)
        assert lattice in TWISTED or (phases == 1).all()


@every_lattice
def test_a_shell_is_one_distance(lattice: AbstractLattice) -> None:
    """All bonds of an order have one length, which grows with the order, and agrees with `distances`."""
    before = 0.0
    for order in range(1, lattice.n_shells + 1):
        bonds = lattice.bonds(order)
        if lattice in TWISTED:
            lengths = np.linalg.norm(lattice.bond_vectors(order), axis=1)
        else:
            lengths = lattice.distances()[bonds[:, 0], bonds[:, 1]]
            if isinstance(lattice, Lattice):
                np.testing.assert_allclose(np.linalg.norm(lattice.bond_vectors(order), axis=1), lengths)
        if len(lengths) == 0:  # only own images at this distance
            continue
        assert np.ptp(lengths) < 1e-9 and lengths[0] > before
        before = lengths[0]


@pytest.mark.parametrize("lattice", [lattice for lattice in LATTICES if lattice not in TWISTED], ids=repr)
def test_all_orders_together_are_all_pairs(lattice: AbstractLattice) -> None:
    """Without images every pair of (connected) sites belongs to exactly one order, and there is no further order."""
    pairs = np.concatenate([lattice.bonds(order) for order in range(1, lattice.n_shells + 1)])
    assert len(pairs) == len(np.unique(pairs, axis=0)) == lattice.n_sites * (lattice.n_sites - 1) // 2
    with pytest.raises(ValueError, match=f"`order` must be at most {lattice.n_shells}"):
        lattice.bonds(lattice.n_shells + 1)


@every_lattice
def test_distances_are_a_metric(lattice: AbstractLattice) -> None:
    """Symmetric, zero on the diagonal only, and no detour is shorter."""
    d = lattice.distances()
    assert (d == d.T).all() and not d.diagonal().any()
    assert (d[~np.eye(lattice.n_sites, dtype=bool)] > 0).all()
    assert (d[:, None, :] <= d[:, :, None] + d[None, :, :] + 1e-9).all()


@pytest.mark.parametrize("lattice", BRAVAIS, ids=repr)
def test_translations_map_bonds_to_bonds(lattice: Lattice) -> None:
    """Shifting the cells along a periodic axis permutes the bonds; so coordination is uniform over the cells."""
    n_offsets = len(lattice.offsets)
    sites = np.arange(lattice.n_sites).reshape(*lattice.extent, n_offsets)
    for axis in np.flatnonzero(lattice.periodic):
        shift = np.roll(sites, -1, axis=axis).ravel()  # site -> its translate
        for selection in selections(lattice):
            bonds = lattice.bonds(**selection)
            moved = np.sort(shift[bonds], axis=1)
            assert Counter(map(tuple, moved.tolist())) == Counter(map(tuple, bonds.tolist()))
            if all(lattice.periodic):
                degrees = np.bincount(bonds.ravel(), minlength=lattice.n_sites).reshape(-1, n_offsets)
                assert (degrees == degrees[0]).all()


@every_lattice
def test_content_decides_equality(lattice: AbstractLattice) -> None:
    """A copy is equal, hashes the same and gives the same bonds; another lattice of the list is not equal."""
    twin = copy.deepcopy(lattice)
    assert twin is not lattice and twin == lattice and hash(twin) == hash(lattice) == hash(lattice)
    np.testing.assert_array_equal(twin.bonds(), lattice.bonds())
    assert [other for other in LATTICES if other == lattice] == [lattice]
    assert len(repr(lattice)) < 120


@every_lattice
def test_the_graph_has_the_same_bonds(lattice: AbstractLattice) -> None:
    """`to_networkx` and back keeps sites and nearest-neighbour bonds, and the colouring agrees with networkx."""
    graph = lattice.to_networkx()
    assert list(graph) == list(range(lattice.n_sites))
    assert {tuple(sorted(edge)) for edge in graph.edges} == set(map(tuple, lattice.bonds().tolist()))
    np.testing.assert_array_equal(from_networkx(graph).bonds(), np.unique(lattice.bonds(), axis=0))
    assert lattice.is_bipartite == nx.is_bipartite(graph)
