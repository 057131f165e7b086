# SPDX-License-Identifier: Apache-2.0
"""Time and accuracy of a quench by time-dependent variational Monte Carlo, compared with NetKet and jVMC.

    python benchmarks/tdvp.py --netket-python peers/bin/python --jvmc-python jvmc/bin/python --out tdvp.json

The transverse-field Ising chain and a holomorphic RBM. All tools start from the same parameters and make the same steps
of Heun's method with the same pseudo-inverse; what they find is compared with the exact evolution of the same state.
JSON goes to stdout, a table to stderr. See README.md.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import harness
import numpy as np

WORKERS = harness.HERE / "workers"
OURS = "manybody"
BOUND = 1e-10
"""Largest difference of ratios of amplitudes and of local energies, relative to the largest one."""


class Disagreement(RuntimeError):
    """The tools do not compute the same."""


def main():
    args = arguments()
    report = {"benchmark": "tdvp", "arguments": sys.argv[1:], "machine": harness.machine()}
    report |= compare(args)
    show(report, args)
    harness.write(report, args.out)


def arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--netket-python", help="interpreter of an environment with NetKet; without it NetKet is left out"
    )
    parser.add_argument("--jvmc-python", help="the same for jVMC")
    parser.add_argument("--python", default=sys.executable, help="interpreter with what manybody needs (this one)")
    parser.add_argument("--sites", type=int, default=12, help="length of the chain")
    parser.add_argument("--field", type=float, default=0.5, help="transverse field h at J = 1")
    parser.add_argument("--alpha", type=int, default=2, help="hidden units per site")
    parser.add_argument("--samples", type=int, default=1024, help="samples; each is a chain of its own")
    parser.add_argument("--dt", type=float, default=0.01, help="step of Heun's method")
    parser.add_argument("--cutoff", type=float, default=1e-8, help="of the smooth pseudo-inverse")
    parser.add_argument("--scale", type=float, default=0.1, help="of the random parameters at the start")
    parser.add_argument("--steps", type=int, default=10, help="steps of a turn, after which accuracy is measured")
    parser.add_argument("--turns", type=int, default=5, help="turns of an evolution")
    parser.add_argument("--repeats", type=int, default=3, help="evolutions of each tool, with other chains")
    parser.add_argument("--patience", type=float, default=0.0, help="seconds to wait for idle processors, in all")
    parser.add_argument("--platform", default="cpu", help="JAX_PLATFORMS of all workers")
    parser.add_argument("--out", help="file for the report")
    return parser.parse_args(words)


def compare(args):
    """The report: checks, times and accuracy."""
    names = ("sites", "field", "alpha", "samples", "dt", "cutoff")
    options = {name: getattr(args, name) for name in names}
    environment = {"JAX_PLATFORMS": args.platform, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    pythons = {OURS: args.python, "netket": args.netket_python, "jvmc": args.jvmc_python}
    workers, tools = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        start = draw_start(args, Path(folder) / "start.npz")
        try:
            # One after the other: nobody is disturbed by how another one starts.
            for name, python in pythons.items():
                if python is not None:
                    workload = WORKERS / f"{name}_quench.py"
                    workers[name] = harness.Worker(name, python, workload, options, environment=environment)
                    workers[name].call("begin", file=start, seed=0)
                    first = workers[name].call("advance", steps=1)
                    tools[name] = {
                        "time_to_first_step_s": first["since_start_s"],
                        "first_step_s": first["wall_s"],
                        "peak_rss_mb": first["peak_rss_mb"],
                    }
            checks = check(workers, start, options, folder)
            replies, curves = evolve(workers, start, args, folder)
            about = {name: worker.call("about")["result"] for name, worker in workers.items()}
        finally:
            for worker in workers.values():
                worker.close()
    for name in workers:
        tools[name] |= harness.summary(replies[name]) | errors(curves[name]) | about[name] | {"curves": curves[name]}
        tools[name]["wall_per_unit_of_time_s"] = tools[name]["median_s"] / (args.steps * args.dt)
    others = [name for name in workers if name != OURS]
    faster = {name: harness.ratio(replies[name], replies[OURS]) for name in others}
    return {**options, "steps_of_a_turn": args.steps, "checks": checks, "tools": tools, "manybody_is_faster_by": faster}


def draw_start(args, path):
    """Complex random weights: near the state polarised along x, but not at it, where the metric is singular."""
    rng, n_hidden = np.random.default_rng(3), args.alpha * args.sites
    shapes = {"kernel": (args.sites, n_hidden), "bias": (n_hidden,)}
    np.savez(path, **{k: args.scale * (rng.normal(size=s) + 1j * rng.normal(size=s)) for k, s in shapes.items()})
    return str(path)


def check(workers, start, options, folder):
    """Largest relative differences between manybody and the others, at the start.

    Raises:
        Disagreement: if one is above its bound.
    """
    sigma, answer = (str(Path(folder) / name) for name in ("sigma.npy", "answer.npz"))
    np.save(sigma, 2 * np.random.default_rng(5).integers(0, 2, (options["samples"], options["sites"])) - 1)
    found = {}
    for name, worker in workers.items():
        worker.call("check", file=start, sigma=sigma, out=answer)
        with np.load(answer) as data:
            # Only ratios of amplitudes matter; angles are known to whole turns.
            found[name] = {"ratios": np.exp(data["log_psi"] - data["log_psi"][0]), "energies": data["energies"]}
    ours = found.pop(OURS)
    differences = {
        name: {key: float(np.max(np.abs(ours[key] - x)) / np.max(np.abs(x))) for key, x in theirs.items()}
        for name, theirs in found.items()
    }
    if not all(x <= BOUND for entry in differences.values() for x in entry.values()):
        raise Disagreement(f"The tools do not compute the same: {differences}")
    return differences


def evolve(workers, start, args, folder):
    """Turns of all tools along the same evolution, again and again with other chains.

    Returns:
        For each tool the replies of all turns, and what was measured after them, for each repeat.
    """
    parameters, states = (str(Path(folder) / name) for name in ("parameters.npz", "states.npy"))
    times = [turn * args.steps * args.dt for turn in range(args.turns + 1)]
    yardstick = workers[OURS]
    yardstick.call("exact", file=start, times=times, out=states)
    patience = harness.Patience(args.patience)
    replies, curves = ({name: [] for name in workers} for _ in range(2))
    for repeat in range(-1, args.repeats):  # the first one does not count
        for worker in workers.values():
            worker.call("begin", file=start, seed=10 + repeat)
        measured = {name: [] for name in workers}
        for turn in range(1 if repeat < 0 else args.turns):
            rounds = harness.alternate(workers, "advance", 1, warm_up=0, before=patience, steps=args.steps)
            for name, worker in workers.items():
                check_time(name, rounds[name][0]["result"]["t"], times[turn + 1])
                worker.call("save", out=parameters)
                arguments = {"file": parameters, "states": states, "number": turn + 1}
                measured[name].append({"t": times[turn + 1]} | yardstick.call("measure", **arguments)["result"])
                if repeat >= 0:
                    replies[name] += rounds[name]
        if repeat >= 0:
            for name in workers:
                curves[name].append(measured[name])
    return replies, curves


def check_time(name, t, expected):
    """Raise `Disagreement` unless a tool has made as many steps as it should."""
    if not abs(t - expected) < 1e-9:
        raise Disagreement(f"{name} is at the time {t} instead of {expected}.")


def errors(curves):
    """Root mean squares over repeats: of the error of <X> at the end and of the largest one, and so on."""

    def rms(values):
        return float(np.sqrt(np.mean(np.square(list(values)))))

    def deviation(point):
        return point["x"] - point["exact_x"]

    return {
        "error_of_x_at_the_end": rms(deviation(curve[-1]) for curve in curves),
        "largest_error_of_x": rms(max(abs(deviation(point)) for point in curve) for curve in curves),
        "energy_drift": rms(curve[-1]["energy"] - curve[-1]["exact_energy"] for curve in curves),
        "infidelity_at_the_end": statistics.median(curve[-1]["infidelity"] for curve in curves),
    }


def show(report, args):
    """A table for the eye."""
    harness.say(f"\n{args.sites} sites, alpha = {args.alpha}, {args.samples} samples, dt = {args.dt}")
    for name, tool in report["tools"].items():
        step = 1e3 * tool["median_s"] / args.steps
        harness.say(
            f"{name:>10} {step:8.1f} ms a step {tool['wall_per_unit_of_time_s']:8.2f} s per unit of time, first step "
            f"{tool['time_to_first_step_s']:6.1f} s; errors: <X> {tool['error_of_x_at_the_end']:.1e} (largest "
            f"{tool['largest_error_of_x']:.1e}), energy {tool['energy_drift']:.1e}, infidelity "
            f"{tool['infidelity_at_the_end']:.1e}"
        )
    for name, ratio in report["manybody_is_faster_by"].items():
        harness.say(f"faster than {name} by {ratio['median']:.2f} ({ratio['lowest']:.2f} to {ratio['highest']:.2f})")


if __name__ == "__main__":
    main()
