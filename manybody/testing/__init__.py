# SPDX-License-Identifier: Apache-2.0
"""The laws that the parts of the library obey, for parts that are not in it: call them in your own tests."""

from manybody.testing.operators import check_operator

__all__ = ["check_operator"]
