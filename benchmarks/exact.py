# SPDX-License-Identifier: Apache-2.0
"""Time and memory of the exact ground state of the Heisenberg chain, compared with NetKet and QuSpin.

    python benchmarks/exact.py --netket-python peers/bin/python --quspin-python quspin/bin/python

In the sector without magnetisation each tool numbers the states, builds the sparse matrix and finds the lowest
eigenvalue with its vector: once in a fresh process, then in turns with the others; so does the matrix alone.
`--alone 24` adds a longer chain for ours only, with the matrix and without. JSON goes to stdout, a table to stderr. See
README.md.
"""

import argparse
import sys

import harness

WORKERS = harness.HERE / "workers"
OURS = "manybody"
THEIRS = {
    "netket_jax": ("netket_python", "netket_exact.py", {"form": "jax"}),
    "netket_numba": ("netket_python", "netket_exact.py", {"form": "numba"}),
    "netket_lanczos_ed": ("netket_python", "netket_exact.py", {"form": "lanczos_ed"}),
    "quspin": ("quspin_python", "quspin_exact.py", {}),
}
BOUND = 1e-10
"""Largest difference of the energies, whose unit is the coupling."""
JOBS = ("solve", "matrix")
"""From the chain to its ground state, and to its matrix."""


class Disagreement(RuntimeError):
    """The tools do not find the same energy."""


def main():
    args = arguments()
    report = {"benchmark": "exact", "arguments": sys.argv[1:], "machine": harness.machine(), "sites": args.sites}
    environment = {"JAX_PLATFORMS": "cpu"}
    harness.say(f"\n{args.sites} sites")
    report |= compare(args, environment)
    if args.alone:
        harness.say(f"\n{args.alone} sites")
        report["alone"] = {"sites": args.alone, "tools": alone(args, environment)}
    harness.write(report, args.out)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--netket-python", help="interpreter of an environment with NetKet; without it, not compared")
    parser.add_argument("--quspin-python", help="interpreter of an environment with QuSpin; without it, not compared")
    parser.add_argument("--python", default=sys.executable, help="interpreter with what manybody needs (this one)")
    parser.add_argument("--sites", type=int, default=20, help="length of the chain; even")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each tool that count")
    parser.add_argument("--alone", type=int, help="length of another chain, for manybody alone")
    parser.add_argument("--out", help="file for the report")
    args = parser.parse_args()
    if not (args.netket_python or args.quspin_python):
        parser.error("--netket-python or --quspin-python is needed")
    return args


def compare(args, environment):
    """All tools, first each on its own and then in turns: entries of the report."""
    ways = {OURS: (args.python, "manybody_exact.py", {})}
    for name, (python, workload, options) in THEIRS.items():
        if getattr(args, python) is not None:
            ways[name] = (getattr(args, python), workload, options)
    workers, tools = {}, {}
    try:
        # One after the other: nobody is disturbed by how another one starts.
        for name, (python, workload, options) in ways.items():
            options = {"sites": args.sites, **options}
            worker = harness.Worker(name, python, WORKERS / workload, options, environment=environment)
            workers[name] = worker
            tools[name] = first(worker)
        turns = {
            job: harness.alternate({k: w for k, w in workers.items() if does(k, job)}, job, args.rounds) for job in JOBS
        }
        for name, worker in workers.items():
            tools[name] |= {job: harness.summary(turns[job][name]) for job in JOBS if does(name, job)}
            tools[name] |= worker.call("about")["result"]
    finally:
        for worker in workers.values():
            worker.close()
    differences = check(tools)
    show(tools, better := advantages(tools, turns))
    return {"differences": differences, "bound": BOUND, "tools": tools, "manybody_is_better_by": better}


def alone(args, environment):
    """Our times and memory, each way in a process of its own."""
    tools = {}
    for name, options in {"sparse": {}, "matrix_free": {"matrix_free": True}}.items():
        options = {"sites": args.alone, **options}
        workload = WORKERS / "manybody_exact.py"
        with harness.Worker(name, args.python, workload, options, environment=environment, timeout_s=7200.0) as worker:
            tools[name] = first(worker) | worker.call("about")["result"]
        one = tools[name]
        harness.say(
            f"{name:20}{one['fresh_s']:9.1f} s{one['peak_rss_mb']:9.0f} MB, {one['rss_before_mb']:.0f} before"
            f"   E = {one['energy']:.12f}, residual {one['residual']:.1e}"
        )
    return tools


def does(name, job):
    """NetKet's `lanczos_ed` does not show its matrix."""
    return job == "solve" or name != "netket_lanczos_ed"


def first(worker):
    """What a fresh process needs."""
    reply = worker.call("solve")
    return {
        "since_start_s": reply["since_start_s"],
        "fresh_s": reply["wall_s"],
        "peak_rss_mb": reply["peak_rss_mb"],
        "rss_before_mb": worker.started["peak_rss_mb"],
        "energy": reply["result"],
        **worker.started["result"],
    }


def check(tools):
    """Differences between our energy and the others.

    Raises:
        Disagreement: if one is above its bound.
    """
    found = {name: abs(tool["energy"] - tools[OURS]["energy"]) for name, tool in tools.items() if name != OURS}
    if not all(difference <= BOUND for difference in found.values()):  # not so for nan
        raise Disagreement(f"The tools do not find the same energy: {found}")
    return found


def advantages(tools, turns):
    """How many times faster and smaller than each of the others."""
    ours = tools[OURS]
    return {
        name: {
            **{job: harness.ratio(turns[job][name], turns[job][OURS]) for job in JOBS if does(name, job)},
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


if __name__ == "__main__":
    main()
