# SPDX-License-Identifier: Apache-2.0
"""Steps of the same optimisation by several tools: first they must compute the same numbers, then steps alternate.

A workload for it has the methods `step`, `load` (parameters to go on from), `evaluate` (log psi, local energies and the
update, for given parameters and configurations), `sample` and `local_energies` (parts of a step), and `about`; ours has
also `parameters` and `step_from` (a step of the driver itself). Files have parameters by name. Nothing here knows a
tool but ours by its name.
"""

import tempfile
from pathlib import Path

import harness
import numpy as np

WORKERS = harness.HERE / "workers"
OURS = "manybody"


class Disagreement(RuntimeError):
    """The tools do not compute the same."""


def environment(platform):
    """Variables of workers on a platform of JAX; modules of a checkout are kept as bytecode, as installed ones are."""
    return {"JAX_PLATFORMS": platform, "XLA_PYTHON_CLIENT_PREALLOCATE": "false", "PYTHONDONTWRITEBYTECODE": ""}


def compare(ways, draw, bounds, args, phases=()):
    """An entry of the report: what each tool needs for its first step, the checks, and the times of steps.

    Args:
        ways: name -> (interpreter, file of the workload, options); ours is one of them.
        draw: function that makes the parameters, name -> array, at which all is compared; is given those that our
            optimisation starts from.
        bounds: see `check`.
        args: of the command line, with `platform` and `rounds`.
        phases: methods that are parts of a step, to be timed after the steps.
    """
    workers, tools = {}, {}
    try:
        # One after the other: nobody is disturbed by how another one starts.
        for name, (python, workload, options) in ways.items():
            variables = environment(args.platform)
            workers[name] = harness.Worker(name, python, WORKERS / workload, options, environment=variables)
            tools[name] = first_step(workers[name])
        with tempfile.TemporaryDirectory() as folder:
            checks = check(workers, draw, bounds, Path(folder))
        steps = harness.alternate(workers, "step", args.rounds)
        parts = {phase: harness.alternate(workers, phase, args.rounds) for phase in phases}
        for name, worker in workers.items():
            tools[name] |= harness.summary(steps[name]) | {"last_energy": steps[name][-1]["result"]}
            tools[name] |= {phase: harness.summary(replies[name]) for phase, replies in parts.items()}
            tools[name] |= worker.call("about")["result"]
    finally:
        for worker in workers.values():
            worker.close()
    return {"checks": checks, "tools": tools, "manybody_is_better_by": advantages(tools, {"step": steps, **parts})}


def first_step(worker):
    """Time from the start of the process to the end of a first step, with compilation, and the memory until then."""
    first = worker.call("step")
    return {
        "time_to_first_step_s": first["since_start_s"],
        "first_step_s": first["wall_s"],
        "peak_rss_mb": first["peak_rss_mb"],
        **worker.started["result"],
    }


def check(workers, draw, bounds, folder):
    """Largest relative differences between manybody and the others; afterwards all have the same parameters.

    Args:
        workers: name -> `harness.Worker`.
        draw: see `compare`.
        bounds: "values", of log psi and of local energies relative to the largest of them, and "update" relative to
            its norm.
        folder: for files.

    Raises:
        Disagreement: if one is above its bound.
    """
    start, sampled, answer = (str(folder / f"{name}.npz") for name in ("start", "sampled", "answer"))
    workers[OURS].call("parameters", out=answer)
    params = draw(read(answer))
    np.savez(start, **params)
    # The samples are those of a step that our driver makes, which so is checked, too.
    workers[OURS].call("step_from", file=start, out=answer)
    made = read(answer)
    np.savez(sampled, **params, sigma=made["sigma"])
    results = {}
    for name, worker in workers.items():
        worker.call("evaluate", file=sampled, out=answer)
        results[name] = read(answer)
    ours = results.pop(OURS)
    found = {name: differences(ours, made, theirs, params, bounds) for name, theirs in results.items()}
    for worker in workers.values():
        worker.call("load", file=start)
    bad = {
        name: wrong
        for name, entry in found.items()
        if (wrong := {k: v for k, v in entry.items() if not v["difference"] <= v["bound"]})  # nan is wrong
    }
    if bad:
        raise Disagreement(f"The tools do not compute the same: {bad}")
    return found


def differences(ours, made, theirs, params, bounds):
    """Differences with their bounds, of what we and another tool find, and of the step that our driver has made."""

    def flat(arrays):
        return np.concatenate([np.ravel(arrays[name]).astype(np.float64) for name in params])

    step, update = flat(params) - flat(made), flat(theirs)
    size, scale = np.linalg.norm(update), np.max(np.abs(theirs["values"]))
    eps = max(np.finfo(x.dtype).eps for x in params.values())
    rounding = eps * np.linalg.norm(flat(params)) / size  # of parameters, of which the step is a small part
    log_psi = np.max(np.abs(ours["log_psi"] - theirs["log_psi"])) / np.max(np.abs(theirs["log_psi"]))
    local_energies = np.max(np.abs(ours["values"] - theirs["values"])) / scale
    found = {
        "log_psi": (log_psi, bounds["values"]),
        "local_energies": (local_energies, bounds["values"]),
        "update": (np.linalg.norm(flat(ours) - update) / size, bounds["update"]),
        "energy_of_driver": (abs(made["energy"] - np.mean(theirs["values"])) / scale, bounds["values"]),
        "step_of_driver": (np.linalg.norm(step - update) / size, bounds["update"] + rounding),
    }
    return {name: {"difference": float(found), "bound": float(bound)} for name, (found, bound) in found.items()}


def read(file):
    with np.load(file) as data:
        return dict(data)


def advantages(tools, turns):
    """How many times faster, in all that took turns, and smaller we are than each of the others."""
    ours = tools[OURS]
    return {
        name: {
            **{what: harness.ratio(replies[name], replies[OURS]) for what, replies in turns.items()},
            "time_to_first_step": tool["time_to_first_step_s"] / ours["time_to_first_step_s"],
            "peak_rss": tool["peak_rss_mb"] / ours["peak_rss_mb"],
        }
        for name, tool in tools.items()
        if name != OURS
    }


def show(case, phases=()):
    """The table for the eye; for phases their medians."""
    columns = ["median s", "min s", "cpu s", "first s", "MB", *(f"{phase} s" for phase in phases), "x median", "x min"]
    widths = [max(10, len(column) + 2) for column in columns]
    harness.say(" " * 18 + "".join(f"{column:>{width}}" for column, width in zip(columns, widths, strict=True)))
    for name, tool in case["tools"].items():
        cells = [f"{tool[key]:.4f}" for key in ("median_s", "min_s", "cpu_median_s")]
        cells += [f"{tool['time_to_first_step_s']:.1f}", f"{tool['peak_rss_mb']:.0f}"]
        cells += [f"{tool[phase]['median_s']:.4f}" for phase in phases]
        if name != OURS:
            step = case["manybody_is_better_by"][name]["step"]
            cells += [f"{step['median']:.2f}", f"{step['of_minima']:.2f}"]
        harness.say(f"{name:18}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=False)))
