# SPDX-License-Identifier: Apache-2.0
"""What every program for batch jobs shares: its configuration, its directory, what it prints, its exit code."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from manybody import parallel
from manybody.driver import VMC, Hook, NotFinite
from manybody.driver.hooks import Record
from manybody.io import CheckpointError
from manybody.program.catalogue import find_config
from manybody.program.config import load
from manybody.program.tables import ConfigError, plain

FINISHED, FAILED = 0, 1
"""Exit codes."""
SETTINGS = "config.json"
WRITTEN = (SETTINGS, "log.jsonl", "checkpoint-*.npz", "energy.png", "result.json")
"""Files of a run, as patterns."""
FREE = ("measure", "reference", "run.save_every")
"""Settings that may differ when a run is taken up again: they change none of its steps."""
LINES = 20
"""Lines of progress where there is no terminal for a bar."""


@dataclass(frozen=True)
class Job:
    """What a program is given.

    Attributes:
        name: of the configuration.
        config: the configuration.
        out: directory for what it writes.
    """

    name: str
    config: Any
    out: Path

    @property
    def is_root(self) -> bool:
        """Whether this process prints and writes files."""
        return parallel.comm().is_root

    def say(self, text: str) -> None:
        """Print, if this is the process that does."""
        if self.is_root:
            print(text, flush=True)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a file to the directory, if this is the process that does."""
        if self.is_root:
            (self.out / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


class Progress(Hook):
    """Says where a run begins; where there is no terminal for a progress bar, also a line now and then."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._every = 1

    def on_start(self, driver: VMC, target: int) -> None:
        self._every = max(1, -(-target // LINES))
        if 0 < driver.step < target:
            self._say(f"resuming after step {driver.step} of {target}")
        elif driver.step == target > 0:
            self._say(f"all {target} steps were made before")

    def on_step(self, driver: VMC, record: Record) -> None:
        if record["step"] % self._every == 0 and not has_terminal():
            energy = record["energy"]
            numbers = f"{energy.mean:.5f} +- {energy.error:.1e}  variance {energy.variance:.3g}"
            self._say(f"step {record['step']:6d}  energy {numbers}")


def has_terminal() -> bool:
    """Whether somebody looks at a progress bar."""
    return sys.stderr.isatty()


def execute(program: ModuleType, arguments: argparse.Namespace) -> int:
    """Run a program: its function `work(job)`, with a configuration of its class `Config`.

    Returns:
        The exit code: 0 if it finished, 1 for an error. What the user can put right is said in one line, anything else
        shows a traceback.
    """
    options = {"run.seed": arguments.seed, "optimisation.steps": arguments.steps}
    try:
        path = find_config(arguments.config)
        config = load(path, program.Config, {key: value for key, value in options.items() if value is not None})
        job = Job(path.stem, config, Path(arguments.out or Path("runs", path.stem)))
        prepare(job, fresh=arguments.fresh)
        try:
            program.work(job)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
    except (ConfigError, CheckpointError, NotFinite) as error:
        print(f"manybody: error: {error}", file=sys.stderr)
        return FAILED
    except Exception:
        traceback.print_exc()
        return FAILED
    return FINISHED


def prepare(job: Job, *, fresh: bool = False) -> None:
    """Make the directory of a run, and note the settings in it.

    Args:
        job: the run.
        fresh: discard what an earlier run left there.

    Raises:
        ConfigError: if the directory cannot be made, or holds a run with other settings.
    """
    if not job.is_root:
        return
    settings = json.loads(json.dumps(plain(job.config)))
    try:
        job.out.mkdir(parents=True, exist_ok=True)
        present = [path for pattern in WRITTEN for path in job.out.glob(pattern)]
        if fresh:
            for path in present:
                path.unlink()
        elif present:
            _check_same(job.out, settings)
        job.write_json(SETTINGS, settings)
    except OSError as error:
        raise ConfigError(f"{job.out}: {error.strerror}.") from error


def _check_same(out: Path, settings: Mapping[str, Any]) -> None:
    cure = "Choose another --out, or discard it with --fresh."
    try:
        before = json.loads((out / SETTINGS).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise ConfigError(f"{out} holds a run, but not the settings it was made with ({SETTINGS}). {cure}") from error
    old, new = dict(_flat(before)), dict(_flat(settings))
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key) and not key.startswith(FREE):
            was, now = (json.dumps(values[key]) if key in values else "not given" for values in (old, new))
            raise ConfigError(f"{out} holds a run with other settings: `{key}` was {was}, now {now}. {cure}")


def _flat(table: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Any]]:
    """Entries of nested tables by dotted key."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{where}{key}.")
        else:
            yield f"{where}{key}", value
