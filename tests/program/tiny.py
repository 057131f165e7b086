# SPDX-License-Identifier: Apache-2.0
"""A configuration that takes a second, and ways to change it."""

import copy
import json
from pathlib import Path

TINY = {
    "lattice": {"kind": "chain", "n": 6},
    "space": {"kind": "Spin", "total_sz": 0},
    "hamiltonian": {"kind": "heisenberg", "J": 1.0, "marshall": True},
    "ansatz": {"kind": "RBM", "alpha": 1},
    "sampler": {"n_chains": 16, "n_samples": 32, "move": {"kind": "Exchange"}},
    "optimisation": {"steps": 4, "learning_rate": 0.05, "sr": {"diag_shift": 0.01}},
    "measure": {"n_samples": 512, "n_chains": 32},
    "run": {"seed": 3, "save_every": 2},
}


def changed(*changes: tuple[str, object]) -> dict:
    """TINY with values at dotted keys replaced, or removed if they are `...`."""
    table = copy.deepcopy(TINY)
    for dotted, value in changes:
        *parents, key = dotted.split(".")
        inner = table
        for parent in parents:
            inner = inner.setdefault(parent, {})
        if value is ...:
            del inner[key]
        else:
            inner[key] = copy.deepcopy(value)
    return table


def toml(table: dict, where: str = "") -> str:
    """A table as TOML (the standard library can only read it)."""
    scalars = {key: value for key, value in table.items() if not isinstance(value, dict)}
    lines = [f"[{where}]"] if where else []
    lines += [f"{key} = {_written(value)}" for key, value in scalars.items()]
    parts = [toml(value, f"{where}.{key}" if where else key) for key, value in table.items() if isinstance(value, dict)]
    return "\n".join([*lines, "", *parts])


def _written(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {_written(x)}' for key, x in value.items())}}}"
    return json.dumps(value)


def write(folder: Path, *changes: tuple[str, object], name: str = "tiny.toml") -> Path:
    """A configuration file, TINY with changes."""
    path = folder / name
    path.write_text(toml(changed(*changes)), encoding="utf-8")
    return path
