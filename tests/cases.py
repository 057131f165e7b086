# SPDX-License-Identifier: Apache-2.0
"""Lists of cases of which some are left to `pytest -m slow`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest


def some_slow(cases: Mapping[str, Any], slow: Iterable[str]) -> list:
    """All cases for `parametrize`, of which those with the names `slow` are marked so; a tuple is several arguments."""
    slow = set(slow)
    assert slow <= cases.keys(), f"there are no cases {sorted(slow - cases.keys())}"
    return [
        pytest.param(*(case if type(case) is tuple else (case,)), id=name, marks=[pytest.mark.slow] * (name in slow))
        for name, case in cases.items()
    ]
