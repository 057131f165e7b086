# SPDX-License-Identifier: Apache-2.0
"""How tests get at the scripts of the benchmarks, which are no package."""

import importlib.util
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
WORKERS = BENCHMARKS / "workers"


def load(path):
    """Run a file; its neighbours and those of the scripts can be imported, as where it is started."""
    spec = importlib.util.spec_from_file_location(f"benchmarks_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    before = sys.path[:]
    sys.path[:0] = [str(BENCHMARKS), str(path.parent)]
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return module
