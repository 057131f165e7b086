# SPDX-License-Identifier: Apache-2.0
"""How close to the ground-state energy ansatzes come in some minutes, side by side with NetKet and quantax.

    python benchmarks/accuracy.py --netket-python peers/bin/python --quantax-python quantax/bin/python \\
        --out benchmarks/out/accuracy.json

Ours are configurations that are shipped, and those in `accuracy/`, run as users run them: `manybody ground-state
FILE`. Next to one with a `GCNN`, NetKet's GCNN gets the same problem, layers, samples, sweeps and momentum, and next to
one with a `ResNet`, quantax's ResConv; with as much time as ours took from the start of the process to its end,
compilation and final measurement included. Their measurement of the final energy comes after that. The learning rate
falls in all of them from the same start to the same end; their diagonal shift is that at the end of ours. JSON goes to
stdout, a table to stderr.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import harness

SHIPPED = [harness.HERE.parent / "drivers" / "config" / f"{name}.toml" for name in ("heisenberg_square", "j1j2_square")]
OTHERS = sorted((harness.HERE / "accuracy").glob("*.toml"))
PEERS = {"GCNN": "netket", "ResNet": "quantax"}
"""Who has an ansatz of the same kind."""
SIZED = {"heisenberg", "j1j2"}
"""Hamiltonians that the workers of the peers know."""


def main():
    args = arguments()
    pythons = {"netket": args.netket_python, "quantax": args.quantax_python}
    report = {"benchmark": "accuracy", "arguments": sys.argv[1:], "machine": harness.machine(), "cases": []}
    for path in SHIPPED + OTHERS if args.configs is None else map(Path, args.configs):
        config = tomllib.loads(path.read_text())
        case = {"config": path.stem, "ansatz": config["ansatz"], "manybody": ours(path, args)}
        show(path.stem, "manybody", case["manybody"])
        peer = PEERS.get(config["ansatz"]["kind"]) if config["hamiltonian"]["kind"] in SIZED else None
        if peer is not None and pythons[peer] is not None:
            case[peer] = theirs(peer, pythons[peer], config, case["manybody"], args)
            show(path.stem, peer, case[peer])
        report["cases"].append(case)
    harness.write(report, args.out)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configs", nargs="+", help="files to run (two that are shipped, and all of accuracy/)")
    parser.add_argument("--netket-python", help="interpreter of an environment with NetKet")
    parser.add_argument("--quantax-python", help="interpreter of an environment with quantax")
    parser.add_argument("--python", default=sys.executable, help="interpreter with what manybody needs (this one)")
    parser.add_argument("--steps", type=int, help="of our optimisation, instead of those of the configuration")
    parser.add_argument("--platform", default="cpu", help="JAX_PLATFORMS of all processes")
    parser.add_argument("--out", help="file for the report")
    return parser.parse_args()


def ours(path, args):
    """The result of the program, with the time that it took."""
    with tempfile.TemporaryDirectory() as folder:
        command = [args.python, "-m", "manybody.program.cli", "ground-state", str(path), "--out", folder]
        command += [] if args.steps is None else ["--steps", str(args.steps)]
        began = time.perf_counter()
        # The package of this checkout, whatever else is installed.
        environment = {**os.environ, "JAX_PLATFORMS": args.platform, "PYTHONPATH": str(harness.HERE.parent)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        if done.returncode != 0:
            raise harness.WorkerError(f"{path.stem} failed.\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        found = json.loads((Path(folder) / "result.json").read_text())
    return {"seconds": seconds, **found}


def theirs(peer, python, config, found, args):
    """What a peer finds in the same time, in the form of `ours`."""
    options = {"config": config}
    environment = {"JAX_PLATFORMS": args.platform}
    workload = harness.HERE / "workers" / f"{peer}_accuracy.py"
    timeout_s = 10 * found["seconds"] + 900.0  # its last step may be long, and so may the measurement
    with harness.Worker(peer, python, workload, options, environment=environment, timeout_s=timeout_s) as worker:
        trained = worker.call("train", seconds=found["seconds"] - worker.started["result"]["marks_s"]["set up"])
        measured = worker.call("measure", **config["measure"])
    entry = {"seconds": trained["since_start_s"], **trained["result"], **measured["result"]}
    exact, n_sites = found["exact_energy"], config["lattice"]["lx"] ** 2
    return entry | {
        "relative_error": (entry["energy"] - exact) / abs(exact),
        "v_score": n_sites * entry["variance"] / entry["energy"] ** 2,
    }


def show(config, tool, entry):
    effort = f"{entry['seconds']:6.0f} s {entry['steps']:5} steps"
    relative = f"{entry['relative_error']:.1e} +- {abs(entry['error'] / entry['energy']):.0e}"
    harness.say(f"{config:20} {tool:9} {effort}   error {relative}   V {entry['v_score']:.1e}")


if __name__ == "__main__":
    main()
