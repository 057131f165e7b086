# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import re

import numpy as np
import pytest

from manybody.hilbert import Qubit, Spin

unchecked = pytest.mark.skipif(os.environ.get("MANYBODY_TYPECHECK", "0") != "0", reason="jaxtyping complains first")


def test_the_index_is_the_binary_number() -> None:
    assert Qubit(3).index_to_states(6).tolist() == [1, 1, 0]
    np.testing.assert_array_equal(Qubit(5).states_to_index(np.array([[0, 1, 0, 1, 1]], np.int8)), [0b01011])


def test_bit_0_is_spin_up() -> None:
    np.testing.assert_array_equal(1 - 2 * Qubit(4).all_states(), Spin(4).all_states())


@unchecked
@pytest.mark.parametrize(
    ("n_sites", "error", "message"),
    [
        (0, ValueError, "`n_sites` must satisfy 1 <= n_sites, got 0."),
        (2.0, TypeError, "`n_sites` must be an integer, got float (2.0)."),
    ],
)
def test_errors(n_sites: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        Qubit(n_sites)
