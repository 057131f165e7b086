# SPDX-License-Identifier: Apache-2.0
"""Time to draw samples of an autoregressive network, and for their local energies, compared with NetKet.

    python benchmarks/autoregressive.py --netket-python peers/bin/python --out benchmarks/out/autoregressive.json

The transverse-field Ising chain and a causal convolutional network: ours, and NetKet's model that keeps partial
results while it draws (`FastARNNConv1D`, sampled by `ARDirectSampler`). Both get the same weights; log psi and the
local energies of the same configurations must agree. Turns alternate. JSON goes to stdout, a table to stderr.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import harness
import numpy as np

WORKERS = harness.HERE / "workers"
BOUND = 1e-10
"""Largest difference of log psi and of the local energies, relative to the largest one."""
JOBS = ("draw", "energies", "both")


class Disagreement(RuntimeError):
    """The tools do not compute the same."""


def main():
    args = arguments()
    report = {"benchmark": "autoregressive", "arguments": sys.argv[1:], "machine": harness.machine(), "cases": []}
    for sites in args.sites:
        report["cases"].append(compare(sites, args))
        show(report["cases"][-1])
    harness.write(report, args.out)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--netket-python", required=True, help="interpreter of an environment with NetKet")
    parser.add_argument("--python", default=sys.executable, help="interpreter with what manybody needs (this one)")
    parser.add_argument("--sites", type=int, nargs="+", default=[32, 64], help="lengths of the chain")
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--features", type=int, default=16, help="of the hidden layer")
    parser.add_argument("--kernel-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9, help="turns of each tool that count")
    parser.add_argument("--platform", default="cpu", help="JAX_PLATFORMS of all workers")
    parser.add_argument("--out", help="file for the report")
    return parser.parse_args()


def compare(sites, args):
    """All jobs for one length of the chain: an entry of the report."""
    environment = {"JAX_PLATFORMS": args.platform, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    sizes = {"sites": sites, "samples": args.samples, "features": args.features, "kernel_size": args.kernel_size}
    pythons = {"manybody": args.python, "netket": args.netket_python}
    workers = {}
    with tempfile.TemporaryDirectory() as folder:
        options = {**sizes, "problem": str(Path(folder) / "problem.npz")}
        try:
            for tool, python in pythons.items():  # ours writes the problem
                workload = WORKERS / f"{tool}_autoregressive.py"
                workers[tool] = harness.Worker(tool, python, workload, options, environment=environment)
            differences = check(workers, folder)
            turns = {job: harness.alternate(workers, job, args.rounds) for job in JOBS}
            tools = {
                tool: {job: harness.summary(turns[job][tool]) for job in JOBS} | worker.call("about")["result"]
                for tool, worker in workers.items()
            }
        finally:
            for worker in workers.values():
                worker.close()
    better = {job: harness.ratio(turns[job]["netket"], turns[job]["manybody"]) for job in JOBS}
    return {**sizes, "differences": differences, "tools": tools, "manybody_is_better_by": better}


def check(workers, folder):
    """Differences of log psi and of the local energies.

    Raises:
        Disagreement: if one is above its bound.
    """
    results = harness.answers(workers, folder)
    ours, theirs = results["manybody"], results["netket"]
    found = {key: float(np.max(np.abs(theirs[key] - x)) / np.max(np.abs(x))) for key, x in ours.items()}
    if not all(difference <= BOUND for difference in found.values()):  # not so for nan
        raise Disagreement(f"The tools do not compute the same: {found}")
    return found


def show(case):
    harness.say(f"\n{case['sites']} sites, {case['samples']} samples")
    for tool, entry in case["tools"].items():
        times = "".join(f"{job:>10}{1e3 * entry[job]['median_s']:9.1f} ms" for job in JOBS)
        harness.say(f"  {tool:10}{times}")
    gains = "".join(f"{job:>10}{case['manybody_is_better_by'][job]['median']:9.2f} x " for job in JOBS)
    harness.say(f"  {'better by':10}{gains}")


if __name__ == "__main__":
    main()
