# SPDX-License-Identifier: Apache-2.0
"""What every lattice must obey. A new lattice is added to LATTICES and is held to all of it."""

from __future__ import annotations

import copy
import json
from collections import Counter

import networkx as nx
import numpy as np
import pytest

from manybody.lattice import (
    AbstractLattice,
    Lattice,
    bcc,
    chain,
    cubic,
    diamond,
    fcc,
    from_networkx,
    honeycomb,
    kagome,
    pyrochlore,
    rectangle,
    shastry_sutherland,
    shuriken,
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
    shuriken(2, 3),
    shuriken(2, periodic=(True, False)),
    shastry_sutherland(2),
    shastry_sutherland(2, 3, periodic=(False, True), twist=(0.0, 1.1)),
    bcc(3, 2, 2),
    fcc(3),
    fcc(2, periodic=(True, True, False)),
    diamond(2, 2, 3),
    pyrochlore(2),
    square([[3, 1], [-1, 3]]),
    square([[5, 1], [-1, 5]], twist=(np.pi, 0.4)),
    square([[1, 4], [3, -2]]),
    rectangle([[2, 2], [-2, 2]], a=0.9, b=1.2),
    triangular([[3, 0], [-3, 6]]),
    triangular([[2, 1], [-1, 3]], twist=(0.3, -0.8)),
    honeycomb([[2, 1], [-1, 3]]),
    kagome([[2, 2], [-2, 4]]),
    shuriken([[1, 1], [-1, 1]]),
    shastry_sutherland([[1, 1], [-1, 2]]),
    cubic([[2, 1, 0], [0, 2, 1], [1, 0, 2]], twist=(0.0, 0.0, 0.9)),
    pyrochlore([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]),
    Lattice([[1, 0], [0.2, 1.1]], [[2, 1], [-1, 2]], [[0, 0], [0.5, 0.4]], bond_kinds={"out": [(1, 0, (1, 2))]}),
    Lattice([[1, 0], [0.2, 1.1]], 3, [[0, 0], [0.5, 0.4]], (False, True), bond_kinds={"in": [(0, 1, (0, 0))]}),
    Lattice([[1.5]], 4, [[0.0], [0.6]], bond_kinds={"short": [(0, 1, (0,))], "long": [(1, 0, (1,))]}),
    from_networkx(nx.petersen_graph()),
    from_networkx(nx.grid_2d_graph(3, 4)),
]  # fmt: skip

every_lattice = pytest.mark.parametrize("lattice", LATTICES, ids=repr)
BRAVAIS = [lattice for lattice in LATTICES if isinstance(lattice, Lattice)]
TWISTED = [lattice for lattice in BRAVAIS if any(lattice.twist)]
"""Those that keep images whatever one asks for, so that there is no last order."""
NEIGHBOURS = {
    **{"chain": 2, "square": 4, "triangular": 6, "honeycomb": 3, "kagome": 4, "shuriken": 4, "shastry_sutherland": 4},
    **{"cubic": 6, "bcc": 8, "fcc": 12, "diamond": 4, "pyrochlore": 6},
}
"""On the infinite lattice."""


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
    for selection in selections(lattice):
        bonds = lattice.bonds(**selection)
        for permutation in lattice.translations()[:9]:
            moved = np.sort(permutation[bonds], axis=1)
            assert Counter(map(tuple, moved.tolist())) == Counter(map(tuple, bonds.tolist()))
        if all(lattice.periodic):
            degrees = np.bincount(bonds.ravel(), minlength=lattice.n_sites).reshape(-1, n_offsets)
            assert (degrees == degrees[0]).all()


@pytest.mark.parametrize("lattice", BRAVAIS, ids=repr)
def test_translations_are_a_regular_group(lattice: Lattice) -> None:
    """Products are translations, and exactly one takes a cell to another one; they move sites by one vector."""
    permutations = lattice.translations()
    listed = {tuple(p) for p in permutations.tolist()}
    assert len(listed) == len(permutations) == len(lattice.momenta())
    assert all(tuple(one[two].tolist()) in listed for one in permutations[:6] for two in permutations)
    assert permutations[0].tolist() == list(range(lattice.n_sites))
    assert len(np.unique(permutations[:, 0])) == len(permutations)
    for permutation in permutations:
        step = lattice.positions[permutation[0]] - lattice.positions[0]
        sites, _ = lattice.locate(lattice.positions + step)
        np.testing.assert_array_equal(sites, permutation)


@pytest.mark.parametrize("lattice", BRAVAIS, ids=repr)
def test_vectors_end_on_their_sites_and_phases_count_windings(lattice: Lattice) -> None:
    """r_i plus the vector is an image of r_j, and the phase is exp(i twist) for each way round to it."""
    for selection in selections(lattice):
        bonds, vectors, phases = lattice.bond_table(**selection)
        if len(bonds) == 0:
            continue
        sites, windings = lattice.locate(lattice.positions[bonds[:, 0]] + vectors)
        np.testing.assert_array_equal(sites, bonds[:, 1])
        np.testing.assert_allclose(phases, np.exp(1j * windings @ np.array(lattice.twist)), atol=1e-12)


@pytest.mark.parametrize("lattice", [x for x in BRAVAIS if all(x.periodic) and x.name in NEIGHBOURS], ids=repr)
def test_coordination(lattice: Lattice) -> None:
    """With images each site has its textbook number of neighbours, except that none is its own neighbour."""
    degrees = np.bincount(lattice.bonds(images=True).ravel(), minlength=lattice.n_sites)
    assert degrees.tolist() == [NEIGHBOURS[lattice.name]] * lattice.n_sites


@every_lattice
def test_no_two_bonds_of_a_colour_meet(lattice: AbstractLattice) -> None:
    """For every selection, with at most twice as many colours as bonds at a site."""
    for selection in selections(lattice):
        bonds, colours = lattice.bonds(**selection), lattice.bond_colours(**selection)
        assert colours.shape == (len(bonds),)
        for colour in range(colours.max(initial=-1) + 1):
            sites = bonds[colours == colour].ravel()
            assert 0 < len(np.unique(sites)) == len(sites)
        assert colours.max(initial=-1) < max(1, 2 * np.bincount(bonds.ravel(), minlength=1).max() - 1)


NETKET = [
    ("Chain(7)", chain(7)),
    ("Square(5)", square(5)),
    ("Triangular([4, 3])", triangular(4, 3)),
    ("Honeycomb([3, 2])", honeycomb(3, 2)),
    ("Kagome([3, 2])", kagome(3, 2)),
    ("Cube(3)", cubic(3)),
    ("BCC([4, 3, 3])", bcc(4, 3, 3)),
    ("FCC([4, 3, 3])", fcc(4, 3, 3)),
    ("Diamond([3, 2, 2])", diamond(3, 2, 2)),
    ("Pyrochlore([3, 2, 2])", pyrochlore(3, 2, 2)),
]


@pytest.mark.parametrize(("name", "lattice"), NETKET, ids=[name for name, _ in NETKET])
def test_netket_has_the_same_lattices(name: str, lattice: Lattice) -> None:
    """Sites, bonds, and how many bonds have a site in common, where NetKet is installed."""
    netket = pytest.importorskip("netket")
    kind, arguments = name.rstrip(")").split("(")
    theirs = getattr(netket.graph, kind)(json.loads(arguments))
    graph = nx.Graph([tuple(map(int, edge)) for edge in theirs.edges()])
    assert (theirs.n_nodes, theirs.n_edges) == (lattice.n_sites, len(lattice.bonds()))
    assert nx.could_be_isomorphic(graph, lattice.to_networkx())


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
