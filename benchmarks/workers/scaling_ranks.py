# SPDX-License-Identifier: Apache-2.0
"""A workload of several processes behind the face of one: rank 0 hands its requests on to the others.

While nothing is asked of them the other ranks sleep in reading a pipe: waiting for a message of MPI would keep a core
busy, which the other configurations of a round need. They end with rank 0, whose end of the pipe closes.
"""

import json
import os
import sys
import tempfile

import numpy as np

import manybody as mb

_LONGEST_PATH = 512


def lead(comm, workload):
    """`workload` itself for one process; of several, a `Leader` on rank 0, while the others do not return.

    All ranks call the same methods in the same order, so these may use collectives.
    """
    if comm.n_processes == 1:
        return workload
    pipes = _pipes(comm)
    if not comm.is_root:
        _follow(comm, workload, pipes[comm.rank])
    ends = [open(pipe, "w", buffering=1) for pipe in pipes[1:]]  # each waits for its reader
    for pipe in pipes[1:]:
        os.unlink(pipe)
    os.rmdir(os.path.dirname(pipes[1]))
    return Leader(workload, ends)


class Leader:
    """Has the methods of the workload called on all ranks; the results are those of rank 0."""

    def __init__(self, workload, pipes):
        self._workload = workload
        self._pipes = pipes

    def __getattr__(self, name):
        method = getattr(self._workload, name)

        def call(**arguments):
            for pipe in self._pipes:
                pipe.write(json.dumps({"call": name, "arguments": arguments}) + "\n")
            return method(**arguments)

        return call


def _follow(comm, workload, pipe):
    with mb.parallel.guard(comm), open(pipe) as requests:
        for line in requests:
            request = json.loads(line)
            getattr(workload, request["call"])(**request["arguments"])
    sys.exit()


def _pipes(comm):
    """Paths of named pipes, one per rank (the first is not used), made by rank 0."""
    text = np.zeros(_LONGEST_PATH, np.uint8)
    if comm.is_root:
        folder = tempfile.mkdtemp()
        for rank in range(1, comm.n_processes):
            os.mkfifo(os.path.join(folder, str(rank)))
        path = folder.encode()
        text[: len(path)] = list(path)
    folder = bytes(comm.exchange(text)[0]).rstrip(b"\0").decode()
    return [os.path.join(folder, str(rank)) for rank in range(comm.n_processes)]
