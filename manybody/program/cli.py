# SPDX-License-Identifier: Apache-2.0
"""The console command `manybody`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from manybody import _checks
from manybody.program import catalogue
from manybody.program.run import FAILED, execute

EPILOG = "`manybody COMMAND --help` describes the options of a command."


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and ends with exit code 1 like every other error."""

    def error(self, message: str) -> NoReturn:
        """Print and leave."""
        self.exit(FAILED, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


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
    shipped = ", ".join(catalogue.configs())
    for name, summary in commands.items():
        command = chosen.add_parser(name, help=summary, description=f"{summary}.")
        command.add_argument("config", metavar="CONFIG", help=f"a TOML file, or a shipped one by name: {shipped}")
        command.add_argument("--out", metavar="DIR", help="directory for log, checkpoints and results (runs/<name>)")
        command.add_argument("--seed", type=int, metavar="N", help="instead of run.seed")
        command.add_argument("--steps", type=int, metavar="N", help="instead of optimisation.steps")
        command.add_argument("--fresh", action="store_true", help="discard an earlier run in that directory")
    return parser


if __name__ == "__main__":
    sys.exit(main())
