# SPDX-License-Identifier: Apache-2.0
"""Packages that one function needs and most users do not."""

from __future__ import annotations

import importlib
from typing import Any


def load(name: str, extra: str) -> Any:
    """The package `name`.

    Raises:
        ImportError: if it is not installed; says which extra of this package brings it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f'This needs {name}: pip install "manybody[{extra}]".') from error
