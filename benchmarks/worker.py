# SPDX-License-Identifier: Apache-2.0
"""The side of a benchmark that runs in a process of its own, in the environment of one tool.

Started by `harness.Worker` as ``python worker.py WORKLOAD.py STARTED OPTIONS``. It loads the workload, calls its
``start(options, mark)`` and then answers requests, one JSON object a line: ``{"call": name, "arguments": {...}}`` calls
that method of what ``start`` returned. Nothing but the standard library is imported before the workload, so that the
time to its first step is that of the tool alone.
"""

import json
import os
import resource
import sys
import time
import traceback


def main() -> None:
    workload, started, options = sys.argv[1], float(sys.argv[2]), json.loads(sys.argv[3])
    # What the tools print goes to stderr; the replies have the old stdout for themselves.
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def reply(message):
        replies.write(json.dumps(message) + "\n")

    marks = {"interpreter": time.monotonic() - started}

    def mark(name):
        marks[name] = time.monotonic() - started

    try:
        tool = load(workload).start(options, mark)
        mark("set up")
        reply({"result": {"marks_s": marks, "n_cpus": n_cpus()}, **usage()})
    except Exception:
        reply({"error": traceback.format_exc()})
        return
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply(timed(tool, request, started))
        except Exception:
            reply({"error": traceback.format_exc()})


def load(path):
    """Run a workload's file; its neighbours can be imported."""
    import importlib.util

    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    spec = importlib.util.spec_from_file_location("workload", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def timed(tool, request, started):
    """The result of a call, and what it cost."""
    method = getattr(tool, request["call"])
    cpu, wall = time.process_time(), time.perf_counter()
    result = method(**request.get("arguments", {}))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"result": result, "wall_s": wall, "cpu_s": cpu, "since_start_s": time.monotonic() - started, **usage()}


def usage():
    """Largest memory that the process has had so far."""
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return {"peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit}


def n_cpus():
    """Processors that this process may use, i.e. the threads of XLA unless XLA_FLAGS says otherwise."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


if __name__ == "__main__":
    main()
