# SPDX-License-Identifier: Apache-2.0

import json
import math

import pytest

from manybody.program import build, report
from manybody.program.config import GroundState
from manybody.program.reference import ExactEnergy
from manybody.program.tables import from_table
from manybody.stats import Estimate
from tests.program.tiny import TINY

ESTIMATE = Estimate(-2.5, 0.25, 1.5, math.nan, math.nan, 400.0, 1.0)


def result(exact: ExactEnergy | None) -> report.Result:
    problem = build.problem(from_table(GroundState, TINY))
    return report.result(ESTIMATE, problem, 512, 7, exact)


def test_numbers() -> None:
    found = result(ExactEnergy("a book", lambda: -2.75))
    assert (found.energy_per_site, found.error_per_site) == pytest.approx((-2.5 / 6, 0.25 / 6))
    assert found.v_score == pytest.approx(6 * 1.5 / 2.5**2)
    assert found.relative_error == pytest.approx(0.25 / 2.75)
    assert (found.exact_energy, found.exact_source) == (-2.75, "a book")
    assert (found.n_samples, found.steps) == (512, 7)
    assert report.last_line(ESTIMATE, found).endswith("relative error 9.09e-02 (exact -2.75000000)")


def test_no_exact_energy() -> None:
    found = result(None)
    assert found.exact_energy is found.exact_source is found.relative_error is None
    assert report.last_line(ESTIMATE, found).endswith("no exact energy to compare with")


def test_nothing_is_relative_to_zero() -> None:
    assert result(ExactEnergy("a book", lambda: 0.0)).relative_error is None


def test_json_has_no_nan() -> None:
    table = json.loads(json.dumps(result(None).as_json(), allow_nan=False))
    assert table["tau"] is table["r_hat"] is None
    assert table["energy"] == -2.5
