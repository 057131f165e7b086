# SPDX-License-Identifier: Apache-2.0
"""Time evolution on several workers: the numbers of one process, and runs that are taken up exactly."""

from __future__ import annotations

import numpy as np
import pytest

from tests.distributed.layouts import LAYOUTS, WORKERS, Results

SCRIPT = WORKERS / "run_tdvp.py"
ACCURACY = 1e-9
"""Eigenvectors of small eigenvalues are known to rounding errors of the large ones."""


@pytest.mark.parametrize("layout", [pytest.param("mpi2", marks=pytest.mark.slow), "devices2"])
def test_same_numbers(results: Results, layout: str) -> None:
    """To rounding; configurations of chains exactly. The halves for cross-validation are other ones."""
    expected, found = results("serial", SCRIPT), results(layout, SCRIPT)
    np.testing.assert_array_equal(found["layout"], [LAYOUTS[layout].n_workers, LAYOUTS[layout].n_processes])
    names = [name for name in expected if name != "layout" and "cross" not in name]
    assert len(names) > 20
    for name in names:
        got, right = found[name], np.broadcast_to(expected[name], found[name].shape)
        exactly = not np.issubdtype(got.dtype, np.inexact)
        np.testing.assert_allclose(got, right, rtol=0, atol=0 if exactly else ACCURACY, err_msg=name)
    assert np.all(found["chains/cross_residual"] > found["chains/residual"])
    assert np.all(found["chains/residual"] > 1e-3)


@pytest.mark.parametrize("layout", ["serial", "mpi2", "devices2"])
def test_runs_are_taken_up_bit_for_bit(results: Results, layout: str) -> None:
    found = results(layout, SCRIPT)
    names = [name for name in found if "/progress/" in name]
    assert any("params" in name for name in names)
    for name in names:
        np.testing.assert_array_equal(found[name.replace("/progress/", "/resumed/")], found[name], err_msg=name)
