# SPDX-License-Identifier: Apache-2.0
"""How often a wave function has to be evaluated to sample it, and how long that takes, with and without a surrogate.

    python benchmarks/surrogate.py --out benchmarks/out/surrogate.json

A ResNet for the Heisenberg model on the square lattice is optimised, and an RBM fitted to it. Then the ResNet is
sampled, without a surrogate and with the RBM as one, with walks of different lengths; turns alternate. The energies
must agree within their errors. JSON goes to stdout, a table to stderr. See README.md.
"""

import argparse
import math
import sys
import tempfile

import harness

WORKLOAD = harness.HERE / "workers" / "manybody_surrogate.py"
BOUND = 4.0
"""Largest difference of two energies, in units of its error."""
PLAIN = "none"


class Disagreement(RuntimeError):
    """The energies are not the same within their errors."""


def main():
    args = arguments()
    report = {"benchmark": "surrogate", "arguments": sys.argv[1:], "machine": harness.machine()}
    report |= {"extent": args.extent, "features": args.features, "chains": args.chains}
    harness.write(report | measure(args), args.out)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="interpreter with what manybody needs (this one)")
    parser.add_argument("--extent", type=int, default=6, help="length of the lattice; even")
    parser.add_argument("--features", type=int, default=16, help="of the ResNet, in two blocks")
    parser.add_argument("--chains", type=int, default=64)
    parser.add_argument("--n-steps", type=int, nargs="+", default=[1, 4, 8, 18, 36], help="moves along the surrogate")
    parser.add_argument("--train", type=int, default=60, help="steps in which the ResNet is optimised")
    parser.add_argument("--fit", type=int, default=80, help="steps in which the RBM is fitted to it")
    parser.add_argument("--samples", type=int, default=256, help="of these steps; four times as many for the RBM")
    parser.add_argument("--draws", type=int, default=5, help="draws of each chain in a turn")
    parser.add_argument("--rounds", type=int, default=16, help="turns of each way that count")
    parser.add_argument("--platform", default="cpu", help="JAX_PLATFORMS of all workers")
    parser.add_argument("--out", help="file for the report")
    return parser.parse_args()


def measure(args):
    """How psi and phi were made, and what each way of sampling takes: the main part of the report."""
    environment = {"JAX_PLATFORMS": args.platform, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    workers = {}
    with tempfile.TemporaryDirectory() as folder:
        problem = {"extent": args.extent, "features": args.features, "chains": args.chains, "folder": folder}

        def start(name, **options):
            return harness.Worker(name, args.python, WORKLOAD, {**problem, **options}, environment=environment)

        with start("prepare", part="prepare") as worker:
            how = {"steps": args.train, "fit_steps": args.fit, "samples": args.samples}
            prepared = worker.call("prepare", **how)["result"]
        harness.say(f"psi and phi are made: {prepared}")
        try:
            for n_steps in (0, *args.n_steps):
                name = f"{n_steps} steps" if n_steps else PLAIN
                workers[name] = start(name, part="sample", n_steps=n_steps, draws=args.draws)
            turns = harness.alternate(workers, "draw", args.rounds)
            ways = {name: way(worker, turns[name], args) for name, worker in workers.items()}
            about = workers[PLAIN].call("about")["result"]
        finally:
            for worker in workers.values():
                worker.close()
    check({name: entry["energy"] for name, entry in ways.items()})
    better = {name: gain(ways, turns, name) for name in ways if name != PLAIN}
    show(ways, better)
    return {"prepared": prepared, "ways": ways, "better_by": better, **about}


def way(worker, replies, args):
    """What one way of sampling takes."""
    energy = worker.call("energy")["result"]
    rates, times = energy.pop("rates"), harness.summary(replies)
    changes = worker.call("changes", draws=4 * args.draws)["result"]
    plain = "evaluations_per_move" not in rates
    per_move = 1 / rates["acceptance"] if plain else rates["evaluations_per_move"]
    n_samples = args.chains * args.draws
    n_steps = 1 if plain else int(worker.name.split()[0])
    per_sample = math.ceil(args.extent**2 / n_steps)
    return {
        "rates": rates,
        "energy": energy,
        "times": times,
        "evaluations_per_accepted_move": per_move,
        "evaluations_per_exchange": 1 / changes,
        "evaluations_per_effective_sample": per_sample * energy["tau"],
        "effective_samples_per_s": n_samples / energy["tau"] / times["median_s"],
    }


def check(energies):
    """No energy differs from the one without a surrogate by more than the errors allow.

    Raises:
        Disagreement: if one does.
    """
    plain = energies[PLAIN]
    for name, energy in energies.items():
        error = math.hypot(energy["error"], plain["error"])
        if not abs(energy["mean"] - plain["mean"]) <= BOUND * error:  # not so for nan
            raise Disagreement(f"The energy with {name} is {energy}, without a surrogate {plain}")


def gain(ways, turns, name):
    """By which factor it is better than without a surrogate."""
    keys = [key for key in ways[name] if key.startswith("evaluations_per")]
    evaluations = {key: ways[PLAIN][key] / ways[name][key] for key in keys}
    time = harness.ratio(turns[PLAIN], turns[name])
    tau = ways[PLAIN]["energy"]["tau"] / ways[name]["energy"]["tau"]
    return {**evaluations, "time_per_sample": time, "time_per_effective_sample": time["median"] * tau}


def show(ways, better):
    harness.say(f"\n{'':22}{'evaluations per':>20}{'effective':>39}")
    harness.say(
        f"{'surrogate':>12}{'accepted':>10}{'move':>10}{'exchange':>12}{'eff. sample':>16}{'tau':>8}{'samples/s':>13}"
        f"{'':>7}   energy"
    )
    for name, entry in ways.items():
        rates, energy = entry["rates"], entry["energy"]
        accepted = rates.get("full_acceptance", rates["acceptance"])
        times = f" x{better[name]['time_per_effective_sample']:.1f}" if name in better else ""
        harness.say(
            f"{name:>12}{accepted:10.2f}{entry['evaluations_per_accepted_move']:10.2f}"
            f"{entry['evaluations_per_exchange']:12.2f}{entry['evaluations_per_effective_sample']:16.1f}"
            f"{energy['tau']:8.2f}{entry['effective_samples_per_s']:13.0f}{times:>7}"
            f"   {energy['mean']:.3f} +- {energy['error']:.3f}"
        )


if __name__ == "__main__":
    main()
