# SPDX-License-Identifier: Apache-2.0
"""Time and memory of the exact ground state in a symmetry sector, compared with QuSpin.

    python benchmarks/sectors.py --quspin-python quspin/bin/python

The Heisenberg chain without magnetisation, even under translations, reflections and spin inversion: each tool finds the
representatives, builds the sparse matrix and finds the lowest eigenvalue with its vector, once in a fresh process, then
in turns with the others; so does the matrix alone. `--alone 24 28 32` adds longer chains for ours only. JSON goes to
stdout, a table to stderr.
"""

import argparse
import sys

import harness

WORKERS = harness.HERE / "workers"
OURS = "manybody"
THEIRS = {"quspin_1d": "1d", "quspin_general": "general"}
BOUND = 1e-10
"""Largest difference of the energies, whose unit is the coupling."""
JOBS = ("solve", "matrix")
"""From the chain to its ground state, and to its matrix."""


class Disagreement(RuntimeError):
    """The tools do not find the same sector or energy."""


def main():
    args = arguments()
    report = {"benchmark": "sectors", "arguments": sys.argv[1:], "machine": harness.machine(), "sites": args.sites}
    environment = {"JAX_PLATFORMS": "cpu"}
    if args.quspin_python:
        harness.say(f"\n{args.sites} sites")
        report |= compare(args, environment)
    if args.alone:
        harness.say(f"\n{'sites':>8}{'states':>12}{'elements':>12}{'fresh s':>9}{'cpu s':>9}{'MB':>7}   energy")
        report["alone"] = [alone(args.python, sites, environment) for sites in args.alone]
    harness.write(report, args.out)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quspin-python", help="interpreter of an environment with QuSpin; without it, not compared")
    parser.add_argument("--python", default=sys.executable, help="interpreter with what manybody needs (this one)")
    parser.add_argument("--sites", type=int, default=24, help="length of the chain; a multiple of 4")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each tool that count")
    parser.add_argument("--alone", type=int, nargs="+", default=[], help="lengths of other chains, for manybody alone")
    parser.add_argument("--out", help="file for the report")
    args = parser.parse_args()
    if not (args.quspin_python or args.alone):
        parser.error("--quspin-python or --alone is needed")
    if any(sites % 4 for sites in [args.sites, *args.alone]):
        parser.error("lengths must be multiples of 4, so that the ground state is in this sector")
    return args


def compare(args, environment):
    """All tools, first each on its own and then in turns: entries of the report."""
    ways = {OURS: (args.python, "manybody_sectors.py", {})}
    ways |= {name: (args.quspin_python, "quspin_sectors.py", {"basis": basis}) for name, basis in THEIRS.items()}
    workers, tools = {}, {}
    try:
        # One after the other: nobody is disturbed by how another one starts.
        for name, (python, workload, options) in ways.items():
            options = {"sites": args.sites, **options}
            workers[name] = harness.Worker(name, python, WORKERS / workload, options, environment=environment)
            tools[name] = first(workers[name])
        turns = {job: harness.alternate(workers, job, args.rounds) for job in JOBS}
        for name, worker in workers.items():
            tools[name] |= {job: harness.summary(turns[job][name]) for job in JOBS}
            tools[name] |= worker.call("about")["result"]
    finally:
        for worker in workers.values():
            worker.close()
    differences = check(tools)
    show(tools, better := advantages(tools, turns))
    return {"differences": differences, "bound": BOUND, "tools": tools, "manybody_is_better_by": better}


def alone(python, sites, environment):
    """Our time and memory for one chain, in a process of its own."""
    workload = WORKERS / "manybody_sectors.py"
    with harness.Worker(OURS, python, workload, {"sites": sites}, environment=environment, timeout_s=7200.0) as worker:
        found = {"sites": sites} | first(worker) | worker.call("about")["result"]
    harness.say(
        f"{sites:8}{found['n_states']:12}{found['n_elements']:12}{found['fresh_s']:9.1f}{found['fresh_cpu_s']:9.1f}"
        f"{found['peak_rss_mb']:7.0f}   {found['energy']:.12f}"
    )
    return found


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
        Disagreement: if one is above its bound, or the sectors are not equally large.
    """
    found = {name: abs(tool["energy"] - tools[OURS]["energy"]) for name, tool in tools.items() if name != OURS}
    sizes = {tool["n_states"] for tool in tools.values()}
    if len(sizes) > 1 or not all(difference <= BOUND for difference in found.values()):  # not so for nan
        raise Disagreement(f"The tools do not find the same energy: {found}, or sector: {sizes} states")
    return found


def advantages(tools, turns):
    """How many times faster and smaller than each of the others."""
    ours = tools[OURS]
    return {
        name: {
            **{job: harness.ratio(turns[job][name], turns[job][OURS]) for job in JOBS},
            **{key: tool[key] / ours[key] for key in ("fresh_s", "since_start_s", "peak_rss_mb")},
        }
        for name, tool in tools.items()
        if name != OURS
    }


def show(tools, better):
    harness.say(
        f"{'':16}{'start s':>9}{'fresh s':>9}{'solve s':>9}{'min s':>9}{'matrix s':>10}{'min s':>9}{'MB':>7}"
        f"{'residual':>10}{'x solve':>9}{'x matrix':>10}{'x fresh':>9}"
    )
    for name, tool in tools.items():
        times = "".join(f"{tool[job]['median_s']:9.3f}{tool[job]['min_s']:9.3f} " for job in JOBS)
        gain, ratios = better.get(name), ""
        if gain:
            ratios = "".join(f"{gain[job]['median']:9.2f} " for job in JOBS) + f"{gain['fresh_s']:8.2f}"
        harness.say(
            f"{name:16}{tool['since_start_s']:9.2f}{tool['fresh_s']:9.2f}{times}{tool['peak_rss_mb']:6.0f}"
            f"{tool['residual']:10.1e}{ratios}"
        )


if __name__ == "__main__":
    main()
