# SPDX-License-Identifier: Apache-2.0
"""Time to find space groups and their representations, and of group-convolutional networks, compared with NetKet.

    python benchmarks/symmetry.py --netket-python peers/bin/python --out benchmarks/out/symmetry.json

All tools must agree: on the order and the dimensions of the representations, and, with the same weights, on log psi and
the length of its derivative. Turns alternate; each of those of groups is in a new process, since tools remember groups.
JSON goes to stdout, a table to stderr.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import harness
import numpy as np

WORKERS = harness.HERE / "workers"
GROUPS = {"square 10x10": ("square", 10), "kagome 6x6x3": ("kagome", 6)}
NETWORKS = {
    "square 6x6": {"extent": 6, "layers": 4, "features": 8, "samples": 256},
    "square 10x10": {"extent": 10, "layers": 4, "features": 8, "samples": 64},
}
MODES = ("fft", "irreps")
BOUND = 1e-10
"""Largest difference, relative to the largest number."""
GROUP_BOUND = 1e-8
"""Largest error of D(a) D(b) = D(a b)."""


class Disagreement(RuntimeError):
    """The tools do not compute the same."""


def main():
    args = arguments()
    report = {
        "benchmark": "symmetry",
        "arguments": sys.argv[1:],
        "machine": harness.machine(),
        "groups": [],
        "networks": [],
    }
    for name in GROUPS if "groups" in args.parts else ():
        report["groups"].append(compare_groups(name, args))
        show(report["groups"][-1])
    for name in NETWORKS if "networks" in args.parts else ():
        report["networks"].append(compare_networks(name, args))
        show(report["networks"][-1])
    harness.write(report, args.out)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--netket-python", required=True, help="interpreter of an environment with NetKet")
    parser.add_argument("--python", default=sys.executable, help="interpreter with what manybody needs (this one)")
    parser.add_argument("--parts", nargs="+", choices=["groups", "networks"], default=["groups", "networks"])
    parser.add_argument("--rounds", type=int, default=9, help="turns of each network that count; of groups a third")
    parser.add_argument("--platform", default="cpu", help="JAX_PLATFORMS of all workers")
    parser.add_argument("--out", help="file for the report")
    return parser.parse_args()


def start(name, python, tool, options, args):
    environment = {"JAX_PLATFORMS": args.platform, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    return harness.Worker(name, python, WORKERS / f"{tool}_symmetry.py", options, environment=environment)


# --- groups -----------------------------------------------------------------------------------------------------------


def compare_groups(name, args):
    """Elements, product table, character table and the matrices of all representations: an entry of the report."""
    lattice, extent = GROUPS[name]
    options = {"part": "group", "lattice": lattice, "extent": extent}
    turns, versions = {"manybody": [], "netket": []}, {}
    for number in range(max(1, args.rounds // 3)):
        for tool in list(turns)[:: (-1) ** number]:
            python = args.python if tool == "manybody" else args.netket_python
            with start(tool, python, tool, options, args) as worker:
                turns[tool].append(worker.call("build"))
                versions[tool] = worker.call("about")["result"]
    found = {tool: replies[-1]["result"] for tool, replies in turns.items()}
    check_groups(found)
    tools = {tool: harness.summary(turns[tool]) | {"last": found[tool]} | versions[tool] for tool in turns}
    return {"case": f"group, {name}", "tools": tools, "times": {"build": ratios(turns)}}


def check_groups(found):
    """What the tools found of a group is the same and a group with its representations.

    Raises:
        Disagreement: if orders or dimensions differ, or the error of matrices is above its bound.
    """
    same = all(result[key] == found["manybody"][key] for result in found.values() for key in ("order", "dimensions"))
    if not same or not all(result["error"] <= GROUP_BOUND for result in found.values()):  # not so for nan
        raise Disagreement(f"The groups are not the same: {found}")


# --- networks ---------------------------------------------------------------------------------------------------------


def compare_networks(name, args):
    """log psi and its derivative, of the same batch with the same weights: an entry of the report."""
    size = NETWORKS[name]
    workers = {}
    with tempfile.TemporaryDirectory() as folder:
        problem = str(Path(folder) / "problem.npz")
        options = {"part": "network", **size, "problem": problem}
        try:
            workers["manybody"] = start("manybody", args.python, "manybody", options, args)
            del options["samples"]
            for mode in MODES:
                tool = f"netket_{mode}"
                workers[tool] = start(tool, args.netket_python, "netket", {**options, "mode": mode}, args)
            differences = check_networks(workers, folder)
            turns = {what: harness.alternate(workers, what, args.rounds) for what in ("forward", "gradient")}
            tools = {
                tool: {what: harness.summary(turns[what][tool]) for what in turns}
                | {"set_up_s": workers[tool].started["result"]["marks_s"]}
                | workers[tool].call("about")["result"]
                for tool in workers
            }
        finally:
            for worker in workers.values():
                worker.close()
    times = {what: ratios(replies) for what, replies in turns.items()}
    return {"case": f"network, {name}", **size, "differences": differences, "tools": tools, "times": times}


def check_networks(workers, folder):
    """Differences of log psi and of the length of its derivative.

    Raises:
        Disagreement: if one is above its bound.
    """
    results = harness.answers(workers, folder)
    reference = results["manybody"]
    differences = {
        name: {key: float(np.max(np.abs(result[key] - x)) / np.max(np.abs(x))) for key, x in reference.items()}
        for name, result in results.items()
    }
    if not all(x <= BOUND for result in differences.values() for x in result.values()):  # not so for nan
        raise Disagreement(f"The tools do not compute the same: {differences}")
    return differences


# --- the report -------------------------------------------------------------------------------------------------------


def ratios(turns):
    """How many times faster we are than each of the others."""
    return {tool: harness.ratio(replies, turns["manybody"]) for tool, replies in turns.items() if tool != "manybody"}


def show(case):
    harness.say(f"\n{case['case']}")
    for tool, entry in case["tools"].items():
        parts = {what: entry[what] for what in case["times"] if what in entry} or {"build": entry}
        for what, summary in parts.items():
            gain = case["times"][what].get(tool)
            times = f" x{gain['median']:.2f}" if gain else ""
            harness.say(f"  {tool:16}{what:10}{1e3 * summary['median_s']:10.1f} ms{times}")


if __name__ == "__main__":
    main()
