# SPDX-License-Identifier: Apache-2.0
"""Space groups against the literature and brute force, little groups, stars and momenta."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pytest

from manybody.lattice import (
    Lattice,
    SpaceGroup,
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

# Point groups of the wallpaper and space groups (International Tables for Crystallography A): the order of the space
# group of a torus is that times the number of cells.
POINT_GROUP_ORDERS: list[tuple[Lattice, int]] = [
    (chain(9), 2),
    (square(6), 8),  # p4m
    (square([[4, 4], [-4, 4]]), 8),
    (square([[5, 1], [-1, 5]]), 4),  # the torus has no mirrors: p4
    (square(6, 4), 4),  # pmm
    (rectangle(5, 4, a=1.0, b=1.7), 4),
    (triangular(6), 12),  # p6m
    (triangular([[5, -1], [1, 4]]), 6),  # p6
    (triangular(6, 3), 4),
    (honeycomb(4), 12),
    (kagome(4), 12),
    (kagome([[2, 2], [-2, 4]]), 12),
    (shuriken(3), 8),
    (shastry_sutherland(3), 8),  # p4g: half of it are glides and rotations about other points
    (cubic(3), 48),
    (cubic(3, 3, 4), 16),
    (bcc(3), 48),
    (fcc(3), 48),
    (diamond(3), 48),
    (pyrochlore(3), 48),
    (Lattice([[1.0, 0.0], [0.3, 0.9]], 3), 2),  # p2
    (Lattice([[1.0, 0.0], [0.3, 0.9]], 3, [[0, 0], [0.1, 0.2], [0.5, 0.3]]), 1),  # p1
]


@pytest.mark.parametrize(("lattice", "order"), POINT_GROUP_ORDERS, ids=lambda x: repr(x)[:50])
def test_orders_of_space_groups(lattice: Lattice, order: int) -> None:
    group = lattice.space_group()
    assert group.order == order * lattice.n_cells
    assert len(group.translations) == lattice.n_cells == lattice.translation_group().order


@pytest.mark.parametrize(
    ("lattice", "order", "center"),
    [
        (square(4), 8, [0, 0]),
        (honeycomb(3), 12, None),
        (honeycomb(3), 6, [0, 0]),
        (kagome(3), 12, None),
        (kagome(3), 4, [0, 0]),
        (shastry_sutherland(2), 4, None),
        (diamond(3), 24, None),
        (pyrochlore(3), 24, None),
        (square(4, periodic=False), 8, None),
        (square(4, 3, periodic=False), 4, None),
        (chain(5, periodic=False), 2, None),
    ],
    ids=lambda x: repr(x)[:40],
)
def test_point_groups(lattice: Lattice, order: int, center: list | None) -> None:
    group = lattice.point_group(center)
    assert group.order == order
    if center == [0, 0]:
        np.testing.assert_array_equal(group.sites[:, 0], 0)


@pytest.mark.parametrize(
    ("kinds", "order"), [("permute", 4 * 8), ("fix", 4 * 8), ("ignore", 16 * 8)]
)  # without the dimers it is a square lattice of 16 sites
def test_dimers_break_translations(kinds: str, order: int) -> None:
    assert shastry_sutherland(2).space_group(kinds).order == order


def test_bond_kinds_of_the_kitaev_model() -> None:
    lattice = honeycomb(3)
    assert [lattice.space_group(kinds).order for kinds in ("permute", "fix", "ignore")] == [108, 18, 108]
    assert [lattice.point_group(kinds=kinds).order for kinds in ("permute", "fix")] == [12, 2]
    with pytest.raises(ValueError, match="`kinds` must be one of"):
        lattice.space_group("turn")


@pytest.mark.parametrize(
    "lattice",
    [
        chain(6),
        pytest.param(square(3), marks=pytest.mark.slow),
        square(3, 2),
        pytest.param(square([[2, 1], [-1, 2]]), marks=pytest.mark.slow),
        rectangle(2, 3, a=1.0, b=1.4),
        square(3, periodic=False),
        Lattice([[1, 0], [0, 1]], 2, [[0.1, 0.2], [0.6, -0.2]]),
        pytest.param(Lattice([[2, 0], [1, 1]], 2, [[0, 0], [1, 0]]), marks=pytest.mark.slow),
    ],
    ids=lambda x: repr(x)[:60],
)
def test_all_isometries_are_found(lattice: Lattice) -> None:
    """Permutations that keep the set of displacements between all images of sites, up to an orthogonal matrix."""
    shifts = np.array(list(itertools.product(range(-3, 4), repeat=len(lattice.periods)))) @ lattice.periods
    around = lattice.positions[None, :, :] - lattice.positions[:, None, :]
    images = around[:, :, None, :] + shifts  # (sites, sites, images, dim)
    lengths = np.sort(np.linalg.norm(images, axis=3), axis=2)[:, :, :2].round(6)
    # all permutations that keep the two smallest distances of all pairs; isometries of the torus are among them
    keys = {tuple(x): i for i, x in enumerate(np.unique(lengths.reshape(-1, lengths.shape[2]), axis=0).tolist())}
    graph = nx.complete_graph(lattice.n_sites)
    for i, j in graph.edges:
        graph.edges[i, j]["length"] = keys[tuple(lengths[i, j].tolist())]
    matcher = nx.isomorphism.GraphMatcher(graph, graph, edge_match=lambda a, b: a["length"] == b["length"])
    candidates = {tuple(image[i] for i in range(lattice.n_sites)) for image in matcher.isomorphisms_iter()}
    found = set(map(tuple, lattice.space_group("ignore").sites.tolist()))
    assert found <= candidates
    linear = {sites for sites in candidates if _is_linear(lattice, images, np.array(sites))}
    assert found == linear


def _is_linear(lattice: Lattice, images: np.ndarray, sites: np.ndarray) -> bool:
    """Whether one orthogonal matrix maps the displacements of all pairs to those of the pairs that they go to."""
    size = 1.01 * np.linalg.norm(images, axis=3).min(axis=2).max()
    every = itertools.product(range(len(sites)), repeat=2)
    pairs = [(i, j, v) for i, j in every for v in images[i, j] if 0 < np.linalg.norm(v) < size]
    targets = [
        [w for w in images[sites[i], sites[j]] if np.isclose(np.linalg.norm(v), np.linalg.norm(w))] for i, j, v in pairs
    ]
    dim = lattice.dim
    first = next(
        chosen
        for chosen in itertools.combinations(range(len(pairs)), dim)
        if abs(np.linalg.det([pairs[c][2] for c in chosen])) > 1e-6
    )
    basis = np.array([pairs[c][2] for c in first])
    for image in itertools.product(*(targets[c] for c in first)):
        rotation = np.linalg.solve(basis, np.array(image)).T
        orthogonal = np.allclose(rotation @ rotation.T, np.eye(dim))
        if orthogonal and all(
            any(np.allclose(rotation @ v, w) for w in target) for (_, _, v), target in zip(pairs, targets, strict=True)
        ):
            return True
    return False


@pytest.mark.parametrize("lattice", [square(4), honeycomb(3), diamond(2), square(4, twist=(np.pi, 0))], ids=repr)
def test_elements_are_the_isometries_they_name(lattice: Lattice) -> None:
    group = lattice.space_group()
    for g in range(group.order):
        sites, _ = lattice.locate(lattice.positions @ group.rotations[g].T + group.vectors[g])
        np.testing.assert_array_equal(sites, group.sites[g])
    unit = group.rotations @ group.rotations.transpose(0, 2, 1)
    np.testing.assert_allclose(unit, np.broadcast_to(np.eye(lattice.dim), unit.shape), atol=1e-12)


def test_translations_are_in_their_order() -> None:
    lattice = kagome(3)
    np.testing.assert_array_equal(lattice.translation_group().sites, lattice.translations())
    group = lattice.space_group()
    np.testing.assert_array_equal(group.sites[: lattice.n_cells], lattice.translations())
    rotations = group.rotations.reshape(-1, lattice.n_cells, 2, 2)
    assert np.all(rotations == rotations[:, :1])


def test_antiperiodic_boundaries() -> None:
    """A translation all the way round is -1, and quarter turns are lost if only one boundary is antiperiodic."""
    ring = chain(6, twist=np.pi).translation_group()
    assert ring.order == 12 and len(ring.translations) == 6
    around = 0
    for _ in range(6):
        around = int(ring.multiply(1, around))
    np.testing.assert_array_equal(ring.signs[around], -1)
    orders = [square(4, twist=(a * np.pi, b * np.pi)).space_group().order for a, b in ((0, 0), (1, 0), (1, 1))]
    assert orders == [128, 2 * 64, 2 * 128]
    assert chain(6, twist=2 * np.pi).space_group().order == 12
    with pytest.raises(ValueError, match="`twist` must be a multiple of pi for a symmetry group"):
        chain(6, twist=0.3).translation_group()


# --- momenta ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lattice", "momentum", "n_arms", "dimensions"),
    [
        # T. Inui, Y. Tanabe, Y. Onodera, Group Theory and Its Applications in Physics: p4m and p6m
        (square(4), (0, 0), 1, [1, 1, 1, 1, 2]),
        (square(4), (np.pi, np.pi), 1, [1, 1, 1, 1, 2]),
        (square(4), (np.pi, 0), 2, [1, 1, 1, 1]),
        (square(4), (np.pi / 2, 0), 4, [1, 1]),
        (square(6), (np.pi / 3, 2 * np.pi / 3), 8, [1]),
        (square([[5, 1], [-1, 5]]), (np.pi, np.pi), 1, [1, 1, 1, 1]),  # p4; all translations are along one axis
        (triangular(6), (0, 0), 1, [1, 1, 1, 1, 2, 2]),
        (triangular(6), (4 * np.pi / 3, 0), 2, [1, 1, 2]),
        (triangular(6), (0, 2 * np.pi / np.sqrt(3)), 3, [1, 1, 1, 1]),
        # glides: at the corner of the zone of p4g and pgg there are none of the representations of symmorphic groups
        (shastry_sutherland(2), (0, 0), 1, [1, 1, 1, 1, 2]),
        (shastry_sutherland(2), (np.pi / 2, 0), 2, [2]),
    ],
    ids=lambda x: repr(x)[:40],
)
def test_little_groups(lattice: Lattice, momentum: tuple, n_arms: int, dimensions: list) -> None:
    group = lattice.space_group()
    star, little = group.star(momentum), group.little_group(momentum)
    assert len(star) == n_arms == group.order // little.order
    np.testing.assert_allclose(star[0], momentum)
    chosen = group.irreps_at(momentum)
    assert [int(little.irrep_dimensions[k]) for k in chosen] == dimensions
    assert sum(d * d for d in dimensions) == little.order // lattice.n_cells
    for k in chosen:
        shifts = little.translations
        phases = np.exp(-1j * little.vectors[shifts] @ np.array(momentum))
        for matrix, phase in zip(little.irrep(k)[shifts], phases, strict=True):
            np.testing.assert_allclose(matrix, phase * np.eye(len(matrix)), atol=1e-12)


@pytest.mark.parametrize(
    "lattice",
    [
        triangular(3),
        kagome(3),
        shastry_sutherland(2),
        *(pytest.param(lattice, marks=pytest.mark.slow) for lattice in (square(4), diamond(2))),
    ],
    ids=repr,
)
def test_stars_and_little_groups_are_all_representations(lattice: Lattice) -> None:
    """Each irreducible representation of the space group belongs to one star and one of the little group."""
    group, left, dimensions = lattice.space_group(), lattice.momenta().tolist(), []
    while left:
        momentum = left[0]
        arms = group.star(momentum)
        dimensions += [len(arms) * group.little_group(momentum).irrep_dimensions[k] for k in group.irreps_at(momentum)]
        numbers = {lattice.momentum_index(arm) for arm in arms}
        left = [k for k in left if lattice.momentum_index(k) not in numbers]
    np.testing.assert_array_equal(sorted(dimensions), np.sort(group.irrep_dimensions))


def test_momenta_of_odd_numbers_on_antiperiodic_rings() -> None:
    group = chain(4, twist=np.pi).space_group()
    for k in (0.0, np.pi / 2, np.pi / 4, -3 * np.pi / 4):
        assert len(group.irreps_at([k])) == (2 if k == 0.0 else 1)
    minus = group.index(group[0] @ type(group[0])([0, 1, 2, 3], [-1] * 4))
    for k, sign in ((0.0, 1), (np.pi / 4, -1)):
        little = group.little_group([k])
        assert all(np.isclose(little.characters(i)[little.index(group[minus])], sign) for i in group.irreps_at([k]))


@pytest.mark.parametrize(
    ("group", "momentum", "words"),
    [
        (square(4).space_group(), (0.3, 0.0), "fit the boundaries"),
        (square(4).space_group(), (np.pi,), "have 2 components"),
        (square(4, 3, periodic=(True, False)).space_group(), (0.0, 0.1), "be along the translations of the group"),
        (square(4).point_group(), (np.pi, 0.0), "be along the translations of the group"),
    ],
)
def test_momenta_that_do_not_fit(group: SpaceGroup, momentum: tuple, words: str) -> None:
    for method in (group.star, group.little_group, group.irreps_at):
        with pytest.raises(ValueError, match=f"`momentum` must {words}"):
            method(momentum)


# --- automorphisms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lattice", "order"),
    [
        (square(4), 384),
        (square(5), 200),
        (from_networkx(nx.petersen_graph()), 120),
        (from_networkx(nx.heawood_graph()), 336),
        (from_networkx(nx.icosahedral_graph()), 120),
        (from_networkx(nx.path_graph(4)), 2),
    ],
    ids=lambda x: repr(x)[:40],
)
def test_automorphisms(lattice: Lattice, order: int) -> None:
    group = lattice.automorphism_group()
    assert group.order == order
    edges = set(map(tuple, lattice.bonds().tolist()))
    for sites in group.sites[:: max(1, order // 20)]:
        assert {tuple(sorted(sites[list(edge)].tolist())) for edge in edges} == edges


def test_automorphisms_and_kinds() -> None:
    lattice = honeycomb(4)
    orders = [lattice.automorphism_group(kinds=kinds).order for kinds in ("ignore", "permute", "fix")]
    assert orders == [192, 192, 32]
    with pytest.raises(ValueError, match="`lattice` must have at most 50 automorphisms, got more"):
        lattice.automorphism_group(max_order=50)
