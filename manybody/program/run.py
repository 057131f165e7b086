# SPDX-License-Identifier: Apache-2.0
"""What every program for batch jobs shares: its configuration, its directory, what it prints, its exit code."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from manybody import parallel
from manybody.driver import Driver, Hook, NotFinite, StopOnRequest, Stopped
from manybody.driver.hooks import Record, lowered
from manybody.driver.recorder import MadeBefore
from manybody.driver.stop import TRY_AGAIN
from manybody.io import CheckpointError, InUseError
from manybody.ode import StepTooSmall
from manybody.parallel import Comm
from manybody.parallel.failure import fail
from manybody.program.cache import keep_compiled
from manybody.program.catalogue import find_config, fitting
from manybody.program.config import load
from manybody.program.tables import ConfigError, plain

FINISHED, FAILED = 0, 1
"""Exit codes; the third is `TRY_AGAIN`."""
SETTINGS = "config.json"
WRITTEN = (SETTINGS, "start", "log.jsonl", "checkpoint-*.npz", "*.png", "result.json")
"""Files of a run, as patterns."""
FREE = ("measure", "reference", "run.save_every")
"""Settings that may differ when a run is taken up again: they change none of its steps."""
LINES = 20
"""Lines of progress where there is no terminal for a bar."""
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
"""What asks a program to save and stop."""


@dataclass(frozen=True)
class Job:
    """What a program is given.

    Attributes:
        name: of the configuration.
        config: the configuration.
        out: directory for what it writes.
        stop: the hook that ends its run when a signal or the time limit asks for it.
    """

    name: str
    config: Any
    out: Path
    stop: StopOnRequest

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

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration as JSON has it."""
        return json.loads(json.dumps(plain(self.config)))

    def run(self, driver: Driver, target: Any, folder: str = ".", **options: Any) -> None:
        """Let a driver run to its target, as programs do: with its files, what it prints, and signals that stop it.

        Args:
            driver: what runs.
            target: a number of steps, or a grid of times.
            folder: for its files, within the directory.
            **options: what else its `run` takes.

        Raises:
            Stopped: if it was asked to stop before.
        """
        # Not before there is something to run: what was refused must not stand in the way of what is right.
        self.write_json(SETTINGS, self.settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MadeBefore)  # `Progress` says so
            driver.run(
                target,
                out=self.out / folder,
                hooks=[Progress(self.say), self.stop],
                progress=has_terminal(),
                save_every=self.config.run.save_every,
                **options,
            )
        self.stop.check(driver)


class Progress(Hook):
    """Says where a run begins; where there is no terminal for a progress bar, also a line now and then."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._every = 1

    def on_start(self, driver: Driver, target: int) -> None:
        self._every = max(1, -(-target // LINES))
        if 0 < driver.step < target:
            self._say(f"resuming after step {driver.step} of {target}")
        elif driver.step == target > 0:
            self._say(f"all {target} steps were made before")

    def on_step(self, driver: Driver, record: Record) -> None:
        if record["step"] % self._every == 0 and not has_terminal():
            name, value = lowered(record)
            time = f"  t {record['t']:8.4g}" if "t" in record else ""
            numbers = f"{value.mean:.5g} +- {value.error:.1e}  variance {value.variance:.3g}"
            self._say(f"step {record['step']:6d}{time}  {name} {numbers}")


def has_terminal() -> bool:
    """Whether somebody looks at a progress bar."""
    return sys.stderr.isatty()


def execute(program: ModuleType, arguments: argparse.Namespace) -> int:
    """Run a program: its function `work(job)`, with a configuration of its class `Config`.

    Returns:
        The exit code: 0 if it finished, 75 if it was asked to stop before, 1 for an error. What the user can put right
        is said in one line, anything else shows a traceback. An error in one of several processes ends all of them.
    """
    stop = StopOnRequest(arguments.max_time, SIGNALS)
    stop.listen()
    keep_compiled()
    try:
        comm = parallel.launch()
    except (RuntimeError, ValueError, ImportError) as error:
        print(f"manybody: error: {error}", file=sys.stderr)
        return FAILED
    stop.listen()  # once more, because `jax.distributed` takes signals for itself
    try:
        _start(program, arguments, comm, stop)
    except Stopped as stopped:
        if comm.is_root:
            print(f"{stopped}; the same command goes on from there", flush=True)
        return TRY_AGAIN
    except (ConfigError, CheckpointError, InUseError, NotFinite, StepTooSmall) as error:
        return _failed(comm, f"manybody: error: {error}\n")
    except OSError as error:
        return _failed(comm, f"manybody: error: {error.filename or arguments.out or ''}: {error.strerror or error}.\n")
    except Exception:
        return _failed(comm, traceback.format_exc())
    finally:
        stop.forget()
    return FINISHED


def _start(program: ModuleType, arguments: argparse.Namespace, comm: Comm, stop: StopOnRequest) -> None:
    options = {"run.seed": arguments.seed, "optimisation.steps": arguments.steps}
    path = find_config(arguments.config, arguments.command)
    chosen = {key: value for key, value in options.items() if value is not None}
    if "optimisation.steps" in chosen and "optimisation" not in program.Config.__dataclass_fields__:
        raise ConfigError(f"--steps: {arguments.command} does not make a number of steps, but reaches times.")
    config = _read(path, program, arguments.command, chosen)
    out = Path(arguments.out or Path("runs", path.stem))
    job = Job(path.stem, config, beside(comm, out) if arguments.fresh else out, stop)
    prepare(job)
    try:
        program.work(job)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _read(path: Path, program: ModuleType, command: str, chosen: Mapping[str, Any]) -> Any:
    """The configuration of a program; of one for another program the message says which."""
    try:
        return load(path, program.Config, chosen)
    except ConfigError as error:
        others = fitting(path)
        if not others or command in others:
            raise
        raise ConfigError(f"{path} is a configuration for {others[0]}, not for {command}.") from error


def _failed(comm: Comm, message: str) -> int:
    if comm.n_processes > 1:
        fail(comm, message, FAILED)
    sys.stderr.write(message)
    return FAILED


def beside(comm: Comm, out: Path) -> Path:
    """`out` if it holds no run, else the first of out-2, out-3, ... that does not; the same for all processes."""
    number = 1
    while _holds_run(_numbered(out, number)):
        number += 1
    return _numbered(out, int(comm.exchange(np.array(number))[0]))


def prepare(job: Job) -> None:
    """Make the directory of a run.

    Raises:
        ConfigError: if the directory cannot be made, or holds a run with other settings.
    """
    if not job.is_root:
        return
    try:
        job.out.mkdir(parents=True, exist_ok=True)
        if _holds_run(job.out):
            _check_same(job.out, job.settings)
    except OSError as error:
        raise ConfigError(f"{job.out}: {error.strerror}.") from error


def _holds_run(out: Path) -> bool:
    return any(True for pattern in WRITTEN for _ in out.glob(pattern))


def _numbered(out: Path, number: int) -> Path:
    return out if number == 1 else out.with_name(f"{out.name}-{number}")


def _check_same(out: Path, settings: Mapping[str, Any]) -> None:
    cure = "Choose another --out, or start beside it with --fresh."
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
