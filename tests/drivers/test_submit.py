# SPDX-License-Identifier: Apache-2.0
"""The batch scripts, with stand-ins for what a cluster has."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from importlib.resources import files
from pathlib import Path

import pytest

from manybody.program import catalogue

SCRIPTS = Path(str(files(catalogue.package()).joinpath("submit")))
WORDS = ["ground-state", "my config.toml", "--out", "runs/a b"]
MANYBODY = """
printf '%s|' "$@" >>words; echo >>words
env | grep -E '^(MANYBODY_BACKEND|JAX_PLATFORMS|OPENBLAS_NUM_THREADS|OMP_NUM_THREADS|XLA_FLAGS)=' | sort >settings
codes=($(cat codes)); echo "${codes[@]:1}" >codes
exit "${codes[0]}"
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """A folder with a virtual environment in which each command notes how it was called."""
    bin_ = tmp_path / "venv" / "bin"
    bin_.mkdir(parents=True)
    (bin_ / "activate").write_text(f'export PATH="{bin_}:$PATH"\n')
    stand_ins = {
        "manybody": MANYBODY,
        "srun": 'echo "srun $*" >>calls; while [[ $1 == -* ]]; do shift; done; "$@"',
        "mpiexec": 'echo "mpiexec $*" >>calls; while [[ $1 != manybody ]]; do shift; done; "$@"',
        "scontrol": 'echo "scontrol $*" >>calls',
        "qsub": 'echo "qsub $*" >>calls',
    }
    for name, text in stand_ins.items():
        (bin_ / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (bin_ / name).chmod(0o755)
    return tmp_path


def submit(cluster: Path, script: str, codes: str, **variables: str) -> subprocess.CompletedProcess:
    (cluster / "codes").write_text(codes)
    return subprocess.run(
        ["bash", str(SCRIPTS / script), *WORDS],
        cwd=cluster,
        env=environment(cluster, **variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def environment(cluster: Path, **variables: str) -> dict[str, str]:
    own = {"HOME": str(cluster), "PATH": f"{cluster}/venv/bin:{os.environ['PATH']}", "SLURM_JOB_ID": "77"}
    return own | {"MANYBODY_VENV": str(cluster / "venv")} | variables


def lines(cluster: Path, name: str) -> list[str]:
    path = cluster / name
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(("script", "backend"), [("slurm_cpu.sh", "mpi"), ("slurm_gpu.sh", "mesh")])
@pytest.mark.parametrize(("code", "requeued"), [(0, False), (75, True), (1, False), (137, False)])
def test_slurm(cluster, script, backend, code, requeued):
    done = submit(cluster, script, str(code), SLURM_CPUS_PER_TASK="3")
    assert (done.returncode, done.stderr) == (code, "")
    assert lines(cluster, "words") == ["|".join(WORDS) + "|"]
    assert ("scontrol requeue 77" in lines(cluster, "calls")) == requeued
    settings = dict(line.split("=", 1) for line in lines(cluster, "settings"))
    assert settings["MANYBODY_BACKEND"] == backend
    assert settings["OPENBLAS_NUM_THREADS"] == settings["OMP_NUM_THREADS"] == "3"
    assert lines(cluster, "calls")[0].startswith("srun --cpu-bind=cores manybody")


def test_slurm_signals_the_ranks_and_not_the_script():
    for script in ("slurm_cpu.sh", "slurm_gpu.sh"):
        options = [line for line in (SCRIPTS / script).read_text().splitlines() if line.startswith("#SBATCH")]
        assert any("--signal=USR1@" in line for line in options)
        assert "#SBATCH --requeue" in options


def test_without_an_environment(cluster):
    done = submit(cluster, "slurm_cpu.sh", "0", MANYBODY_VENV="")
    assert done.returncode != 0
    assert "MANYBODY_VENV" in done.stderr
    assert not lines(cluster, "calls")


def test_mpi_starts_again_until_it_is_finished(cluster):
    done = submit(cluster, "mpi.sh", "75 75 0", RANKS="4", MAX_TIME="2h")
    assert (done.returncode, done.stderr) == (0, "")
    assert lines(cluster, "words") == ["|".join([*WORDS, "--max-time", "2h"]) + "|"] * 3
    assert lines(cluster, "calls")[0].startswith("mpiexec -n 4 --bind-to core manybody ground-state")


def test_mpi_ends_on_errors(cluster):
    assert submit(cluster, "mpi.sh", "75 1 0", RANKS="2").returncode == 1
    assert lines(cluster, "words") == ["|".join(WORDS) + "|"] * 2


def test_mpi_queues_again(cluster):
    assert submit(cluster, "mpi.sh", "75 0", RANKS="2", THREADS="2", AGAIN="qsub job.sh").returncode == 75
    assert [line for line in lines(cluster, "calls") if line.startswith("qsub")] == ["qsub job.sh"]
    assert len(lines(cluster, "words")) == 1
    assert "bind" not in lines(cluster, "calls")[0]
    assert "OPENBLAS_NUM_THREADS=2" in lines(cluster, "settings")


def test_mpi_hands_signals_on_and_does_not_start_again(cluster):
    (cluster / "venv/bin/manybody").write_text(
        "#!/usr/bin/env bash\ntrap 'sleep 0.3; echo saved >saved; exit 75' TERM\ntouch ready\n"
        "while true; do sleep 0.05; done\n"
    )
    (cluster / "venv/bin/mpiexec").write_text(
        '#!/usr/bin/env bash\nwhile [[ $1 != manybody ]]; do shift; done\nexec "$@"\n'
    )
    job = subprocess.Popen(["bash", str(SCRIPTS / "mpi.sh"), *WORDS], cwd=cluster, env=environment(cluster, RANKS="2"))
    deadline = time.monotonic() + 20
    while not (cluster / "ready").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    job.send_signal(signal.SIGUSR1)
    assert job.wait(20) == 75
    assert lines(cluster, "saved") == ["saved"]
