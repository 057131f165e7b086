# SPDX-License-Identifier: Apache-2.0
"""Figures of runs and of observables."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib.patheffects
import matplotlib.ticker
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from numpy.typing import ArrayLike

from manybody import _checks
from manybody.lattice import Lattice
from manybody.lattice.cluster import grid, shortest
from manybody.observables import Correlations, StructureFactor, allowed_momenta, extended_reciprocal
from manybody.observables.zone import wigner_seitz

__all__ = ["correlations", "energy_curve", "structure_factor"]

BLUE, BAND, BLACK, ORANGE = "#1f5a94", "#9dc1e4", "#202020", "#c8551b"
COLOURS = (BLUE, ORANGE, "#2f7d4f", "#7a4a9e", "#8a6d1d", "#4a4a4a")
MEDIAN_OVER = 21
"""Steps of the running median that is drawn through the relative errors."""


def energy_curve(
    records: Iterable[Mapping[str, Any]],
    *,
    exact: float | None = None,
    n_sites: int = 1,
    result: tuple[float, float] | None = None,
    title: str = "",
) -> Figure:
    """The energy over the steps of a run with its error band; below it the relative error, if that is known.

    Args:
        records: of a log, as `manybody.io.read_log` reads them; each has "step" and "energy" with "mean" and "error".
        exact: the exact energy.
        n_sites: energies are divided by this.
        result: energy and error measured after the run.
        title: of the figure.

    Returns:
        The figure; `figure.savefig(path)` writes it.

    Raises:
        TypeError: if `records` is the name of a file.
        ValueError: if there are no records, or `n_sites` is below 1.
    """
    _checks.integer(n_sites, "n_sites", minimum=1)
    _check_records(records)
    rows = [(r["step"], r["energy"]["mean"], r["energy"]["error"]) for r in records]
    _checks.require(len(rows) > 0, "records", "hold at least one step", "none")
    step, mean, error = (_numbers(column) for column in zip(*rows, strict=True))
    mean, error = mean / n_sites, error / n_sites
    has_relative = exact is not None and exact != 0
    figure = Figure(figsize=(7.0, 6.2 if has_relative else 4.2), layout="constrained")
    ratios = {"height_ratios": (3, 2)} if has_relative else {}
    axes = figure.subplots(1 + has_relative, 1, sharex=True, squeeze=False, gridspec_kw=ratios)[:, 0]
    _draw_energy(axes[0], step, mean, error)
    if result is not None:
        value, spread = result[0] / n_sites, result[1] / n_sites
        style = {"fmt": "o", "ms": 4, "color": ORANGE, "zorder": 4}
        axes[0].errorbar(step[-1], value, yerr=spread, label="measured at the end", **style)
    if exact is not None:
        axes[0].axhline(exact / n_sites, color=BLACK, lw=1.0, ls=(0, (6, 3)), label="exact", zorder=3)
    _zoom(axes[0], mean, None if exact is None else exact / n_sites)
    axes[0].set_ylabel("energy per site" if n_sites > 1 else "energy")
    axes[0].legend(frameon=False, loc="upper right")
    if exact is not None and has_relative:
        end = None if result is None else (step[-1], result[0] / exact - 1)
        _draw_relative_error(axes[1], step, mean * n_sites / exact - 1, end)
    axes[-1].set_xlabel("step")
    axes[-1].xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    for ax in axes:
        _plain(ax)
    figure.suptitle(title, fontsize=10)
    return figure


def observables(
    records: Iterable[Mapping[str, Any]],
    *,
    against: str,
    exact: Mapping[str, ArrayLike] | None = None,
    below: str,
    title: str = "",
) -> Figure:
    """Observables over the time, or the steps, of a run with their error bands; at the bottom one more quantity.

    Args:
        records: of a log, as `manybody.io.read_log` reads them. Those without "observables" count at the bottom only.
        against: what the horizontal axis is, "t" or "step".
        exact: by the names of observables: a curve with a value for each of them, or one value.
        below: what is shown at the bottom, on a logarithmic scale: "residual", "cost", or another number or estimate.
        title: of the figure.

    Returns:
        The figure; `figure.savefig(path)` writes it.

    Raises:
        TypeError: if `records` is the name of a file.
        ValueError: if there are no records.
    """
    _check_records(records)
    rows = list(records)
    _checks.require(len(rows) > 0, "records", "hold at least one", "none")
    observed = [row for row in rows if row.get("observables")]
    names = list(observed[0]["observables"]) if observed else []
    figure = Figure(figsize=(7.0, 2.0 + 2.2 * (len(names) + 1) * 0.8), layout="constrained")
    axes = figure.subplots(len(names) + 1, 1, sharex=True, squeeze=False)[:, 0]
    where = _numbers(row[against] for row in observed)
    for ax, name in zip(axes[:-1], names, strict=True):
        mean, error = (_numbers(row["observables"][name][key] for row in observed) for key in ("mean", "error"))
        ax.fill_between(where, mean - error, mean + error, color=BAND, lw=0, label="one standard error")
        ax.plot(where, mean, color=BLUE, lw=1.1, marker="o", ms=2.5, label="variational")
        if exact is not None:
            curve = np.broadcast_to(np.asarray(exact[name], float), where.shape)
            ax.plot(where, curve, color=BLACK, lw=1.0, ls=(0, (6, 3)), label="exact", zorder=3)
        ax.set_ylabel(name)
    if names:
        axes[0].legend(frameon=False, fontsize=8)
    value = _numbers(row[below]["mean"] if isinstance(row[below], Mapping) else row[below] for row in rows)
    axes[-1].plot(_numbers(row[against] for row in rows), np.abs(value), color=ORANGE, lw=1.1)
    if np.any(np.abs(value) > 0):
        axes[-1].set_yscale("log")
    axes[-1].set_ylabel(below)
    axes[-1].set_xlabel({"t": "time"}.get(against, against))
    for ax in axes:
        _plain(ax)
    figure.suptitle(title, fontsize=10)
    return figure


def _check_records(records: object) -> None:
    """Raise `TypeError` if these are not records but the name of the file where they are."""
    if isinstance(records, (str, os.PathLike)):
        cure = f"Read them with manybody.io.read_log({os.fspath(records)!r})."
        raise TypeError(_checks.requirement("records", "be those of a log", f"{type(records).__name__}", cure))


def structure_factor(
    found: StructureFactor,
    lattice: Lattice,
    *,
    label: str = r"$S(\mathbf{k})$",
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """S(k) as a map of the Brillouin zone in two dimensions, as a curve in one.

    Each momentum is a patch of one colour, its part of the zone: nothing is interpolated. The outer boundary is that of
    the zone within which S(k) repeats if all its momenta are there (the extended zone, with several sites in the cell),
    else that of the first one, which otherwise is the dashed line. Of square and hexagonal zones the points of high
    symmetry are named.

    Args:
        found: as `manybody.observables.structure_factor` returns it, at all momenta of a zone.
        lattice: periodic along all axes.
        label: of what is shown.
        title: of the figure.
        ax: Matplotlib axes to draw on, instead of a new figure.

    Returns:
        The figure; `figure.savefig(path)` writes it.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if the lattice has an open axis, or more than two dimensions.
    """
    _checks.require_type(found, StructureFactor, "found")
    _checks.require_type(lattice, Lattice, "lattice")
    _checks.require(all(lattice.periodic), "lattice", "be periodic along all axes", lattice)
    _checks.require(lattice.dim <= 2, "lattice", "have one or two dimensions", lattice.dim)
    if ax is None:
        size = (5.2, 4.4) if lattice.dim == 2 else (5.2, 3.4)
        ax = Figure(figsize=size, layout="constrained").subplots()
    rows = _zone_of(found, lattice)
    draw = _draw_map if lattice.dim == 2 else _draw_curve
    draw(ax, found, lattice, lattice.reciprocal if rows is None else rows, rows is not None, label)
    ax.set_title(title, fontsize=10)
    return _figure_of(ax)


def correlations(
    found: Correlations | Mapping[str, Correlations],
    *,
    label: str = r"$C(r)$",
    log: bool = False,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """C(r) against the distance, with one standard error each; the correlation of a site with itself is left out.

    Args:
        found: as `manybody.observables.correlation_function` returns it, or several of them by name. Real parts count.
        label: of what is shown.
        log: show |C(r)| on a logarithmic scale; open circles are negative.
        title: of the figure.
        ax: Matplotlib axes to draw on, instead of a new figure.

    Returns:
        The figure; `figure.savefig(path)` writes it.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if there is nothing to draw.
    """
    curves = {"": found} if isinstance(found, Correlations) else dict(found)
    _checks.require(len(curves) > 0, "found", "hold at least one correlation function", "none")
    for curve in curves.values():
        _checks.require_type(curve, Correlations, "found")
    if ax is None:
        ax = Figure(figsize=(5.2, 3.6), layout="constrained").subplots()
    for number, (name, curve) in enumerate(curves.items()):
        _draw_correlations(ax, curve, name, COLOURS[number % len(COLOURS)], log)
    if log:
        ax.set_yscale("log")
    else:
        ax.axhline(0, color=BLACK, lw=0.8, zorder=1)
    ax.set_xlabel("distance $r$")
    ax.set_ylabel(f"|{label}|" if log else label)
    ax.set_xlim(left=0)
    _plain(ax)
    if any(curves):
        ax.legend(frameon=False)
    ax.set_title(title, fontsize=10)
    return _figure_of(ax)


def _numbers(values: Iterable[float | None]) -> np.ndarray:
    """None is what JSON has instead of nan."""
    return np.array([np.nan if x is None else x for x in values], float)


def _draw_energy(ax: Axes, step: np.ndarray, mean: np.ndarray, error: np.ndarray) -> None:
    ax.fill_between(step, mean - error, mean + error, color=BAND, lw=0, label="one standard error")
    ax.plot(step, mean, color=BLUE, lw=1.1, marker="o" if len(step) == 1 else "", label="energy")


def _draw_relative_error(ax: Axes, step: np.ndarray, relative: np.ndarray, end: tuple[float, float] | None) -> None:
    """Noise makes single steps lie below the exact energy; their moduli are light, the running median is not."""
    ax.plot(step, np.abs(relative), ".", ms=3, color=BAND, label="steps")
    if len(step) >= MEDIAN_OVER:
        windows = np.lib.stride_tricks.sliding_window_view(relative, MEDIAN_OVER)
        half = MEDIAN_OVER // 2
        ax.plot(step[half:-half], np.abs(np.median(windows, axis=1)), color=BLUE, lw=1.1, label="running median")
    if end is not None:
        ax.plot(end[0], abs(end[1]), "o", ms=4, color=ORANGE)
    ax.set_yscale("log")
    ax.set_ylabel("relative error")
    ax.legend(frameon=False, loc="upper right")


def _zoom(ax: Axes, mean: np.ndarray, exact: float | None) -> None:
    """Limits that show the end of the curve and not only its steep beginning."""
    finite = mean[np.isfinite(mean)]
    if len(finite) < MEDIAN_OVER:
        return
    low = min(np.min(finite), np.inf if exact is None else exact)
    high = np.quantile(finite, 0.93)
    margin = 0.08 * (high - low)
    if margin > 0:
        ax.set_ylim(low - margin, high + margin)


def _figure_of(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def _plain(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color="#e6e6e6", lw=0.6)
    ax.set_axisbelow(True)


def _draw_correlations(ax: Axes, found: Correlations, name: str, colour: str, log: bool) -> None:
    apart = found.distances > 0
    mean, error = np.real(found.estimate.mean)[apart], np.asarray(found.estimate.error)[apart]
    face = np.where((mean < 0) & log, "white", colour)
    style = {"elinewidth": 1.0, "capsize": 2.0, "ecolor": colour, "fmt": "none", "zorder": 2}
    ax.errorbar(found.distances[apart], np.abs(mean) if log else mean, yerr=error, **style)
    height = np.abs(mean) if log else mean
    ax.scatter(found.distances[apart], height, s=18, c=face, edgecolors=colour, lw=1.0, label=name, zorder=3)


# --- reciprocal space -------------------------------------------------------------------------------------------------


def _zone_of(found: StructureFactor, lattice: Lattice) -> np.ndarray | None:
    """Vectors with which S(k) repeats, by rows, if all momenta of their zone are there."""
    try:
        rows, every = extended_reciprocal(lattice), allowed_momenta(lattice, extended=True)
    except ValueError:
        return None
    between = (found.momenta[None] - every[:, None]).reshape(-1, lattice.dim)
    between = np.linalg.norm(between + shortest(between, rows) @ rows, axis=1).reshape(len(every), -1)
    return rows if bool(np.all(between.min(axis=1) < 1e-6 * np.abs(rows).max())) else None


def _draw_curve(
    ax: Axes, found: StructureFactor, lattice: Lattice, rows: np.ndarray, repeats: bool, label: str
) -> None:
    """Over the zone from -edge to edge; a momentum at the edge is at both ends."""
    edge = abs(rows[0, 0]) / 2
    shifts = np.arange(-2, 3) * 2 * edge if repeats else np.zeros(1)
    k = (found.momenta + shifts[None]).T.ravel()
    mean, error = (np.tile(np.real(x), len(shifts)) for x in (found.estimate.mean, found.estimate.error))
    order = np.argsort(k)
    order = order[np.abs(k[order]) <= edge * (1 + 1e-9)]
    style = {"fmt": "o-", "ms": 3.5, "lw": 1.0, "elinewidth": 1.0, "capsize": 2.0, "color": BLUE}
    ax.errorbar(k[order] / np.pi, mean[order], yerr=error[order], **style)
    ax.set_xlim(-1.02 * edge / np.pi, 1.02 * edge / np.pi)
    first = abs(lattice.reciprocal[0, 0]) / 2
    for x in (-first, first) if first < edge * (1 - 1e-9) else ():
        ax.axvline(x / np.pi, color=BLACK, lw=0.8, ls=(0, (4, 3)))
    ax.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(6, steps=[1, 5, 10]))
    ax.set_xlabel(r"$k / \pi$")
    ax.set_ylabel(label)
    _plain(ax)


def _draw_map(ax: Axes, found: StructureFactor, lattice: Lattice, rows: np.ndarray, repeats: bool, label: str) -> None:
    zone, first = wigner_seitz(rows), wigner_seitz(lattice.reciprocal)
    cell = wigner_seitz(2 * np.pi * np.linalg.inv(lattice.periods).T)  # that of the grid of momenta
    shifts = (grid((5, 5)) - 2) @ rows if repeats else np.zeros((1, 2))
    centres = (found.momenta[None] + shifts[:, None]).reshape(-1, 2)
    values = np.tile(np.real(found.estimate.mean), len(shifts))
    reach = np.linalg.norm(zone, axis=1).max() + np.linalg.norm(cell, axis=1).max()
    near = np.linalg.norm(centres, axis=1) < reach
    patches = PolyCollection(centres[near, None] + cell, edgecolors="white", linewidths=0.3, cmap="viridis", zorder=1)
    patches.set_array(values[near])
    patches.set_clim(min(0.0, float(values.min())), float(values.max()))
    ax.add_collection(patches)
    outline = ax.add_patch(Polygon(zone, fill=False, ec=BLACK, lw=1.3, zorder=3))
    if repeats:
        patches.set_clip_path(outline)
    if not np.allclose(np.abs(np.linalg.det(rows)), np.abs(np.linalg.det(lattice.reciprocal))):
        ax.add_patch(Polygon(first, fill=False, ec="white", lw=1.0, ls=(0, (4, 3)), zorder=3))
    _name_points(ax, first)
    bar = _figure_of(ax).colorbar(patches, ax=ax, shrink=0.85, pad=0.03)
    bar.set_label(label)
    bar.outline.set_linewidth(0.8)
    error = float(np.max(found.estimate.error))
    if error > 0:
        bar.ax.set_title(rf"$\pm${error:.1g}", fontsize=8)
    _frame_in_pi(ax, zone if repeats else np.concatenate([zone, (centres[:, None] + cell).reshape(-1, 2)]))


def _frame_in_pi(ax: Axes, zone: np.ndarray) -> None:
    """Equal axes a little larger than what is drawn, with ticks in units of pi."""
    ax.set_aspect("equal")
    ax.set_xlim(*(1.06 * np.abs(zone[:, 0]).max() * np.array([-1, 1])))
    ax.set_ylim(*(1.06 * np.abs(zone[:, 1]).max() * np.array([-1, 1])))
    for axis, name in ((ax.xaxis, "x"), (ax.yaxis, "y")):
        axis.set_major_locator(matplotlib.ticker.MultipleLocator(np.pi))
        axis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda x, _: f"{x / np.pi:.0f}"))
        axis.set_label_text(rf"$k_{name} / \pi$")
    ax.spines[["top", "right"]].set_visible(False)


def _name_points(ax: Axes, zone: np.ndarray) -> None:
    """Gamma, and one corner and the middle of one edge of a square or regular hexagonal zone."""
    lengths = np.linalg.norm(np.roll(zone, -1, axis=0) - zone, axis=1)
    radii = np.linalg.norm(zone, axis=1)
    regular = np.ptp(lengths) < 1e-6 * radii[0] and np.ptp(radii) < 1e-6 * radii[0]
    names = {4: ("M", "X"), 6: ("K", "M")}.get(len(zone)) if regular else None
    points = {r"$\Gamma$": np.zeros(2)}
    if names is not None:
        corner = int(np.argmax(zone @ np.array([1.0, 0.4])))
        points |= {names[0]: zone[corner], names[1]: (zone[corner] + zone[corner - 1]) / 2}
    for name, point in points.items():
        ax.plot(*point, "o", ms=3.2, color="white", mec=BLACK, mew=0.8, zorder=4, clip_on=False)
        style = {"xytext": (4, 4), "textcoords": "offset points", "color": BLACK, "fontsize": 9, "zorder": 5}
        text = ax.annotate(name, tuple(point), **style)
        text.set_path_effects([matplotlib.patheffects.withStroke(linewidth=2.2, foreground="white")])
