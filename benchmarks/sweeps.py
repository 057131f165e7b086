# SPDX-License-Identifier: Apache-2.0
"""How the time of a Metropolis sweep grows with the number of sites, with and without updates of partial results.

    python benchmarks/sweeps.py --out benchmarks/out/sweeps.json

Single-spin flips, as many as there are sites, with an RBM of one hidden unit per site, a Jastrow factor, and the RBM
evaluated anew for each flip, whose chains must go to the same places. Sweeps alternate. The report goes to stdout as
JSON, a table to stderr. See README.md.
"""

import argparse
import math
import statistics
import sys
import tempfile

import harness
import numpy as np
import optimisations

UPDATED, FULL = ("rbm", "jastrow"), "rbm, full"


class Disagreement(RuntimeError):
    """Chains of the same wave function are in different places."""


def main():
    args = arguments()
    report = {"benchmark": "sweeps", "arguments": sys.argv[1:], "machine": harness.machine(), "chains": args.chains}
    report |= measure(args)
    show(report)
    harness.write(report, args.out)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="interpreter with what manybody needs (this one)")
    parser.add_argument("--sites", type=int, nargs="+", default=[128, 256, 512, 1024])
    parser.add_argument("--full-sites", type=int, nargs="+", default=[128, 256, 512], help="evaluated anew each time")
    parser.add_argument("--chains", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7, help="sweeps of each kind that count")
    parser.add_argument("--platform", default="cpu", help="JAX_PLATFORMS of the worker")
    parser.add_argument("--out", help="file for the report")
    return parser.parse_args()


def measure(args):
    """Sweeps of each network: times for each number of sites, and how they grow."""
    sizes = dict.fromkeys(UPDATED, args.sites) | {FULL: args.full_sites}
    ways = {(network, sites): {"network": network, "sites": sites} for network in sizes for sites in sizes[network]}
    with harness.Worker(
        "sweeps",
        args.python,
        optimisations.WORKERS / "manybody_sweeps.py",
        {"chains": args.chains},
        environment=optimisations.environment(args.platform),
    ) as worker:
        prepared = {way: worker.call("prepare", **options)["result"] for way, options in ways.items()}
        with tempfile.TemporaryDirectory() as folder:
            check(harness.answers({"sweeps": worker}, folder)["sweeps"], args)
        turns = harness.in_turn(lambda options: worker.call("sweep", **options), ways, args.rounds)
        about = worker.call("about")["result"]
    networks = {}
    for network, lengths in sizes.items():
        rows = {n: harness.summary(turns[network, n]) | prepared[network, n] for n in lengths}
        networks[network] = {"sites": rows, **growth(rows)}
    return {"networks": networks, "full_is_times_updated": compared(turns, args), **about}


def check(sigma, args):
    """The chains of the RBM are in the same places, evaluated anew or not.

    Raises:
        Disagreement: if they are not.
    """
    for n in set(args.sites) & set(args.full_sites):
        differ = int(np.any(sigma[f"rbm {n}"] != sigma[f"{FULL} {n}"], axis=-1).sum())
        if differ:
            raise Disagreement(f"With {n} sites {differ} of {args.chains} chains are elsewhere if evaluated anew.")


def growth(rows):
    """Exponents x of time = constant * sites^x, of medians, shortest times and processor times."""
    if len(rows) < 2:
        return {}
    keys = ("median_s", "min_s", "cpu_median_s")
    return {"exponents": {key: fit(list(rows), [row[key] for row in rows.values()]) for key in keys}}


def fit(sizes, values):
    """The slope of log(value) over log(size), by least squares."""
    x, y = ([math.log(number) for number in numbers] for numbers in (sizes, values))
    return statistics.linear_regression(x, y).slope


def compared(turns, args):
    """What evaluation takes in units of updates, for each number of sites that both have."""
    both = [n for n in args.full_sites if n in args.sites]
    return {n: harness.ratio(turns[FULL, n], turns["rbm", n]) for n in both}


def show(report):
    for network, entry in report["networks"].items():
        times = "  ".join(
            f"{n}: {1e3 * row['median_s']:.2f} ({1e3 * row['min_s']:.2f})" for n, row in entry["sites"].items()
        )
        exponents = ", ".join(f"{key} {x:.2f}" for key, x in entry.get("exponents", {}).items())
        harness.say(f"{network:12} ms of a sweep, median (min): {times}\n{'':12} exponents: {exponents}")
    for n, found in report["full_is_times_updated"].items():
        harness.say(f"{n} sites: evaluation takes {found['median']:.1f} times as long as updates")


if __name__ == "__main__":
    main()
