# SPDX-License-Identifier: Apache-2.0
"""Time of a VMC step against NetKet: transverse-field Ising chain, RBM or Jastrow factor, SR in the space of samples.

    python benchmarks/vs_netket.py --netket-python peers/bin/python --out benchmarks/out/vs_netket.json

First all tools compute local energies and the SR update from the same parameters and configurations, which must agree;
then single optimisation steps alternate. The report goes to stdout as JSON, a table to stderr. See README.md.
"""

import argparse
import itertools
import sys

import harness
import numpy as np
import optimisations
from performance_page import problem

THEIRS = {"netket_default": None, "netket_best": False}
"""Names and values of `on_the_fly`."""

BOUNDS = {
    "f64": {"values": 1e-10, "update": 1e-10},
    # Single precision has 6e-8. Local energies are sums of products of many factors; NetKet forms and solves the
    # linear system in single precision, too, and its condition number may be 1e6.
    "f32": {"values": 2e-5, "update": 5e-3},
}


def main():
    args = arguments()
    report = {"benchmark": "vs_netket", "arguments": sys.argv[1:], "machine": harness.machine(), "cases": []}
    problems = [*zip(args.sites, args.alpha, strict=True), *((sites, None) for sites in args.jastrow)]
    for (sites, alpha), precision in itertools.product(problems, args.precision):
        options = {"sites": sites, "alpha": alpha, "samples": args.samples, "precision": precision}
        harness.say(f"\n{problem(options)}, {args.samples} samples")
        case = optimisations.compare(ways(options, args), draw_params, BOUNDS[precision], args)
        report["cases"].append({**options, **case})
        optimisations.show(case)
    harness.write(report, args.out)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--netket-python", required=True, help="interpreter of an environment with NetKet")
    parser.add_argument("--python", default=sys.executable, help="interpreter with what manybody needs (this one)")
    parser.add_argument("--sites", type=int, nargs="*", default=[64, 128], help="lengths of the chain with an RBM")
    parser.add_argument("--alpha", type=int, nargs="*", default=[1, 4], help="hidden units per site, for each length")
    parser.add_argument("--jastrow", type=int, nargs="*", default=[128], help="lengths of it with a Jastrow factor")
    parser.add_argument("--samples", type=int, default=1024, help="samples; each is a chain of its own")
    parser.add_argument("--precision", nargs="+", choices=sorted(BOUNDS), default=["f32", "f64"])
    parser.add_argument("--rounds", type=int, default=7, help="steps of each tool that count")
    parser.add_argument("--platform", default="cpu", help="JAX_PLATFORMS of all workers")
    parser.add_argument("--out", help="file for the report")
    args = parser.parse_args()
    if len(args.sites) != len(args.alpha):
        parser.error(f"--alpha needs as many numbers as --sites ({len(args.sites)}), got {len(args.alpha)}")
    return args


def ways(options, args):
    """The tools, as `optimisations.compare` wants them."""
    theirs = {
        name: (args.netket_python, "netket_tfim.py", options | {"on_the_fly": on_the_fly})
        for name, on_the_fly in THEIRS.items()
    }
    return {optimisations.OURS: (args.python, "manybody_tfim.py", options), **theirs}


def draw_params(start):
    """Weights of a size that an optimisation reaches after some steps, in the precision of the wave function."""
    rng = np.random.default_rng(3)
    return {name: rng.normal(0.0, 0.03, x.shape).astype(x.dtype) for name, x in start.items()}


if __name__ == "__main__":
    main()
