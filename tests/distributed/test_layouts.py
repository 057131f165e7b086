# SPDX-License-Identifier: Apache-2.0
"""The same seed gives the same samples, and the same numbers to rounding, whatever the workers are.

By default the programs are compiled as the tests are, without optimisations; the full form (`-m slow`) compiles them as
users do, and has all cases in all layouts.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.distributed import layouts
from tests.distributed.layouts import LAYOUTS, WORKERS, Results

SCRIPT = WORKERS / "run_vmc.py"
OPTIMISED = {"XLA_FLAGS": None}
ALL = (
    "complex",
    "contraction",
    "exact",
    "parameters",
    "samples",
    "cg-parameters",
    "cg-samples",
    "qr-parameters",
    "qr-samples",
    "pinv",
    "force",
)
LAYOUT_CASES = {"mpi2": ("complex", "exact"), "devices2": ("complex", "contraction")}
SLOW_CASES = {"mpi2": ("cg-samples", "qr-samples"), "devices2": ("exact",)}

ACCURACY = 1e-10


def check(reference: dict[str, np.ndarray], found: dict[str, np.ndarray], case: str) -> None:
    """Compare all that the run of one case wrote; what workers share was written as each process sees it."""
    names = [name for name in reference if name.startswith(f"{case}/")]
    assert names
    assert names == [name for name in found if name.startswith(f"{case}/")]
    for name in names:
        expected, got = np.broadcast_to(reference[name], found[name].shape), found[name]
        if np.issubdtype(got.dtype, np.inexact):
            np.testing.assert_allclose(got, expected, rtol=0, atol=ACCURACY, err_msg=name)
        else:
            np.testing.assert_array_equal(got, expected, err_msg=name)


def compare(results: Results, cases: dict[str, tuple[str, ...]], layout: str, case: str) -> None:
    found = results(layout, SCRIPT, ",".join(cases[layout]))
    np.testing.assert_array_equal(found["layout"], [LAYOUTS[layout].n_workers, LAYOUTS[layout].n_processes])
    check(serial(results, cases), found, case)


def serial(results: Results, cases: dict[str, tuple[str, ...]]) -> dict[str, np.ndarray]:
    return results("serial", SCRIPT, ",".join(sorted({case for of_layout in cases.values() for case in of_layout})))


@pytest.mark.parametrize(
    ("layout", "case"), [(layout, case) for layout, cases in LAYOUT_CASES.items() for case in cases]
)
def test_same_numbers(results: Results, layout: str, case: str) -> None:
    compare(results, LAYOUT_CASES, layout, case)


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "case"), [(layout, case) for layout, cases in SLOW_CASES.items() for case in cases])
def test_same_numbers_of_more_cases(results: Results, layout: str, case: str) -> None:
    compare(results, SLOW_CASES, layout, case)


@pytest.mark.slow
@pytest.mark.parametrize("case", ALL)
@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "serial"])
def test_same_numbers_of_all_cases(results: Results, layout: str, case: str) -> None:
    found = results(layout, SCRIPT, ",".join(ALL), changes=OPTIMISED)
    np.testing.assert_array_equal(found["layout"], [LAYOUTS[layout].n_workers, LAYOUTS[layout].n_processes])
    check(results("serial", SCRIPT, ",".join(ALL), changes=OPTIMISED), found, case)


@pytest.mark.slow
def test_cases_differ(results: Results) -> None:
    """The cases are what their names say, and something happens in them."""
    found = results("serial", SCRIPT, ",".join(ALL), changes=OPTIMISED)
    choices = {case: str(found[f"{case}/choices"]) for case in ALL}
    assert "structured: visible, hidden;" in choices["samples"]
    assert "structured: visible, hidden;" in choices["complex"]
    assert "structured: none;" in choices["contraction"]
    for space in ("parameters", "samples"):
        for solver in ("cg", "qr"):
            assert f"space of {space}, solver {solver}" in choices[f"{solver}-{space}"]
    assert choices["force"] == "force"
    for case in ALL:
        energy = found[f"{case}/energy/mean"]
        assert len(np.unique(energy)) == len(energy) == 10
    assert np.isfinite(found["parameters/energy/tau"]).all()
    assert np.iscomplexobj(found["complex/params/hidden/kernel"])


@pytest.mark.parametrize("name", ["complex/sigma", "complex/params/hidden/bias", "exact/energy/error"])
def test_differences_are_found(results: Results, name: str) -> None:
    reference = serial(results, LAYOUT_CASES)
    changed = reference[name].copy()
    changed.flat[-1] += 2 * ACCURACY if np.issubdtype(changed.dtype, np.inexact) else 1
    with pytest.raises(AssertionError, match=name):
        check(reference, reference | {name: changed}, name.partition("/")[0])


# --- what the tests stand on ------------------------------------------------------------------------------------------


def test_without_mpi_tests_are_skipped_unless_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "missing_for_mpi", lambda: ["mpiexec"])
    layouts.require("devices2")
    monkeypatch.setenv("MANYBODY_REQUIRE_MPI", "0")
    with pytest.raises(pytest.skip.Exception, match="layout mpi2 needs MPI, of which there is no mpiexec"):
        layouts.require("mpi2")
    monkeypatch.setenv("MANYBODY_REQUIRE_MPI", "1")
    with pytest.raises(pytest.fail.Exception, match="layout mpi2 needs MPI, of which there is no mpiexec"):
        layouts.require("mpi2")


def test_a_failing_program_says_why() -> None:
    done = layouts.run("processes2-plain", "import sys; print('out'); sys.exit('the reason')")
    assert done.codes == (1, 1)
    assert done.stdout == 2 * "out\n"
    assert done.stderr == 2 * "the reason\n"
    assert all(text in str(done) for text in ("processes2-plain", "(1, 1)", done.stdout, done.stderr))


@pytest.mark.parametrize(
    "layout", [*(pytest.param(x, marks=pytest.mark.slow) for x in ("serial", "processes2-plain")), "mpi2"]
)
def test_nothing_is_left_of_a_program_that_hangs(layout: str, tmp_path: Path) -> None:
    text = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1], str(os.getpid())).touch(); time.sleep(60)"
    with pytest.raises(pytest.fail.Exception, match="not finished after 2 s"):
        layouts.run(layout, text, tmp_path, timeout=2)
    processes = [int(path.name) for path in tmp_path.iterdir()]
    assert len(processes) == LAYOUTS[layout].n_processes
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
