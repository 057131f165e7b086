# SPDX-License-Identifier: Apache-2.0
"""Skewed clusters: the normal form, the wrapping, twists round every cycle, and sites found from points."""

from __future__ import annotations

import itertools
import math
import pickle
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from manybody.lattice import (
    Lattice,
    chain,
    cubic,
    fcc,
    honeycomb,
    kagome,
    pyrochlore,
    rectangle,
    shastry_sutherland,
    shuriken,
    square,
    triangular,
)
from manybody.lattice.cluster import normal_form, reduction, shortest, wrap

SKEWED = [
    square([[5, 1], [-1, 5]]),
    square([[2, 2], [-2, 2]]),
    square([[1, 4], [3, -2]]),
    triangular([[3, 0], [-3, 6]]),
    triangular([[2, 1], [-1, 3]]),
    honeycomb([[2, 1], [-1, 3]]),
    kagome([[2, 2], [-2, 4]]),
    shuriken([[1, 1], [-1, 1]]),
    shastry_sutherland([[2, 2], [-2, 2]]),
    cubic([[2, 1, 0], [0, 2, 1], [1, 0, 2]]),
    pyrochlore([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]),
]
every_skewed = pytest.mark.parametrize("lattice", SKEWED, ids=repr)
tori = st.integers(1, 3).flatmap(
    lambda dim: st.lists(st.lists(st.integers(-6, 6), min_size=dim, max_size=dim), min_size=dim, max_size=dim)
)


def cycles(lattice: Lattice) -> np.ndarray:
    """The torus, as it was given."""
    return np.array(lattice.extent) if np.ndim(lattice.extent) == 2 else np.diag(lattice.extent)


# --- the normal form and the wrapping -------------------------------------------------------------------------------


@given(tori)
def test_normal_form(rows: list[list[int]]) -> None:
    """Upper triangular, reduced, of the same lattice."""
    assume(abs(np.linalg.det(rows)) > 0.5)
    form = normal_form(tuple(map(tuple, rows)))
    np.testing.assert_array_equal(form.change @ np.array(rows), form.rows)
    assert abs(round(np.linalg.det(form.change))) == 1
    assert not np.tril(form.rows, -1).any() and min(form.shape) > 0
    assert math.prod(form.shape) == abs(round(np.linalg.det(rows)))
    for j, k in itertools.combinations(range(len(rows)), 2):
        assert 0 <= form.rows[j, k] < form.rows[k, k]


@given(tori, st.lists(st.lists(st.integers(-30, 30), min_size=3, max_size=3), min_size=1, max_size=5))
def test_wrapping(rows: list[list[int]], cells: list[list[int]]) -> None:
    """The image lies in the box, and the windings along the given vectors lead back from it."""
    assume(abs(np.linalg.det(rows)) > 0.5)
    torus, given = tuple(map(tuple, rows)), np.array(cells)[:, : len(rows)]
    image, windings = wrap(torus, given)
    np.testing.assert_array_equal(image + windings @ np.array(rows), given)
    assert ((image >= 0) & (image < normal_form(torus).shape)).all()
    again, turns = wrap(torus, image)
    assert (again == image).all() and not turns.any()


@given(
    st.lists(st.lists(st.floats(-2, 2), min_size=3, max_size=3), min_size=1, max_size=3),
    st.lists(st.lists(st.floats(-3, 3), min_size=3, max_size=3), min_size=1, max_size=4),
)
@settings(max_examples=50, deadline=None)
def test_shortest_vectors(rows: list[list[float]], vectors: list[list[float]]) -> None:
    """None of many other windings is shorter, however oblique the rows."""
    lattice = np.array(rows)
    assume(np.linalg.det(lattice @ lattice.T) > 0.05)
    given = np.array(vectors)
    found = np.linalg.norm(given + shortest(given, lattice) @ lattice, axis=1)
    many = np.array(list(itertools.product(range(-12, 13), repeat=len(lattice)))) @ lattice
    assert (found <= np.linalg.norm(given[:, None] + many, axis=-1).min(axis=1) * (1 + 2e-6) + 1e-12).all()


def test_of_equally_short_vectors_the_largest_windings_are_taken() -> None:
    """Whatever the rows look like; (1/2, 1/2) has four equally near images."""
    middle = np.array([[0.5, 0.5], [-1.5, 2.5]])
    assert shortest(middle, np.eye(2)).tolist() == [[0, 0], [2, -2]]
    assert shortest(middle, np.array([[1.0, 0.0], [7.0, 1.0]])).tolist() == [[7, -1], [23, -3]]


def test_long_vectors_are_reduced() -> None:
    """Otherwise there would be ten thousand images to try."""
    rows = np.array([[3.0, 0.0, 0.0], [30_000.0, 0.0, 4.0], [1.0, 5.0, 20_000.0]])
    change = reduction(rows)
    assert round(np.linalg.det(change)) == 1
    np.testing.assert_allclose(np.sort(np.linalg.norm(change @ rows, axis=1)), [3, 4, 26**0.5])
    assert shortest(np.array([[60_001.0, 0.0, 0.5]]), rows[:2]).tolist() == [[-20_000, 0]]


# --- lattices -------------------------------------------------------------------------------------------------------


def test_a_diagonal_matrix_is_the_plain_lattice() -> None:
    """Equal in everything; and a tilted one is not, though it may have as many sites."""
    plain, matrix = square(4), square([[4, 0], [0, 4]])
    assert matrix == plain and hash(matrix) == hash(plain) and matrix.extent == (4, 4)
    assert fcc(np.diag([2, 3, 4])) == fcc(2, 3, 4) and Lattice([[1]], [[5]]) == Lattice([[1]], 5)
    assert square([[4, 0], [0, 3]], periodic=(True, False)) == square(4, 3, periodic=(True, False))
    assert square([[4, 1], [0, 4]]) != plain and square([[-4, 0], [0, 4]]) != plain
    assert matrix.torus == ((4, 0), (0, 4)) and matrix.shape == (4, 4)


def test_attributes() -> None:
    """The matrix is kept as it was given; the box in which cells are numbered is derived."""
    lattice = square(np.array([[5, 1], [-1, 5]]), twist=(0.1, 0.2))
    assert lattice.extent == lattice.torus == ((5, 1), (-1, 5)) and lattice.shape == (1, 26)
    assert (lattice.n_cells, lattice.n_sites, lattice.dim) == (26, 26, 2)
    assert lattice.periods.tolist() == [[5, 1], [-1, 5]]
    assert repr(lattice) == "Lattice('square', extent=((5, 1), (-1, 5)), twist=(0.1, 0.2), n_sites=26)"
    assert pickle.loads(pickle.dumps(lattice)) == lattice == replace(lattice, name="other")
    assert replace(lattice, twist=0.0) == square([[5, 1], [-1, 5]])
    assert triangular([[2, 2], [-2, 4]]).positions[:7].tolist() == [[k / 2, k * math.sqrt(0.75)] for k in range(6)] + [
        [1.0, 0.0]
    ]


@every_skewed
def test_sites_are_the_classes_of_points(lattice: Lattice) -> None:
    """By float geometry: no two sites differ by a vector of the torus, and there are as many as fit into its volume."""
    torus = cycles(lattice) @ np.array(lattice.basis)
    between = (lattice.positions[:, None] - lattice.positions) @ np.linalg.inv(torus)
    same = np.abs(between - np.round(between)).max(axis=-1) < 1e-6
    assert (same == np.eye(lattice.n_sites, dtype=bool)).all()
    volume = abs(np.linalg.det(torus)) / abs(np.linalg.det(lattice.basis))
    assert lattice.n_cells == round(volume) and lattice.n_sites == lattice.n_cells * len(lattice.offsets)


@pytest.mark.parametrize("change", [[[1, 0], [3, 1]], [[0, 1], [1, 0]], [[2, 1], [1, 1]], [[-1, 0], [40, 1]]])
@pytest.mark.parametrize("lattice", [x for x in SKEWED if x.dim == 2] + [kagome(3, 2)], ids=repr)
def test_other_vectors_of_the_same_torus(lattice: Lattice, change: list[list[int]]) -> None:
    """Sites, bonds and distances depend on the lattice of images only, bit for bit."""
    other = replace(lattice, extent=np.array(change) @ np.array(lattice.torus))
    assert other != lattice
    np.testing.assert_array_equal(other.positions, lattice.positions)
    np.testing.assert_array_equal(other.distances(), lattice.distances())
    np.testing.assert_array_equal(other.translations(), lattice.translations())
    selections: list[dict[str, Any]] = [{"order": lattice.n_shells}, {"images": True}]
    for selection in [*selections, *({"kind": kind} for kind in lattice.kinds)]:
        for one, two in zip(other.bond_table(**selection), lattice.bond_table(**selection), strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("lattice", "graph"),
    [
        (square([[2, 2], [-2, 2]]), nx.complete_bipartite_graph(4, 4)),
        (square([[2, 1], [-1, 2]]), nx.complete_graph(5)),
        (square([[3, 2], [-2, 3]]), nx.circulant_graph(13, [1, 5])),
        (triangular([[2, 1], [-1, 3]]), nx.complete_graph(7)),
        (triangular([[3, 1], [-1, 4]]), nx.paley_graph(13).to_undirected()),
        (honeycomb([[2, 1], [-1, 3]]), nx.heawood_graph()),
        (honeycomb([[2, 2], [-2, 4]]), nx.LCF_graph(24, [5, -9, 7, -7, 9, -5], 4)),
        (kagome([[2, 1], [-1, 3]]), nx.line_graph(nx.heawood_graph())),
        (cubic([[1, 1, 0], [0, 1, 1], [1, 0, 1]]), nx.MultiGraph([(0, 1)])),
    ],
    ids=lambda x: getattr(x, "name", "") or "graph",
)
def test_known_graphs(lattice: Lattice, graph: nx.Graph) -> None:
    """Small tilted clusters that have names in graph theory."""
    assert nx.is_isomorphic(lattice.to_networkx(), nx.Graph(graph))


def test_clusters_of_the_literature() -> None:
    """Sites and neighbours of the clusters that exact diagonalisation uses."""
    counts = {
        square([[4, 4], [-4, 4]]): (32, 4),
        square([[6, 2], [-2, 6]]): (40, 4),
        triangular([[3, 3], [-3, 6]]): (27, 6),
        triangular([[6, 0], [0, 6]]): (36, 6),
        kagome([[2, 0], [-2, 4]]): (24, 4),
        kagome([[2, 2], [-2, 4]]): (36, 4),
        kagome([[4, 0], [-2, 4]]): (48, 4),
        shastry_sutherland([[2, 2], [-2, 2]]): (32, 4),
        pyrochlore([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]): (16, 6),
        pyrochlore([[-2, 2, 2], [2, -2, 2], [2, 2, -2]]): (128, 6),
    }
    for lattice, (n_sites, coordination) in counts.items():
        assert lattice.n_sites == n_sites
        assert np.bincount(lattice.bonds().ravel()).tolist() == [coordination] * n_sites
    cube = pyrochlore([[-2, 2, 2], [2, -2, 2], [2, 2, -2]])
    np.testing.assert_allclose(cube.periods, 4 * math.sqrt(2) * np.eye(3), atol=1e-12)


# --- twists ---------------------------------------------------------------------------------------------------------


def phase_along(lattice: Lattice, path: list[np.ndarray]) -> tuple[int, complex]:
    """Where a walk along Cartesian steps from site 0 ends, and the product of its phases."""
    steps: dict[int, list[tuple[np.ndarray, int, complex]]] = {}
    for kind in lattice.kinds:
        for (i, j), vector, phase in zip(*lattice.bond_table(kind=kind), strict=True):
            steps.setdefault(int(i), []).append((vector, int(j), phase))
            steps.setdefault(int(j), []).append((-vector, int(i), phase.conjugate()))
    here, product = 0, 1.0 + 0j
    for step in path:
        ((site, phase),) = {(j, p) for vector, j, p in steps[here] if np.allclose(vector, step)}
        here, product = site, product * phase
    return here, product


@pytest.mark.parametrize(
    "extent", [[[3, 1], [-1, 3]], [[5, 1], [-1, 5]], [[1, 4], [3, -2]], [[-3, 0], [0, 3]], [[1, 1], [0, 5]], 3]
)
@pytest.mark.parametrize("make", [square, triangular])
def test_phases_round_every_cycle(make: Any, extent: Any) -> None:
    """Going along T_k returns to the site and picks up exp(i twist_k); no phase round a plaquette."""
    twist = (0.7, -1.9)
    lattice = make(extent, twist=twist)
    basis = np.array(lattice.basis)
    for row, angle in zip(cycles(lattice), twist, strict=True):
        path = [np.sign(n) * step for n, step in zip(row, basis, strict=True) for _ in range(abs(n))]
        for way in (path, path[::-1]):
            site, phase = phase_along(lattice, way)
            assert site == 0
            assert phase == pytest.approx(np.exp(1j * angle), abs=1e-12)
    corner = [basis[0], basis[1], -basis[0], -basis[1]]
    site, phase = phase_along(lattice, corner)
    assert site == 0 and phase == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("lattice", [x for x in SKEWED if len(x.offsets) == 1], ids=repr)
def test_bands_of_twisted_clusters(lattice: Lattice) -> None:
    """One particle has the energies -sum over neighbours of exp(i k . r) at the allowed momenta."""
    twisted = replace(lattice, twist=tuple(0.4 + 0.9 * axis for axis in range(lattice.dim)))
    matrix = np.zeros((twisted.n_sites,) * 2, dtype=complex)
    for (i, j), phase in zip(twisted.bonds(), twisted.bond_phases(), strict=True):
        matrix[j, i] -= phase
        matrix[i, j] -= phase.conj()
    around = replace(lattice, extent=5).bond_vectors()
    vectors = np.unique(np.round(np.concatenate([around, -around]), 9), axis=0)
    energies = -np.exp(1j * twisted.momenta() @ vectors.T).sum(axis=1)
    np.testing.assert_allclose(np.linalg.eigvalsh(matrix), np.sort(energies.real), atol=1e-7)


# --- sites at points ------------------------------------------------------------------------------------------------

LOCATED = [
    *SKEWED,
    chain(5),
    square(4, 3, periodic=(True, False)),
    kagome(3, periodic=False),
    Lattice([[1.0]], 5, [[0.0], [7.3]], periodic=False),
]


@pytest.mark.parametrize("lattice", LOCATED, ids=repr)
def test_locate_finds_images(lattice: Lattice) -> None:
    """Every image of every site, and the windings to it; nothing between sites or beyond an open end."""
    rng = np.random.default_rng(0)
    sites = rng.integers(lattice.n_sites, size=200)
    windings = rng.integers(-3, 4, (200, lattice.dim)) * np.array(lattice.periodic)
    points = lattice.positions[sites] + windings @ cycles(lattice) @ np.array(lattice.basis)
    noise = 1e-7 * rng.uniform(-1, 1, points.shape)
    found, turns = lattice.locate(points + noise)
    np.testing.assert_array_equal(found, sites)
    np.testing.assert_array_equal(turns, windings)
    nowhere, turns = lattice.locate(points + 1e-5)
    assert (nowhere == -1).all() and not turns.any()


def test_nothing_beyond_an_open_end() -> None:
    lattice = square(4, 3, periodic=(True, False))
    sites, windings = lattice.locate([[5, 2], [-1, 0], [0, 3], [0, -1], [4, 3]])
    assert sites.tolist() == [5, 9, -1, -1, -1]
    assert windings.tolist() == [[1, 0], [-1, 0], [0, 0], [0, 0], [0, 0]]


def test_the_tolerance_is_relative() -> None:
    """To the shortest primitive vector."""
    for scale in (1e-3, 1.0, 1e3):
        lattice = rectangle(4, 4, a=scale, b=3 * scale)
        assert lattice.locate([[scale * (1 + 9e-7), 0]])[0].tolist() == [4]
        assert lattice.locate([[scale * (1 + 1.1e-6), 0]])[0].tolist() == [-1]


def test_locate_is_fast() -> None:
    """Many points at once; well under a second, though machines under test may be busy."""
    lattice = kagome([[20, 10], [-10, 30]])
    points = np.tile(lattice.positions, (200_000 // lattice.n_sites + 1, 1))[:200_000]
    start = time.perf_counter()
    sites, _ = lattice.locate(points)
    assert time.perf_counter() - start < 2.0
    np.testing.assert_array_equal(sites, np.arange(200_000) % lattice.n_sites)


@pytest.mark.parametrize(
    ("points", "error", "message"),
    [
        ([[0.0, 0.0, 0.0]], ValueError, r"`points` must have shape \(n, 2\), got \(1, 3\)"),
        ([0.0, 0.0], ValueError, "`points` must be a matrix"),
        ([[0.0, math.nan]], ValueError, "`points` must be finite"),
        ("points", TypeError, "`points` must be a matrix of real numbers"),
    ],
)
def test_points_that_are_none(points: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        square(4).locate(points)


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: square([[1, 2], [2, 4]]), ValueError, r"`extent` must have linearly independent rows, got \[\[1, 2\]"),
        (lambda: square([[0, 0], [0, 4]]), ValueError, "`extent` must have linearly independent rows"),
        (lambda: square([[4, 1.0], [0, 4]]), TypeError, r"`extent` must be an integer, got float \(1.0\)"),
        (lambda: square([[True, 1], [0, 4]]), TypeError, "`extent` must be an integer, got bool"),
        (lambda: square([[4, 1]]), ValueError, "`extent` must be 2 numbers, or a matrix of 2 x 2"),
        (lambda: square([[4, 1], [0]]), ValueError, "`extent` must be 2 numbers, or a matrix of 2 x 2"),
        (lambda: square([[4, 1], 3]), ValueError, "`extent` must be 2 numbers, or a matrix of 2 x 2"),
        (lambda: cubic([[4, 1], [0, 2]]), ValueError, "`extent` must be 3 numbers, or a matrix of 3 x 3"),
        (lambda: square([[4, 1], [0, 4]], 4), ValueError, "`ly` must be left out when `lx` is the matrix of a skewed"),
        (lambda: fcc(np.eye(3, dtype=int), None, 4), ValueError, "`lz` must be left out when `lx` is the matrix"),
        (
            lambda: square([[4, 1], [0, 4]], periodic=(True, False)),
            ValueError,
            r"`periodic` must be True for all axes of a skewed cluster, got \(True, False\)",
        ),
        (lambda: square(None), TypeError, "`extent` must be an integer"),
        (lambda: square("44"), TypeError, "`extent` must be an integer"),
    ],
)
def test_refusals(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_plaquettes_of_skewed_clusters() -> None:
    """As many as on any torus of that many cells."""
    assert Counter(len(p.sites) for p in square([[3, 1], [-1, 3]]).plaquettes()) == {4: 10}
    assert Counter(len(p.sites) for p in triangular([[2, 1], [-1, 3]]).plaquettes()) == {3: 14}
    assert Counter(len(p.sites) for p in kagome([[2, 2], [-2, 4]]).plaquettes()) == {3: 24, 6: 12}
    assert Counter(len(p.sites) for p in shuriken([[1, 1], [-1, 1]]).plaquettes()) == {3: 8, 4: 2, 8: 2}
