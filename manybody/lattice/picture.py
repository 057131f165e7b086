# SPDX-License-Identifier: Apache-2.0
"""How sites and bonds are painted: projected to the plane, and from the back to the front.

Three dimensions are painted by hand, because Matplotlib's own do not hide lines behind markers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

SITE, EDGE, OUTLINE = "#2b3440", "#20262e", "#b4bac2"
PALETTE = ("#6b7a8c", "#c8551b", "#1f5a94", "#3a8f5c", "#8a4f9e", "#b59410", "#4aa3b5", "#a33a4b")
"""Colours of the sets of bonds, in turn; a single one has the first."""
STYLES: tuple[Any, ...] = ("-", (0, (3, 1.2)), (0, (1, 1)), (0, (4, 1.2, 1, 1.2)))
"""Of their lines, where colours stand for values."""
INCHES, LARGEST, SMALLEST = 0.62, 7.0, 2.4
"""Between neighbours; of the longer side of the picture at most; of its width at least."""
RADIUS, LABELLED = 0.13, 0.23
"""Of a site, and of one that holds its number, in distances of neighbours."""
STUB, STEPS = 0.5, 10
"""What is seen of a bond across a boundary, as a fraction of it, and in how many steps it fades."""
BEND = 0.14
"""How far a bond that would lead through a third site leads past it, as a fraction of its length."""
LAYERS = 60
"""Of depth, in three dimensions."""
MIST = 0.65
"""How much of its colour what is furthest away loses."""
Projection = Callable[[np.ndarray], np.ndarray]
"""From (..., dim) to (..., 3): right, up, and towards the viewer, 0 for the rearmost site to 1 for the foremost."""


class Canvas(NamedTuple):
    """Where to paint; `unit` is the distance of neighbours in data, `inches` that on paper."""

    ax: Axes
    unit: float
    inches: float

    @property
    def figure(self) -> Figure:
        """The figure that the axes belong to."""
        return _root(self.ax)

    @property
    def line(self) -> float:
        """Width of a bond, in the unit of line widths: thinner where neighbours are close."""
        return float(np.clip(3.6 * self.inches, 0.5, 2.4))


class Lines(NamedTuple):
    """Paths (m, 3) on the canvas; for each (n,) the bond that it is part of, its opacity and its depth."""

    paths: list[np.ndarray]
    bonds: np.ndarray
    opacity: np.ndarray
    depth: np.ndarray
    n_bonds: int


@runtime_checkable
class Drawn(Protocol):
    """What is read of a set of bonds: `draw.BondSet`."""

    @property
    def pairs(self) -> np.ndarray: ...

    @property
    def vectors(self) -> np.ndarray: ...


class Scale(NamedTuple):
    """Values with their colours: symmetric about 0 if there are both signs, else from the smallest to the largest."""

    values: np.ndarray
    mappable: ScalarMappable

    @classmethod
    def of(cls, values: np.ndarray) -> Scale:
        """The scale that these values (n,) have."""
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
        signed = low < 0 < high
        if signed:
            high = max(-low, high)
            low = -high
        elif high - low <= 1e-9 * max(abs(low), abs(high)):  # all the same
            low, high = low - 0.5, high + 0.5
        mappable = ScalarMappable(Normalize(low, high), matplotlib.colormaps["coolwarm" if signed else "viridis_r"])
        mappable.set_array(values)
        return cls(values, mappable)

    @property
    def colours(self) -> np.ndarray:
        """Red, green and blue (n, 3)."""
        return np.asarray(self.mappable.to_rgba(self.values)).reshape(-1, 4)[:, :3]

    @property
    def sizes(self) -> np.ndarray:
        """Moduli relative to the largest one, (n,)."""
        sizes = np.abs(self.values)
        return sizes / (sizes.max(initial=0.0) or 1.0)


def projection(points: np.ndarray, unit: float, view: tuple[float, float]) -> Projection:
    """The projection of the plane, which does nothing, or of space along the direction of view (degrees)."""
    if points.shape[1] == 2:
        return lambda flat: np.concatenate([flat, np.ones_like(flat[..., :1])], axis=-1)
    up, round_z = np.radians(view)
    right = np.array([-math.sin(round_z), math.cos(round_z), 0.0])
    front = np.array([math.cos(up) * math.cos(round_z), math.cos(up) * math.sin(round_z), math.sin(up)])
    axes = np.stack([right, np.cross(front, right), front], axis=1)
    depths = points @ front
    rear, span = depths.min(), max(float(np.ptp(depths)), unit)
    return lambda solid: (solid @ axes - [0.0, 0.0, rear]) / [1.0, 1.0, span]


def canvas(ax: Axes | None, points: np.ndarray, edges: np.ndarray, unit: float, n_bars: int) -> Canvas:
    """Equal scales without axes, round sites (n, 3) and an outline; on a new figure of a fitting size by default."""
    low, high = points[:, :2].min(axis=0) - 0.75 * unit, points[:, :2].max(axis=0) + 0.75 * unit
    if len(edges):
        low = np.minimum(low, edges[..., :2].min(axis=(0, 1)) - 0.1 * unit)
        high = np.maximum(high, edges[..., :2].max(axis=(0, 1)) + 0.1 * unit)
    spans = (high - low) / unit
    if ax is None:
        inches = min(INCHES, LARGEST / spans.max())
        width, height = spans * inches
        figure = Figure((max(width, SMALLEST) + 0.8 * n_bars, max(height, 0.8)), layout="constrained", dpi=150)
        ax = figure.add_subplot()
    else:
        box = ax.get_window_extent().transformed(_root(ax).dpi_scale_trans.inverted())
        inches = min(box.width / spans[0], box.height / spans[1])
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    ax.axis("off")
    style: Any = (0, (5, 3))
    dashes = LineCollection(edges[..., :2], colors=OUTLINE, linewidths=0.7, linestyles=[style], zorder=1)
    ax.add_collection(dashes, autolim=False)
    return Canvas(ax, unit, float(inches))


def _root(ax: Axes) -> Figure:
    return cast(Figure, ax.get_figure(root=True))


def outline(points: np.ndarray, periods: np.ndarray, project: Projection) -> np.ndarray:
    """Edges (n, 2, 3) of the torus with the sites in its middle; none unless all axes are periodic."""
    dim = points.shape[1]
    if len(periods) < dim:
        return np.empty((0, 2, 3))
    along = points @ np.linalg.inv(periods)  # fractions of the periods
    middle = (along.min(axis=0) + along.max(axis=0)) / 2
    corners = np.array(list(itertools.product((-0.5, 0.5), repeat=dim)))
    edges = [(a, b) for a, b in itertools.combinations(range(2**dim), 2) if (a ^ b).bit_count() == 1]
    return project((middle + corners)[edges] @ periods)


def lines(bonds: Drawn, points: np.ndarray, radius: float, project: Projection) -> Lines:
    """Bonds between sites as drawn; of those that lead out of the picture a stub at either end, which fades.

    Args:
        bonds: to be drawn.
        points: the sites, (n_sites, dim).
        radius: of a site.
        project: the projection.
    """
    paths: list[np.ndarray] = []
    owners: list[int] = []
    opacity: list[float] = []
    depth: list[float] = []
    heights = project(points)[:, 2]
    cuts = np.linspace(0.0, STUB, STEPS + 1)
    for bond, ((i, j), vector) in enumerate(zip(bonds.pairs.tolist(), bonds.vectors, strict=True)):
        if np.linalg.norm(points[i] + vector - points[j]) < 0.01 * radius:
            ends = project(points[[i, j]])
            paths.append(_bent(ends) if _is_blocked(points, i, j, radius) else ends)
            opacity.append(1.0)
            depth.append(min(heights[i], heights[j]))  # behind both sites
        else:
            for site, way in ((i, vector), (j, -vector)):
                paths += [project(points[site] + way * cuts[k : k + 2, None]) for k in range(STEPS)]
                opacity += [1 - (k + 0.5) / STEPS for k in range(STEPS)]
                depth += [heights[site]] * STEPS
        owners += [bond] * (len(paths) - len(owners))
    return Lines(paths, np.array(owners, dtype=int), np.array(opacity), np.array(depth), len(bonds.pairs))


def _is_blocked(points: np.ndarray, i: int, j: int, radius: float) -> bool:
    """Whether a third site lies on the way."""
    along = points[j] - points[i]
    where = (points - points[i]) @ along / (along @ along)
    aside = np.linalg.norm(points - points[i] - where[:, None] * along, axis=1)
    return bool(np.any((where > 0.02) & (where < 0.98) & (aside < 0.6 * radius)))


def _bent(ends: np.ndarray) -> np.ndarray:
    """An arc (m, 3) above the line between two ends (2, 3)."""
    along = ends[1] - ends[0]
    if (along[0], along[1]) < (0.0, 0.0):
        along = -along
    t = np.linspace(0.0, 1.0, 21)[:, None]
    aside = np.array([-along[1], along[0], 0.0])
    return ends[0] + t * (ends[1] - ends[0]) + 4 * BEND * t * (1 - t) * aside


def bonds(canvas: Canvas, sets: list[Lines], scale: Scale | None) -> None:
    """All sets of bonds; with values their colours are those of the scale, and the largest moduli are the widest."""
    first = 0
    for number, one in enumerate(sets):
        colours = np.tile(to_rgb(PALETTE[number % len(PALETTE)]), (one.n_bonds, 1))
        widths = np.full(one.n_bonds, canvas.line)
        style = "-"
        if scale is not None:
            own = slice(first, first + one.n_bonds)
            colours, widths = scale.colours[own], canvas.line * (0.5 + 2.0 * scale.sizes[own])
            style = STYLES[number % len(STYLES)]
        first += one.n_bonds
        for layer, here in _layers(one.depth):
            shades = colours[one.bonds[here]]
            shades = _in_mist(shades, one.depth[here]) if scale is None else shades
            painted = LineCollection(
                [one.paths[k][:, :2] for k in here],
                colors=np.column_stack([shades, one.opacity[here]]),
                linewidths=widths[one.bonds[here]],
                linestyles=[style],
                zorder=2 + 2 * layer,
            )
            canvas.ax.add_collection(painted, autolim=False)


def sites(canvas: Canvas, points: np.ndarray, radius: float, scale: Scale | None, labels: bool) -> None:
    """A disc for each site (n, 3), with its number if there are labels."""
    size = 2 * radius
    colours = np.tile(to_rgb("white" if labels else SITE), (len(points), 1)) if scale is None else scale.colours
    depth = points[:, 2]
    for layer, here in _layers(depth):
        each = np.full(len(here), size)
        discs = EllipseCollection(
            each,
            each,
            0 * each,
            units="xy",
            offsets=points[here, :2],
            offset_transform=canvas.ax.transData,
            facecolors=_in_mist(colours[here], depth[here]) if scale is None else colours[here],
            edgecolors=_in_mist(np.tile(to_rgb(EDGE), (len(here), 1)), depth[here]),
            linewidths=0.35 * canvas.line,
            zorder=3 + 2 * layer,
        )
        canvas.ax.add_collection(discs, autolim=False)
        for site in here if labels else ():
            ink = "white" if colours[site] @ [0.3, 0.59, 0.11] < 0.5 else "black"
            style: Any = {
                "ha": "center",
                "va": "center_baseline",
                "fontsize": 61 * canvas.inches * radius / canvas.unit,
            }
            canvas.ax.text(points[site, 0], points[site, 1], str(site), color=ink, zorder=3 + 2 * layer, **style)


def _layers(depth: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Numbers of what lies in each layer, from the back, which is not empty."""
    layer = np.floor(np.clip(depth, 0, 1) * (LAYERS - 1) + 1e-6).astype(int)
    return [(int(number), np.flatnonzero(layer == number)) for number in np.unique(layer)]


def _in_mist(colours: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Colours (n, 3), nearer to white the further away they are."""
    clear = 1 - MIST * (1 - np.clip(depth, 0, 1))[:, None]
    return clear * colours + (1 - clear)


def keys(canvas: Canvas, names: list[str], bars: dict[str, Scale]) -> None:
    """Colour bars, with their names if there are two, and a legend of the sets of bonds that have names."""
    for what, scale in bars.items():
        bar = canvas.figure.colorbar(scale.mappable, ax=canvas.ax, shrink=0.85, pad=0.02, aspect=22)
        bar.outline.set_visible(False)  # type: ignore[operator]
        bar.ax.tick_params(labelsize=8)
        if len(bars) > 1:
            bar.set_label(what)
    if not any(names):
        return
    handles, by_style = [], "bonds" in bars
    for number, name in enumerate(names):
        style = STYLES[number % len(STYLES)] if by_style else "-"
        colour = EDGE if by_style else PALETTE[number % len(PALETTE)]
        handles.append(Line2D([], [], color=colour, linestyle=style, linewidth=1.8, label=name))
    place: Any = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "ncols": min(len(names), 4)}
    canvas.ax.legend(handles=handles, frameon=False, fontsize=9, handlelength=1.8, **place)
