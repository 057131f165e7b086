# SPDX-License-Identifier: Apache-2.0
"""The sample-space kernel by the structure of dense layers, against the contraction of the Jacobian: time and memory.

    python benchmarks/kernel.py --out benchmarks/out/kernel.json

Large dense networks, each form in a process of its own; one network of every kind, whose forms take turns in one
process; and steps of an optimisation whose Jacobian would fit into no memory. All forms must agree. The report goes to
stdout as JSON, a table to stderr. See README.md.
"""

import argparse
import sys
import tempfile

import harness
import numpy as np
import optimisations

FORMS = {
    "chosen": "as the library makes it",
    "contracted": "no layer by its structure",
    "structured": "every layer by its structure for which that is possible",
    "jacobian": "the Jacobian as a whole, times its transpose",
}
LARGE = ("rbm", "mlp", "mlp, complex")
BOUNDS = {"f64": 1e-10, "f32": 1e-4}
"""Of differences between forms, relative to the largest element."""

TURN_S = 0.02
"""A program that takes less is run several times in its turn, or the clock would show how a request is answered."""

STEP = {
    "rbm": {"network": "rbm", "sites": 128, "widths": [23552], "sweep_size": 16},
    "mlp": {"network": "mlp", "sites": 64, "widths": [1728, 1728], "sweep_size": 1},
}
"""Optimisations of three million parameters."""


class Disagreement(RuntimeError):
    """Kernels in two forms are not the same."""


def main():
    args = arguments()
    report = {"benchmark": "kernel", "arguments": sys.argv[1:], "machine": harness.machine(), "forms": FORMS}
    report |= {"precision": args.precision}
    if "large" in args.parts:
        report["large"] = {"samples": args.samples, "networks": {name: large(name, args) for name in args.networks}}
        show("large", report["large"]["networks"])
    if "kinds" in args.parts:
        report["kinds"] = {"samples": args.kind_samples, "networks": kinds(args)}
        show("kinds", report["kinds"]["networks"])
        report["kinds"]["slower"] = slower(report["kinds"]["networks"])
        harness.say(f"slower than in another form: {report['kinds']['slower'] or 'none'}")
    if "step" in args.parts:
        report["step"] = {name: step(name, args) for name in args.steps}
    harness.write(report, args.out)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="interpreter with what manybody needs (this one)")
    parser.add_argument("--parts", nargs="+", choices=["large", "kinds", "step"], default=["large", "kinds"])
    parser.add_argument("--networks", nargs="+", choices=LARGE, default=["rbm", "mlp"], help="large ones")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=["contracted"], help="of large ones")
    parser.add_argument("--kinds", nargs="+", help="some of the small ones (all)")
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--kind-samples", type=int, default=256, help="of one network of every kind")
    parser.add_argument("--precision", choices=sorted(BOUNDS), default="f64")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kind-rounds", type=int, default=15)
    parser.add_argument("--steps", nargs="+", choices=sorted(STEP), default=["rbm"], help="networks of three million")
    parser.add_argument("--step-samples", type=int, default=4096)
    parser.add_argument("--step-rounds", type=int, default=1, help="steps that count, after the first")
    parser.add_argument("--chunk-size", type=int, default=256, help="configurations at a time, in such a step")
    parser.add_argument("--platform", default="cpu", help="JAX_PLATFORMS of all workers")
    parser.add_argument("--out", help="file for the report")
    return parser.parse_args()


def start(workload, options, args):
    """A worker."""
    variables = optimisations.environment(args.platform)
    return harness.Worker(workload, args.python, optimisations.WORKERS / workload, options, environment=variables)


def large(name, args):
    """A large network: an entry of the report. Each form has a process of its own, and so a peak of memory."""
    options = {"samples": args.samples, "precision": args.precision, "chunk_size": None}
    workers, found = {}, {}
    try:
        for form in ("chosen", *(form for form in args.forms if form != "chosen")):
            workers[form] = worker = start("manybody_kernel.py", options, args)
            prepared = worker.call("prepare", name=name, forms=[form])["result"]
            peak = worker.call("make", form=form)["peak_rss_mb"]
            found[form] = prepared["forms"][form] | {"above_level_mb": peak - prepared["level_mb"]}
        with tempfile.TemporaryDirectory() as folder:
            every = {form: arrays[form] for form, arrays in harness.answers(workers, folder).items()}
        differences = check(name, every, BOUNDS[args.precision])
        turns = take_turns(workers, args.rounds)
        about = workers["chosen"].call("about")["result"]
    finally:
        for worker in workers.values():
            worker.close()
    return {**sizes(prepared), "differences": differences, **judged(found, turns), **about}


def kinds(args):
    """One network of every kind: entries of the report. Its forms take turns in one process."""
    options = {"samples": args.kind_samples, "precision": args.precision, "chunk_size": None}
    with start("manybody_kernel.py", options, args) as worker:
        names = args.kinds or worker.call("names")["result"]
        return {name: kind(worker, name, args) for name in names}


def kind(worker, name, args):
    """One network in all forms that are different programs."""
    prepared = worker.call("prepare", name=name, forms=list(FORMS))["result"]
    found = distinct(prepared["forms"])
    firsts = [worker.call("make", form=form)["wall_s"] for form in FORMS]
    with tempfile.TemporaryDirectory() as folder:
        every = harness.answers({name: worker}, folder)[name]
    differences = check(name, every, BOUNDS[args.precision])
    turns = take_turns(dict.fromkeys(found, worker), args.kind_rounds, repeats(min(firsts)))
    return {**sizes(prepared), "differences": differences, **judged(found, turns)}


def sizes(prepared):
    """Numbers of parameters and rows, and whether SR would make a kernel of that size if it is free to choose."""
    n_params, n_rows = prepared["n_params"], prepared["n_rows"]
    return {"n_params": n_params, "n_rows": n_rows, "sr_in_samples": n_rows < n_params}


def repeats(seconds):
    """How often something that takes this time is done between two readings of a clock."""
    return max(1, round(TURN_S / seconds))


def take_turns(workers, rounds, times=1):
    """Replies of the workers to requests for the forms that they are named by; all have made one before.

    Each makes it several `times` and says what one took.
    """

    def turn(form):
        reply = workers[form].call("make", form=form, times=times)
        return reply | {key: reply[key] / times for key in ("wall_s", "cpu_s")}

    return harness.in_turn(turn, {form: form for form in workers}, rounds, warm_up=0)


def distinct(forms):
    """Forms that are not the same program as one before them: those by the same layers are."""
    kept = {}
    for form, about in forms.items():
        if form == "jacobian" or all(about["layers"] != other["layers"] for other in kept.values()):
            kept[form] = about
    return kept


def check(name, every, bound):
    """Largest differences between the kernel as it is chosen and those in other forms, relative to its largest element.

    Raises:
        Disagreement: if one is above the bound.
    """
    ours = every["chosen"]
    found = {
        form: float(np.max(np.abs(other - ours)) / np.max(np.abs(ours)))
        for form, other in every.items()
        if form != "chosen"
    }
    bad = {form: difference for form, difference in found.items() if not difference <= bound}  # nan is wrong
    if bad:
        raise Disagreement(f"Kernels of {name} differ by {bad}; the bound is {bound}.")
    return found


def judged(found, turns):
    """Times of the forms, and what the chosen one takes in units of the others: time, and memory of the program."""
    forms = {form: about | harness.summary(turns[form]) for form, about in found.items()}
    ours = forms["chosen"]
    ratios = {
        form: {
            "time": harness.ratio(turns["chosen"], turns[form]),
            **{key: ours[key] / forms[form][key] for key in ("work_space_mb", "above_level_mb") if key in ours},
        }
        for form in forms
        if form != "chosen"
    }
    return {"forms": forms, "chosen_is_times": ratios}


def step(name, args):
    """Steps with a dense network of three million parameters: time, and the most memory that the process had."""
    options = STEP[name] | {"samples": args.step_samples, "precision": args.precision, "chunk_size": args.chunk_size}
    with start("manybody_dense.py", options, args) as worker:
        first = worker.call("step")
        replies = [worker.call("step") for _ in range(args.step_rounds)]
        about = worker.call("about")["result"]
    entry = {
        **options,
        **about,
        "jacobian_mb": about["n_params"] * args.step_samples * 8 / 2**20,
        "first_step_s": first["wall_s"],
        "times_s": [reply["wall_s"] for reply in replies],
        "peak_rss_mb": (replies or [first])[-1]["peak_rss_mb"],
        "energies": [reply["result"] for reply in (first, *replies)],
    }
    harness.say(
        f"\nstep, {name}, {about['n_params']:,} parameters, {args.step_samples} samples: {first['wall_s']:.1f} s, "
        f"then {entry['times_s']}, peak {entry['peak_rss_mb']:.0f} MB; the Jacobian has {entry['jacobian_mb']:.0f} MB"
    )
    return entry


def show(title, entries):
    harness.say(f"\n{title:18}{'params':>9}{'chosen ms':>11}{'MB':>8}   times and memory in units of others")
    for name, entry in entries.items():
        ours = entry["forms"]["chosen"]
        others = "  ".join(
            f"{form} x{found['time']['median']:.3f} (min x{found['time']['of_minima']:.3f}), "
            + ", ".join(f"x{found[key]:.3f}" for key in ("work_space_mb", "above_level_mb") if key in found)
            for form, found in entry["chosen_is_times"].items()
        )
        harness.say(
            f"{name:18}{entry['n_params']:9}{1e3 * ours['median_s']:11.2f}{ours['work_space_mb']:8.1f}   {others}"
        )


def slower(entries, tolerance=1.05):
    """Networks for which the chosen form takes more than `tolerance` times the time of another one, with that factor.

    Of medians and of shortest times the smaller factor: noise makes one of them large, a wrong choice both.
    """
    worst = {}
    for name, entry in entries.items():
        factors = {
            form: min(found["time"]["median"], found["time"]["of_minima"])
            for form, found in entry["chosen_is_times"].items()
        }
        form = max(factors, key=factors.get)
        if factors[form] > tolerance:
            worst[name] = {"form": form, "factor": factors[form], "sr_in_samples": entry["sr_in_samples"]}
    return worst


if __name__ == "__main__":
    main()
