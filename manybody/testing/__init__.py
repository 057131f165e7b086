# SPDX-License-Identifier: Apache-2.0
"""The laws that the parts of the library obey, for parts that are not in it: call them in your own tests."""

from manybody.testing.amplitudes import check_ansatz
from manybody.testing.moves import check_move
from manybody.testing.operators import check_operator

__all__ = ["check_ansatz", "check_move", "check_operator"]
