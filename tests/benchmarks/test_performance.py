# SPDX-License-Identifier: Apache-2.0
"""The page about performance: its tables are made of reports, and the rest of it stays."""

import argparse
import json
import re
import subprocess
import sys

import pytest

from tests.benchmarks.scripts import BENCHMARKS, load

PAGE = BENCHMARKS.parent / "docs" / "performance.md"
MACHINE = {
    "cpu": "some",
    "n_cpus": 2,
    "load_average": [0.25, 1.0, 1.0],
    "commit": "abc",
    "date": "today",
    "variables": {"OPENBLAS_NUM_THREADS": "1"},
}
RATIO = {"median": 5.0, "of_minima": 4.5, "lowest": 4.0, "highest": 6.0}
TIMES = {"median_s": 0.02, "min_s": 0.01}
TOOL = TIMES | {"time_to_first_step_s": 3.0, "peak_rss_mb": 400.0}
PHASE = {"time_s": 0.02, "operations": 3e9, "bytes": 4e6, "bound_s": 0.01, "bound_by": "memory", "fraction": 0.5}
FORM = {"time": RATIO, "work_space_mb": 0.04}


def optimisation(**problem):
    tools = {"manybody": TOOL | {"versions": {"jax": "0.10"}, "device": "cpu"}}
    tools["netket_best"] = TOOL | {"versions": {"netket": "3.23", "jax": "0.9"}, "device": "cpu"}
    return {**problem, "tools": tools, "manybody_is_better_by": {"netket_best": {"step": RATIO}}}


REPORTS = {
    "vs_netket": {"cases": [optimisation(sites=64, alpha=1, precision="f64")]},
    "networks": {"cases": [optimisation(network="vit", extent=6, precision="f32")]},
    "small": {
        "cases": [
            {
                "sites": 10,
                "samples": 16,
                "tools": {"manybody": TOOL, "several": TOOL, "netket": TOOL},
                "better_by": {"manybody": {"netket": RATIO}, "several": {"netket": RATIO, "manybody": RATIO}},
            }
        ]
    },
    "start": {
        "tfim": {"tools": {"manybody": {"first step": 5.5}, "netket": {"first step": 9.0, "times manybody": RATIO}}}
    },
    "kernel": {
        "large": {
            "networks": {
                "mlp": {
                    "n_params": 205_000,
                    "n_rows": 1024,
                    "forms": {"chosen": TIMES},
                    "chosen_is_times": {"contracted": FORM, "jacobian": FORM},
                }
            }
        }
    },
    "kernel_step": {
        "step": {
            "rbm": {
                "sites": 128,
                "sweep_size": 16,
                "n_params": 3_000_000,
                "samples": 4096,
                "times_s": [7.0, 6.0],
                "peak_rss_mb": 2048.0,
                "jacobian_mb": 98304.0,
            }
        }
    },
    "sweeps": {
        "networks": {
            "rbm": {"sites": {"128": TIMES, "1024": TIMES | {"median_s": 0.4}}, "exponents": {"median_s": 1.44}},
            "rbm, full": {"sites": {"128": TIMES}},
        }
    },
    "roofline": {
        "peaks": {"f32_gflops": 200.0, "f64_gflops": 100.0, "memory_gb_s": 60.0, "cache_gb_s": 199.7},
        "cases": [
            {
                "problem": "N = 64, alpha = 1, f64",
                "phases": {"solve": PHASE, "update": PHASE},
                "step": {key: x for key, x in PHASE.items() if key != "bound_by"},
                "largest_gap": "solve",
            }
        ],
    },
    "tdvp": {"steps_of_a_turn": 10, "tools": {"manybody": TIMES}},
}
REPORTS["small_one"] = REPORTS["small"]
ROWS = {
    "vs_netket": "| N = 64, alpha = 1, f64 | netket_best | 20.0 | 10.0 | 5.00 (4.50) | 3.00 | 400 |",
    "networks": "| vit, 6 x 6, f32 | manybody | 20.0 | 10.0 |  | 3.00 | 400 |",
    "small": "| N = 10, 16 samples | manybody | 20.0 | 10.0 |  | 5.00 (4.50) |",
    "start": "| tfim, first step | netket | 9.00 | 5.00 (4.50) manybody |",
    "kernel": "| mlp | 205,000 | 1,024 | 20.0 | 5.00 (4.50) |  | 5.00 (4.50) | 0.040 |",
    "kernel_step": "| rbm, 128 spins, 16 flips | 3,000,000 | 4,096 | 6.00 | 2.00 | 96.0 |",
    "sweeps": "| rbm | 20.0 | 400 | 1.44 |",
    "roofline": "| N = 64, alpha = 1, f64: **solve** | 20.0 | 3,000 | 4.00 | 10.0 memory | 50 % |",
    "tdvp": "| manybody | 2.00 | 1.00 |",
}
ROWS["small_one"] = ROWS["small"]


@pytest.fixture(scope="module")
def page():
    return load(BENCHMARKS / "performance_page.py")


@pytest.fixture(scope="module")
def performance():
    return load(BENCHMARKS / "performance.py")


def reports(*names):
    return {name: {"machine": MACHINE, "device": "some GPU"} | REPORTS[name] for name in names}


@pytest.mark.parametrize("name", REPORTS)
def test_tables(page, name):
    text = f"before\n<!-- begin {name} -->\nold\n<!-- end {name} -->\nafter\n"
    found = page.filled(text, reports(name))
    lines = found.splitlines()
    assert ROWS[name] in lines
    assert "old" not in lines
    assert (lines[0], lines[-1]) == ("before", "after")
    assert page.filled(found, reports(name)) == found
    rows = [line for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1  # as many cells in each
    assert "2 processors (some), device" in found and "some GPU" in found and "; load before 0.2;" in found


def test_versions_of_all_tools_are_named(page):
    found = page.versions_of(REPORTS["vs_netket"])
    assert found == {"jax": "0.10 and 0.9", "netket": "3.23"}


def test_a_report_without_a_device_is_refused(page):
    with pytest.raises(ValueError, match="The report of start names no device"):
        page.devices_of({"benchmark": "start", "imports": {"tools": {}}})
    assert page.devices_of({"a": [{"device": "x"}], "b": {"device": "y"}}) == {"x", "y"}


def test_a_report_without_place_is_refused(page):
    with pytest.raises(ValueError, match="has no '<!-- begin small -->'"):
        page.filled("<!-- begin start -->\n<!-- end start -->\n", reports("small"))


def test_every_part_has_a_table_and_a_place(page, performance):
    places = {found["name"] for found in page.BLOCK.finditer(PAGE.read_text())}
    assert set(performance.PARTS) == set(page.TABLES) == set(REPORTS) == places


def test_render_runs_nothing_and_leaves_what_has_no_report(tmp_path):
    folder, copy = tmp_path / "reports", tmp_path / "page.md"
    folder.mkdir()
    for name, report in reports("sweeps", "vs_netket").items():
        (folder / f"{name}.json").write_text(json.dumps(report))
    copy.write_text(PAGE.read_text())
    command = [sys.executable, str(BENCHMARKS / "performance.py"), "--render", "--folder", folder, "--page", copy]
    for _ in range(2):
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        text, picture = copy.read_text(), copy.with_suffix(".svg").read_text()
    assert ROWS["sweeps"] in text
    assert ROWS["vs_netket"] in text
    assert "alpha = 1, f64: netket" in picture
    assert "rbm, full" in picture

    def others(page):
        return re.sub(r"<!-- begin (sweeps|vs_netket) -->.*?<!-- end \1 -->", "", page, flags=re.DOTALL)

    assert others(text) == others(PAGE.read_text())
    assert sorted(path.name for path in folder.iterdir()) == ["sweeps.json", "vs_netket.json"]


def test_commands(performance):
    args = argparse.Namespace(
        python="own",
        netket_python="n",
        quantax_python=None,
        jvmc_python=None,
        short=True,
        folder="reports",
        platform="cuda",
    )
    found = performance.command_of("networks", args)
    assert found[0] == "own"
    assert found[1].endswith("networks.py")
    assert found[2:] == [
        "--netket-python",
        "n",
        "--platform",
        "cuda",
        "--rounds",
        "2",
        "--out",
        "reports/networks.json",
    ]
    args.short = False
    assert performance.command_of("kernel_step", args)[2:7] == ["--parts", "step", "--steps", "rbm", "mlp"]
    assert "7" in performance.command_of("networks", args)
    assert "--platform" not in performance.command_of("roofline", args)


def test_scripts_take_these_options(performance):
    for script, options, rounds, _, _ in performance.PARTS.values():
        text = (BENCHMARKS / script).read_text()
        where = () if script in performance.OWN_PROCESS else ("--platform",)
        for word in (*options, rounds, "--out", *where):
            assert not word.startswith("--") or f'"{word}"' in text
