# SPDX-License-Identifier: Apache-2.0
"""Figures of runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib.ticker
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from manybody import _checks

__all__ = ["energy_curve"]

BLUE, BAND, BLACK, ORANGE = "#1f5a94", "#9dc1e4", "#202020", "#c8551b"
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
        ValueError: if there are no records, or `n_sites` is below 1.
    """
    _checks.integer(n_sites, "n_sites", minimum=1)
    rows = [(r["step"], r["energy"]["mean"], r["energy"]["error"]) for r in records]
    _checks.require(len(rows) > 0, "records", "hold at least one step", "none")
    # None is what JSON has instead of nan.
    step, mean, error = np.array([[np.nan if x is None else x for x in row] for row in rows], float).T
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
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color="#e6e6e6", lw=0.6)
        ax.set_axisbelow(True)
    figure.suptitle(title, fontsize=10)
    return figure


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
