# SPDX-License-Identifier: Apache-2.0
"""How well several workers are used: times, memory and messages on two cores, and a model of many ranks.

    python benchmarks/scaling.py --out benchmarks/out/scaling.json

The transverse-field Ising chain with a real RBM and SR, one thread for each worker, on two cores of their own. The
report goes to stdout as JSON, tables to stderr. See README.md.
"""

import argparse
import os
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import harness
import scaling_model as model

WORKERS = harness.HERE / "workers"
PARTS = ("efficiency", "memory", "messages", "model")
RANKS = (1, 2, 8, 64, 1000)
QUIET = 0.97
"""A round in which every process had so much of its core counts as quiet."""
MEMORY = {"ansatz": "product", "sites": 64, "alpha": 300, "method": "samples", "chunk_size": 16, "sweep_size": 8}


class Case(NamedTuple):
    """An optimisation.

    Attributes:
        method: where SR is solved, "samples" or "parameters".
        sites: length of the chain.
        alpha: hidden units per site.
        samples: of each rank.
        strong_samples: of all ranks together in the strong scaling of the model.
    """

    method: str
    sites: int
    alpha: int
    samples: int
    strong_samples: int

    def options(self, ranks):
        """Of the workloads, for so many ranks."""
        own = {"method": self.method, "sites": self.sites, "alpha": self.alpha}
        return {"ansatz": "rbm", **own, "samples": ranks * self.samples}


CASES = (("samples", 128, 4, 256, 4096), ("parameters", 32, 1, 4096, 65536))
SOLVES = (512, 1024, 2048, 4096)
MESSAGES = (16, 2**15, 2**20, 2**22, 2**25)
FEW = 64
"""Samples of the runs that tell how much memory has nothing to do with samples."""


def main():
    args = arguments()
    report = {"benchmark": "scaling", "arguments": sys.argv[1:], "machine": harness.machine(), "cases": []}
    if "model" in args.parts:
        report["constants"] = measure_constants(args)
    for case in args.cases:
        harness.say(f"\n{case}")
        found = case._asdict()
        if "efficiency" in args.parts:
            found["efficiency"] = efficiency(case, args)
            show_efficiency(found["efficiency"])
        if {"messages", "model"} & set(args.parts):
            found["messages"] = count_messages(case, args)
            show_messages(found["messages"])
        if "model" in args.parts:
            found["phases"] = measure_phases(case, args)
            show_phases(found["phases"])
            found["model"] = predict(case, report["constants"], found["phases"], found["messages"]["messages"])
            show_model(found["model"])
        report["cases"].append(found)
    if "memory" in args.parts:
        report["memory"] = memory(args)
        show_memory(report["memory"])
    report["machine"]["load_average_at_end"] = os.getloadavg()
    harness.write(report, args.out)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--case",
        nargs=5,
        action="append",
        metavar=("METHOD", "SITES", "ALPHA", "SAMPLES", "STRONG"),
        help="where SR is solved (samples, parameters), length of the chain, hidden units per site, samples per rank, "
        "and samples on all ranks for the strong scaling of the model; may be given several times",
    )
    parser.add_argument("--rounds", type=int, default=10, help="rounds that count")
    parser.add_argument("--steps", type=int, default=2, help="steps of each configuration in a round")
    parser.add_argument("--patience", type=float, default=0.0, help="seconds, in all, to wait for idle processors")
    parser.add_argument("--memory-samples", type=int, default=512, help="on all ranks")
    parser.add_argument("--latency-us", type=float, default=2.0, help="of the interconnect of the model")
    parser.add_argument("--bandwidth-gb", type=float, default=25.0, help="GB/s of a node of the model")
    parser.add_argument("--ranks-per-node", type=int, default=64, help="that share this bandwidth")
    parser.add_argument("--cores", type=int, nargs=2, default=[0, 1], help="cores to use")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--out", help="file for the report")
    args = parser.parse_args()
    args.wait = harness.Patience(args.patience)
    args.cases = [Case(method, *map(int, numbers)) for method, *numbers in args.case or CASES]
    if not {case.method for case in args.cases} <= {"samples", "parameters"}:
        parser.error("METHOD must be samples or parameters")
    return args


# --- processes -------------------------------------------------------------------------------------------------------


def start(name, file, options, args):
    """A worker in the configuration `name`: "core 0" or "core 1" alone on a core, "2 ranks" or "2 devices" on both."""
    first, second = args.cores
    backend, launcher, more = {
        "core 0": ("serial", ["taskset", "-c", str(first)], {}),
        "core 1": ("serial", ["taskset", "-c", str(second)], {}),
        "2 ranks": ("mpi", ["mpiexec", "-bind-to", f"user:{first},{second}", "-n", "2"], {}),
        "2 devices": ("mesh", ["taskset", "-c", f"{first},{second}"], {"JAX_NUM_CPU_DEVICES": "2"}),
    }[name]
    environment = {"JAX_PLATFORMS": "cpu", "OPENBLAS_NUM_THREADS": "1", **more}
    options = {**options, "backend": backend}
    return harness.Worker(name, args.python, WORKERS / file, options, environment=environment, launcher=launcher)


class Alone:
    """A configuration whose time is that of its slowest process, as the workload has measured it."""

    def __init__(self, worker):
        self._worker = worker

    def call(self, method, **arguments):
        return self._worker.call(method, **arguments)["result"]


class SideBySide:
    """Two independent jobs at the same time; the time is that until both are done."""

    def __init__(self, *workers):
        self._workers = workers

    def call(self, method, **arguments):
        with ThreadPoolExecutor(len(self._workers)) as pool:
            replies = list(pool.map(lambda worker: worker.call(method, **arguments)["result"], self._workers))
        wall = [reply["wall_s"] for reply in replies]
        return {
            "wall_s": max(wall),
            "mean_s": statistics.mean(wall),
            "cpu_s": max(reply["cpu_s"] for reply in replies),
            "share": min(reply["share"] for reply in replies),
        }


def patiently(args, worker, method, **arguments):
    """The result of a call that waits for idle processors."""
    args.wait()
    return worker.call(method, **arguments)["result"]


# --- times -----------------------------------------------------------------------------------------------------------


def efficiency(case, args):
    """Weak and strong efficiency of two workers, and the times behind them."""
    ranks = {"core 0": 1, "core 1": 1, "whole": 2, "2 ranks": 2, "2 devices": 2}  # whose samples each of them has
    workers = {}
    try:
        for name, number in ranks.items():
            place = "core 0" if name == "whole" else name
            workers[name] = start(place, "scaling_vmc.py", case.options(number), args)
            workers[name].call("steps", n=1)
        configurations = {
            "alone": Alone(workers["core 0"]),
            "side by side": SideBySide(workers["core 0"], workers["core 1"]),
            "whole": Alone(workers["whole"]),
            "2 ranks": Alone(workers["2 ranks"]),
            "2 devices": Alone(workers["2 devices"]),
        }
        steps = harness.alternate(configurations, "steps", args.rounds, before=args.wait, n=args.steps)
        settings = {name: worker.call("about")["result"] for name, worker in workers.items()}
    finally:
        for worker in workers.values():
            worker.close()
    return judge(steps) | {"settings": settings}


def judge(steps):
    """The numbers of `efficiency` from the replies of all rounds."""
    watched = [name for name in steps if name != "2 devices"]  # of one process on two cores the share says little
    quiet = [all(steps[name][i]["share"] >= QUIET for name in watched) for i in range(len(steps["alone"]))]
    means = [{**reply, "wall_s": reply["mean_s"]} for reply in steps["side by side"]]
    report = {"steps": {name: harness.summary(replies) for name, replies in steps.items()}}
    report["n_quiet_rounds"] = sum(quiet)
    report["slow_down_side_by_side"] = compared(means, steps["alone"], quiet)
    for name in ("2 ranks", "2 devices"):
        report[name] = {
            "weak": compared(steps["side by side"], steps[name], quiet),
            "weak_against_the_mean": compared(means, steps[name], quiet),
            "weak_against_alone": compared(steps["alone"], steps[name], quiet),
            "strong": compared(steps["whole"], steps[name], quiet, 0.5),
        }
        slow = [m["wall_s"] / a["wall_s"] for m, a in zip(means, steps["alone"], strict=True)]
        whole = [{**w, "wall_s": w["wall_s"] * s} for w, s in zip(steps["whole"], slow, strict=True)]
        report[name]["strong_side_by_side"] = compared(whole, steps[name], quiet, 0.5)
    return report


def compared(slow, fast, quiet, factor=1.0):
    """Ratios of times of the same round: of all rounds, and the median of the quiet ones."""
    found = {k: factor * v for k, v in harness.ratio(slow, fast).items() if k != "of_cpu_times"}  # waiting ranks spin
    pairs = [factor * s["wall_s"] / f["wall_s"] for s, f, good in zip(slow, fast, quiet, strict=True) if good]
    return found | {"median_of_quiet_rounds": statistics.median(pairs) if pairs else None}


# --- messages and memory ---------------------------------------------------------------------------------------------


def count_messages(case, args):
    """Collectives of a step of two ranks.

    Raises:
        RuntimeError: if the jaxpr and the compiled program do not have equally many call sites.
    """
    with start("2 ranks", "scaling_vmc.py", case.options(2), args) as worker:
        worker.call("steps", n=1)
        found = worker.call("messages")["result"]
    if found["call_sites"]["jaxpr"] != found["call_sites"]["compiled"]:
        raise RuntimeError(f"The messages cannot be counted: call sites {found['call_sites']}.")
    return found


def memory(args):
    """Memory of each process on one and two workers, with as many samples in all."""
    report = {"problem": {**MEMORY, "samples": args.memory_samples}, "processes": {}}
    for name in ("core 0", "2 ranks", "2 devices"):
        found = {}
        for samples in (FEW, args.memory_samples):
            with start(name, "scaling_vmc.py", {**MEMORY, "samples": samples}, args) as worker:
                found[samples] = worker.call("memory", n=2)["result"]
        few, many = found[FEW], found[args.memory_samples]
        above, fixed = (
            [peak - level for peak, level in zip(x["peak_mb"], x["set_up_mb"], strict=True)] for x in (many, few)
        )
        report["processes"][name] = {
            "peak_mb": many["peak_mb"],
            "above_set_up_mb": above,
            "of_samples_mb": [a - b for a, b in zip(above, fixed, strict=True)],
            "work_space_mb": [many["work_space_mb"]],
        }
    one = report["processes"]["core 0"]
    report["ratios_to_one_rank"] = {
        name: {key: max(values) / one[key][0] for key, values in report["processes"][name].items()}
        for name in ("2 ranks", "2 devices")
    }
    return report


# --- the model -------------------------------------------------------------------------------------------------------


def measure_constants(args):
    """Times of the solver on one core and of the collectives between two ranks, and what the model takes from them.

    Shortest times count: what else happens on the machine only ever makes them longer.
    """
    with start("core 0", "scaling_solves.py", {}, args) as worker:
        solves = {n: patiently(args, worker, "measure", n_rows=n, rounds=4) for n in SOLVES}
    with start("2 ranks", "scaling_collectives.py", {}, args) as worker:
        call = patiently(args, worker, "call", rounds=50)
        collectives = {
            kind: {n: patiently(args, worker, "measure", kind=kind, n_bytes=n, rounds=10) for n in MESSAGES}
            for kind in ("allreduce", "allgather", "alltoall")
        }
    curves = {
        kind: [(model.copied_bytes(kind, n, 2), entry["min_s"]) for n, entry in times.items()]
        for kind, times in collectives.items()
    }
    cubic, square = model.fit_solve({n: entry["min_s"] for n, entry in solves.items()})
    return {
        "solves": solves,
        "collectives": collectives,
        "call_of_a_function": call,
        "cubic": cubic,
        "square": square,
        "network": {
            "curves": curves,
            "latency": args.latency_us * 1e-6,
            "link": args.bandwidth_gb * 1e9,
            "ranks_per_node": args.ranks_per_node,
        },
    }


def measure_phases(case, args):
    """Times of the parts of a step: on one core, on two ranks with twice the samples, on one core with few samples."""
    few = {**case.options(1), "samples": max(1, case.samples // 16)}
    found = {}
    for name, place, options in (
        ("core 0", "core 0", case.options(1)),
        ("2 ranks", "2 ranks", case.options(2)),
        ("few samples", "core 0", few),
    ):
        with start(place, "scaling_phases.py", options, args) as worker:
            found[name] = {"samples": options["samples"], **patiently(args, worker, "measure", rounds=10)}
    return found


def predict(case, constants, phases, messages):
    """What the constants mean on many ranks."""
    problem = model.Problem(case.method, case.sites, case.alpha * case.sites)
    in_samples, samples = case.method == "samples", case.samples
    whole, few = (
        sum(phases[name][phase]["min_s"] for phase in ("sampling", "local energies", "update"))
        for name in ("core 0", "few samples")
    )
    per_sample = (whole - few) / (samples - phases["few samples"]["samples"])
    matrix = phases["core 0"]["matrix"]["min_s"]
    costs = model.Costs(
        fixed=max(0.0, whole - samples * per_sample),
        per_sample=per_sample,
        per_pair=matrix / samples**2 if in_samples else 0.0,
        per_row=0.0 if in_samples else matrix / samples,
        cubic=constants["cubic"],
        square=constants["square"],
    )
    n_small, lacking = model.others(problem, 2, samples, messages)
    network = model.Network(**constants["network"], n_small=n_small)
    tables = {}
    for name, size, weak in (("weak", samples, True), ("strong", case.strong_samples, False)):
        for shared in (False, True):
            rows = [model.efficiency(problem, costs, network, r, size, weak=weak, shared=shared) for r in RANKS]
            more = [model.efficiency(problem, costs, network, 2**k, size, weak=weak, shared=shared) for k in range(16)]
            tables[name + (", solve shared out" if shared else "")] = {
                "samples": size,
                "rows": rows,
                "breaks_first": model.breaks_first(more),
            }
    return {
        "n_params": problem.n_params,
        "costs": costs._asdict(),
        "n_small": n_small,
        "lacking": lacking,
        "tables": tables,
    }


# --- tables ----------------------------------------------------------------------------------------------------------


def show_efficiency(found):
    harness.say(f"{'':14}{'median ms':>10}{'min ms':>10}")
    for name, entry in found["steps"].items():
        harness.say(f"{name:14}{1e3 * entry['median_s']:10.1f}{1e3 * entry['min_s']:10.1f}")
    harness.say(f"\n{'':38}{'median':>8}{'lowest':>8}{'highest':>8}{'minima':>8}{'quiet':>8}")
    rows = {"slow-down side by side": found["slow_down_side_by_side"]}
    for name in ("2 ranks", "2 devices"):
        rows |= {f"{name}: {key.replace('_', ' ')}": value for key, value in found[name].items()}
    for name, entry in rows.items():
        quiet = entry["median_of_quiet_rounds"]
        numbers = "".join(f"{entry[key]:8.3f}" for key in ("median", "lowest", "highest", "of_minima"))
        harness.say(f"{name:38}{numbers}" + (f"{quiet:8.3f}" if quiet else f"{'none':>8}"))
    harness.say(f"{found['n_quiet_rounds']} quiet rounds")


def show_messages(found):
    harness.say(f"\n{'collective':14}{'count':>8}{'bytes of a rank':>18}")
    for row in found["messages"]:
        note = "  in each iteration of a loop" if row["is_per_iteration"] else ""
        harness.say(f"{row['kind']:14}{row['count']:8}{row['bytes']:18}{note}")


def show_memory(report):
    harness.say(f"\n{report['problem']}")
    harness.say(f"{'MB':14}{'peak':>8}{'above':>8}{'samples':>9}{'program':>9}{'ratios':>10}")
    for name, entry in report["processes"].items():
        ratios = report["ratios_to_one_rank"].get(name, {})
        numbers = "".join(f"{max(values):9.0f}" for values in entry.values())
        harness.say(f"{name:14}{numbers}  " + "".join(f"{value:7.2f}" for value in ratios.values()))


def show_phases(found):
    harness.say(f"\n{'min ms':16}" + "".join(f"{name:>14}" for name in found))
    for phase in found["core 0"]:
        if phase != "samples":
            harness.say(f"{phase:16}" + "".join(f"{1e3 * entry[phase]['min_s']:14.2f}" for entry in found.values()))


def show_model(found):
    if found["lacking"]:
        harness.say(f"\nThe model expects messages that the step does not have: {found['lacking']}")
    for name, table in found["tables"].items():
        harness.say(f"\n{name}, {table['samples']} samples")
        harness.say(
            f"{'ranks':>8}{'efficiency':>12}"
            + "".join(f"{term + ' ms':>14}" for term in model.TERMS)
            + f"{'matrix MB':>14}"
        )
        for row in table["rows"]:
            times = "".join(f"{1e3 * row['terms_s'][term]:14.2f}" for term in model.TERMS)
            harness.say(f"{row['ranks']:8}{row['efficiency']:12.3f}{times}{row['matrix_mb']:14.0f}")
        harness.say(f"below 0.9 first: {table['breaks_first']}")


if __name__ == "__main__":
    main()
