# SPDX-License-Identifier: Apache-2.0
"""The last process fails while the others wait for it: fail.py HOW."""

import os
import signal
import sys
import threading
import time

import numpy as np

from manybody import parallel
from manybody.parallel import REPLICATED, SHARD


def fail(how: str) -> None:
    """Fail; what is to be said has "the reason" in it."""
    time.sleep(0.5)  # the others are waiting now
    if how == "raise":
        raise ArithmeticError("the reason")
    if how == "exit":
        sys.exit(3)
    if how == "thread":
        threading.Thread(target=fail, args=("raise",)).start()
        time.sleep(60)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


def main(what: str) -> None:
    comm = parallel.launch()
    total = comm.spmd(comm.psum, (SHARD,), REPLICATED)
    x = comm.scatter(np.ones(comm.size))
    assert total(x) == comm.size
    how, _, busy = what.partition("-")
    is_last = comm.rank == comm.n_processes - 1
    if how == "exit":
        with parallel.guard(comm):
            if is_last:
                fail(how)
            total(x).block_until_ready()
    elif is_last:
        fail(how)
    elif busy:  # the others do not wait for it, and would never notice
        time.sleep(60)
    total(x).block_until_ready()
    print("nothing failed")


if __name__ == "__main__":
    main(*sys.argv[1:])
