# SPDX-License-Identifier: Apache-2.0
"""Nothing but imports: their time is between the marks "interpreter" and "import"."""

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the package of this checkout


def start(options, mark):
    for module in options["modules"]:
        importlib.import_module(module)
    mark("import")
