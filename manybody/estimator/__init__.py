# SPDX-License-Identifier: Apache-2.0
"""Estimators: what samples say about operators."""

from manybody.estimator.expect import expect, force, weighted_gradient
from manybody.estimator.fidelity import Fidelity, fidelity, fidelity_from_target
from manybody.estimator.local import LocalValues, buffer_size, count_rows, local_values
from manybody.estimator.terms import expect_terms, generic, local_terms

__all__ = [
    "Fidelity",
    "LocalValues",
    "buffer_size",
    "count_rows",
    "expect",
    "expect_terms",
    "fidelity",
    "fidelity_from_target",
    "force",
    "generic",
    "local_terms",
    "local_values",
    "weighted_gradient",
]
