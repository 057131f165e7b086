# SPDX-License-Identifier: Apache-2.0
"""Settings of JAX for all tests; programs that a test starts inherit them through the environment.

* Values of different rank or type are never combined silently.
* Four host devices, so that `manybody.parallel.mesh_comm` can be tested in the same process; unless a test asks for
  them there is one worker.
* One thread per test process for BLAS: pytest-xdist already uses the cores.
* Nearly all of the time is the compiler's. So it leaves out its optimisations, which takes half the time, and does not
  divide small programs; ``XLA_FLAGS= pytest`` compiles everything as users do.
* Compiled functions are forgotten before they take too many memory mappings: each has some, and beyond the limit of the
  system (65,530 by default on Linux) the compiler crashes.
* ``MANYBODY_TYPECHECK=1`` checks the types and shapes of arguments and results of every function of the package.
"""

import gc
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

XLA_FLAGS = [
    "--xla_backend_optimization_level=0",
    "--xla_cpu_parallel_codegen_split_count=1",
    "--xla_cpu_enable_concurrency_optimized_scheduler=false",
]
if version("jaxlib").startswith("0.10."):  # later ones do not know it
    XLA_FLAGS.append("--xla_cpu_use_fusion_emitters=false")

SETTINGS = {
    "JAX_PLATFORMS": "cpu",
    "JAX_ENABLE_COMPILATION_CACHE": "0",
    "JAX_NUM_CPU_DEVICES": "4",
    "JAX_ENABLE_X64": "1",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "MANYBODY_BACKEND": "serial",
    "MPLBACKEND": "agg",
    "XLA_FLAGS": " ".join(XLA_FLAGS),
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
for name, value in SETTINGS.items():
    os.environ.setdefault(name, value)  # before JAX and NumPy are imported, which read them once

if os.environ.get("MANYBODY_TYPECHECK", "0") != "0":
    from jaxtyping import install_import_hook

    # An int is also a float, and a float also a complex number.
    install_import_hook("manybody", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are processors: a worker whose test waits for a program leaves one idle."""
    return (os.cpu_count() or 1) + 1


MOST_MAPPINGS = 25_000


@pytest.fixture(scope="module", autouse=True)
def _forget_compiled_functions() -> Iterator[None]:
    """After a module, if its process has too many memory mappings."""
    yield
    maps = Path("/proc/self/maps")  # of Linux; elsewhere there is no such limit
    if maps.exists() and maps.read_bytes().count(b"\n") > MOST_MAPPINGS:
        import jax

        jax.clear_caches()
        gc.collect()
