# SPDX-License-Identifier: Apache-2.0
"""Modules that are loaded when they are first used: many runs never need them, and all would wait for them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["networkx", "nnx"]


class Lazy:
    """Stands for a module, and loads it when an attribute is asked for.

    Args:
        name: dotted name of the module.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


if TYPE_CHECKING:
    import networkx
    from flax import nnx
else:
    networkx = Lazy("networkx")
    nnx = Lazy("flax.nnx")
