# SPDX-License-Identifier: Apache-2.0
"""The tables and the picture of docs/performance.md, from the reports of benchmarks.

A table stands between `<!-- begin NAME -->` and `<!-- end NAME -->`; what is around it is written by hand, and a table
whose report is not there stays as it is.
"""

import json
import math
import re
from pathlib import Path

BLOCK = re.compile(r"(<!-- begin (?P<name>\w+) -->\n).*?(<!-- end (?P=name) -->)", re.DOTALL)
OURS = "manybody"


def read(folder, names):
    """Name -> report, of those whose files are in a folder."""
    files = {name: Path(folder) / f"{name}.json" for name in names}
    return {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}


def filled(text, reports):
    """The page with new tables.

    Raises:
        ValueError: if a report has no place in it.
    """
    places = {found["name"] for found in BLOCK.finditer(text)}
    missing = [name for name in reports if name not in places]
    if missing:
        raise ValueError(f"The page has no '<!-- begin {missing[0]} -->'.")

    def block(found):
        name = found["name"]
        if name not in reports:
            return found[0]
        report = reports[name]
        return f"{found[1]}{TABLES[name](report)}\n\n{origin(report)}\n{found[3]}"

    return BLOCK.sub(block, text)


def origin(report):
    """What the numbers were measured on, in a sentence."""
    machine = report["machine"]
    load = machine["load_average"][0]
    versions = ", ".join(f"{name} {number}" for name, number in sorted(versions_of(report).items()))
    variables = " ".join(f"{name}={value}" for name, value in sorted(machine["variables"].items()))
    processors = f"{machine['n_cpus']} processor{'s' if machine['n_cpus'] > 1 else ''}"
    where = f"{processors} ({machine['cpu']}), device {' and '.join(sorted(devices_of(report)))}"
    return (
        f"*{where}; load before {load:.1f}; {versions}; commit {machine['commit']}, {machine['date']}"
        f"{'; ' + variables if variables else ''}.*"
    )


def versions_of(report):
    """Versions of all packages that are named anywhere in a report, of our own where it is installed."""
    found = {}
    for entry in dictionaries(report):
        for name, number in entry.get("versions", {}).items():
            if not number.startswith("not installed"):
                found.setdefault(name, set()).add(number)
    return {name: " and ".join(sorted(numbers)) for name, numbers in found.items()}


def devices_of(report):
    """Devices named anywhere in a report.

    Raises:
        ValueError: if none is: nobody would know what the times are of.
    """
    found = {entry["device"] for entry in dictionaries(report) if isinstance(entry.get("device"), str)}
    if not found:
        raise ValueError(f"The report of {report.get('benchmark')} names no device.")
    return found


def dictionaries(tree):
    """All dictionaries in a report."""
    if isinstance(tree, dict):
        yield tree
    for inner in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from dictionaries(inner)


# --- tables ----------------------------------------------------------------------------------------------------------


def table(columns, rows):
    """Markdown; the first column is words, the others are numbers."""
    lines = [columns, ["--", *["--:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def ms(seconds):
    """Milliseconds with three digits."""
    return digits(1e3 * seconds)


def digits(number):
    """Three digits, no exponent; large numbers with all of theirs."""
    if number == 0 or abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}" if abs(number) >= 1 else f"{number:.3f}"


def times(ratio):
    """A ratio of the same round, and that of the shortest times."""
    return f"{digits(ratio['median'])} ({digits(ratio['of_minima'])})"


def steps(report):
    """Steps of an optimisation by several tools."""
    rows = []
    for case in report["cases"]:
        for name, tool in case["tools"].items():
            better = times(case["manybody_is_better_by"][name]["step"]) if name != OURS else ""
            more = [digits(tool["time_to_first_step_s"]), digits(tool["peak_rss_mb"])]
            rows.append([problem(case), name, ms(tool["median_s"]), ms(tool["min_s"]), better, *more])
    return table(["problem", "tool", "ms", "shortest", "times ours", "first step, s", "MB"], rows)


def problem(case):
    """The name of a problem, in a table."""
    if "network" in case:
        return f"{case['network']}, {case['extent']} x {case['extent']}, {case['precision']}"
    ansatz = "Jastrow" if case["alpha"] is None else f"alpha = {case['alpha']}"
    return f"N = {case['sites']}, {ansatz}, {case['precision']}"


def small(report):
    rows = []
    for case in report["cases"]:
        label = f"N = {case['sites']}, {case['samples']} samples"
        for name, tool in case["tools"].items():
            better = [times(ours[name]) if name in ours else "" for ours in case["better_by"].values()]
            rows.append([label, name, ms(tool["median_s"]), ms(tool["min_s"]), *better])
    ours = [f"times {name}" for name in report["cases"][0]["better_by"]]
    return table(["problem", "tool", "ms", "shortest", *ours], rows)


def start(report):
    rows = []
    for name, what in (("imports", "import"), ("tfim", "first step"), ("j1j2", "first step")):
        for tool, found in report.get(name, {"tools": {}})["tools"].items():
            compared = [
                f"{times(x)} {key.removeprefix('times ')}" for key, x in found.items() if key.startswith("times ")
            ]
            rows.append([f"{name}, {what}", tool, digits(found[what]), ", ".join(compared)])
    return table(["", "tool", "s", "times"], rows)


def kernel(report):
    rows = []
    for part in ("large", "kinds"):
        for name, entry in report.get(part, {"networks": {}})["networks"].items():
            forms = entry["chosen_is_times"]
            cells = [name, f"{entry['n_params']:,}", f"{entry['n_rows']:,}", ms(entry["forms"]["chosen"]["median_s"])]
            for form in ("contracted", "structured", "jacobian"):
                cells.append(times(forms[form]["time"]) if form in forms else "")
            memory = forms.get("contracted", forms.get("jacobian"))
            rows.append([*cells, digits(memory["work_space_mb"])])
    columns = ["network", "parameters", "rows", "ms", "of contracted", "of structured", "of Jacobian", "memory"]
    return table(columns, rows)


def kernel_step(report):
    rows = [
        [
            f"{name}, {entry['sites']} spins, {entry['sweep_size']} flips",
            f"{entry['n_params']:,}",
            f"{entry['samples']:,}",
            digits(min(entry["times_s"])),
            digits(entry["peak_rss_mb"] / 1024),
            digits(entry["jacobian_mb"] / 1024),
        ]
        for name, entry in report["step"].items()
    ]
    return table(["network", "parameters", "samples", "s of a step", "GB of the process", "GB of a Jacobian"], rows)


def sweeps(report):
    networks = report["networks"]
    sizes = sorted({int(n) for entry in networks.values() for n in entry["sites"]})
    rows = []
    for name, entry in networks.items():
        found = [entry["sites"].get(str(n)) for n in sizes]
        exponent = entry["exponents"]["median_s"] if "exponents" in entry else None
        rows.append(
            [name, *(ms(row["median_s"]) if row else "" for row in found), digits(exponent) if exponent else ""]
        )
    return table(["ms of a sweep", *(f"N = {n}" for n in sizes), "exponent"], rows)


def roofline(report):
    peaks, rows = report["peaks"], []
    for case in report["cases"]:
        for name, found in (case["phases"] | {"step": case["step"]}).items():
            label = f"**{name}**" if name == case["largest_gap"] else name
            cells = [ms(found["time_s"]), digits(1e-6 * found["operations"]), digits(1e-6 * found["bytes"])]
            bound = f"{ms(found['bound_s'])} {found.get('bound_by', '')}".strip()
            rows.append([f"{case['problem']}: {label}", *cells, bound, f"{100 * found['fraction']:.0f} %"])
    head = (
        f"Peaks: {digits(peaks['f32_gflops'])} GF/s in single and {digits(peaks['f64_gflops'])} in double precision, "
        f"{digits(peaks['memory_gb_s'])} GB/s from and to memory, {digits(peaks['cache_gb_s'])} in caches.\n\n"
    )
    return head + table(["phase (largest gap in bold)", "ms", "MF", "MB", "bound, ms", "reached"], rows)


def tdvp(report):
    n = report["steps_of_a_turn"]
    rows = [[name, ms(tool["median_s"] / n), ms(tool["min_s"] / n)] for name, tool in report["tools"].items()]
    return table(["tool", "ms of a step", "shortest"], rows)


TABLES = {
    "vs_netket": steps,
    "small": small,
    "small_one": small,
    "networks": steps,
    "start": start,
    "kernel": kernel,
    "kernel_step": kernel_step,
    "sweeps": sweeps,
    "roofline": roofline,
    "tdvp": tdvp,
}
"""Name of a report -> what makes a table of it."""


# --- picture ---------------------------------------------------------------------------------------------------------


def picture(reports, path):
    """How many times longer others take for a step, and how sweeps grow; what has no report is left empty."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    # Without these every run would make another file of the same picture.
    with plt.rc_context({"svg.hashsalt": "manybody", "svg.fonttype": "none"}):
        figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
        bars = ratios(reports)
        left.bar_label(left.barh(list(bars), list(bars.values()), color="tab:blue"), fmt=" %.1f")
        left.axvline(1.0, color="black", linewidth=0.8)
        left.set(title="time of a step in units of ours", xlim=(0, 1.15 * max(bars.values(), default=1.0)))
        left.invert_yaxis()
        for name, entry in reports.get("sweeps", {"networks": {}})["networks"].items():
            sizes = sorted(map(int, entry["sites"]))
            right.loglog(sizes, [1e3 * entry["sites"][str(n)]["median_s"] for n in sizes], "o-", label=name)
        right.set(title="a Metropolis sweep", xlabel="sites", ylabel="ms")
        if right.lines:
            right.legend(frameon=False)
            ticks = sorted({int(x) for line in right.lines for x in line.get_xdata()})
            right.set_xticks(ticks, map(str, ticks))
            right.minorticks_off()
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def ratios(reports):
    """Label -> how many times as long as ours a step of another tool takes, the fastest way of each tool."""
    found = {}
    for report in ("vs_netket", "networks"):
        for case in reports.get(report, {"cases": []})["cases"]:
            for name, better in case["manybody_is_better_by"].items():
                label = f"{problem(case)}: {name.split('_')[0]}"
                found[label] = min(better["step"]["median"], found.get(label, math.inf))
    return found
