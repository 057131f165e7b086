# SPDX-License-Identifier: Apache-2.0
"""Time evolution on several workers: the numbers of one process, and runs that are taken up exactly."""

from __future__ import annotations

import numpy as np
import pytest

from tests.distributed.layouts import LAYOUTS, WORKERS, Results

SCRIPT = WORKERS / "run_tdvp.py"
ACCURACY = 1e-9
"""Eigenvectors of small eigenvalues are known to rounding errors of the large ones."""


each = pytest.mark.parametrize("case", ["chains", pytest.param("exact", marks=pytest.mark.slow)])


@each
@pytest.mark.parametrize("layout", [pytest.param("mpi2", marks=pytest.mark.slow), "devices2"])
def test_same_numbers(results: Results, layout: str, case: str) -> None:
    """To rounding; configurations of chains exactly. The halves for cross-validation are other ones."""
    expected, found = results("serial", SCRIPT, case), results(layout, SCRIPT, case)
    np.testing.assert_array_equal(found["layout"], [LAYOUTS[layout].n_workers, LAYOUTS[layout].n_processes])
    names = [name for name in expected if name != "layout" and "cross" not in name]
    assert len(names) > 10
    for name in names:
        got, right = found[name], np.broadcast_to(expected[name], found[name].shape)
        exactly = not np.issubdtype(got.dtype, np.inexact)
        np.testing.assert_allclose(got, right, rtol=0, atol=0 if exactly else ACCURACY, err_msg=name)
    if case == "chains":
        assert np.all(found["cross_residual"] > found["residual"])
        assert np.all(found["residual"] > 1e-3)


@each
@pytest.mark.parametrize("layout", ["serial", pytest.param("mpi2", marks=pytest.mark.slow), "devices2"])
def test_runs_are_taken_up_bit_for_bit(results: Results, layout: str, case: str) -> None:
    found = results(layout, SCRIPT, case)
    names = [name for name in found if name.startswith("progress/")]
    assert any("params" in name for name in names)
    for name in names:
        np.testing.assert_array_equal(found[name.replace("progress/", "resumed/", 1)], found[name], err_msg=name)
