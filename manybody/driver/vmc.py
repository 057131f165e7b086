# SPDX-License-Identifier: Apache-2.0
"""Variational Monte Carlo: the ground state by stochastic reconfiguration or any gradient method."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import jax.numpy as jnp
import optax

from manybody import _checks
from manybody._precision import foreign_code
from manybody._struct import dataclass, layout
from manybody._types import Array, Int, PyTree
from manybody.driver.hooks import Hook, ProgressBar, Record
from manybody.driver.identity import identity
from manybody.driver.recorder import NotFinite, Recorder
from manybody.estimator import buffer_size, count_rows, expect, local_values
from manybody.operator import CompiledOperator, Operator, broken_element
from manybody.parallel import REPLICATED, Comm
from manybody.sr import SR, Gradient, Preconditioner, Problem, TangentMap
from manybody.state import VariationalState
from manybody.symmetry import PermutationGroup, Sector


@dataclass
class Progress:
    """All that a step needs and changes; the contents of a checkpoint."""

    params: PyTree
    constants: PyTree
    chains: PyTree
    optimizer: PyTree
    preconditioner: PyTree
    step: Int[Array, ""]


class VMC:
    """Minimises the energy of a Hamiltonian.

    One step draws samples, evaluates local energies, turns them into a direction and hands it to the optimizer; it is
    one jitted function that runs on all workers.

    Args:
        hamiltonian: Hermitian operator on the space of the state.
        state: where to start.
        optimizer: any optax optimizer (with its schedules); its learning rate is the step of imaginary time.
        preconditioner: turns local energies into a direction; None for the plain force.

    Attributes:
        step: number of steps made.
        n_buffer: size of a worker's buffer for connections, 0 before the first step.
        n_traces: how often the step was traced (once, and once more whenever the buffer for connections grew).
        n_regrowths: how often that buffer grew.

    Raises:
        ValueError: if the Hamiltonian is not Hermitian, acts on another space, or does not commute with the symmetries
            of an ansatz that says by an attribute `sector` which these are.
    """

    def __init__(
        self,
        hamiltonian: Operator,
        state: VariationalState,
        *,
        optimizer: optax.GradientTransformation,
        preconditioner: Preconditioner | None = SR(),
    ) -> None:
        _checks.require_type(hamiltonian, Operator, "hamiltonian")
        _checks.require_type(state, VariationalState, "state")
        _checks.require(hamiltonian.space == state.space, "hamiltonian", f"act on {state.space}", hamiltonian.space)
        _checks.require(hamiltonian.is_hermitian, "hamiltonian", "be Hermitian", "an operator that is not")
        _check_symmetry(hamiltonian, state.network.sector)
        self.hamiltonian = hamiltonian
        self.optimizer = optimizer
        self.preconditioner = Gradient() if preconditioner is None else preconditioner
        self.n_traces = 0
        self.n_regrowths = 0
        self._state = state
        self._operator = state.comm.replicate(hamiltonian.compile())
        optimizer_state, own = state.comm.replicate(
            (optimizer.init(state.params), self.preconditioner.init(state.params))
        )
        start = state.comm.replicate(jnp.int32(0))
        self._progress = Progress(state.params, state.constants, state.chains, optimizer_state, own, start)
        self._calls: dict[Path, int] = {}
        self.n_buffer = 0
        self._identity: dict[str, str] | None = None
        self._compiled: Callable | None = None

    # --- what it knows -----------------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """Number of steps made."""
        return int(self._progress.step)

    @property
    def progress(self) -> Progress:
        """All that the next step depends on."""
        return self._progress

    @property
    def state(self) -> VariationalState:
        """The present state, with samples of it (drawn now if need be; the chains of the run do not move on)."""
        progress = self._progress
        if self._state.params is not progress.params:
            self._state = self._state.replace(params=progress.params, chains=progress.chains)
        if self._state.samples is None:
            self._state = self._state.sample()
        return self._state

    def describe(self) -> str:
        """The choices that the preconditioner makes, in words."""
        state = self._state
        samples = jax.eval_shape(lambda s: s.sample(), state).samples
        local = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((state.comm.rows_per_worker(x), *x.shape[1:]), x.dtype), samples
        )
        return self.preconditioner.describe(self._tangent(self._progress.params, self._progress.constants, local))

    # --- running -----------------------------------------------------------------------------------------------------

    def run(
        self,
        n_steps: int,
        *,
        out: str | Path | None = None,
        hooks: Sequence[Hook] = (),
        progress: bool = True,
        save_every: int = 50,
    ) -> VariationalState:
        """Make `n_steps` more steps.

        Args:
            n_steps: number of steps.
            out: directory for the log (log.jsonl) and checkpoints. If it holds a call that was interrupted, that call
                is taken up where it stopped and ends at its target.
            hooks: what else looks at the run, and may stop it.
            progress: whether to show a progress bar.
            save_every: steps between checkpoints.

        Returns:
            The state at the end.

        Raises:
            NotFinite: if energy or parameters become nan or inf; the last good checkpoint is kept.
            CheckpointError: if `out` holds a run of another problem; names what differs.
            InUseError: if another process writes there.
        """
        _checks.integer(n_steps, "n_steps", minimum=0)
        _checks.integer(save_every, "save_every", minimum=1)
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
            while self.step < target:
                record = self.advance()
                if any([hook.on_step(self, record) for hook in watching]):
                    break
        return self.state

    def advance(self) -> Record:
        """Make one step and say what happened.

        Raises:
            NotFinite: if energy or parameters become nan or inf; the state stays what it was.
        """
        run = self._compiled or self._use_buffer(self.n_buffer or self._buffer_for(self._first_count()))
        while True:
            progress, info = run(self._progress, self._operator)
            info = jax.device_get(info)
            if int(info["n_connections"]) <= self.n_buffer:
                break
            run = self._use_buffer(self._buffer_for(int(info["n_connections"])))
            self.n_regrowths += 1
        number = self.step + 1
        if not bool(info.pop("finite")):
            raise NotFinite(
                f"Energy or parameters are not finite after step {number} (energy {info['energy']}); the state before "
                "it is kept. A smaller learning rate or a larger diag_shift may help."
            )
        self._progress = progress
        return self._record(number, info)

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
            self._identity = identity(self.hamiltonian, self._state, self.preconditioner)
        return self._identity

    def gathered_progress(self) -> Progress:
        """All that the next step depends on, whole, on the host; all processes must call this together."""
        return self.comm.to_host(self._saved_spec(), self._remembered(self._progress, None))

    def restore(self, progress: Progress, n_buffer: int = 0) -> None:
        """Continue from progress that was gathered before.

        Args:
            progress: what `gathered_progress` returned.
            n_buffer: size of the buffer for connections then, or 0 to find one.
        """
        progress = self.comm.from_host(self._saved_spec(), progress)
        self._progress = self._remembered(progress, self._progress.chains)
        self.n_buffer = n_buffer
        self._compiled = None

    def _remembered(self, progress: Progress, chains: PyTree) -> Progress:
        """The progress with `chains` in place of those of a sampler that has no memory."""
        return progress if self._state.sampler.has_memory else dataclasses.replace(progress, chains=chains)

    def _saved_spec(self) -> Progress:
        return self._remembered(self._spec(), None)

    # --- the step ----------------------------------------------------------------------------------------------------

    def _buffer_for(self, n_rows: int) -> int:
        """Size of a buffer that holds `n_rows` connections and some more."""
        return buffer_size(n_rows, self._state.n_local, self._operator.n_connections)

    def _use_buffer(self, n_buffer: int) -> Callable:
        """The step with a buffer of this size."""
        self.n_buffer = n_buffer
        self._compiled = self._make_step(n_buffer)
        return self._compiled

    def _first_count(self) -> int:
        """Connections of the present chains, or of random configurations, scaled up to the number of samples."""
        state = self._state

        def count(chains: Any, operator: CompiledOperator) -> Array:
            sigma = state.sampler.examples(state.comm, chains)
            return count_rows(state.comm, operator, sigma, state.chunk_size) * state.n_local / len(sigma)

        run = state.comm.spmd(count, (state.sampler.state_spec, REPLICATED), REPLICATED)
        return math.ceil(run(self._progress.chains, self._operator))

    def _tangent(self, params: PyTree, constants: PyTree, samples: Any) -> TangentMap:
        state = self._state
        return TangentMap(
            state.comm, lambda p, s: state.network.log_psi(p, constants, s), params, samples, state.chunk_size
        )

    def _make_step(self, n_buffer: int) -> Callable:
        state, comm, sampler = self._state, self._state.comm, self._state.sampler

        def step(old: Progress, operator: CompiledOperator) -> tuple[Progress, Record]:
            self.n_traces += 1  # runs when traced, not when executed
            amplitude = state.network.bind(old.params, old.constants)
            chains, samples, info = sampler.sample(comm, amplitude, old.chains, state.draws)
            values, n_rows = local_values(comm, amplitude, operator, samples.flat_sigma, n_buffer, state.chunk_size)
            energy = expect(comm, values, samples, hermitian=True)
            problem = Problem(self._tangent(old.params, old.constants, samples), values, energy.mean, old.step)
            direction, own, report = self.preconditioner.update(problem, old.preconditioner)
            with foreign_code():
                updates, optimizer = self.optimizer.update(direction, old.optimizer, old.params)
                params = optax.apply_updates(old.params, updates)
            record: Record = {
                **info,
                **report,
                "energy": energy,
                "n_connections": n_rows,
                "update_norm": optax.tree.norm(updates),
                "finite": _all_finite((params, energy.mean)),
            }
            return Progress(params, old.constants, chains, optimizer, own, old.step + 1), record

        spec = self._spec()
        return comm.spmd(step, (spec, REPLICATED), (spec, REPLICATED))

    def _spec(self) -> Progress:
        chains = self._state.sampler.state_spec
        return layout(Progress, REPLICATED, REPLICATED, chains, REPLICATED, REPLICATED, REPLICATED)

    def _record(self, number: int, info: dict[str, Any]) -> Record:
        names = getattr(getattr(self._state.sampler, "move", None), "names", ())
        acceptance = info.pop("acceptance", ())
        labels = [name if names.count(name) == 1 else f"{name} {i}" for i, name in enumerate(names)]
        return {"step": number, **info, "acceptance": dict(zip(labels, map(float, acceptance), strict=True))}


def _end(hook: Hook, driver: VMC, kind: type | None, error: BaseException | None, where: TracebackType | None) -> None:
    """Tell a hook that the run is over."""
    hook.on_end(driver, error)


def _check_symmetry(hamiltonian: Operator, sector: Any) -> None:
    """Raise `ValueError` if the energy would lead out of the sector that the ansatz is confined to."""
    group = sector.group if isinstance(sector, Sector) else sector
    if not isinstance(group, PermutationGroup):
        return
    element = broken_element(hamiltonian, group)
    if element is not None:
        must = f"commute with the symmetries of the ansatz ({group!r})"
        raise ValueError(_checks.requirement("hamiltonian", must, f"one that breaks {group[element]}"))


def _all_finite(tree: PyTree) -> Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree)]))
