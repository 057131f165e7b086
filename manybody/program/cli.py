# SPDX-License-Identifier: Apache-2.0
"""The console command `manybody`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from manybody import _checks
from manybody.driver.stop import seconds
from manybody.parallel.cluster import started
from manybody.program import catalogue
from manybody.program.run import FAILED, execute

EPILOG = "`manybody COMMAND --help` describes the options of a command."


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and ends with exit code 1 like every other error."""

    def error(self, message: str) -> NoReturn:
        """Print, if this is the first of its processes, and leave."""
        text = f"{self.prog}: error: {message} (see {self.prog} --help)\n"
        self.exit(FAILED, text if started().rank == 0 else None)


def duration(text: str) -> float:
    """A time as `StopOnRequest` takes it, in seconds; other texts are errors of the command line."""
    try:
        found = seconds(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 3600, 90m, 3h50m or 1-12:30:00") from None
    if found <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time above zero")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (by default that of the process); returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    commands = catalogue.programs()
    parser = _parser(commands)
    if words and not words[0].startswith("-") and words[0] not in commands:
        must = f"be one of {', '.join(commands)}"
        nearest = _checks.did_you_mean(words[0], commands)
        parser.error(_checks.requirement("COMMAND", must, repr(words[0]), nearest).rstrip("."))
    options = parser.parse_args(words)
    return execute(catalogue.program(options.command), options)


def _parser(commands: dict[str, str]) -> Parser:
    parser = Parser(
        prog="manybody", description="Variational many-body physics from configuration files.", epilog=EPILOG
    )
    chosen = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in commands.items():
        shipped = ", ".join(catalogue.configs(name))
        command = chosen.add_parser(name, help=summary, description=f"{summary}.")
        command.add_argument("config", metavar="CONFIG", help=f"a TOML file, or a shipped one by name: {shipped}")
        command.add_argument("--out", metavar="DIR", help="directory for log, checkpoints and results (runs/<name>)")
        command.add_argument("--seed", type=int, metavar="N", help="instead of run.seed")
        command.add_argument("--steps", type=int, metavar="N", help="instead of optimisation.steps")
        command.add_argument("--fresh", action="store_true", help="start anew, in a directory beside that of a run")
        command.add_argument(
            "--max-time",
            type=duration,
            metavar="TIME",
            help="save and stop within this time: seconds, 90m, 3h50m, 1-12:30:00",
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
