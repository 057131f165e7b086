# SPDX-License-Identifier: Apache-2.0
"""The programs and the configuration files that are shipped with them."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import ModuleType

from manybody import _checks
from manybody.program.config import load
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


def configs(command: str | None = None) -> dict[str, Path]:
    """The configuration files that are shipped, by name; those of one command are known by the comment in front."""
    folder = files(package()).joinpath("config")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    found = {name.removesuffix(".toml"): Path(str(folder.joinpath(name))) for name in names}
    return {name: path for name, path in found.items() if command in (None, _command(path))}


def fitting(path: Path) -> list[str]:
    """The commands that take a configuration file."""
    found = []
    for command in programs():
        try:
            load(path, program(command).Config)
        except ConfigError:
            continue
        found.append(command)
    return found


def find_config(name: str, command: str | None = None) -> Path:
    """The file of that name, or else the shipped configuration of that name.

    Raises:
        ConfigError: if there is neither; names those of the command, and the nearest one.
    """
    if Path(name).is_file():
        return Path(name)
    shipped = configs()
    if name in shipped:
        return shipped[name]
    own = configs(command)
    must = f"be a file, or one of the shipped configurations {', '.join(own)}"
    nearest = _checks.did_you_mean(Path(name).stem, own)
    raise ConfigError(_checks.requirement("CONFIG", must, repr(name), nearest))


def _command(path: Path) -> str | None:
    """The command in the example that the comment in front of a shipped file gives."""
    example = re.search(r"^#\s+manybody (\S+) \S+$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return None if example is None else example[1]


def _summary(entry: Traversable) -> str:
    """Read without running it, so that `manybody --help` is quick."""
    docstring = ast.get_docstring(ast.parse(entry.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].rstrip(".")
