# SPDX-License-Identifier: Apache-2.0
"""Results of programs that several tests look at."""

import os

import pytest

from tests.distributed.layouts import Results, SharedResults


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """(layout, script, *arguments) -> the arrays that the script writes; each runs once in a session."""
    folder = tmp_path_factory.getbasetemp()
    return SharedResults(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder)
