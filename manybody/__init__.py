# SPDX-License-Identifier: Apache-2.0
"""Variational many-body quantum physics with JAX.

Packages are loaded when they are first asked for, so that a program waits for those only that it uses.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

import jax

if os.environ.get("MANYBODY_X64", "1") != "0":
    jax.config.update("jax_enable_x64", True)
if os.environ.get("JAX_CPU_ENABLE_ASYNC_DISPATCH", "0").lower() not in ("1", "true"):  # which JAX does not read itself
    jax.config.update("jax_cpu_enable_async_dispatch", False)  # a thread in between takes a fifth of a small step

if TYPE_CHECKING:
    from manybody import (
        ansatz,
        driver,
        estimator,
        exact,
        hamiltonian,
        hilbert,
        io,
        lattice,
        observables,
        ode,
        operator,
        parallel,
        plot,
        sampler,
        sr,
        stats,
        symmetry,
        testing,
    )
    from manybody.state import VariationalState

__all__ = [
    "VariationalState",
    "ansatz",
    "driver",
    "estimator",
    "exact",
    "hamiltonian",
    "hilbert",
    "io",
    "lattice",
    "observables",
    "ode",
    "operator",
    "parallel",
    "plot",
    "sampler",
    "sr",
    "stats",
    "symmetry",
    "testing",
]


def __getattr__(name: str) -> Any:
    if name == "VariationalState":
        return importlib.import_module("manybody.state").VariationalState
    if name in __all__:
        return importlib.import_module(f"manybody.{name}")
    raise AttributeError(f"module 'manybody' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
