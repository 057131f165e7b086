# SPDX-License-Identifier: Apache-2.0
"""Say in one line what workers this process has, and what does not fit them."""

import json
import sys

from manybody import VariationalState, parallel
from manybody.ansatz import RBM
from manybody.hilbert import Spin
from manybody.parallel import threads
from manybody.sampler import LocalFlip, Metropolis


def main() -> None:
    comm = parallel.launch()
    try:
        VariationalState(RBM(), Metropolis(Spin(4), LocalFlip(), 4 * comm.size + 1))
        refusal = None
    except ValueError as error:
        refusal = str(error)
    facts = {
        "name": comm.name,
        "size": parallel.size(),
        "rank": parallel.rank(),
        "n_processes": comm.n_processes,
        "describe": parallel.describe(),
        "threads": threads.count(),
        "cores": threads.cores(),
        "refusal": refusal,
    }
    sys.stdout.write(json.dumps(facts) + "\n")  # at once: lines of two processes may meet


if __name__ == "__main__":
    main()
