# SPDX-License-Identifier: Apache-2.0
"""Time of a VMC step of a small problem against NetKet: what is not arithmetic. Also with many steps in a call.

    python benchmarks/small.py --netket-python peers/bin/python --out benchmarks/out/small.json

The chain, the RBM and the checks are those of `vs_netket.py`, with few chains and samples. Then runs of some steps
alternate. The report goes to stdout as JSON, a table to stderr. See README.md.
"""

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

import harness
import optimisations
import vs_netket

FUSED = "manybody, several steps in a call"
CALL_BOUND = 1e-9
"""Of parameters after a call of several steps, against those of the same steps one by one."""


def main():
    args = arguments()
    if args.processors is not None:
        harness.use_processors(args.processors)
    report = {"benchmark": "small", "arguments": sys.argv[1:], "machine": harness.machine(), "cases": []}
    for sites, samples in itertools.product(args.sites, args.samples):
        options = {"sites": sites, "alpha": 1, "samples": samples, "chains": args.chains, "precision": "f64"}
        harness.say(f"\n{sites} sites, {args.chains} chains, {samples} samples")
        case = compare(vs_netket.ways(options, args), args)
        report["cases"].append({**options, "steps_per_call": args.steps_per_call, **case})
        show(case)
    harness.write(report, args.out)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--netket-python", required=True, help="interpreter of an environment with NetKet")
    parser.add_argument("--python", default=sys.executable, help="interpreter with what manybody needs (this one)")
    parser.add_argument("--sites", type=int, nargs="+", default=[10, 20], help="lengths of the chain")
    parser.add_argument("--chains", type=int, default=16)
    parser.add_argument(
        "--samples", type=int, nargs="+", default=[16, 256], help="in a step, multiples of the number of chains"
    )
    parser.add_argument("--steps", type=int, default=500, help="of a run")
    parser.add_argument("--steps-per-call", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=7, help="runs of each tool that count")
    parser.add_argument("--processors", type=int, help="that all tools have together; by default all there are")
    parser.add_argument("--platform", default="cpu", help="JAX_PLATFORMS of all workers")
    parser.add_argument("--out", help="file for the report")
    return parser.parse_args()


def compare(ways, args):
    """An entry of the report: the checks, and the times of a step in runs of many.

    Args:
        ways: name -> (interpreter, file of the workload, options); ours is one of them.
        args: of the command line.

    Raises:
        Disagreement: if the tools do not compute the same, or several steps in a call are not those steps.
    """
    workers = {}
    try:
        for name, (python, workload, options) in ways.items():
            variables = optimisations.environment(args.platform)
            path = optimisations.WORKERS / workload
            workers[name] = harness.Worker(name, python, path, options, environment=variables)
            workers[name].call("step")
        with tempfile.TemporaryDirectory() as folder:
            checks = optimisations.check(workers, vs_netket.draw_params, vs_netket.BOUNDS["f64"], Path(folder))
        checks[FUSED] = check_calls(workers[optimisations.OURS], args.steps_per_call)
        how = {name: (worker, {}) for name, worker in workers.items()}
        how[FUSED] = workers[optimisations.OURS], {"steps_per_call": args.steps_per_call}
        turns = harness.in_turn(lambda way: a_step(*way, args.steps), how, args.rounds)
        about = {name: worker.call("about")["result"] for name, worker in workers.items()}
    finally:
        for worker in workers.values():
            worker.close()
    about[FUSED] = about[optimisations.OURS]
    tools = {name: harness.summary(replies) | about[name] for name, replies in turns.items()}
    return {"checks": checks, "tools": tools, "better_by": advantages(turns)}


def check_calls(worker, steps_per_call):
    """Several steps in a call lead to the parameters that as many single ones lead to.

    Raises:
        Disagreement: if they do not.
    """
    found = {"difference": worker.call("compare_calls", n=5, steps_per_call=steps_per_call)["result"]}
    if not found["difference"] <= CALL_BOUND:  # nan is wrong
        raise optimisations.Disagreement(f"Steps in a call are not the same as single ones: {found}")
    return found | {"bound": CALL_BOUND}


def a_step(worker, options, n):
    """Times of a step, the mean over a run of `n`."""
    reply = worker.call("steps", n=n, **options)
    return {key: reply[key] / n for key in ("wall_s", "cpu_s")}


def advantages(turns):
    """How many times faster both of our ways are than the others, and several steps in a call than single ones."""
    ours = (optimisations.OURS, FUSED)
    found = {way: {o: harness.ratio(turns[o], turns[way]) for o in turns if o not in ours} for way in ours}
    found[FUSED][optimisations.OURS] = harness.ratio(turns[optimisations.OURS], turns[FUSED])
    return found


def show(case):
    harness.say(f"{'ms of a step':36}{'median':>10}{'min':>10}{'cpu':>10}")
    for name, tool in case["tools"].items():
        harness.say(f"{name:36}" + "".join(f"{1e3 * tool[k]:10.3f}" for k in ("median_s", "min_s", "cpu_median_s")))
    for name, others in case["better_by"].items():
        harness.say(f"{name}: " + ", ".join(f"{other} / it = {x['median']:.2f}" for other, x in others.items()))


if __name__ == "__main__":
    main()
