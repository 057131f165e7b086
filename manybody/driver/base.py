# SPDX-License-Identifier: Apache-2.0
"""What all drivers share: steps, runs with their files, and progress that can be saved and taken up again."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp

from manybody import _checks
from manybody._types import Array, PyTree
from manybody.driver.hooks import Hook, ProgressBar, Record, check_hooks
from manybody.driver.identity import beginning
from manybody.driver.recorder import Recorder
from manybody.operator import Operator, broken_element
from manybody.parallel import Comm
from manybody.state import VariationalState
from manybody.symmetry import PermutationGroup, Sector

S = TypeVar("S")
"""What a run returns."""


class Driver(abc.ABC, Generic[S]):
    """Something that makes steps, as a run with its files.

    Its progress is a frozen dataclass with the fields `params`, `chains` and `step`, and what else the next step
    depends on. A driver of its own says how a step is made, what the run is about, and what it returns.

    Args:
        state: sampler, network and workers.
        progress: where the run begins.

    Attributes:
        step: number of steps made.
        n_buffer: size of a worker's buffer for connections, 0 before the first step.

    Raises:
        ValueError: if the sampler does not draw from |psi|^2.
    """

    n_buffer: int

    def __init__(self, state: VariationalState, progress: Any) -> None:
        state.check_optimisable()
        self.n_buffer = 0
        self._state = state
        self._progress = progress
        self._calls: dict[Path, int] = {}
        self._identity: dict[str, str] | None = None
        self._beginning = beginning(state)  # now, before it moves on

    # --- what a driver of its own provides ---------------------------------------------------------------------------

    @property
    @abc.abstractmethod
    def state(self) -> S:
        """What a run returns: the present state."""

    @abc.abstractmethod
    def _about(self) -> dict[str, str]:
        """What the run is about, in words that two processes can compare."""

    @abc.abstractmethod
    def _spec(self) -> Any:
        """How the progress is laid out over workers."""

    @abc.abstractmethod
    def advance(self) -> Record:
        """Make one step and say what happened.

        Raises:
            NotFinite: if energy or parameters become nan or inf; the state stays what it was.
        """

    def _advance_by(self, n: int, most: int) -> list[Record]:
        """Make up to `n` steps, at least one, as a program that can make up to `most`; what happened in each."""
        del n
        _checks.require(most == 1, "steps_per_call", f"be 1 for {type(self).__name__}", most)
        return [self.advance()]

    # --- what it knows -----------------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """Number of steps made."""
        return int(self._progress.step)

    @property
    def progress(self) -> Any:
        """All that the next step depends on."""
        return self._progress

    # --- running -----------------------------------------------------------------------------------------------------

    def run(
        self,
        n_steps: int,
        *,
        out: str | Path | None = None,
        hooks: Sequence[Hook] = (),
        progress: bool = True,
        save_every: int = 50,
        steps_per_call: int = 1,
    ) -> S:
        """Make `n_steps` more steps.

        Args:
            n_steps: number of steps.
            out: directory for the log (log.jsonl) and checkpoints. If it holds a call that was interrupted, that call
                is taken up where it stopped and ends at its target; of one that was finished no steps are made. A
                warning says so.
            hooks: what else looks at the run, and may stop it.
            progress: whether to show a progress bar.
            save_every: steps between checkpoints.
            steps_per_call: steps that are made as one program, without the computer in between; worth it where a step
                takes less than some milliseconds. Hooks see the records of all of them, and the driver after the last.

        Returns:
            The state at the end.

        Raises:
            NotFinite: if energy or parameters become nan or inf; the last good checkpoint is kept.
            ValueError: if `out` is a file.
            CheckpointError: if `out` holds a run of another problem, or one that began elsewhere; names what differs.
            InUseError: if another process writes there.
        """
        _checks.integer(n_steps, "n_steps", minimum=0)
        _checks.integer(save_every, "save_every", minimum=1)
        _checks.integer(steps_per_call, "steps_per_call", minimum=1)
        check_hooks(hooks)
        recorder = None if out is None else Recorder(Path(out), save_every, self._next_call(Path(out)))
        target = recorder.resume(self, self.step + n_steps) if recorder else self.step + n_steps
        watching = [
            *([recorder] if recorder else []),
            *([ProgressBar()] if progress and self.comm.is_root else []),
            *hooks,
        ]
        with contextlib.ExitStack() as stack:
            for hook in watching:
                hook.on_start(self, target)
                stack.push(functools.partial(_end, hook, self))
            step = self.step
            while step < target:
                n = min(steps_per_call, target - step, save_every - step % save_every)
                records = self._advance_by(n, steps_per_call)
                step = records[-1]["step"]
                if any([hook.on_step(self, record) for record in records for hook in watching]):
                    break
        return self.state

    def _next_call(self, out: Path) -> int:
        """How many calls of `run` of this driver have written to `out` before."""
        number = self._calls.get(out.resolve(), -1) + 1
        self._calls[out.resolve()] = number
        return number

    # --- for recorders -----------------------------------------------------------------------------------------------

    @property
    def comm(self) -> Comm:
        """The workers."""
        return self._state.comm

    def identity(self) -> dict[str, str]:
        """What the run is about, in words that two processes can compare."""
        if self._identity is None:
            self._identity = self._about()
        return self._identity

    def beginning(self) -> dict[str, Any]:
        """What tells the run from one of the same problem with another seed."""
        return self._beginning

    def gathered_progress(self) -> Any:
        """All that the next step depends on, whole, on the host; all processes must call this together."""
        return self.comm.to_host(self._saved_spec(), self._remembered(self._progress, None))

    def restore(self, progress: Any, n_buffer: int = 0) -> None:
        """Continue from progress that was gathered before.

        Args:
            progress: what `gathered_progress` returned.
            n_buffer: size of the buffer for connections then, or 0 to find one.
        """
        progress = self.comm.from_host(self._saved_spec(), progress)
        self._progress = self._remembered(progress, self._progress.chains)
        self.n_buffer = n_buffer

    def _remembered(self, progress: Any, chains: PyTree) -> Any:
        """The progress with `chains` in place of those of a sampler that has no memory."""
        return progress if self._state.sampler.has_memory else dataclasses.replace(progress, chains=chains)

    def _saved_spec(self) -> Any:
        return self._remembered(self._spec(), None)

    def _record(self, number: int, info: dict[str, Any]) -> Record:
        names = getattr(getattr(self._state.sampler, "move", None), "names", ())
        acceptance = info.pop("acceptance", None)
        if acceptance is None:  # nothing was proposed
            return {"step": number, **info, "acceptance": {}}
        labels = [name if names.count(name) == 1 else f"{name} {i}" for i, name in enumerate(names)]
        return {"step": number, **info, "acceptance": dict(zip(labels, map(float, acceptance), strict=True))}


def _end(
    hook: Hook, driver: Driver, kind: type | None, error: BaseException | None, where: TracebackType | None
) -> None:
    """Tell a hook that the run is over."""
    hook.on_end(driver, error)


def check_hamiltonian(hamiltonian: Operator, state: VariationalState) -> None:
    """Raise `ValueError` (`TypeError`) unless the energy of such states can be minimised."""
    _checks.require_type(hamiltonian, Operator, "hamiltonian")
    _checks.require(hamiltonian.space == state.space, "hamiltonian", f"act on {state.space}", hamiltonian.space)
    _checks.require(hamiltonian.is_hermitian, "hamiltonian", "be Hermitian", "an operator that is not")
    sector = state.network.sector
    group = sector.group if isinstance(sector, Sector) else sector
    if not isinstance(group, PermutationGroup):
        return
    element = broken_element(hamiltonian, group)
    if element is not None:
        must = f"commute with the symmetries of the ansatz ({group!r})"
        raise ValueError(_checks.requirement("hamiltonian", must, f"one that breaks {group[element]}"))


def all_finite(tree: PyTree) -> Array:
    """Whether a tree of arrays has neither nan nor inf."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree)]))
