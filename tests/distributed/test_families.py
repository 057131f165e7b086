# SPDX-License-Identifier: Apache-2.0
"""Families on several workers: the numbers of one process, couplings drawn alike, and runs taken up exactly."""

from __future__ import annotations

import numpy as np
import pytest

from tests.distributed.layouts import LAYOUTS, WORKERS, Results

SCRIPT = WORKERS / "run_family.py"
FEW = ("chains-drawn", "exact-drawn")
# JAX cannot batch the conditionals of autoregressive ansatzes on a mesh: constants in their branches vary over workers.
MORE = ("exact", "exact-parameters", "chains", "direct-drawn")
ACCURACY = 1e-12
few = pytest.mark.parametrize("case", [FEW[0], pytest.param(FEW[1], marks=pytest.mark.slow)])


def check(expected: dict[str, np.ndarray], found: dict[str, np.ndarray], layout: str, case: str) -> None:
    """To rounding; and the configurations of chains, and couplings, exactly."""
    np.testing.assert_array_equal(found["layout"], [LAYOUTS[layout].n_workers, LAYOUTS[layout].n_processes])
    names = [name for name in expected if name.startswith(f"{case}/")]
    assert names == [name for name in found if name.startswith(f"{case}/")]
    for name in names:
        got, right = found[name], np.broadcast_to(expected[name], found[name].shape)
        exactly = name.endswith("couplings") or not np.issubdtype(got.dtype, np.inexact)
        np.testing.assert_allclose(got, right, rtol=0, atol=0 if exactly else ACCURACY, err_msg=name)
        assert not np.issubdtype(got.dtype, np.inexact) or np.isfinite(got).all()
    assert np.ptp(found[f"{case}/energies"], axis=0).min() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["mpi2", "devices2"])
@few
def test_same_numbers(results: Results, layout: str, case: str) -> None:
    check(results("serial", SCRIPT, case), results(layout, SCRIPT, case), layout, case)


@pytest.mark.slow
@pytest.mark.parametrize("case", MORE)
def test_same_numbers_of_more_cases(results: Results, case: str) -> None:
    expected, found = (results(layout, SCRIPT, ",".join(MORE)) for layout in ("serial", "mpi2"))
    check(expected, found, "mpi2", case)
    assert (np.ptp(found[f"{case}/couplings"], axis=0).max() > 0) == case.endswith("drawn")


@pytest.mark.parametrize("layout", ["serial", *(pytest.param(x, marks=pytest.mark.slow) for x in ("mpi2", "devices2"))])
@few
def test_runs_are_taken_up_bit_for_bit(results: Results, layout: str, case: str) -> None:
    found = results(layout, SCRIPT, case)
    names = [name for name in found if name.startswith(f"{case}/progress/")]
    assert any("params" in name for name in names)
    for name in names:
        np.testing.assert_array_equal(found[name.replace("/progress/", "/resumed/")], found[name], err_msg=name)


@few
def test_couplings_are_drawn(results: Results, case: str) -> None:
    couplings = results("serial", SCRIPT, case)[f"{case}/couplings"]  # (steps, points)
    np.testing.assert_array_equal(np.floor((couplings - 0.5) * 3), np.tile([0, 1, 2], (len(couplings), 1)))
    assert len(np.unique(couplings)) == couplings.size


@pytest.mark.slow
def test_couplings_are_those_of_the_seed(results: Results) -> None:
    one, other = (results("serial", SCRIPT, case)[f"{case}/couplings"] for case in FEW)
    np.testing.assert_array_equal(one, other)
