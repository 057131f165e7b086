# SPDX-License-Identifier: Apache-2.0
"""Files of a run: logs, checkpoints, and how a run is taken up again."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from manybody import VariationalState
from manybody.ansatz import RBM
from manybody.driver import VMC, Hook, StopOnRequest
from manybody.driver.recorder import MadeBefore
from manybody.hamiltonian import ising
from manybody.hilbert import Spin
from manybody.io import (
    CheckpointError,
    DirectoryLock,
    InUseError,
    load_header,
    load_tree,
    newest_first,
    read_log,
    save_tree,
)
from manybody.lattice import chain
from manybody.sampler import Exact, LocalFlip, Metropolis
from manybody.sr import SR

SPACE = Spin(6)
ISING = ising(SPACE, chain(6))


def _driver(alpha: int = 1, seed: int = 3) -> VMC:
    state = VariationalState(RBM(alpha=alpha), Metropolis(SPACE, LocalFlip(), 16), 32, seed=seed)
    return VMC(ISING, state, optimizer=optax.adam(0.02), preconditioner=SR(1e-2, momentum=0.5))


class _StopAt(Hook):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, driver, record):
        return record["step"] == self.step


@pytest.fixture(scope="module")
def uninterrupted() -> VMC:
    driver = _driver()
    driver.run(9, progress=False)
    return driver


def _same(one: VMC, other: VMC) -> None:
    def compare(a, b):
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)

    jax.tree.map(compare, one.progress, other.progress)


@pytest.mark.slow  # the others take up runs as well
@pytest.mark.parametrize("stop", [2, 4, 5])
def test_taken_up_bit_for_bit(tmp_path, uninterrupted, stop):
    _driver().run(9, out=tmp_path, hooks=[_StopAt(stop)], progress=False, save_every=4)
    again = _driver()
    again.run(9, out=tmp_path, progress=False, save_every=4)
    _same(again, uninterrupted)
    assert [record["step"] for record in read_log(tmp_path / "log.jsonl")] == list(range(1, 10))


def test_killed_between_checkpoints(tmp_path, uninterrupted):
    class Killed(BaseException):
        pass

    class Kill(Hook):
        def on_step(self, driver, record):
            if record["step"] == 6:
                raise Killed

    with pytest.raises(Killed):
        _driver().run(9, out=tmp_path, hooks=[Kill()], progress=False, save_every=4)
    for newest in tmp_path.glob("checkpoint-00000006.npz"):
        newest.unlink()  # as after kill -9, when nothing was written at the end
    again = _driver()
    again.run(9, out=tmp_path, progress=False, save_every=4)
    _same(again, uninterrupted)
    assert [record["step"] for record in read_log(tmp_path / "log.jsonl")] == list(range(1, 10))


def test_a_finished_run_makes_no_more_steps(tmp_path):
    _driver().run(3, out=tmp_path, progress=False)
    again = _driver()
    with pytest.warns(MadeBefore, match=r"all 3 steps were made before, and no more") as caught:
        again.run(3, out=tmp_path, progress=False)
    assert again.step == 3
    assert len(list(read_log(tmp_path / "log.jsonl"))) == 3
    assert [Path(warning.filename).name for warning in caught] == ["test_resume.py"]
    again.run(1, out=tmp_path, progress=False)
    assert again.step == 4


@pytest.mark.parametrize("asked", [2, 5])
def test_a_finished_run_says_what_was_asked_for(tmp_path, asked):
    _driver().run(3, out=tmp_path, progress=False)
    again = _driver()
    with pytest.warns(MadeBefore, match=rf"all 3 steps were made before \(asked for: {asked}\)"):
        again.run(asked, out=tmp_path, progress=False)
    assert again.step == 3


def test_an_interrupted_run_keeps_its_end(tmp_path):
    _driver().run(4, out=tmp_path, hooks=[_StopAt(2)], progress=False)
    again = _driver()
    with pytest.warns(MadeBefore, match=r"goes on to step 4, as it was told when it began, not to 3"):
        again.run(3, out=tmp_path, progress=False)
    assert again.step == 4


def test_several_calls_of_one_script(tmp_path, uninterrupted):
    driver = _driver()
    for n_steps in (4, 5):
        driver.run(n_steps, out=tmp_path, progress=False)
    assert driver.step == 9
    _same(driver, uninterrupted)
    assert [record["step"] for record in read_log(tmp_path / "log.jsonl")] == list(range(1, 10))
    again = _driver()  # the same script once more: both calls are finished
    for n_steps in (4, 5):
        with pytest.warns(MadeBefore, match="all 9 steps were made before, and"):
            again.run(n_steps, out=tmp_path, progress=False)
    _same(again, uninterrupted)


def test_interrupted_in_the_second_call(tmp_path, uninterrupted):
    driver = _driver()
    driver.run(4, out=tmp_path, progress=False)
    driver.run(5, out=tmp_path, hooks=[_StopAt(7)], progress=False)
    again = _driver()
    with pytest.warns(MadeBefore):
        again.run(4, out=tmp_path, progress=False)
    again.run(5, out=tmp_path, progress=False)
    _same(again, uninterrupted)


def test_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, uninterrupted):
    _driver().run(9, out=tmp_path, hooks=[_StopAt(8)], progress=False, save_every=4)
    newest = tmp_path / "checkpoint-00000008.npz"
    newest.write_bytes(newest.read_bytes()[:-200])
    again = _driver()
    with pytest.warns(UserWarning, match="checkpoint-00000004.npz, because"):
        again.run(9, out=tmp_path, progress=False, save_every=4)
    _same(again, uninterrupted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 2}, r"`ansatz` was \.\.\. alpha = 1 \.\.\., now \.\.\. alpha = 2"),
        ({"seed": 4}, r"holds a run that began elsewhere: with another `seed`"),
    ],
)
def test_another_run_is_refused(tmp_path, change, message):
    _driver().run(2, out=tmp_path, progress=False)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match=message):
        _driver(**change).run(2, out=tmp_path, progress=False)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_a_run_began_from_is_noted_when_it_is_made(tmp_path):
    """A driver that has made steps before it writes to a directory, and one that has not moved yet."""
    for _ in range(2):
        driver = _driver()
        driver.run(2, progress=False)
        with contextlib.nullcontext() if not any(tmp_path.iterdir()) else pytest.warns(MadeBefore, match="all 5"):
            driver.run(3, out=tmp_path, progress=False)
    assert driver.step == 5


def test_checkpoints_that_do_not_say_what_they_began_from_are_taken(tmp_path, uninterrupted):
    _driver().run(9, out=tmp_path, hooks=[_StopAt(4)], progress=False)
    (path,) = (path for path in newest_first(tmp_path) if "4.npz" in path.name)
    tree, header = load_tree(path, _driver().gathered_progress())
    assert set(header.pop("start")) == {"keys"}
    save_tree(path, tree, {key: value for key, value in header.items() if key != "format"})
    assert "start" not in load_header(path)
    again = _driver()
    again.run(9, out=tmp_path, progress=False)
    _same(again, uninterrupted)


@pytest.mark.parametrize("name", ["file", "file/below/it"])
def test_a_file_is_no_directory(tmp_path, name):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match=r"`out` must be a directory, .* got .*/file, a file\."):
        _driver().run(2, out=tmp_path / name, progress=False)
    assert (tmp_path / "file").read_text() == "mine"


def test_hooks_are_hooks():
    with pytest.raises(TypeError, match=r"`hooks` must be a sequence of hooks, got <function .*manybody.driver.Hook"):
        _driver().run(2, hooks=lambda *_: None, progress=False)
    with pytest.raises(TypeError, match=r"`hooks` must be a Hook, got function .*manybody.driver.Hook"):
        _driver().run(2, hooks=[lambda *_: None], progress=False)
    with pytest.raises(TypeError, match=r"a single one. Write hooks=\[StopOnRequest\(...\)\]"):
        _driver().run(2, hooks=StopOnRequest(), progress=False)


def test_other_couplings_are_another_problem(tmp_path):
    _driver().run(2, out=tmp_path, progress=False)
    state = VariationalState(RBM(alpha=1), Metropolis(SPACE, LocalFlip(), 16), 32, seed=3)
    other = VMC(ising(SPACE, chain(6), h=1.5), state, optimizer=optax.adam(0.02), preconditioner=SR(1e-2, momentum=0.5))
    with pytest.raises(CheckpointError, match=r"`hamiltonian` was .*couplings [0-9a-f]{12}, now"):
        other.run(2, out=tmp_path, progress=False)


def test_another_preconditioner_is_another_problem(tmp_path):
    _driver().run(2, out=tmp_path, progress=False)
    state = VariationalState(RBM(alpha=1), Metropolis(SPACE, LocalFlip(), 16), 32, seed=3)
    other = VMC(ISING, state, optimizer=optax.adam(0.02), preconditioner=SR(1e-3, momentum=0.5))
    with pytest.raises(CheckpointError, match=r"`preconditioner` was .*0\.01.*, now .*0\.001"):
        other.run(2, out=tmp_path, progress=False)


def test_the_damaged_checkpoint_is_set_aside(tmp_path):
    _driver().run(9, out=tmp_path, hooks=[_StopAt(8)], progress=False, save_every=4)
    (tmp_path / "checkpoint-00000008.npz").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"checkpoint-00000008\.npz is damaged"):
        _driver().run(9, out=tmp_path, progress=False, save_every=5)
    assert (tmp_path / "checkpoint-00000008.damaged").read_bytes() == b""
    assert {path.name for path in tmp_path.glob("checkpoint-*.npz")} == {
        "checkpoint-00000005.npz",
        "checkpoint-00000009.npz",
    }


def test_a_log_without_checkpoints_is_left_alone(tmp_path):
    (tmp_path / "log.jsonl").write_text("mine\n")
    with pytest.raises(CheckpointError, match="a run without checkpoints"):
        _driver().run(2, out=tmp_path, progress=False)
    assert (tmp_path / "log.jsonl").read_text() == "mine\n"


def test_a_log_that_lost_lines_is_refused(tmp_path):
    _driver().run(4, out=tmp_path, hooks=[_StopAt(2)], progress=False)
    log = tmp_path / "log.jsonl"
    log.write_text(log.read_text().splitlines(keepends=True)[0])
    with pytest.raises(CheckpointError, match="lines are missing"):
        _driver().run(4, out=tmp_path, progress=False)


def test_a_directory_has_one_writer(tmp_path):
    lock = DirectoryLock(tmp_path)
    with pytest.raises(InUseError, match=rf"is in use by process {os.getpid()} on"):
        _driver().run(2, out=tmp_path, progress=False)
    assert not newest_first(tmp_path)
    lock.release()
    _driver().run(2, out=tmp_path, progress=False)
    DirectoryLock(tmp_path).release()  # given back at the end of the run


def test_remains_of_a_killed_write_are_removed(tmp_path):
    (tmp_path / ".checkpoint-00000001.npz.77.part").write_bytes(b"half")
    _driver().run(1, out=tmp_path, progress=False)
    assert not list(tmp_path.glob(".*.part"))


def test_the_exact_sampler_has_nothing_to_save(tmp_path):
    def driver() -> VMC:
        return VMC(ISING, VariationalState(RBM(), Exact(SPACE), seed=3), optimizer=optax.sgd(0.02))

    whole = driver()
    whole.run(4, progress=False)
    driver().run(4, out=tmp_path, hooks=[_StopAt(2)], progress=False)
    again = driver()
    again.run(4, out=tmp_path, progress=False)
    _same(again, whole)
    with np.load(newest_first(tmp_path)[0]) as arrays:
        assert not [name for name in arrays.files if name.startswith("chains")]


def test_the_buffer_is_taken_up_too(tmp_path):
    before = _driver()
    before._use_buffer(32 * 6)
    before.run(4, out=tmp_path, hooks=[_StopAt(2)], progress=False)
    again = _driver()
    again.run(4, out=tmp_path, progress=False)
    assert again.n_buffer == before.n_buffer == 32 * 6


def test_log_holds_the_energy(tmp_path):
    driver = _driver()
    driver.run(2, out=tmp_path, progress=False)
    records = list(read_log(tmp_path / "log.jsonl"))
    assert records[0]["energy"]["mean"] < 0
    assert set(records[0]["energy"]) == {"mean", "error", "variance", "tau", "r_hat"}
    assert 0 < records[0]["acceptance"]["LocalFlip"] <= 1
