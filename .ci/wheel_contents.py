# SPDX-License-Identifier: Apache-2.0
"""Fail if a wheel lacks a file of the package or of the programs, or holds one that is not theirs."""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def expected() -> set[str]:
    """Names in the wheel of everything that has to be installed."""
    modules = [*(ROOT / "manybody").rglob("*.py"), ROOT / "manybody" / "py.typed"]
    programs = [path for pattern in ("*.py", "config/*.toml", "submit/*") for path in (ROOT / "drivers").glob(pattern)]
    return {path.relative_to(ROOT).as_posix() for path in modules} | {
        f"manybody/{path.relative_to(ROOT).as_posix()}" for path in programs
    }


def main(wheel: str) -> int:
    """Compare `wheel` with the source; the exit code."""
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    for name in sorted(expected() - found):
        print(f"{wheel}: {name} is missing", file=sys.stderr)
    for name in sorted(found - expected()):
        print(f"{wheel}: {name} should not be there", file=sys.stderr)
    return int(found != expected())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
