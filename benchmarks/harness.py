# SPDX-License-Identifier: Apache-2.0
"""Fair comparisons on a machine that others use, too.

Every tool lives in a process of its own (`Worker`). Single steps alternate between the tools, so that whatever else the
machine does hits all of them, and what is reported are medians of the ratios of times from the same round.
Nothing here knows about a workload or a tool.
"""

import functools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from worker import n_cpus

HERE = Path(__file__).resolve().parent

REST_S = 0.25
"""Pause before each turn: a process may be busy for a while after it has answered, on the processor of the next one."""


class WorkerError(RuntimeError):
    """A worker failed, died or took too long; the message ends with what it wrote last."""


class Worker:
    """A live process that runs one workload in the environment of one tool.

    Args:
        name: for messages.
        python: the interpreter of that environment.
        workload: a file that defines ``start(options, mark)``; see `worker.py`.
        options: handed to it; anything that JSON can write.
        environment: added to the environment variables.
        launcher: words before the interpreter: ``mpiexec`` or ``taskset`` with their options. Only the first process
            gets the requests, and only it may answer.
        timeout_s: a worker that takes longer for one reply is killed.

    Attributes:
        started: its first reply: times since the process was started, threads, memory.
    """

    def __init__(self, name, python, workload, options, *, environment=None, launcher=(), timeout_s=900.0):
        self.name = name
        self._timeout_s = timeout_s
        self._log = tempfile.TemporaryFile("w+", errors="replace")
        command = [*launcher, str(python), str(HERE / "worker.py"), str(workload)]
        command += [repr(time.monotonic()), json.dumps(options)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        try:
            self.started = self._receive()
        except BaseException:
            self.close()
            raise

    def call(self, method, **arguments):
        """Call a method of the workload; returns its result with its times and the memory used so far.

        Raises:
            WorkerError: if it fails, dies or takes too long.
        """
        try:
            self._process.stdin.write(json.dumps({"call": method, "arguments": arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # said better by what follows
        return self._receive()

    def close(self):
        """End the process."""
        if self._process.poll() is None:
            self._process.stdin.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _receive(self):
        alarm = threading.Timer(self._timeout_s, self._process.kill)
        alarm.start()
        line = self._process.stdout.readline()
        late = not alarm.is_alive()
        alarm.cancel()
        if not line:
            reason = f"took more than {self._timeout_s} s" if late else f"died with code {self._process.wait()}"
            raise WorkerError(f"Worker {self.name} {reason}.\n{self._tail()}")
        reply = json.loads(line)
        if "error" in reply:
            raise WorkerError(f"Worker {self.name} failed.\n{reply['error']}\n{self._tail()}")
        return reply

    def _tail(self, n_characters=2000):
        self._log.flush()
        self._log.seek(0)
        return self._log.read()[-n_characters:]


def alternate(workers, method, rounds, *, warm_up=1, before=lambda: None, **arguments):
    """Call a method of all workers in turn, round after round; another one begins each round.

    Args:
        workers: dictionary name -> `Worker`.
        method: name of the method.
        rounds: rounds that count.
        warm_up: rounds before them that do not.
        before: called before each call.
        **arguments: of the method.

    Returns:
        Dictionary name -> list of replies, one per round.
    """

    def turn(worker):
        before()
        return worker.call(method, **arguments)

    return in_turn(turn, workers, rounds, warm_up=warm_up)


def in_turn(turn, ways, rounds, *, warm_up=1):
    """What a function returns for each of several things, round after round; another one begins each round.

    Before each turn there is a rest.

    Args:
        turn: the function.
        ways: dictionary name -> its argument.
        rounds: rounds that count.
        warm_up: rounds before them that do not.

    Returns:
        Dictionary name -> list of results, one per round.
    """
    names = list(ways)
    results = {name: [] for name in names}
    for number in range(-warm_up, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            time.sleep(REST_S)
            result = turn(ways[name])
            if number >= 0:
                results[name].append(result)
    return results


def answers(workers, folder):
    """What the tools compute, to be compared: for each worker the arrays that its method `check` writes, by name.

    Args:
        workers: dictionary name -> `Worker`.
        folder: where they may leave a file.
    """
    path, found = Path(folder) / "answer.npz", {}
    for name, worker in workers.items():
        worker.call("check", out=str(path))
        with np.load(path) as data:
            found[name] = dict(data)
    return found


class Patience:
    """Waits until nobody else uses the processors, as long as there is patience left; does nothing but on Linux.

    Args:
        limit_s: seconds that all waiting together may take.
    """

    def __init__(self, limit_s):
        self.left_s = limit_s

    def __call__(self, window_s=0.2, share=0.05):
        """Wait for a time of `window_s` in which the processors are busy for less than `share` of it."""
        while self.left_s > 0:
            before = processor_ticks()
            time.sleep(window_s)
            busy, all_of_them = (after - b for after, b in zip(processor_ticks(), before, strict=True))
            self.left_s -= window_s
            if busy <= share * all_of_them:
                return


def processor_ticks():
    """Time that all processors have been busy, and that they have been on, in the unit of the system."""
    try:
        ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    except OSError:
        return 0, 0
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)  # neither idle nor waiting for a disk


def summary(replies):
    """Times of one tool: medians, minimum and all."""
    wall = [reply["wall_s"] for reply in replies]
    return {
        "median_s": statistics.median(wall),
        "min_s": min(wall),
        "cpu_median_s": statistics.median(reply["cpu_s"] for reply in replies),
        "times_s": wall,
    }


def ratio(slow, fast):
    """How many times longer `slow` takes than `fast`: in the same round, of the shortest times, of processor times."""
    pairs = [s["wall_s"] / f["wall_s"] for s, f in zip(slow, fast, strict=True)]
    cpu = statistics.median(s["cpu_s"] / f["cpu_s"] for s, f in zip(slow, fast, strict=True))
    shortest = min(s["wall_s"] for s in slow) / min(f["wall_s"] for f in fast)
    return {
        "median": statistics.median(pairs),
        "lowest": min(pairs),
        "highest": max(pairs),
        "of_minima": shortest,
        "of_cpu_times": cpu,
    }


def use_processors(n):
    """Keep this process, and workers that it starts from now on, on some of the processors that it may use.

    Raises:
        ValueError: if there are not so many.
    """
    there = sorted(os.sched_getaffinity(0))
    if not 1 <= n <= len(there):
        raise ValueError(f"There are {len(there)} processors, not {n}.")
    os.sched_setaffinity(0, there[-n:])  # interrupts often come to the first ones


def machine():
    """What the numbers were measured on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor()
    return {
        "cpu": cpu,
        "n_cpus": n_cpus(),
        "load_average": os.getloadavg(),
        "system": platform.platform(),
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
        "variables": {
            k: v
            for k, v in os.environ.items()
            if k.startswith(("JAX_", "XLA_", "OMP_", "OPENBLAS_", "MKL_", "MANYBODY_"))
        },
    }


def commit():
    """The commit of this checkout, with a + if files differ from it."""
    run = functools.partial(subprocess.run, cwd=HERE, capture_output=True, text=True, check=True)
    try:
        number = run(["git", "rev-parse", "--short", "HEAD"]).stdout.strip()
        return number + ("+" if run(["git", "status", "--porcelain"]).stdout.strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def write(report, path=None):
    """The report as JSON, on stdout and, if wanted, in a file."""
    text = json.dumps(report, indent=1)
    print(text)
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text + "\n")


def say(*words):
    """Something for the person who waits; not part of the report."""
    print(*words, file=sys.stderr, flush=True)
