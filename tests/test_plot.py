# SPDX-License-Identifier: Apache-2.0

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from manybody.plot import energy_curve

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
    with pytest.raises(ValueError, match="`records` must hold at least one step"):
        energy_curve([])
    with pytest.raises(ValueError, match="`n_sites`"):
        energy_curve(RECORDS, n_sites=0)
