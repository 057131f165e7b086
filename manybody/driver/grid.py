# SPDX-License-Identifier: Apache-2.0
"""What evolutions share: runs over a grid of times, and which operators can generate them."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from manybody import _checks
from manybody._types import PyTree
from manybody.driver.base import Driver, check_hamiltonian
from manybody.driver.hooks import Hook, check_hooks
from manybody.driver.motion import Kind
from manybody.hilbert import Doubled
from manybody.operator import Operator, trace_defect
from manybody.state import VariationalState

BACKWARDS = "Evolve backwards with -H."


class Evolution(Driver[VariationalState]):
    """A driver whose steps lead from one time of a grid to the next.

    Its progress has the time in `t`. A driver of its own makes `advance` end at `_next_time`.
    """

    def __init__(self, state: VariationalState, progress: PyTree) -> None:
        self._times: dict[int, float] = {}
        super().__init__(state, progress)

    @property
    def t(self) -> float:
        """The time reached."""
        return float(self._progress.t)

    @property
    def _next_time(self) -> float:
        """Where the next step ends; known within a run, `RuntimeError` outside of it."""
        if self.step + 1 not in self._times:
            raise RuntimeError("`advance` needs a time to evolve to: call `run` with a grid of times.")
        return self._times[self.step + 1]

    @property
    @abc.abstractmethod
    def n_traces(self) -> int:
        """How often the function that takes most of the time was traced."""

    def run(  # type: ignore[override]
        self,
        times: ArrayLike,
        *,
        out: str | Path | None = None,
        hooks: Sequence[Hook] = (),
        progress: bool = True,
        save_every: int = 1,
    ) -> VariationalState:
        """Evolve to some times, one after the other.

        Between them the driver chooses its steps, at them there are records and checkpoints; hooks can stop a run
        there.

        Args:
            times: the grid (n,) of times, or the last time only; ascending, none of them before the present one.
            out: directory for the log (log.jsonl) and checkpoints. If it holds a call that was interrupted, that call
                is taken up at the last time of the grid that was saved, and goes on as it would have.
            hooks: what else looks at the run, and may stop it.
            progress: whether to show a progress bar.
            save_every: times of the grid between checkpoints.

        Returns:
            The state at the end.

        Raises:
            ValueError: if the times run backwards.
            StepTooSmall: if errors stay above the tolerance; the state at the last time of the grid is kept.
            NotFinite: if energy or parameters become nan or inf.
            CheckpointError: if `out` holds a run of another problem; names what differs.
            InUseError: if another process writes there.
        """
        grid = np.atleast_1d(np.asarray(times, float))
        _checks.require(grid.ndim == 1 and len(grid) > 0, "times", "be a list of numbers", times)
        _checks.require(bool(np.all(np.diff(grid) > 0)), "times", "ascend", times, BACKWARDS)
        check_hooks(hooks)
        return super().run(len(grid), out=out, hooks=[_Grid(grid), *hooks], progress=progress, save_every=save_every)


class _Grid(Hook):
    """Tells the driver which times the steps of a run end at, once it is known where a run is taken up."""

    def __init__(self, times: np.ndarray) -> None:
        self._grid = times

    def on_start(self, driver: Evolution, target: int) -> None:  # type: ignore[override]
        first = target - len(self._grid) + 1
        times = {first + i: float(t) for i, t in enumerate(self._grid)}
        early = [t for step, t in times.items() if step > driver.step and t < driver.t]
        _checks.require(not early, "times", f"not lie before the present one, {driver.t:g}", early, BACKWARDS)
        driver._times = times


def check_generator(operator: Operator, state: VariationalState, kind: Kind) -> None:
    """Raise `ValueError` (`TypeError`) unless such states can be evolved with this operator."""
    if kind != "dissipative":
        check_hamiltonian(operator, state)
        if kind == "real":
            check_complex(state, "for real times", "Phases change with the time.")
        return
    check_liouvillian(operator, state, "hamiltonian")


def check_liouvillian(operator: Operator, state: VariationalState, name: str) -> None:
    """Raise `ValueError` (`TypeError`) unless this generates the evolution of density matrices like the state."""
    _checks.require_type(operator, Operator, name)
    _checks.require(operator.space == state.space, name, f"act on {state.space}", operator.space)
    _checks.require(isinstance(operator.space, Doubled), name, "be a Liouvillian on `Doubled`", operator.space)
    defect = trace_defect(operator)
    _checks.require(defect < 1e-10, name, "preserve the trace", f"one that changes it by {defect:.1e}")


def check_complex(state: VariationalState, when: str, why: str) -> None:
    """Raise `TypeError` unless log psi is complex."""
    sigma = jax.ShapeDtypeStruct((1, state.space.size), jnp.int8)
    dtype = jax.eval_shape(state.network.log_psi, state.params, state.constants, sigma).dtype
    if not jnp.issubdtype(dtype, jnp.complexfloating):
        raise TypeError(_checks.requirement("state", f"have a complex log psi {when}", f"one of type {dtype}", why))
