# SPDX-License-Identifier: Apache-2.0
"""Shared type names.

Array dimensions are annotated with jaxtyping. A dimension name means the same thing everywhere:

=============  =====================================================================
``samples``    configurations handled together (chains times draws)
``chains``     Markov chains
``draws``      configurations kept per chain
``sites``      degrees of freedom of one configuration
``conn``       connections of one configuration (the rows of an operator)
``changed``    sites that one connection or one proposal changes
``params``     real parameters, flattened (a complex one counts as two)
=============  =====================================================================
"""

from __future__ import annotations

from typing import Any

import jax
from jaxtyping import Bool, Complex, Float, Inexact, Int, Int8, Key, Num, Shaped, UInt

Array = jax.Array
PyTree = Any
PRNGKey = Key[Array, ""]
"""One typed key, as `jax.random.key` makes it."""

__all__ = [
    "Array",
    "Bool",
    "Complex",
    "Float",
    "Inexact",
    "Int",
    "Int8",
    "Key",
    "Num",
    "PRNGKey",
    "PyTree",
    "Shaped",
    "UInt",
]
