# SPDX-License-Identifier: Apache-2.0

import json
import subprocess
import sys
from pathlib import Path

import pytest

from manybody import parallel
from manybody.program import GroundState, catalogue, cli, run
from manybody.program.catalogue import find_config
from manybody.program.tables import ConfigError
from tests.program.tiny import write


class Idle:
    """A driver that has nothing to do."""

    comm = parallel.Comm()
    step = 0

    def run(self, target: int, **options: object) -> None:
        pass


class Recorded:
    """A program that notes its jobs."""

    Config = GroundState

    def __init__(self) -> None:
        self.jobs = []
        self.action = lambda job: job.run(Idle(), 0)

    def work(self, job: run.Job) -> None:
        self.jobs.append(job)
        self.action(job)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    made = Recorded()
    monkeypatch.setattr(catalogue, "program", lambda command: made)
    return made


def start(*words: object) -> int:
    return cli.main(["ground-state", *map(str, words)])


def test_options_reach_the_job(tmp_path: Path, program: Recorded) -> None:
    assert start(write(tmp_path), "--out", tmp_path / "a", "--seed", 11, "--steps", 7) == 0
    (job,) = program.jobs
    assert (job.name, job.out) == ("tiny", tmp_path / "a")
    assert (job.config.run.seed, job.config.optimisation.steps) == (11, 7)
    assert json.loads((tmp_path / "a" / "config.json").read_text())["run"] == {"seed": 11, "save_every": 2}


def test_directory_by_default(tmp_path: Path, program: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert start(path) == 0
    assert program.jobs[0].out == Path("runs/tiny")


def test_other_settings_are_refused(tmp_path: Path, program: Recorded, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    assert start(write(tmp_path), "--out", out) == 0
    assert start(write(tmp_path, ("run.save_every", 7), ("measure", ...)), "--out", out) == 0
    assert start(write(tmp_path, ("optimisation.sr.momentum", 0.5)), "--out", out) == 1
    message = capsys.readouterr().err
    assert "`optimisation.sr.momentum` was 0.0, now 0.5" in message
    assert "--fresh" in message
    assert start(write(tmp_path), "--out", out, "--seed", 4) == 1
    assert "`run.seed` was 3, now 4" in capsys.readouterr().err
    assert start(write(tmp_path, ("space", ...)), "--out", out) == 1
    assert "`space.total_sz` was 0.0, now not given" in capsys.readouterr().err
    assert len(program.jobs) == 2


def test_refused_settings_leave_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Nor do they stand in the way when the file has been mended."""
    out = tmp_path / "out"
    assert start(write(tmp_path, ("sampler.n_samples", 33)), "--out", out) == 1
    assert "[sampler] `n_samples` must be a multiple of n_chains (16), got 33" in capsys.readouterr().err
    assert list(out.iterdir()) == []
    assert start(write(tmp_path, ("optimisation.steps", 1)), "--out", out) == 0
    assert (out / "config.json").exists()
    # In a directory that holds a run they do not take the place of its settings.
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert start(write(tmp_path, ("sampler.n_samples", 33)), "--out", out) == 1
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize("name", ["config.json", "log.jsonl", "checkpoint-00000002.npz", "energy.png", "result.json"])
def test_fresh_starts_beside_a_run(tmp_path: Path, program: Recorded, name: str) -> None:
    for folder in ("out", "out-2"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("{}")
    (tmp_path / "out-3").mkdir()
    (tmp_path / "out-3" / "notes.txt").write_text("no run")
    assert start(write(tmp_path), "--out", tmp_path / "out", "--fresh") == 0
    assert program.jobs[0].out == tmp_path / "out-3"
    for folder in ("out", "out-2"):
        assert [(path.name, path.read_text()) for path in (tmp_path / folder).iterdir()] == [(name, "{}")]


def test_fresh_without_a_run_is_nothing_special(tmp_path: Path, program: Recorded) -> None:
    assert start(write(tmp_path), "--out", tmp_path / "out", "--fresh") == 0
    assert program.jobs[0].out == tmp_path / "out"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1.5", 1.5),
        ("45s", 45),
        ("90m", 5400),
        ("3h50m", 13800),
        ("1-12:30:00", 131400),
        ("0:00:05", 5),
        ("1.5h", 5400),
    ],
)
def test_times(text: str, seconds: float) -> None:
    assert cli.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5", "1:70:00", "5 minutes", "1:00", "nan"])
def test_no_times(tmp_path: Path, program: Recorded, capsys: pytest.CaptureFixture, text: str) -> None:
    with pytest.raises(SystemExit) as leaving:
        start(write(tmp_path), "--max-time", text)
    assert leaving.value.code == 1
    assert "--max-time" in capsys.readouterr().err
    assert program.jobs == []


def test_runs_of_others_are_refused(tmp_path: Path, program: Recorded, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "log.jsonl").write_text("")
    assert start(write(tmp_path), "--out", tmp_path) == 1
    assert "not the settings" in capsys.readouterr().err
    (tmp_path / "config.json").write_text("{")
    assert start(write(tmp_path), "--out", tmp_path) == 1
    (tmp_path / "file").write_text("")
    assert start(write(tmp_path), "--out", tmp_path / "file") == 1
    assert "File exists" in capsys.readouterr().err
    assert program.jobs == []


@pytest.mark.parametrize("error", [ConfigError("[a] wrong"), run.NotFinite("nan"), run.CheckpointError("other")])
def test_errors_of_the_user_are_one_line(tmp_path, program, capsys, error: Exception) -> None:
    def fail(job: run.Job) -> None:
        raise error

    program.action = fail
    path = write(tmp_path)
    assert start(path, "--out", tmp_path / "out") == 1
    where = f"{path}: " if isinstance(error, ConfigError) else ""
    assert capsys.readouterr().err == f"manybody: error: {where}{error}\n"


def test_other_errors_show_where(tmp_path, program, capsys) -> None:
    program.action = lambda job: 1 / 0
    assert start(write(tmp_path), "--out", tmp_path / "out") == 1
    message = capsys.readouterr().err
    assert "Traceback" in message
    assert "ZeroDivisionError" in message


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "required: COMMAND"),
        (["ground-stat", "x"], "Did you mean 'ground-state'?"),
        (["ground-state"], "required: CONFIG"),
        (["ground-state", "x", "--step", "many"], "invalid int value: 'many'"),
        (["ground-state", "x", "--bogus"], "--bogus"),
    ],
)
def test_wrong_command_lines(words: list[str], expected: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 1
    message = capsys.readouterr().err
    assert expected in message
    assert message.count("\n") == 1


def test_help_lists_the_programs(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for command, summary in catalogue.programs().items():
        assert f"{command} {summary}" in text
        assert summary
    for command in catalogue.programs():
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        text = " ".join(capsys.readouterr().out.split())
        assert {name for name in catalogue.configs() if name in text} == set(catalogue.configs(command))


def test_programs_keep_the_contract() -> None:
    for command in catalogue.programs():
        module = catalogue.program(command)
        assert callable(module.work)
        assert module.Config


def test_configs_by_name(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert find_config("ising_chain").name == "ising_chain.toml"
    assert find_config(str(write(tmp_path))) == tmp_path / "tiny.toml"
    assert start("ising_chian") == 1
    assert "Did you mean 'ising_chain'?" in capsys.readouterr().err
    assert start(tmp_path / "ising_chin.toml") == 1
    assert "Did you mean 'ising_chain'?" in capsys.readouterr().err


def test_a_configuration_of_another_program(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert start("ising_quench", "--out", tmp_path / "out") == 1
    assert "ising_quench.toml is a configuration for time-evolution, not for ground-state." in capsys.readouterr().err
    mine = tmp_path / "mine.toml"
    mine.write_text(find_config("driven_ising").read_text())
    assert start(mine, "--out", tmp_path / "out") == 1
    assert f"{mine} is a configuration for steady-state, not for ground-state." in capsys.readouterr().err
    mine.write_text(mine.read_text() + "nonsense = 1\n")
    assert start(mine, "--out", tmp_path / "out") == 1
    assert "is a configuration for" not in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert start("nothing") == 1
    assert "driven_ising" not in capsys.readouterr().err


def test_shipped_configurations_belong_to_one_program() -> None:
    for command in catalogue.programs():
        assert all(catalogue.fitting(path) == [command] for path in catalogue.configs(command).values())
    assert sum(len(catalogue.configs(command)) for command in catalogue.programs()) == len(catalogue.configs())


def test_as_a_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "manybody.program.cli", "ground-state", "nothing"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert list(tmp_path.iterdir()) == []
