# SPDX-License-Identifier: Apache-2.0
"""What comparisons of exact ground states have in common: `exact.py` and `sectors.py`.

Each tool is a workload that can `solve`, from the lattice to the lowest energy, and, if it shows it, make the `matrix`
alone. Its `about` has the number of states and how good the eigenvector is.
"""

import contextlib
from typing import NamedTuple

import harness

OURS = "manybody"
BOUND = 1e-10
"""Largest difference of the energies, whose unit is the coupling."""
JOBS = ("solve", "matrix")
"""From the lattice to the ground state, and to the matrix."""


class Disagreement(RuntimeError):
    """The tools do not find the same energy among the same states."""


class Way(NamedTuple):
    """How a tool is run.

    Attributes:
        python: the interpreter of its environment.
        workload: its file in `workers/`.
        options: of the workload.
        jobs: what it can do.
    """

    python: str
    workload: str
    options: dict
    jobs: tuple[str, ...] = JOBS

    def start(self, name, timeout_s=900.0):
        """A worker of this name."""
        workload, environment = harness.HERE / "workers" / self.workload, {"JAX_PLATFORMS": "cpu"}
        return harness.Worker(name, self.python, workload, self.options, environment=environment, timeout_s=timeout_s)


def compare(ways, rounds):
    """All tools, first each on its own and then in turns: entries of the report.

    Args:
        ways: dictionary name -> `Way`.
        rounds: turns of each tool that count.

    Raises:
        Disagreement: if the tools do not find the same.
    """
    workers, tools = {}, {}
    with contextlib.ExitStack() as stack:
        # One after the other: nobody is disturbed by how another one starts.
        for name, way in ways.items():
            workers[name] = stack.enter_context(way.start(name))
            tools[name] = first(workers[name])
        turns = {}
        for job in JOBS:
            able = {name: worker for name, worker in workers.items() if job in ways[name].jobs}
            turns[job] = harness.alternate(able, job, rounds)
        for name, worker in workers.items():
            tools[name] |= {job: harness.summary(turns[job][name]) for job in ways[name].jobs}
            tools[name] |= worker.call("about")["result"]
    differences = check(tools)
    show(tools, better := advantages(tools, turns))
    return {"differences": differences, "bound": BOUND, "tools": tools, "manybody_is_better_by": better}


def alone(way):
    """What our tool needs in a process of its own, which may take two hours."""
    with way.start(OURS, timeout_s=7200.0) as worker:
        return first(worker) | worker.call("about")["result"]


def first(worker):
    """What a fresh process needs."""
    reply = worker.call("solve")
    return {
        "since_start_s": reply["since_start_s"],
        "fresh_s": reply["wall_s"],
        "fresh_cpu_s": reply["cpu_s"],
        "peak_rss_mb": reply["peak_rss_mb"],
        "rss_before_mb": worker.started["peak_rss_mb"],
        "energy": reply["result"],
        **worker.started["result"],
    }


def check(tools):
    """Differences between our energy and the others.

    Raises:
        Disagreement: if one is above its bound, or the numbers of states differ.
    """
    found = {name: abs(tool["energy"] - tools[OURS]["energy"]) for name, tool in tools.items() if name != OURS}
    sizes = {name: tool["n_states"] for name, tool in tools.items()}
    same = all(difference <= BOUND for difference in found.values())  # not so for nan
    if not same or len(set(sizes.values())) > 1:
        raise Disagreement(f"The tools do not find the same energy: {found}, or not among the same states: {sizes}")
    return found


def advantages(tools, turns):
    """How many times faster and smaller than each of the others."""
    ours = tools[OURS]
    return {
        name: {
            **{job: harness.ratio(replies[name], replies[OURS]) for job, replies in turns.items() if name in replies},
            **{key: tool[key] / ours[key] for key in ("fresh_s", "since_start_s", "peak_rss_mb")},
        }
        for name, tool in tools.items()
        if name != OURS
    }


def show(tools, better):
    harness.say(
        f"{'':20}{'start s':>9}{'fresh s':>9}{'solve s':>9}{'min s':>9}{'matrix s':>10}{'min s':>9}{'MB':>7}"
        f"{'residual':>10}{'x solve':>9}{'x matrix':>10}{'x fresh':>9}"
    )
    for name, tool in tools.items():
        times = "".join(
            f"{tool[job]['median_s']:9.3f}{tool[job]['min_s']:9.3f} " if job in tool else " " * 19 for job in JOBS
        )
        gain, ratios = better.get(name), ""
        if gain:
            ratios = "".join(f"{gain[job]['median']:9.2f} " if job in gain else " " * 10 for job in JOBS)
            ratios += f"{gain['fresh_s']:8.2f}"
        harness.say(
            f"{name:20}{tool['since_start_s']:9.2f}{tool['fresh_s']:9.2f}{times}{tool['peak_rss_mb']:6.0f}"
            f"{tool['residual']:10.1e}{ratios}"
        )
