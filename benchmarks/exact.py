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

import ground_states
import harness
from ground_states import OURS, Way


def main():
    args = arguments()
    report = {"benchmark": "exact", "arguments": sys.argv[1:], "machine": harness.machine(), "sites": args.sites}
    harness.say(f"\n{args.sites} sites")
    report |= ground_states.compare(ways(args), args.rounds)
    if args.alone:
        harness.say(f"\n{args.alone} sites")
        report["alone"] = {"sites": args.alone, "tools": alone(args)}
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


def ways(args):
    """How the tools are run, as far as there are environments for them."""
    size = {"sites": args.sites}
    found = {OURS: Way(args.python, "manybody_exact.py", size)}
    if args.netket_python:
        for form in ("jax", "numba", "lanczos_ed"):
            found[f"netket_{form}"] = Way(args.netket_python, "netket_exact.py", {**size, "form": form})
        found["netket_lanczos_ed"] = found["netket_lanczos_ed"]._replace(jobs=("solve",))  # does not show its matrix
    if args.quspin_python:
        found["quspin"] = Way(args.quspin_python, "quspin_chain.py", {**size, "basis": "magnetisation"})
    return found


def alone(args):
    """Our times and memory for the other chain, with the matrix and without."""
    tools = {}
    for name, options in {"sparse": {}, "matrix_free": {"matrix_free": True}}.items():
        way = Way(args.python, "manybody_exact.py", {"sites": args.alone, **options})
        one = tools[name] = ground_states.alone(way)
        harness.say(
            f"{name:20}{one['fresh_s']:9.1f} s{one['peak_rss_mb']:9.0f} MB, {one['rss_before_mb']:.0f} before"
            f"   E = {one['energy']:.12f}, residual {one['residual']:.1e}"
        )
    return tools


if __name__ == "__main__":
    main()
