# SPDX-License-Identifier: Apache-2.0
"""Observables that drivers record on the way."""

from __future__ import annotations

from collections.abc import Mapping

from manybody import _checks
from manybody.hilbert import DiscreteSpace, Doubled
from manybody.operator import Operator
from manybody.sampler import Sampler
from manybody.state import VariationalState
from manybody.stats import Estimate


class Measured:
    """Expectation values by name: <O>, from the samples of the state, or Tr(rho O) / Tr(rho) in a density matrix.

    The latter are those of operators on the space of one copy. They are found from fresh chains, whose randomness is
    that of the step: a run that is taken up measures what it would have measured.

    Args:
        state: what is measured, at other parameters.
        operators: by name.
        diagonal: sampler of one copy, for operators on its space (`VariationalState.diagonal`).
        n_diagonal: number of its samples.

    Raises:
        TypeError: if `operators` is no mapping from names to operators, or `diagonal` no sampler of one copy.
        ValueError: if an operator acts on neither space, on that of one copy without a sampler of it, or the samples do
            not fit.
    """

    def __init__(
        self,
        state: VariationalState,
        operators: Mapping[str, Operator] | None,
        diagonal: Sampler | None,
        n_diagonal: int | None,
    ) -> None:
        operators = {} if operators is None else operators
        _checks.require_type(operators, Mapping, "observables", 'Give names: {"name": operator}.')
        self.operators = dict(operators)
        self._diagonal, self._n_diagonal = diagonal, n_diagonal
        spaces: list[DiscreteSpace] = [state.space]
        if diagonal is not None:
            state.diagonal(diagonal, n_diagonal)  # raises an error now if that cannot be done
            spaces.append(diagonal.space)
        else:
            _checks.require(n_diagonal is None, "n_diagonal", "be None without `diagonal`", n_diagonal)
        must = f"act on {' or '.join(map(str, spaces))}"
        for name, operator in self.operators.items():
            _checks.require_type(operator, Operator, f"observables[{name!r}]")
            of_copy = isinstance(state.space, Doubled) and operator.space == state.space.space
            cure = "Give `diagonal`, a sampler of one copy." if of_copy else ""
            _checks.require(operator.space in spaces, f"observables[{name!r}]", must, operator, cure)

    def __call__(self, state: VariationalState, step: int) -> dict[str, Estimate]:
        """What is found in a state with samples."""
        on_pairs = {name: operator.space == state.space for name, operator in self.operators.items()}
        copy = state
        if self._diagonal is not None and not all(on_pairs.values()):
            copy = state.diagonal(self._diagonal, self._n_diagonal, seed=step).sample()
        return {name: (state if on_pairs[name] else copy).expect(x) for name, x in self.operators.items()}
