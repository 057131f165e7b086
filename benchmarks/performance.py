# SPDX-License-Identifier: Apache-2.0
"""All benchmarks of speed, one after the other, and the page about them: docs/performance.md.

    python benchmarks/performance.py --netket-python peers/bin/python --quantax-python quantax/bin/python
    python benchmarks/performance.py --parts sweeps kernel --short
    python benchmarks/performance.py --render

Each report is a file in `--folder`. The page gets the tables of all reports that are there, also of earlier runs, and a
picture; `--render` does that alone. See README.md.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import harness
import performance_page

PARTS = {
    "vs_netket": ("vs_netket.py", [], "--rounds", 3, 9),
    "small": ("small.py", [], "--rounds", 3, 15),
    "small_one": ("small.py", ["--processors", "1", "--samples", "16"], "--rounds", 3, 15),
    "networks": ("networks.py", [], "--rounds", 2, 7),
    "start": ("start.py", [], "--rounds", 1, 5),
    "kernel": ("kernel.py", ["--parts", "large", "kinds"], "--rounds", 1, 3),
    "kernel_step": ("kernel.py", ["--parts", "step", "--steps", "rbm", "mlp"], "--step-rounds", 1, 1),
    "sweeps": ("sweeps.py", [], "--rounds", 3, 9),
    "roofline": ("roofline.py", [], "--rounds", 3, 15),
    "tdvp": ("tdvp.py", [], "--repeats", 1, 3),
}
"""Name -> script, its options, the one that says how long it takes, and what that is if short and if long."""

OPTIONAL = ("tdvp",)
"""Left out unless they are named."""

OWN_PROCESS = ("roofline.py",)
"""Without workers, and so without `--platform`."""

PEERS = {
    "vs_netket": ("netket",),
    "small": ("netket",),
    "small_one": ("netket",),
    "networks": ("netket", "quantax"),
    "start": ("netket",),
    "tdvp": ("netket", "jvmc"),
}
"""Whose interpreters a part is given."""


def main():
    args = arguments()
    folder, page = Path(args.folder), Path(args.page)
    failed = []
    for part in [] if args.render else args.parts:
        command = command_of(part, args)
        harness.say(f"\n--- {part}: {' '.join(command)}")
        folder.mkdir(parents=True, exist_ok=True)
        # The report is in a file; what is printed of it would hide the tables.
        variables = os.environ | {"JAX_PLATFORMS": args.platform}  # for those that measure in their own process
        if subprocess.run(command, stdout=subprocess.DEVNULL, env=variables).returncode:
            failed.append(part)
    reports = performance_page.read(folder, PARTS)
    page.write_text(performance_page.filled(page.read_text(), reports))
    performance_page.picture(reports, page.with_suffix(".svg"))
    harness.say(f"\n{page} has the reports of {', '.join(reports) or 'nothing'}.")
    if failed:
        sys.exit(f"No new report of {', '.join(failed)}.")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--netket-python", help="interpreter of an environment with NetKet")
    parser.add_argument("--quantax-python", help="interpreter of an environment with quantax")
    parser.add_argument("--jvmc-python", help="interpreter of an environment with jVMC")
    parser.add_argument("--python", default=sys.executable, help="interpreter with what manybody needs (this one)")
    required = [part for part in PARTS if part not in OPTIONAL]
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=required)
    parser.add_argument("--platform", default="cpu", help="JAX_PLATFORMS of all parts")
    parser.add_argument("--short", action="store_true", help="few rounds")
    parser.add_argument("--render", action="store_true", help="run nothing, write the page from the reports there are")
    parser.add_argument("--folder", default=str(harness.HERE / "out" / "performance"), help="of the reports")
    parser.add_argument("--page", default=str(harness.HERE.parent / "docs" / "performance.md"))
    args = parser.parse_args()
    needed = {f"{peer}_python" for part in args.parts for peer in PEERS.get(part, ())[:1]}
    for name in sorted(needed) if not args.render else ():
        if getattr(args, name) is None:
            parser.error(f"--{name.replace('_', '-')} is needed for these parts")
    return args


def command_of(part, args):
    """The words that run a part."""
    script, options, rounds, short, long = PARTS[part]
    given = {peer: getattr(args, f"{peer}_python") for peer in PEERS.get(part, ())}
    peers = [word for peer, python in given.items() if python for word in (f"--{peer}-python", python)]
    where = [] if script in OWN_PROCESS else ["--platform", args.platform]
    ends = [rounds, str(short if args.short else long), "--out", str(Path(args.folder) / f"{part}.json")]
    return [args.python, str(harness.HERE / script), *options, *peers, *where, *ends]


if __name__ == "__main__":
    main()
