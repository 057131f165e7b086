# SPDX-License-Identifier: Apache-2.0
"""What narrower types gain, and whether the energy stays the same; and what small shifts of SR ask of the solver.

    python benchmarks/precision.py --out benchmarks/out/precision.json

Steps of the same optimisation in double, single and mixed precision alternate; energies at the same parameters must
agree, or there is no report. Directions of SR from a network in single precision, by Cholesky and by QR, are compared
with a singular value decomposition. The report goes to stdout as JSON, a table to stderr. See README.md.
"""

import argparse
import math
import sys
import tempfile
from pathlib import Path

import harness
import numpy as np
import optimisations

PROBLEMS = {
    "tfim": {
        "problem": "tfim",
        "options": {"sites": 64, "alpha": 4},
        "samples": 1024,
        "rate": 0.04,
        "diag_shift": 1e-3,
    },
    "resnet": {
        "problem": "j1j2",
        "options": {"network": "ResNet", "extent": 6, "features": 16, "blocks": 2},
        "samples": 512,
        "rate": 0.05,
        "diag_shift": 1e-2,
    },
    "vit": {
        "problem": "j1j2",
        "options": {"network": "ViT", "extent": 6, "layers": 2, "d_model": 32, "heads": 4, "mlp_ratio": 2},
        "samples": 512,
        "rate": 0.05,
        "diag_shift": 1e-2,
    },
}
SOLVES = {
    "samples": {"method": "samples", "sites": 16, "network": "RBM", "size": {"alpha": 8}, "samples": 512},
    "convolutions": {
        "method": "samples",
        "sites": 16,
        "network": "ResNet",
        "size": {"features": 16, "blocks": 2, "output": "real"},
        "samples": 512,
    },
    "parameters": {"method": "parameters", "sites": 12, "network": "RBM", "size": {"alpha": 3}, "samples": 2048},
}
"""Fewer samples than parameters, with a kernel by the structure of layers and with one from rows, and more samples."""
SHIFTS = [10.0**-k for k in range(2, 11)]
SOLVERS = ("cholesky", "qr")
SIGMAS = 4.5
"""Energies of the same parameters that differ by more combined errors than this are not the same: one in 10^5."""


class Disagreement(RuntimeError):
    """Energies of the same parameters differ."""


def main():
    args = arguments()
    report = {"benchmark": "precision", "arguments": sys.argv[1:], "machine": harness.machine()}
    if args.problems:
        report["problems"] = {name: problem(name, PROBLEMS[name], args) for name in args.problems}
    if args.solves:
        report["solves"] = {
            f"{name}, 64-bit mode {mode}": solves(name, mode, args) for name in args.solves for mode in ("on", "off")
        }
    harness.write(report, args.out)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="interpreter with what manybody needs (this one)")
    parser.add_argument("--problems", nargs="*", choices=sorted(PROBLEMS), default=sorted(PROBLEMS))
    parser.add_argument("--precisions", nargs="+", choices=["f32", "bf16", "f16"], default=["f32", "bf16", "f16"])
    parser.add_argument("--rounds", type=int, default=7, help="steps in each precision that count")
    parser.add_argument("--steps", type=int, default=120, help="of the optimisations whose energies are compared")
    parser.add_argument("--samples", type=int, default=8192, help="of each measured energy")
    parser.add_argument("--solves", nargs="*", choices=list(SOLVES), default=list(SOLVES), help="problems of solvers")
    parser.add_argument("--platform", default="cpu", help="JAX_PLATFORMS of the workers")
    parser.add_argument("--out", help="file for the report")
    return parser.parse_args()


# --- steps and energies ----------------------------------------------------------------------------------------------


def problem(name, options, args):
    """Times of a step, and energies with the same parameters and after the same number of steps."""
    precisions = ["f64", *args.precisions]
    with harness.Worker(
        name,
        args.python,
        optimisations.WORKERS / "manybody_precision.py",
        options,
        environment=optimisations.environment(args.platform),
    ) as worker:
        rows = {p: worker.call("prepare", precision=p)["result"] for p in precisions}
        turns = harness.in_turn(lambda p: worker.call("step", precision=p), {p: p for p in precisions}, args.rounds)
        for p in precisions:
            worker.call("optimise", precision=p, steps=args.steps)
        for p in precisions:
            energies = {
                key: worker.call("measure", precision=p, samples=args.samples, own=own, seed=2 + precisions.index(p))
                for key, own in (("same_parameters", False), ("after_steps", True))
            }
            rows[p] |= {key: reply["result"] for key, reply in energies.items()}
            rows[p] |= harness.summary(turns[p]) | {"f64_is_times": harness.ratio(turns["f64"], turns[p])}
        logs = log_psi(worker, precisions)
        about = worker.call("about")["result"]
    for p in precisions:
        rows[p]["log_psi_spread"] = spread(logs[p], logs["f64"])
        for key in ("same_parameters", "after_steps"):
            rows[p][key]["sigmas"] = sigmas(rows[p][key], rows["f64"][key])
    check(name, rows)
    show(name, rows)
    return {**options, "precisions": rows, **about}


def log_psi(worker, precisions):
    """log psi of the same configurations, by precision."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for p in precisions:
            path = Path(folder) / f"{p}.npz"
            worker.call("log_psi", precision=p, out=str(path))
            with np.load(path) as data:
                found[p] = data["log_psi"]
    return found


def spread(found, exact):
    """Standard deviation of the difference of log psi: a constant is a factor of the wave function."""
    return float(np.std(found - exact))


def sigmas(one, other):
    """A difference of two energies in units of its error; of one with itself 0."""
    gap = one["energy"] - other["energy"]
    return gap / math.hypot(one["error"], other["error"]) if gap else 0.0


def check(name, rows):
    """Energies at the same parameters agree.

    Raises:
        Disagreement: if they do not.
    """
    wrong = {p: row["same_parameters"]["sigmas"] for p, row in rows.items()}
    wrong = {p: gap for p, gap in wrong.items() if not abs(gap) <= SIGMAS}
    if wrong:
        raise Disagreement(f"Energies of {name} at the same parameters differ by so many errors: {wrong}")


def show(name, rows):
    harness.say(f"\n{name}")
    for p, row in rows.items():
        ratio = row["f64_is_times"]
        energies = "; ".join(
            f"{row[key]['energy']:.4f} +- {row[key]['error']:.4f} ({row[key]['sigmas']:+.1f} errors)"
            for key in ("same_parameters", "after_steps")
        )
        harness.say(
            f"{p:5} {1e3 * row['median_s']:8.1f} ms, f64 takes {ratio['median']:.2f} ({ratio['of_minima']:.2f}) times "
            f"as long; log psi off by {row['log_psi_spread']:.1e}; energies {energies}"
        )


# --- solvers ---------------------------------------------------------------------------------------------------------


def solves(name, mode, args):
    """Errors of the directions of each solver by shift, and their times."""
    variables = optimisations.environment(args.platform) | {"MANYBODY_X64": "1" if mode == "on" else "0"}
    path = optimisations.WORKERS / "manybody_solves.py"
    options = SOLVES[name] | {"steps": 200}
    with (
        harness.Worker(name, args.python, path, options, environment=variables) as worker,
        tempfile.TemporaryDirectory() as folder,
    ):
        own = equations(worker, "f32", folder)
        exact = equations(worker, "f64", folder) if mode == "on" else None
        rows = {}
        for shift in SHIFTS:
            right = by_svd(*own, shift)
            rows[f"{shift:.0e}"] = {solver: judged(worker, solver, shift, own[0], right, folder) for solver in SOLVERS}
            if exact is not None:
                rows[f"{shift:.0e}"]["rounded_rows"] = errors(right, by_svd(*exact, shift), exact[0])
        ways = {solver: {"solver": solver, "shift": 1e-3} for solver in SOLVERS}
        turns = harness.in_turn(lambda way: worker.call("direction", **way), ways, args.rounds)
        about = worker.call("about")["result"]
    times = {solver: harness.summary(turns[solver]) for solver in SOLVERS}
    report = {"shifts": rows, "times": times, "qr_is_times": harness.ratio(turns["qr"], turns["cholesky"])}
    show_solves(name, mode, report)
    return {**options, **report, **about}


def equations(worker, precision, folder):
    """The rows of the Jacobian and the local energies beside them, in double precision."""
    path = Path(folder) / "equations.npz"
    worker.call("equations", precision=precision, out=str(path))
    with np.load(path) as data:
        return data["rows"].astype(float), data["e"].astype(float)


def by_svd(rows, e, shift):
    """(rows^T rows + shift)^-1 rows^T e by a singular value decomposition, which squares nothing."""
    u, s, vt = np.linalg.svd(rows, full_matrices=False)
    return vt.T @ (s / (s**2 + shift) * (u.T @ e))


def judged(worker, solver, shift, rows, right, folder):
    """How far a solver is off."""
    path = Path(folder) / "direction.npz"
    code = worker.call("direction", solver=solver, shift=shift, out=str(path))["result"]["code"]
    with np.load(path) as data:
        found = data["direction"].astype(float)
    return {"code": code, **errors(found, right, rows)}


def errors(found, right, rows):
    """Relative errors of a direction, and of what it does to log psi on the samples."""
    gap = found - right
    return {
        "direction": float(np.linalg.norm(gap) / np.linalg.norm(right)),
        "change": float(np.linalg.norm(rows @ gap) / np.linalg.norm(rows @ right)),
    }


def show_solves(name, mode, report):
    harness.say(f"\nSR, {name}, 64-bit mode {mode}: relative errors of the direction")
    for shift, row in report["shifts"].items():
        found = ", ".join(f"{name} {row[name]['direction']:.1e}" for name in row)
        harness.say(f"shift {shift}: {found}")
    ratio = report["qr_is_times"]
    harness.say(f"QR takes {ratio['median']:.1f} ({ratio['of_minima']:.1f}) times as long")


if __name__ == "__main__":
    main()
