# SPDX-License-Identifier: Apache-2.0
"""Time of a VMC step with convolutional networks and transformers, compared with NetKet and quantax: J1-J2 model.

    python benchmarks/networks.py --netket-python peers/bin/python --quantax-python quantax/bin/python

First all tools compute log psi, local energies and the SR update from the same parameters and configurations, which
must agree; then single optimisation steps alternate. The report goes to stdout as JSON, a table to stderr. See
README.md.
"""

import argparse
import sys

import harness
import numpy as np
import optimisations

NETS = {
    "resnet": {"features": 16, "blocks": 2},
    "vit": {"layers": 2, "d_model": 32, "heads": 4, "mlp_ratio": 2},
}
THEIRS = {
    "netket_default": ("netket", {"packed": False, "on_the_fly": None}),
    "netket_packed": ("netket", {"packed": True, "on_the_fly": False}),
    "quantax": ("quantax", {"chunk": 2048}),
}
"""Names, and what their workers are given in addition."""

BOUNDS = {
    "f64": {"values": 1e-10, "update": 1e-9},
    # Single precision has 6e-8. NetKet forms and solves the linear system in single precision, too.
    "f32": {"values": 2e-5, "update": 5e-3},
}
PHASES = ("sample", "local_energies")


def main():
    args = arguments()
    report = {"benchmark": "networks", "arguments": sys.argv[1:], "machine": harness.machine(), "cases": []}
    for net in args.nets:
        options = {"extent": args.extent, "network": net, "size": NETS[net], "samples": args.samples}
        options["precision"] = args.precision
        harness.say(f"\n{net}, {args.extent} x {args.extent} sites, {args.samples} samples, {args.precision}")
        case = optimisations.compare(ways(options, args), draw_params, BOUNDS[args.precision], args, PHASES)
        report["cases"].append({**options, **case})
        optimisations.show(case, PHASES)
    harness.write(report, args.out)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--netket-python", help="interpreter of an environment with NetKet")
    parser.add_argument("--quantax-python", help="interpreter of an environment with quantax")
    parser.add_argument("--python", default=sys.executable, help="interpreter with what manybody needs (this one)")
    parser.add_argument("--nets", nargs="+", choices=sorted(NETS), default=sorted(NETS))
    parser.add_argument("--extent", type=int, default=6, help="of the square lattice, an even number")
    parser.add_argument("--samples", type=int, default=512, help="samples; each is a chain of its own")
    parser.add_argument("--precision", choices=sorted(BOUNDS), default="f32", help="of the networks")
    parser.add_argument("--rounds", type=int, default=7, help="steps of each tool that count")
    parser.add_argument("--platform", default="cpu", help="JAX_PLATFORMS of all workers")
    parser.add_argument("--out", help="file for the report")
    args = parser.parse_args()
    if not (args.netket_python or args.quantax_python):
        parser.error("at least one of --netket-python and --quantax-python is needed")
    return args


def ways(options, args):
    """The tools that there are interpreters for, as `optimisations.compare` wants them."""
    pythons = {"netket": args.netket_python, "quantax": args.quantax_python}
    theirs = {
        name: (pythons[tool], f"{tool}_j1j2.py", options | more)
        for name, (tool, more) in THEIRS.items()
        if pythons[tool]
    }
    return {optimisations.OURS: (args.python, "manybody_j1j2.py", options), **theirs}


def draw_params(start):
    """Those that our networks start from, moved a little: what is zero or one at first would hide mistakes."""
    rng = np.random.default_rng(3)
    return {name: x + rng.normal(0.0, 0.03, x.shape).astype(x.dtype) for name, x in start.items()}


if __name__ == "__main__":
    main()
