# SPDX-License-Identifier: Apache-2.0

from pathlib import Path

import matplotlib.colors
import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from manybody import lattice
from manybody.observables import Correlations, StructureFactor, allowed_momenta, extended_reciprocal
from manybody.observables.zone import wigner_seitz
from manybody.plot import correlations, energy_curve, observables, structure_factor
from manybody.stats import Estimate

RECORDS = [{"step": n, "energy": {"mean": -10.0 + 4.0 / n, "error": 0.3 / n}} for n in range(1, 61)]


def test_with_exact_energy() -> None:
    figure = energy_curve(RECORDS, exact=-10.0, n_sites=10, result=(-9.95, 0.01), title="a title")
    top, bottom = figure.axes
    curve = {line.get_label(): line for line in top.lines}
    np.testing.assert_allclose(curve["energy"].get_ydata(), [r["energy"]["mean"] / 10 for r in RECORDS])
    assert set(curve["exact"].get_ydata()) == {-1.0}
    assert top.get_ylabel() == "energy per site"
    assert top.get_ylim()[0] < -1.0 < top.get_ylim()[1]
    assert top.get_legend_handles_labels()[1] == ["one standard error", "energy", "exact", "measured at the end"]
    assert bottom.get_yscale() == "log"
    np.testing.assert_allclose(bottom.lines[0].get_ydata(), [0.4 / n for n in range(1, 61)], rtol=1e-12)
    assert bottom.lines[-1].get_ydata() == pytest.approx([0.005])
    assert figure.get_suptitle() == "a title"


TIMES = [
    {"t": 0.1 * n, "residual": 10.0**-n, "observables": {"X": {"mean": 1.0 - 0.1 * n, "error": 0.01 * n}}}
    for n in range(5)
]


def test_observables_over_the_time() -> None:
    exact = {"X": np.linspace(1.0, 0.5, 5)}
    top, bottom = observables(TIMES, against="t", exact=exact, below="residual", title="a title").axes
    curve = {line.get_label(): line for line in top.lines}
    np.testing.assert_allclose(curve["variational"].get_xydata().T, [np.arange(5) / 10, 1 - np.arange(5) / 10])
    np.testing.assert_allclose(curve["exact"].get_ydata(), exact["X"])
    box = top.collections[0].get_datalim(top.transData)
    assert (box.ymin, box.ymax) == pytest.approx((0.56, 1.0))
    assert (top.get_ylabel(), bottom.get_ylabel(), bottom.get_xlabel()) == ("X", "residual", "time")
    assert bottom.get_yscale() == "log"
    np.testing.assert_allclose(bottom.lines[0].get_ydata(), [10.0**-n for n in range(5)])


def test_observables_now_and_then() -> None:
    """Records without them count at the bottom; one exact value is a line."""
    cost = {"mean": -0.5, "error": 0.1}
    records = [{"step": n, "cost": cost, **(TIMES[n] if n % 2 else {})} for n in range(5)]
    top, bottom = observables(records, against="step", exact={"X": 0.3}, below="cost").axes
    np.testing.assert_allclose(top.lines[0].get_xdata(), [1, 3])
    np.testing.assert_allclose(top.lines[1].get_ydata(), [0.3, 0.3])
    np.testing.assert_allclose(bottom.lines[0].get_xydata().T, [np.arange(5), np.full(5, 0.5)])
    assert bottom.get_xlabel() == "step"
    assert len(observables([{"step": 1, "cost": cost}], against="step", below="cost").axes) == 1
    with pytest.raises(ValueError, match="`records`"):
        observables([], against="t", below="residual")


def test_band_is_one_error_wide() -> None:
    (axes,) = energy_curve(RECORDS).axes
    box = axes.collections[0].get_datalim(axes.transData)
    assert (box.ymin, box.ymax) == pytest.approx((min(-10 + 3.7 / n for n in range(1, 61)), -5.7))
    assert axes.get_ylabel() == "energy"


def test_without_exact_energy_there_is_one_panel() -> None:
    assert len(energy_curve(RECORDS).axes) == 1
    assert len(energy_curve(RECORDS, exact=0.0).axes) == 1  # nothing is relative to 0


@pytest.mark.parametrize("n", [1, 2, 30])
def test_short_and_broken_logs(n: int, tmp_path: Path) -> None:
    records = [{"step": 1, "energy": {"mean": None, "error": None}}, *RECORDS[1:n]]
    energy_curve(records, exact=-10.0).savefig(tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 5_000


def test_picture_shows_something(tmp_path: Path) -> None:
    energy_curve(RECORDS, exact=-10.0).savefig(tmp_path / "x.png")
    pixels = matplotlib.image.imread(tmp_path / "x.png")
    assert pixels.shape[0] > 400
    assert 0.02 < np.mean(np.any(pixels[..., :3] < 0.95, axis=-1)) < 0.5


def test_refusals() -> None:
    for draw in (energy_curve, lambda records: observables(records, against="t", below="cost")):
        with pytest.raises(TypeError, match=r"`records` must be those of a log, .*read_log\('log.jsonl'\)"):
            draw("log.jsonl")
        with pytest.raises(TypeError, match=r"read_log\('log.jsonl'\)"):
            draw(Path("log.jsonl"))
    with pytest.raises(ValueError, match="`records` must hold at least one step"):
        energy_curve([])
    with pytest.raises(ValueError, match="`n_sites`"):
        energy_curve(RECORDS, n_sites=0)


# --- observables ------------------------------------------------------------------------------------------------------


def estimate(mean: np.ndarray, error: float = 0.01) -> Estimate:
    same = np.full(len(mean), error)
    return Estimate(np.asarray(mean), same, same, same, same, same, same)


def bumps(grid: lattice.Lattice, extended: bool = True) -> StructureFactor:
    """A function that repeats with the extended zone."""
    momenta = allowed_momenta(grid, extended=extended)
    rows = np.linalg.inv(extended_reciprocal(grid))
    return StructureFactor(momenta, estimate(2 + np.cos(2 * np.pi * momenta @ rows).sum(axis=1)))


@pytest.mark.parametrize(
    ("rows", "n_corners"),
    [(np.eye(2), 4), ([[1, 0], [0.5, 0.75**0.5]], 6), ([[1, 0], [7, 1]], 4), ([[1, 0.1], [0.3, 2]], 6)],
)
def test_zones(rows: np.ndarray, n_corners: int) -> None:
    """Of the area of a primitive cell, and its corners as far from 0 as from two other points."""
    rows = np.array(rows, float)
    corners = wigner_seitz(rows)
    assert len(corners) == n_corners
    x, y = corners.T
    area = (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2
    assert area == pytest.approx(abs(np.linalg.det(rows)))
    points = (np.indices((31, 31)).reshape(2, -1).T - 15) @ rows
    distances = np.sort(np.linalg.norm(corners[:, None] - points, axis=-1), axis=1)
    np.testing.assert_allclose(distances[:, 0], np.linalg.norm(corners, axis=1))
    np.testing.assert_allclose(distances[:, 0], distances[:, 2])


@pytest.mark.parametrize("make", [lattice.square, lattice.triangular, lattice.kagome, lattice.honeycomb])
def test_map_of_the_zone(make: type, tmp_path: Path) -> None:
    """What is drawn at a momentum has its colour, also where it is an image, and the zone is filled."""
    grid = make(4)
    found = bumps(grid)
    figure = structure_factor(found, grid, title="a title")
    ax, bar = figure.axes
    figure.savefig(tmp_path / "x.png", dpi=100)
    pixels = matplotlib.image.imread(tmp_path / "x.png")[..., :3]
    zone = ax.patches[0].get_path().vertices
    patches = ax.collections[0]
    rng = np.random.default_rng(0)
    rows = extended_reciprocal(grid)
    cell_size = np.abs(np.linalg.det(np.linalg.inv(grid.periods))) ** 0.5
    agrees = []
    for k in 0.9 * zone[rng.integers(len(zone), size=60)] * rng.random((60, 1)):
        shifts = (np.indices((5, 5)).reshape(2, -1).T - 2) @ rows
        apart = np.linalg.norm(k - (found.momenta[:, None] + shifts), axis=-1).min(axis=1)
        nearest, second = np.sort(apart)[:2]
        x, y = ax.transData.transform(k)
        here = pixels[len(pixels) - 1 - int(y), int(x)]
        if second - nearest < cell_size or np.linalg.norm(k) < 2 * cell_size:
            continue  # near an edge, or under a label
        colour = patches.to_rgba(found.estimate.mean[np.argmin(apart)])[:3]
        agrees.append(np.abs(here - colour).max() < 0.02)
    assert len(agrees) > 20
    assert np.mean(agrees) > 0.9  # lines and letters have other colours
    assert bar.get_ylabel() == r"$S(\mathbf{k})$"
    assert bar.get_title() == r"$\pm$0.01"
    assert ax.get_title() == "a title"
    assert len(ax.patches) == (2 if len(grid.offsets) > 1 else 1)
    names = {"$\\Gamma$", *(("M", "X") if make is lattice.square else ("K", "M"))}
    assert {text.get_text() for text in ax.texts} == names


def test_map_of_what_is_known() -> None:
    """Without the extended zone nothing repeats: as many patches as momenta."""
    kagome = lattice.kagome(2)
    figure = structure_factor(bumps(kagome, extended=False), kagome)
    assert len(figure.axes[0].collections[0].get_paths()) == 4
    shuriken = lattice.shuriken(2)
    found = StructureFactor(shuriken.momenta(), estimate(np.arange(4.0)))
    assert len(structure_factor(found, shuriken).axes[0].collections[0].get_paths()) == 4


def test_curve_of_a_chain() -> None:
    """From -pi to pi, the momentum at the edge at both ends."""
    figure = structure_factor(bumps(lattice.chain(6)), lattice.chain(6))
    curve = figure.axes[0].lines[0]
    np.testing.assert_allclose(curve.get_xdata(), np.arange(-3, 4) / 3, atol=1e-12)
    np.testing.assert_allclose(curve.get_ydata(), 2 + np.cos(np.pi * np.arange(-3, 4) / 3), atol=1e-12)
    given = Figure().subplots()
    assert structure_factor(bumps(lattice.chain(6)), lattice.chain(6), ax=given) is given.figure


def decaying(sign: float = -1.0) -> Correlations:
    r = np.arange(5.0)
    pairs = np.stack([np.zeros(5, int), np.arange(5)], axis=1)
    return Correlations(pairs, np.full(5, 8), r[:, None], r, estimate(sign**r / (1 + r)))


def test_correlations() -> None:
    (ax,) = correlations(decaying(), title="a title").axes
    points = ax.collections[-1].get_offsets()
    np.testing.assert_allclose(points, np.stack([np.arange(1, 5), [-1 / 2, 1 / 3, -1 / 4, 1 / 5]], axis=1))
    assert len(np.unique(ax.collections[-1].get_facecolors(), axis=0)) == 1
    bars = ax.collections[0].get_segments()
    np.testing.assert_allclose(np.array(bars)[:, :, 1], np.add.outer([-1 / 2, 1 / 3, -1 / 4, 1 / 5], [-0.01, 0.01]))
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("distance $r$", "$C(r)$", "a title")


def test_correlations_by_size() -> None:
    """Negative ones are open circles; several have a legend."""
    (ax,) = correlations({"first": decaying(), "second": decaying(1.0)}, log=True).axes
    assert ax.get_yscale() == "log"
    assert ax.get_legend_handles_labels()[1] == ["first", "second"]
    first = next(c for c in ax.collections if c.get_label() == "first")
    faces = [matplotlib.colors.to_hex(face) for face in first.get_facecolors()]
    assert faces == ["#ffffff", "#1f5a94"] * 2
    np.testing.assert_allclose(first.get_offsets()[:, 1], 1 / np.arange(2, 6))


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: structure_factor(decaying(), lattice.chain(5)), TypeError, "`found` must be a StructureFactor"),
        (lambda: structure_factor(bumps(lattice.chain(5)), 5), TypeError, "`lattice` must be a Lattice"),
        (lambda: structure_factor(bumps(lattice.cubic(2)), lattice.cubic(2)), ValueError, "have one or two dimensions"),
        (
            lambda: structure_factor(bumps(lattice.chain(5)), lattice.chain(5, periodic=False)),
            ValueError,
            "`lattice` must be periodic along all axes",
        ),
        (lambda: correlations({}), ValueError, "`found` must hold at least one correlation function"),
        (lambda: correlations({"a": 1}), TypeError, "`found` must be a Correlations"),
    ],
)
def test_refusals_of_observables(draw: type, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        draw()
