# SPDX-License-Identifier: Apache-2.0
"""The programs and the configuration files that are shipped with them."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import ModuleType

from manybody import _checks
from manybody.program.tables import ConfigError


@cache
def package() -> str:
    """The package of the programs: `manybody.drivers` as installed, `drivers` in a checkout that was not installed."""
    if importlib.util.find_spec("manybody.drivers") is None:
        return "drivers"
    return "manybody.drivers"


def programs() -> dict[str, str]:
    """The first line of the docstring of each program, by its command (`ground-state` for ground_state.py)."""
    return {
        entry.name.removesuffix(".py").replace("_", "-"): _summary(entry)
        for entry in sorted(files(package()).iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".py") and not entry.name.startswith("_")
    }


def program(command: str) -> ModuleType:
    """The module of a command."""
    return importlib.import_module(f"{package()}.{command.replace('-', '_')}")


def configs() -> dict[str, Path]:
    """The configuration files that are shipped, by name."""
    folder = files(package()).joinpath("config")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return {name.removesuffix(".toml"): Path(str(folder.joinpath(name))) for name in names}


def find_config(name: str) -> Path:
    """The file of that name, or else the shipped configuration of that name.

    Raises:
        ConfigError: if there is neither; names the nearest one.
    """
    if Path(name).is_file():
        return Path(name)
    shipped = configs()
    if name in shipped:
        return shipped[name]
    must = f"be a file, or one of the shipped configurations {', '.join(shipped)}"
    nearest = _checks.did_you_mean(Path(name).stem, shipped)
    raise ConfigError(_checks.requirement("CONFIG", must, repr(name), nearest))


def _summary(entry: Traversable) -> str:
    """Read without running it, so that `manybody --help` is quick."""
    docstring = ast.get_docstring(ast.parse(entry.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].rstrip(".")
