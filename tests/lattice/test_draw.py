# SPDX-License-Identifier: Apache-2.0
"""Pictures: what is where, in which colour; every option changes something. How they look was judged by eye."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.image
import networkx as nx
import numpy as np
import pytest
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from manybody.lattice import (
    AbstractLattice,
    Lattice,
    chain,
    cubic,
    from_networkx,
    honeycomb,
    kagome,
    pyrochlore,
    shastry_sutherland,
    shuriken,
    square,
    triangular,
)
from manybody.lattice.picture import PALETTE, STEPS
from tests.contract.test_lattices import LATTICES


def discs(figure: Figure) -> tuple[np.ndarray, np.ndarray]:
    """Places and colours of the sites, in no order."""
    found = [c for c in figure.axes[0].collections if isinstance(c, EllipseCollection)]
    return np.concatenate([c.get_offsets() for c in found]), np.concatenate([c.get_facecolors() for c in found])


def strokes(figure: Figure) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Paths, colours and widths of all bonds and parts of stubs, without the outline."""
    found = [c for c in figure.axes[0].collections if isinstance(c, LineCollection) and c.get_zorder() > 1]
    paths = [segment for c in found for segment in c.get_segments()]
    widths = [np.broadcast_to(c.get_linewidths(), len(c.get_segments())) for c in found]
    return paths, np.concatenate([c.get_colors() for c in found]), np.concatenate(widths)


def solid(figure: Figure) -> list[np.ndarray]:
    """Paths of the bonds between sites as drawn."""
    paths, colours, _ = strokes(figure)
    return [path for path, colour in zip(paths, colours, strict=True) if colour[3] == 1]


def n_stubs(figure: Figure) -> int:
    return (len(strokes(figure)[0]) - len(solid(figure))) // STEPS


def ends(paths: list[np.ndarray]) -> set[tuple[tuple[float, ...], ...]]:
    return {tuple(sorted(tuple(np.round(p, 6).tolist()) for p in (path[0], path[-1]))) for path in paths}


@pytest.mark.parametrize("lattice", LATTICES, ids=repr)
def test_everything_can_be_drawn(lattice: AbstractLattice) -> None:
    """A disc for each site; each bond is a line or two stubs."""
    figure = lattice.plot()
    assert len(discs(figure)[0]) == lattice.n_sites
    assert len(solid(figure)) + n_stubs(figure) / 2 == len(lattice.bonds())
    assert len(figure.axes) == 1 and figure.axes[0].get_aspect() == 1


def test_square() -> None:
    """Sites at their positions, 24 bonds inside, eight of which both ends are seen across the boundary."""
    lattice = square(4)
    figure = lattice.plot()
    np.testing.assert_allclose(discs(figure)[0], lattice.positions)
    assert len(solid(figure)) == 24 and n_stubs(figure) == 16
    inside = lattice.positions[square(4, periodic=False).bonds()]
    assert ends(solid(figure)) == ends(list(inside))
    assert n_stubs(square(4, periodic=(True, False)).plot()) == 8
    assert n_stubs(square(4, periodic=False).plot()) == 0


def test_stubs_fade_towards_the_image() -> None:
    """From site 0 to the left and from site 4 to the right."""
    paths, colours, _ = strokes(chain(5).plot())
    stub = [(path, colour[3]) for path, colour in zip(paths, colours, strict=True) if colour[3] < 1]
    left = [(path[:, 0], opacity) for path, opacity in stub if path[:, 0].max() <= 1e-9]
    right = [(path[:, 0], opacity) for path, opacity in stub if path[:, 0].min() >= 4 - 1e-9]
    assert len(left) == len(right) == STEPS
    for side in (left, right):
        assert [o for _, o in side] == sorted([o for _, o in side], reverse=True)
    assert left[0][0][0] == 0 and left[-1][0][1] == pytest.approx(-0.5)
    assert right[0][0][0] == 4 and right[-1][0][1] == pytest.approx(4.5)


def test_values_are_colours() -> None:
    """Ordered as the values, symmetric about 0 if there are both signs; a bar says which."""
    lattice = square(3)
    figure = lattice.plot(values=np.arange(9))
    bar = figure.axes[1]
    assert bar.get_ylim() == (0, 8)
    colours = discs(figure)[1]
    assert len(np.unique(colours, axis=0)) == 9
    brightness = colours[:, :3].sum(axis=1)
    assert (np.diff(brightness) < 0).all()
    signed = lattice.plot(values=np.arange(9) - 2)
    assert signed.axes[1].get_ylim() == (-6, 6)
    negative, zero, positive = discs(signed)[1][[0, 2, 8], :3]
    assert negative[2] > negative[0] and positive[0] > positive[2] and abs(zero[0] - zero[2]) < 0.05
    assert len(np.unique(discs(lattice.plot(values=np.full(9, 7.0)))[1], axis=0)) == 1


def test_selections_of_bonds() -> None:
    """An order, a kind, several, pairs, or names for them."""
    lattice = square(4)
    for order in (1, 2, 4):
        figure = lattice.plot(order)
        assert len(solid(figure)) + n_stubs(figure) / 2 == len(lattice.bonds(order))
    assert len(solid(lattice.plot(np.int64(2)))) == 18
    assert len(solid(lattice.plot("x"))) == 12 and n_stubs(lattice.plot("x")) == 8
    assert solid(lattice.plot(bonds=[[0, 5]]))[0].tolist() == [[0, 0], [1, 1]]
    assert len(strokes(lattice.plot([[0, 4]]))[0]) == 1 and n_stubs(lattice.plot([[12, 0]])) == 2
    assert lattice.plot("x").axes[0].get_legend() is None
    for named in (("x", "y"), {"x": "x", "y": "y"}, {"x": lattice.bonds(kind="x"), "y": "y"}):
        figure = lattice.plot(named)
        assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["x", "y"]
        hues = {tuple(np.round(c[:3], 6)) for c in strokes(figure)[1]}
        assert hues == {tuple(np.round(to_rgb(c), 6)) for c in PALETTE[:2]}
        assert len(solid(figure)) == 24


def test_pairs_are_drawn_to_the_nearest_image() -> None:
    """Of equally near ones to the site itself; images that are bonds of their own are all drawn."""
    assert n_stubs(chain(4).plot([[3, 0]])) == 2 and n_stubs(chain(4).plot([[1, 3]])) == 0
    assert n_stubs(chain(4).plot([[3, 1]])) == 0
    assert n_stubs(chain(4).plot(2)) == 0
    twisted = chain(2, twist=0.5).plot()
    assert len(solid(twisted)) == 1 and n_stubs(twisted) == 2


def test_bond_values() -> None:
    """Colour by value, width by modulus, in the order of the sets; line styles tell the sets apart."""
    lattice = shastry_sutherland(2, periodic=False)
    n_dimers, n_bonds = len(lattice.bonds(kind="dimer")), sum(len(lattice.bonds(kind=k)) for k in lattice.kinds)
    values = np.where(np.arange(n_bonds) < n_dimers, -1.0, 0.25)
    figure = lattice.plot({"J": "dimer", "J'": "square"}, bond_values=values)
    paths, colours, widths = strokes(figure)
    lengths = np.array([np.linalg.norm(path[-1] - path[0]) for path in paths])
    dimers = lengths > 1.2
    assert dimers.sum() == n_dimers
    assert (colours[dimers][:, 2] > colours[dimers][:, 0]).all() and (
        colours[~dimers][:, 0] > colours[~dimers][:, 2]
    ).all()
    assert widths[dimers].min() > 2 * widths[~dimers].max()
    assert figure.axes[1].get_ylim() == (-1, 1)
    one, two = figure.axes[0].get_legend().get_lines()
    assert one.get_linestyle() != two.get_linestyle() and one.get_color() == two.get_color()
    both = lattice.plot("dimer", np.arange(16), bond_values=np.arange(n_dimers))
    assert [bar.get_ylabel() for bar in both.axes[1:]] == ["sites", "bonds"]
    assert len(lattice.plot("dimer", np.arange(16)).axes) == 2


def test_labels() -> None:
    lattice = triangular([[2, 1], [-1, 3]])
    figure = lattice.plot(labels=True)
    texts = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert set(texts) == set(map(str, range(7)))
    places = np.array([texts[str(site)] for site in range(7)])
    np.testing.assert_array_equal(lattice.locate(places)[0], range(7))
    assert not lattice.plot().axes[0].texts


@pytest.mark.parametrize(
    "lattice",
    [square([[5, 1], [-1, 5]]), triangular([[6, 0], [-3, 6]]), kagome([[2, 2], [-2, 4]]), shuriken(2)],
    ids=repr,
)
def test_sites_are_drawn_within_the_torus(lattice: Lattice) -> None:
    """Images of the sites, all within one cell of the torus; its outline is dashed."""
    figure = lattice.plot()
    places, _ = discs(figure)
    np.testing.assert_array_equal(lattice.locate(places)[0], np.arange(lattice.n_sites))
    (outline,) = [c for c in figure.axes[0].collections if c.get_zorder() == 1]
    corners = np.unique(np.round(np.concatenate(outline.get_segments()), 6), axis=0)
    assert len(outline.get_segments()) == len(corners) == 4
    assert all(axes[0] <= x <= axes[1] for x in corners[:, 0] for axes in (figure.axes[0].get_xlim(),))
    within = (places - outline.get_segments()[0][0]) @ np.linalg.inv(lattice.periods)
    assert within.min() > -1e-6 and within.max() < 1 + 1e-6
    np.testing.assert_allclose(within.min(axis=0), 1 - within.max(axis=0), atol=1e-6)


def test_bonds_past_other_sites_are_bent() -> None:
    """Next-nearest neighbours of a chain lead past the site between."""
    lattice = chain(6, periodic=False)
    assert {len(path) for path in solid(lattice.plot(1))} == {2}
    for path in solid(lattice.plot(2)):
        assert path[:, 1].max() > 0.2 and path[[0, -1], 1].tolist() == [0, 0]
    assert {len(path) for path in solid(square(4, periodic=False).plot(2))} == {2}


def test_three_dimensions() -> None:
    """The view turns the picture; what is far away is painted first, and pale."""
    lattice = cubic(2, 3, 2, periodic=False)
    above = lattice.plot(view=(90.0, -90.0))
    places, colours = discs(above)
    assert {tuple(p) for p in np.round(places, 6).tolist()} == {(x, y) for x in (0, 1) for y in (0, 1, 2)}
    assert (colours[:6, :3].sum(axis=1) > colours[6:, :3].sum(axis=1)).all()
    side = np.round(discs(lattice.plot(view=(0.0, 0.0)))[0], 6)
    assert {tuple(p) for p in side.tolist()} == {(y, z) for y in (0, 1, 2) for z in (0, 1)}
    assert len(solid(above)) == len(lattice.bonds())
    orders = [c.get_zorder() for c in lattice.plot().axes[0].collections if isinstance(c, EllipseCollection)]
    assert orders == sorted(orders) and len(orders) > 4
    values = pyrochlore(1).plot(values=np.arange(4.0))
    assert len(np.unique(discs(values)[1], axis=0)) == 4


def test_graphs() -> None:
    """Positions are used; without them springs place the sites, always in the same way."""
    graph = from_networkx(nx.petersen_graph())
    one, two = (discs(graph.plot())[0] for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert len(np.unique(np.round(one, 3), axis=0)) == 10
    assert len(solid(graph.plot())) == 15
    placed = from_networkx(honeycomb(2, periodic=False).to_networkx())
    np.testing.assert_allclose(discs(placed.plot())[0], placed.positions)
    assert len(discs(from_networkx(nx.empty_graph(3)).plot())[0]) == 3


def test_axes_of_the_caller() -> None:
    """Panels of a larger figure."""
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert square(3).plot(ax=right) is figure
    assert len(right.collections) > 0 and len(left.collections) == 0


def test_a_file_shows_something(tmp_path: Path) -> None:
    lattice = shastry_sutherland(2)
    lattice.plot(lattice.kinds, np.arange(16.0), labels=True).savefig(tmp_path / "x.png")
    pixels = matplotlib.image.imread(tmp_path / "x.png")
    assert pixels.shape[0] > 300
    assert 0.1 < np.mean(np.any(pixels[..., :3] < 0.95, axis=-1)) < 0.6


def test_matplotlib_is_imported_when_needed_and_pyplot_never() -> None:
    code = (
        "import sys, manybody; assert 'matplotlib' not in sys.modules;"
        "manybody.lattice.square(2).plot(); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    (
        {"values": np.zeros(8)},
        ValueError,
        r"`values` must have one entry for each of the 9 sites that are drawn, got shape",
    ),
    ({"values": np.zeros((9, 1))}, ValueError, r"`values` must have one entry.*got shape \(9, 1\)"),
    ({"values": np.zeros(9) + 1j}, TypeError, "`values` must be real numbers, got dtype complex128"),
    ({"values": ["a"] * 9}, TypeError, "`values` must be real numbers"),
    ({"values": [np.nan] * 9}, ValueError, "`values` must be finite"),
    ({"bond_values": np.zeros(9)}, ValueError, "`bond_values` must have one entry for each of the 18 bonds that are"),
    ({"bonds": "x", "bond_values": np.zeros(18)}, ValueError, "for each of the 9 bonds"),
    ({"bonds": "z"}, ValueError, "`kind` must be one of 'x', 'y', got 'z'"),
    ({"bonds": ("x", "z")}, ValueError, "`kind` must be one of 'x', 'y', got 'z'"),
    ({"bonds": 7}, ValueError, "`order` must be at most 2"),
    ({"bonds": 1.5}, TypeError, "`order` must be an integer"),
    ({"bonds": {}}, ValueError, "`bonds` must name at least one set of bonds"),
    ({"bonds": [0, 1]}, ValueError, "`bonds` must be an order, a kind, several kinds, pairs of shape"),
    ({"bonds": [[0, 1], [2]]}, ValueError, "`bonds` must be an order, a kind, several kinds, pairs of shape"),
    ({"bonds": [[0.0, 1.0]]}, TypeError, "`bonds` must be pairs of site numbers, got dtype float64"),
    ({"bonds": [[0, 9]]}, ValueError, r"`bonds` must join different sites below 9, got \[\[0, 9\]\]"),
    ({"bonds": {"a": [[1, 1]]}}, ValueError, r"`bonds` must join different sites below 9, got \[\[1, 1\]\]"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), REFUSED)
def test_refusals(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        square(3).plot(**arguments)


def test_four_dimensions_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="`lattice` must have at most three dimensions to be drawn, got 4"):
        Lattice(np.eye(4), 2).plot()
