# SPDX-License-Identifier: Apache-2.0
"""Time of a VMC step against NetKet: transverse-field Ising chain, real RBM, SR in the space of samples.

    python benchmarks/vs_netket.py --netket-python peers/bin/python --out benchmarks/out/vs_netket.json

First all tools compute local energies and the SR update from the same parameters and configurations, which must agree;
then single optimisation steps alternate. The report goes to stdout as JSON, a table to stderr. See README.md.
"""

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

import harness
import numpy as np

WORKERS = harness.HERE / "workers"
OURS = "manybody"
THEIRS = {"netket_default": None, "netket_best": False}
"""Names and values of `on_the_fly`."""

BOUNDS = {
    "f64": {"values": 1e-10, "update": 1e-10},
    # Single precision has 6e-8. Local energies are sums of products of many factors; NetKet forms and solves the
    # linear system in single precision, too, and its condition number may be 1e6.
    "f32": {"values": 2e-5, "update": 5e-3},
}
"""Largest differences of local energies and of the update, relative to the largest of them and to the norm."""


class Disagreement(RuntimeError):
    """The tools do not compute the same."""


def main():
    args = arguments()
    report = {"benchmark": "vs_netket", "arguments": sys.argv[1:], "machine": harness.machine(), "cases": []}
    for (sites, alpha), precision in itertools.product(zip(args.sites, args.alpha, strict=True), args.precision):
        options = {"sites": sites, "alpha": alpha, "samples": args.samples, "precision": precision}
        harness.say(f"\n{sites} sites, alpha = {alpha}, {args.samples} samples, {precision}")
        report["cases"].append(compare(options, args))
        show(report["cases"][-1])
    harness.write(report, args.out)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--netket-python", required=True, help="interpreter of an environment with NetKet")
    parser.add_argument("--python", default=sys.executable, help="interpreter with what manybody needs (this one)")
    parser.add_argument("--sites", type=int, nargs="+", default=[64, 128], help="lengths of the chain")
    parser.add_argument("--alpha", type=int, nargs="+", default=[1, 4], help="hidden units per site, for each length")
    parser.add_argument("--samples", type=int, default=1024, help="samples; each is a chain of its own")
    parser.add_argument("--precision", nargs="+", choices=sorted(BOUNDS), default=["f32", "f64"])
    parser.add_argument("--rounds", type=int, default=7, help="steps of each tool that count")
    parser.add_argument("--platform", default="cpu", help="JAX_PLATFORMS of all workers")
    parser.add_argument("--out", help="file for the report")
    args = parser.parse_args()
    if len(args.sites) != len(args.alpha):
        parser.error(f"--alpha needs as many numbers as --sites ({len(args.sites)}), got {len(args.alpha)}")
    return args


def compare(options, args):
    """One size in one precision: the entry of the report."""
    environment = {"JAX_PLATFORMS": args.platform, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    ways = {OURS: (args.python, "manybody_tfim.py", {})}
    ways |= {name: (args.netket_python, "netket_tfim.py", {"on_the_fly": value}) for name, value in THEIRS.items()}
    workers, tools = {}, {}
    try:
        # One after the other: nobody is disturbed by how another one starts.
        for name, (python, workload, more) in ways.items():
            worker = harness.Worker(name, python, WORKERS / workload, options | more, environment=environment)
            workers[name] = worker
            first = worker.call("step")
            tools[name] = {
                "time_to_first_step_s": first["since_start_s"],
                "first_step_s": first["wall_s"],
                "peak_rss_mb": first["peak_rss_mb"],  # compilation included, but not the checks that follow
                **worker.started["result"],
            }
        checks = check(workers, options)
        steps = harness.alternate(workers, "step", args.rounds)
        for name, worker in workers.items():
            energies = [reply["result"] for reply in steps[name]]
            tools[name] |= harness.summary(steps[name]) | {"last_energy": energies[-1]} | worker.call("about")["result"]
    finally:
        for worker in workers.values():
            worker.close()
    return {**options, "checks": checks, "tools": tools, "manybody_is_better_by": advantages(tools, steps)}


def check(workers, options):
    """Largest relative differences between manybody and the others; afterwards all have the same parameters.

    Raises:
        Disagreement: if one is above its bound.
    """
    bounds, found = BOUNDS[options["precision"]], {}
    with tempfile.TemporaryDirectory() as folder:
        start, given, answer = (str(Path(folder) / f"{name}.npz") for name in ("start", "given", "answer"))
        params = draw_params(options)
        np.savez(start, **params)
        # The samples are those of a step that our driver makes, which so is checked, too.
        workers[OURS].call("step_from", file=start, out=answer)
        made = read(answer)
        np.savez(given, **params, sigma=made["sigma"])
        results = {}
        for name, worker in workers.items():
            worker.call("evaluate", file=given, out=answer)
            results[name] = read(answer)
        for name in THEIRS:
            ours, theirs = results[OURS], results[name]
            stepped = {x: params[x] - made[x] for x in ("kernel", "bias")}
            size = np.linalg.norm(flat(theirs))
            rounding = np.finfo(params["kernel"].dtype).eps * np.linalg.norm(flat(params)) / size
            values, scale = theirs["values"], np.max(np.abs(theirs["values"]))
            found[name] = {
                "local_energies": bounded(np.max(np.abs(ours["values"] - values)) / scale, bounds["values"]),
                "update": bounded(np.linalg.norm(flat(ours) - flat(theirs)) / size, bounds["update"]),
                "energy_of_driver": bounded(abs(made["energy"] - np.mean(values)) / scale, bounds["values"]),
                "step_of_driver": bounded(
                    np.linalg.norm(flat(stepped) - flat(theirs)) / size, bounds["update"] + rounding
                ),
            }
        for worker in workers.values():
            worker.call("load", file=start)
    bad = {k: v for k, entry in found.items() for k, v in entry.items() if not v["difference"] <= v["bound"]}
    if bad:
        raise Disagreement(f"The tools do not compute the same: {bad}")
    return found


def draw_params(options):
    """Weights of a size that an optimisation reaches after some steps, in the precision of the wave function."""
    rng = np.random.default_rng(3)
    n_hidden = options["alpha"] * options["sites"]
    dtype = {"f32": np.float32, "f64": np.float64}[options["precision"]]
    kernel = rng.normal(0.0, 0.03, (options["sites"], n_hidden))
    return {"kernel": kernel.astype(dtype), "bias": rng.normal(0.0, 0.03, n_hidden).astype(dtype)}


def read(file):
    with np.load(file) as data:
        return dict(data)


def flat(layer):
    """Kernel and bias as one vector in double precision."""
    return np.concatenate([np.ravel(layer[name]).astype(np.float64) for name in ("kernel", "bias")])


def bounded(difference, bound):
    return {"difference": float(difference), "bound": float(bound)}


def advantages(tools, steps):
    """How many times faster and smaller than each of the others."""
    ours = tools[OURS]
    return {
        name: {
            "step": harness.ratio(steps[name], steps[OURS]),
            "time_to_first_step": tools[name]["time_to_first_step_s"] / ours["time_to_first_step_s"],
            "peak_rss": tools[name]["peak_rss_mb"] / ours["peak_rss_mb"],
        }
        for name in THEIRS
    }


def show(case):
    harness.say(
        f"{'':16}{'median s':>10}{'min s':>10}{'cpu s':>10}{'first s':>10}{'MB':>8}{'x median':>10}{'x min':>8}"
    )
    for name, tool in case["tools"].items():
        step = case["manybody_is_better_by"].get(name, {}).get("step")
        times = f"{step['median']:10.2f}{step['of_minima']:8.2f}" if step else ""
        harness.say(
            f"{name:16}{tool['median_s']:10.4f}{tool['min_s']:10.4f}{tool['cpu_median_s']:10.4f}"
            f"{tool['time_to_first_step_s']:10.1f}{tool['peak_rss_mb']:8.0f}{times}"
        )


if __name__ == "__main__":
    main()
