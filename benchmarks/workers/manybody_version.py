# SPDX-License-Identifier: Apache-2.0
"""Which manybody the workers of this folder measure, and with what."""

import sys
from importlib.metadata import PackageNotFoundError, version

import jax


def versions():
    """Versions by name; a package that is not installed is the one of this checkout."""
    try:
        own = version("manybody")
    except PackageNotFoundError:
        own = "not installed (checkout)"
    return {"manybody": own, "jax": jax.__version__, "python": sys.version.split()[0]}
