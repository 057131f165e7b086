# SPDX-License-Identifier: Apache-2.0
"""Time and memory of the exact ground state in a symmetry sector, compared with QuSpin.

    python benchmarks/sectors.py --quspin-python quspin/bin/python

The Heisenberg chain without magnetisation, even under translations, reflections and spin inversion: each tool finds the
representatives, builds the sparse matrix and finds the lowest eigenvalue with its vector, once in a fresh process, then
in turns with the others; so does the matrix alone. `--alone 24 28 32` adds longer chains for ours only. JSON goes to
stdout, a table to stderr. See README.md.
"""

import argparse
import sys

import ground_states
import harness
from ground_states import OURS, Way


def main():
    args = arguments()
    report = {"benchmark": "sectors", "arguments": sys.argv[1:], "machine": harness.machine(), "sites": args.sites}
    if args.quspin_python:
        harness.say(f"\n{args.sites} sites")
        report |= ground_states.compare(ways(args), args.rounds)
    if args.alone:
        harness.say(f"\n{'sites':>8}{'states':>12}{'elements':>12}{'fresh s':>9}{'cpu s':>9}{'MB':>7}   energy")
        report["alone"] = [alone(args.python, sites) for sites in args.alone]
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


def ways(args):
    """How the tools are run."""
    size = {"sites": args.sites}
    theirs = {
        f"quspin_{basis}": Way(args.quspin_python, "quspin_chain.py", {**size, "basis": basis})
        for basis in ("1d", "general")
    }
    return {OURS: Way(args.python, "manybody_sectors.py", size), **theirs}


def alone(python, sites):
    """Our time and memory for one chain."""
    found = {"sites": sites, **ground_states.alone(Way(python, "manybody_sectors.py", {"sites": sites}))}
    harness.say(
        f"{sites:8}{found['n_states']:12}{found['n_elements']:12}{found['fresh_s']:9.1f}{found['fresh_cpu_s']:9.1f}"
        f"{found['peak_rss_mb']:7.0f}   {found['energy']:.12f}"
    )
    return found


if __name__ == "__main__":
    main()
