# SPDX-License-Identifier: Apache-2.0
"""Time to find what configurations are connected to, and the matrix elements, compared with NetKet.

    python benchmarks/operators.py --netket-python peers/bin/python --out benchmarks/out/operators.json

Spins, lattice fermions and a molecule with dense random integrals. First all tools compute the same sums over
connections, which must agree; then batches alternate. JSON goes to stdout, a table to stderr. See README.md.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import harness
import numpy as np

WORKERS = harness.HERE / "workers"
SIZES = {
    "heisenberg": {"extent": 10, "samples": 1024},
    "hubbard": {"extent": 4, "electrons": 7, "samples": 1024},
    "molecule": {"orbitals": 8, "electrons": 4, "samples": 256},
}
"""Electrons are those of each spin."""

OURS = {"manybody": "changes", "manybody_written_out": "configurations"}
THEIRS = {
    "netket_jax": {"case": SIZES, "form": "jax"},
    "netket_hubbard": {"case": ["hubbard"], "form": "special"},
    "netket_number_conserving": {"case": ["molecule"], "form": "number_conserving"},
    "netket_spin_conserving": {"case": ["molecule"], "form": "spin_conserving"},
    "netket_numba_padded": {"case": SIZES, "form": "numba_padded"},
    "netket_numba_flattened": {"case": SIZES, "form": "numba_flattened"},
}
BOUND = 1e-12
"""Largest difference of the sums, relative to the largest of them."""


class Disagreement(RuntimeError):
    """The tools do not compute the same."""


def main():
    args = arguments()
    report = {"benchmark": "operators", "arguments": sys.argv[1:], "machine": harness.machine(), "cases": []}
    for case in args.cases:
        harness.say(f"\n{case}: {SIZES[case]}")
        report["cases"].append(compare(case, args))
        show(report["cases"][-1])
    harness.write(report, args.out)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--netket-python", required=True, help="interpreter of an environment with NetKet")
    parser.add_argument("--python", default=sys.executable, help="interpreter with what manybody needs (this one)")
    parser.add_argument("--cases", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=15, help="turns of each tool that count")
    parser.add_argument("--turn", type=float, default=0.2, help="seconds of a turn; reported is the time of one batch")
    parser.add_argument("--platform", default="cpu", help="JAX_PLATFORMS of all workers")
    parser.add_argument("--out", help="file for the report")
    return parser.parse_args()


def compare(case, args):
    """One Hamiltonian: the entry of the report."""
    environment = {"JAX_PLATFORMS": args.platform, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    ways = {name: (args.python, "manybody_operators.py", form) for name, form in OURS.items()}
    for name, way in THEIRS.items():
        if case in way["case"]:
            ways[name] = (args.netket_python, "netket_operators.py", way["form"])
    workers, tools = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        problem = str(Path(folder) / "problem.npz")
        np.savez(problem, **draw_problem(case, **SIZES[case]))
        try:
            # One after the other: nobody is disturbed by how another one starts.
            for name, (python, workload, form) in ways.items():
                options = {"case": case, "form": form, "problem": problem}
                worker = harness.Worker(name, python, WORKERS / workload, options, environment=environment)
                workers[name] = worker
                tools[name] = begin(worker)
            found = check(workers, folder)
            turns = harness.alternate(workers, "repeat", args.rounds, seconds=args.turn)
            for name, worker in workers.items():
                turns[name] = [per_batch(reply) for reply in turns[name]]
                tools[name] |= harness.summary(turns[name]) | worker.call("about")["result"]
                tools[name]["connections_per_s"] = found["n_connections"] / tools[name]["median_s"]
        finally:
            for worker in workers.values():
                worker.close()
    return {"case": case, **SIZES[case], **found, "tools": tools, "manybody_is_better_by": advantages(tools, turns)}


def begin(worker):
    """Build the operator and compute a batch, in a fresh process, and again with other couplings."""
    times = {}
    for key, scale in (("fresh", 1.0), ("again", 1.25)):
        build, call = worker.call("build", scale=scale), worker.call("evaluate", n=1)
        times[key] = {
            "build_s": build["wall_s"],
            "first_call_s": call["wall_s"],
            "to_first_batch_s": build["wall_s"] + call["wall_s"],
        }
    worker.call("build", scale=1.0)
    return {**times, "peak_rss_mb": call["peak_rss_mb"], **worker.started["result"]}


def per_batch(reply):
    """A turn with the times of one of its batches."""
    return reply | {"wall_s": reply["wall_s"] / reply["result"], "cpu_s": reply["cpu_s"] / reply["result"]}


# --- the problems -----------------------------------------------------------------------------------------------------


def draw_problem(case, samples, extent=None, orbitals=None, electrons=None):
    """Edges or integrals, configurations, and the weights of a function of these."""
    rng = np.random.default_rng(5)
    if case == "molecule":
        problem, n = {"electrons": electrons, **draw_integrals(rng, orbitals)}, orbitals
    else:
        problem, n = {"extent": extent, "edges": square_edges(extent)}, extent**2
    if case == "heisenberg":
        sigma = permuted(rng, samples, n, n // 2) * 2 - 1
    else:
        problem["electrons"] = electrons
        sigma = np.concatenate([permuted(rng, samples, n, electrons) for _ in range(2)], axis=1)
    return problem | {"sigma": sigma.astype(np.int8), "weights": rng.normal(size=sigma.shape[1])}


def permuted(rng, samples, n, ones):
    """Rows (samples, n) with so many ones at random."""
    return rng.permuted(np.tile(np.arange(n) < ones, (samples, 1)), axis=1).astype(np.int8)


def square_edges(extent):
    """Bonds of the periodic square lattice, site = x * extent + y."""
    site = np.arange(extent**2).reshape(extent, extent)
    return np.concatenate([np.stack([site, np.roll(site, -1, axis)], axis=-1).reshape(-1, 2) for axis in (0, 1)])


def draw_integrals(rng, n):
    """Real integrals h_pq and (pq|rs) over n orbitals, with all eight symmetries and no other."""
    one, two = rng.normal(size=(n, n)), 0.1 * rng.normal(size=(n,) * 4)
    two = two + two.transpose(1, 0, 2, 3)
    two = two + two.transpose(0, 1, 3, 2)
    return {"one": one + one.T, "two": two + two.transpose(2, 3, 0, 1)}


# --- the same numbers -------------------------------------------------------------------------------------------------


def check(workers, folder):
    """Differences of sums over connections of element * f(sigma'), f(sigma) = cos(weights . sigma).

    Raises:
        Disagreement: if one is above its bound, or the numbers of distinct connections differ.
    """
    results = harness.answers(workers, folder)
    reference = next(result for name, result in results.items() if name not in OURS)
    scale = np.max(np.abs(reference["sums"]))
    differences = {k: float(np.max(np.abs(r["sums"] - reference["sums"])) / scale) for k, r in results.items()}
    numbers = {k: int(r["n_connections"]) for k, r in results.items()}
    same = all(difference <= BOUND for difference in differences.values())  # not so for nan
    if not same or len(set(numbers.values())) > 1:
        raise Disagreement(f"The tools do not compute the same: {differences}, {numbers}")
    return {"n_connections": numbers["manybody"], "differences": differences, "bound": BOUND}


# --- the report -------------------------------------------------------------------------------------------------------


def advantages(tools, turns):
    """How many times faster and smaller each of our forms is than each of the others."""
    return {
        ours: {
            theirs: {
                "batch": harness.ratio(turns[theirs], turns[ours]),
                "build": tools[theirs]["fresh"]["build_s"] / tools[ours]["fresh"]["build_s"],
                "to_first_batch": ratio_of(tools[theirs], tools[ours], "fresh"),
                "to_first_batch_again": ratio_of(tools[theirs], tools[ours], "again"),
                "peak_rss": tools[theirs]["peak_rss_mb"] / tools[ours]["peak_rss_mb"],
            }
            for theirs in tools
            if theirs not in OURS
        }
        for ours in OURS
    }


def ratio_of(slow, fast, key):
    return slow[key]["to_first_batch_s"] / fast[key]["to_first_batch_s"]


def show(case):
    harness.say(
        f"{'':26}{'build s':>9}{'again s':>9}{'1st s':>8}{'again s':>9}{'median ms':>11}{'min ms':>9}{'conn/us':>9}"
        f"{'slots':>7}{'x':>8}{'x out':>7}"
    )
    for name, tool in case["tools"].items():
        fresh, again = tool["fresh"], tool["again"]
        gains = [case["manybody_is_better_by"][ours].get(name) for ours in OURS]
        times = "".join(f"{gain['batch']['median']:{w}.1f}" for gain, w in zip(gains, (8, 7), strict=True) if gain)
        harness.say(
            f"{name:26}{fresh['build_s']:9.3f}{again['build_s']:9.3f}{fresh['first_call_s']:8.2f}"
            f"{again['first_call_s']:9.4f}{1e3 * tool['median_s']:11.2f}{1e3 * tool['min_s']:9.2f}"
            f"{1e-6 * tool['connections_per_s']:9.2f}{tool['n_slots']:7d}{times}"
        )


if __name__ == "__main__":
    main()
