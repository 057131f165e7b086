# SPDX-License-Identifier: Apache-2.0
"""How long one waits for the first step: imports, and from the start of a process to the end of its first step.

    python benchmarks/start.py --netket-python peers/bin/python --out benchmarks/out/start.json

Each turn is a process of its own; the tools alternate. The problems are those of `vs_netket.py` and `networks.py`,
where the tools are shown to compute the same numbers. The report goes to stdout as JSON, a table to stderr. See
README.md.
"""

import argparse
import statistics
import sys
import tempfile

import harness
import networks
import optimisations

IMPORTS = {
    "manybody": ["manybody"],
    "jax, flax, optax": ["jax", "flax", "optax"],
}
"""What is imported; the second is what a step needs."""

PROBLEMS = {
    "tfim": {"sites": 64, "alpha": 1, "samples": 1024, "precision": "f64"},
    "j1j2": {"extent": 6, "network": "resnet", "size": networks.NETS["resnet"], "samples": 512, "precision": "f32"},
}
THEIRS = {"tfim": {"on_the_fly": None}, "j1j2": networks.THEIRS["netket_default"][1]}
"""What NetKet's workers are given in addition: its defaults."""

ALONE = "JAX alone"
"""One operation: what no tool can do without."""

REFERENCES = {
    "manybody": ["netket"],
    "manybody, cached": ["netket", "netket, cached"],
    "netket, cached": ["netket"],
    ALONE: ["netket"],
}
"""What times are compared with."""

CACHE = {"JAX_ENABLE_COMPILATION_CACHE": "true", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
"""Variables next to JAX_COMPILATION_CACHE_DIR: without the second only what took a second is kept."""


def main():
    args = arguments()
    report = {"benchmark": "start", "arguments": sys.argv[1:], "machine": harness.machine()}
    if "imports" in args.parts:
        report["imports"] = compare_imports(args)
        show(report["imports"])
    for name in PROBLEMS if "steps" in args.parts else ():
        report[name] = compare_steps(name, args)
        show(report[name])
    harness.write(report, args.out)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--netket-python", help="interpreter of an environment with NetKet; left out: ours only")
    parser.add_argument("--python", default=sys.executable, help="interpreter with what manybody needs (this one)")
    parser.add_argument("--parts", nargs="+", choices=["imports", "steps"], default=["imports", "steps"])
    parser.add_argument("--rounds", type=int, default=5, help="processes of each kind that count")
    parser.add_argument("--platform", default="cpu", help="JAX_PLATFORMS of all workers")
    parser.add_argument("--out", help="file for the report")
    return parser.parse_args()


def compare_imports(args):
    """Times of imports: an entry of the report. The round that does not count reads files into memory."""

    def turn(modules):
        variables = optimisations.environment(args.platform)
        with harness.Worker(
            "imports", args.python, optimisations.WORKERS / "imports.py", {"modules": modules}, environment=variables
        ) as worker:
            marks = worker.started["result"]["marks_s"]
        return {"import": marks["import"] - marks["interpreter"]}

    return report_of(harness.in_turn(turn, IMPORTS, args.rounds), "import", {"manybody": ["jax, flax, optax"]})


def compare_steps(name, args):
    """Times to the end of a first step: an entry of the report."""
    with tempfile.TemporaryDirectory() as cache:
        ways = steps_of(name, cache, args)
        turns = harness.in_turn(lambda way: first_step(name, args.platform, *way), ways, args.rounds)
    return PROBLEMS[name] | report_of(turns, "first step", REFERENCES)


def steps_of(name, cache, args):
    """Name -> interpreter, workload, options and variables; the round that does not count fills the folder `cache`."""
    cold = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    warm = CACHE | {"JAX_COMPILATION_CACHE_DIR": cache}
    ours = args.python, f"manybody_{name}.py", PROBLEMS[name]
    ways = {optimisations.OURS: (*ours, cold), "manybody, cached": (*ours, warm)}
    ways[ALONE] = args.python, "jax_alone.py", {}, cold
    if args.netket_python:
        theirs = args.netket_python, f"netket_{name}.py", PROBLEMS[name] | THEIRS[name]
        warm = CACHE | {"JAX_COMPILATION_CACHE_DIR": f"{cache}/netket"}
        ways |= {"netket": (*theirs, cold), "netket, cached": (*theirs, warm)}
    return ways


def first_step(problem, platform, python, workload, options, variables):
    """Seconds from the start of a process to the end of each part of what it does until its first step is made.

    And what it says about itself.
    """
    variables = optimisations.environment(platform) | variables
    with harness.Worker(problem, python, optimisations.WORKERS / workload, options, environment=variables) as worker:
        first = optimisations.first_step(worker)
        about = worker.call("about")["result"]
    numbers = {"first step": first["time_to_first_step_s"], "peak_rss_mb": first["peak_rss_mb"]}
    return {**first["marks_s"], **numbers, "about": about}


def report_of(turns, what, references):
    """Medians of all that was found, every time of `what`, and how many times that of another one it is.

    Args:
        turns: name -> results, one per round: numbers by name, and in "about" what is the same in all.
        what: the name of a time.
        references: name -> those of what it is compared with if they are there, in the same round and by the shortest
            times.
    """
    tools = {
        name: {key: statistics.median(result[key] for result in results) for key in results[0] if key != "about"}
        | results[0].get("about", {})
        | {"times_s": [result[what] for result in results]}
        for name, results in turns.items()
    }
    pairs = ((name, other) for name, others in references.items() for other in others)
    for name, reference in pairs:
        if not {name, reference} <= set(tools):
            continue
        times, others = tools[name]["times_s"], tools[reference]["times_s"]
        ratios = [time / other for time, other in zip(times, others, strict=True)]
        tools[name][f"times {reference}"] = {
            "median": statistics.median(ratios),
            "lowest": min(ratios),
            "highest": max(ratios),
            "of_minima": min(times) / min(others),
        }
    return {"tools": tools}


def show(entry):
    harness.say("\nmedians: seconds since the start of the process, MB, and ratios (of the shortest times)")
    for name, tool in entry["tools"].items():
        numbers = "".join(f"  {key} {value:.2f}" for key, value in tool.items() if isinstance(value, float))
        ratios = ((key, value) for key, value in tool.items() if key.startswith("times "))
        gains = "".join(f"  {found['median']:.2f} ({found['of_minima']:.2f}) {key}" for key, found in ratios)
        harness.say(f"{name:20}{numbers}{gains}")


if __name__ == "__main__":
    main()
