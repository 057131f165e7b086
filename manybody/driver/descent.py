# SPDX-License-Identifier: Apache-2.0
"""Drivers whose steps lower something: from local values to a direction, and with an optimizer to new parameters."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from manybody import _checks
from manybody._compile import ahead, often
from manybody._precision import foreign_code
from manybody._struct import dataclass, layout
from manybody._types import Array, Bool, Int, PyTree
from manybody.driver.base import Driver, all_finite
from manybody.driver.fused import fused
from manybody.driver.hooks import Record
from manybody.driver.packed import Packed, pack, unpack
from manybody.driver.recorder import NotFinite
from manybody.estimator import buffer_size
from manybody.parallel import REPLICATED
from manybody.sr import Forced, Gradient, Preconditioner, Problem
from manybody.state import VariationalState

S = TypeVar("S")
"""What a run returns."""


@dataclass
class Progress:
    """All that a step needs and changes; the contents of a checkpoint."""

    params: PyTree
    constants: PyTree
    chains: PyTree
    optimizer: PyTree
    preconditioner: PyTree
    step: Int[Array, ""]

    if TYPE_CHECKING:

        def replace(self, **changes: Any) -> Self: ...


class Descent(Driver[S]):
    """Makes steps of one jitted function (progress, operator) -> (progress, record), on all workers.

    A driver of its own says how that function is made and how large its buffer for connections must be at first.

    Args:
        state: sampler, network and workers.
        operator: whose local values the step evaluates; or a tree with it, and what else a step is given.
        params: what is optimised.
        chains: state of the sampler.
        optimizer: makes updates from directions.
        preconditioner: makes directions from local values; None for the plain force.

    Raises:
        TypeError: if the optimizer is none of optax's kind, or the preconditioner none.

    Attributes:
        quantity: what is minimised, as records name it.
        n_traces: how often the step was traced (once, and once more whenever the buffer for connections grew).
        n_regrowths: how often that buffer grew.
    """

    quantity = "energy"

    def __init__(
        self,
        state: VariationalState,
        operator: PyTree,
        params: PyTree,
        chains: PyTree,
        optimizer: optax.GradientTransformation,
        preconditioner: Preconditioner | None,
    ) -> None:
        _check_optimizer(optimizer)
        _check_preconditioner(preconditioner)
        self.optimizer = optimizer
        self.preconditioner = Gradient() if preconditioner is None else preconditioner
        self.n_traces = 0
        self.n_regrowths = 0
        self._operator = state.comm.replicate(operator)
        self._compiled: dict[int, Callable] = {}  # by the number of steps that a call may make
        start = (optimizer.init(params), self.preconditioner.init(params), jnp.int32(0))
        super().__init__(state, Progress(params, state.constants, chains, *state.comm.replicate(start)))

    # --- what a driver of its own provides ---------------------------------------------------------------------------

    @abc.abstractmethod
    def _first_count(self) -> int:
        """About how many connections the samples of a worker will have."""

    @abc.abstractmethod
    def _make_step(self, n_buffer: int) -> Callable:
        """The step (progress, operand) -> (progress, record) of a worker, with a buffer for connections of this size.

        Its record has the number of connections in "n_connections", and in "finite" whether all went well.
        """

    # --- steps -------------------------------------------------------------------------------------------------------

    def advance(self) -> Record:
        return self._advance_by(1, 1)[0]

    def _advance_by(self, n: int, most: int) -> list[Record]:
        if not self._compiled:
            self._use_buffer(self.n_buffer or self._buffer_for(self._first_count()))
        progress, records, last = self._call(n, most)
        while not records:
            self._mend(last)
            progress, records, last = self._call(n, most)
        first = self.step + 1
        self._progress = progress
        return [self._record(first + i, record) for i, record in enumerate(records)]

    def _call(self, n: int, most: int) -> tuple[Progress, list[Record], Record]:
        """Up to `n` steps: where they lead, the records of those that count, and the last one, which may not."""
        run = self._compiled.get(most) or self._compile(most)
        if most == 1:
            progress, record = run(self._progress, self._operator)
            record = unpack(record)
            return progress, [record] if _counts(self.n_buffer, record) else [], record
        progress, stacked, made = run(self._progress, self._operator, np.int32(n))
        leaves, structure = jax.tree.flatten(unpack(stacked))
        made = int(made)
        rows = zip(*(leaf[: min(made + 1, n)] for leaf in leaves), strict=True)
        records = [jax.tree.unflatten(structure, row) for row in rows]
        return progress, records[:made], records[-1]

    def _mend(self, record: Record) -> None:
        """Make room for the connections of a step that had too little, or say that it led nowhere."""
        if int(record["n_connections"]) <= self.n_buffer:
            raise NotFinite(
                f"{self.quantity.capitalize()} or parameters are not finite after step {self.step + 1} "
                f"({self.quantity} {record[self.quantity]}); the state before it is kept. A smaller learning rate or a "
                "larger diag_shift may help."
            )
        self._use_buffer(self._buffer_for(int(record["n_connections"])))
        self.n_regrowths += 1

    def restore(self, progress: Progress, n_buffer: int = 0) -> None:
        super().restore(progress, n_buffer)
        self._compiled = {}

    # --- parts of a step ---------------------------------------------------------------------------------------------

    def _buffer_for(self, n_rows: int) -> int:
        """Size of a buffer that holds `n_rows` connections and some more."""
        return buffer_size(n_rows, self._state.n_local, self._n_connections)

    @property
    def _n_connections(self) -> int:
        """Connections of a sample, those not in use included."""
        return self._operator.n_connections

    def _use_buffer(self, n_buffer: int) -> None:
        """Make steps with a buffer of this size from now on."""
        self.n_buffer = n_buffer
        self._compiled = {}

    def _compile(self, most: int) -> Callable:
        """A program that makes a step, or up to `most` of them (see `fused`)."""
        make, layout = self._make_step(self.n_buffer), (self._spec(), self._operand_spec)

        def one(old: Progress, operand: PyTree) -> tuple[Progress, Packed, Bool[Array, ""]]:
            new, record = make(old, operand)
            return new, pack(record), _counts(self.n_buffer, record)

        several = most > 1
        made = fused(one, most) if several else lambda *arguments: one(*arguments)[:2]

        def step(*arguments: PyTree) -> PyTree:
            self.n_traces += 1  # runs when traced, not when executed
            return made(*arguments)

        number = (REPLICATED,) * several  # how many are wanted, and how many were made
        layouts = (*layout, *number), (layout[0], REPLICATED, *number)
        program = self.comm.spmd(step, *layouts, compiler_options=often())
        self._compiled[most] = ahead(program, self._progress, self._operator, *(np.int32(most),) * several)
        return self._compiled[most]

    @property
    def _operand_spec(self) -> PyTree:
        """How the operator, and what else a step is given, is laid out over workers."""
        return REPLICATED

    def _updated(
        self, old: Progress, chains: PyTree, problem: Problem | Forced, record: Record
    ) -> tuple[Progress, Record]:
        """The end of a step: from local values to new parameters, and to what is worth logging."""
        direction, own, report = self.preconditioner.update(problem, old.preconditioner)
        with foreign_code():
            updates, optimizer = self.optimizer.update(direction, old.optimizer, old.params)
            params = optax.apply_updates(old.params, updates)
        more = {"update_norm": optax.tree.norm(updates), "finite": all_finite((params, problem.mean))}
        return Progress(params, old.constants, chains, optimizer, own, old.step + 1), {**record, **report, **more}

    def _layout(self, chains: PyTree) -> Progress:
        """That of progress whose chains are laid out so."""
        return layout(Progress, REPLICATED, REPLICATED, chains, REPLICATED, REPLICATED, REPLICATED)


def _check_preconditioner(preconditioner: object) -> None:
    """Raise `TypeError` unless it has what `Preconditioner` asks for, or is None."""
    good = isinstance(preconditioner, Preconditioner) and not isinstance(preconditioner, type)
    if preconditioner is not None and not good:
        must, cure = "be a Preconditioner or None", "For instance manybody.sr.SR(diag_shift=1e-3)."
        raise TypeError(_checks.requirement("preconditioner", must, repr(preconditioner), cure))


def _check_optimizer(optimizer: object) -> None:
    """Raise `TypeError` unless it has the two functions of optax's optimizers."""
    if not all(callable(getattr(optimizer, name, None)) for name in ("init", "update")):
        cure = "For instance optax.sgd(0.1)."
        raise TypeError(_checks.requirement("optimizer", "be an optax optimizer", f"{optimizer!r:.80}", cure))


def _counts(n_buffer: int, record: Record) -> Any:
    """Whether a step with this record counts: its connections had room, and all is finite."""
    return (record["n_connections"] <= n_buffer) & record["finite"]
