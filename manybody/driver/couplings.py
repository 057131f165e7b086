# SPDX-License-Identifier: Apache-2.0
"""Couplings of the members of a family, and their Hamiltonians as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._struct import dataclass as pytree
from manybody._types import Array, Float, PRNGKey, PyTree
from manybody.ansatz.conditioned import Bound, check_box
from manybody.operator import CompiledOperator, Operator


@dataclass(frozen=True)
class Stratified:
    """Couplings that are drawn anew in every step, and spread evenly over a box: one in each of its cells.

    One number of points divides every coupling into so many intervals. Several couplings then make a Latin hypercube:
    each interval of each of them has one point. Which intervals meet is drawn as well, but point r keeps to interval r
    of the first coupling. As many numbers as couplings divide the box into a grid, each of whose cells keeps its point:
    chains never have far to go from one step to the next.

    Args:
        lower: smallest couplings; a number if there is one coupling, otherwise one number for each.
        upper: largest couplings, in the same form.
        points: number of points; or the numbers of cells along each coupling.

    Raises:
        ValueError: if `lower` and `upper` differ in form or enclose nothing, or `points` does not fit them.

    Example:
        >>> import jax
        >>> from manybody.driver import Stratified
        >>> fields = Stratified(0.5, 1.5, points=4)(jax.random.key(0))
        >>> [bool(0.5 + r / 4 <= h < 0.5 + (r + 1) / 4) for r, h in enumerate(fields)]
        [True, True, True, True]
        >>> Stratified((0.5, 0.0), (1.5, 2.0), points=(4, 3))(jax.random.key(0)).shape
        (12, 2)

    Reference:
        M. D. McKay, R. J. Beckman and W. J. Conover, Technometrics 21, 239 (1979) (Latin hypercubes).
    """

    lower: Bound
    upper: Bound
    points: int | tuple[int, ...]

    def __post_init__(self) -> None:
        lower, upper = check_box(self.lower, self.upper)
        counts = tuple(self.points) if isinstance(self.points, Sequence) else self.points
        for count in np.atleast_1d(np.asarray(counts, object)):
            _checks.integer(count, "points", minimum=1)
        fits = isinstance(counts, int) or np.shape(counts) == np.shape(lower)
        _checks.require(fits, "points", f"be one number, or one for each of `lower` ({lower})", counts)
        for name, value in (("lower", lower), ("upper", upper), ("points", counts)):
            object.__setattr__(self, name, value)

    def __call__(self, key: PRNGKey) -> Float[np.ndarray, "points *couplings"]:
        """The couplings of one step."""
        key_cell, key_place = jax.random.split(key)
        lower, upper = np.atleast_1d(self.lower), np.atleast_1d(self.upper)
        cells = self._cells(key_cell, len(lower))
        places = np.asarray(jax.random.uniform(key_place, cells.shape))  # NumPy rounds in one way on all machines
        drawn = lower + (upper - lower) * (cells + places) / np.asarray(self.points)
        return drawn.reshape(-1, *np.shape(self.lower))

    def _cells(self, key: PRNGKey, n_couplings: int) -> np.ndarray:
        """Numbers (points, couplings) of intervals."""
        if not isinstance(self.points, int):
            return np.indices(self.points).reshape(n_couplings, -1).T
        first = np.arange(self.points)
        others = [jax.random.permutation(k, self.points) for k in jax.random.split(key, n_couplings - 1)]
        return np.stack([first, *map(np.asarray, others)], axis=1)


@pytree
class Members:
    """Couplings and Hamiltonians of the members of a family.

    Attributes:
        couplings: (points, ...).
        operator: the Hamiltonians, as one whose arrays have a leading axis.
    """

    couplings: Float[Array, "points ..."]
    operator: CompiledOperator


def stacked(operators: Sequence[Operator]) -> CompiledOperator:
    """One compiled operator, whose arrays have a leading axis.

    Raises:
        ValueError: if the operators have different terms.
    """
    compiled = [operator.compile() for operator in operators]
    check_alike(compiled)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *compiled)


def check_alike(operators: Sequence[CompiledOperator]) -> None:
    """Raise `ValueError` unless operators differ in their numbers only."""
    is_alike = all(_form(operator) == _form(operators[0]) for operator in operators)
    _checks.require(is_alike, "hamiltonian", "have the same terms for all couplings", "different ones")


def traced(hamiltonian: Callable[[Any], Operator], like: Members) -> Callable[[Array], CompiledOperator] | None:
    """What `stacked` makes, as a jitted function of the couplings; None for Hamiltonians that JAX cannot trace.

    Of `like`, the members at some couplings, it takes all that does not depend on them.
    """
    fixed, structure = jax.tree.flatten(like.operator)

    def changing(point: Array) -> dict[int, Array]:
        leaves = enumerate(jax.tree.leaves(hamiltonian(point).compile()))
        return {number: leaf for number, leaf in leaves if isinstance(leaf, jax.core.Tracer)}

    def operator(couplings: Array) -> CompiledOperator:
        leaves = build(couplings)
        return jax.tree.unflatten(structure, [leaves.get(number, leaf) for number, leaf in enumerate(fixed)])

    build = jax.jit(jax.vmap(changing))
    try:
        found = jax.eval_shape(jax.vmap(lambda point: hamiltonian(point).compile()), jnp.asarray(like.couplings))
    except Exception:  # of any kind: it asked for a number, which it has been given before
        return None
    return operator if _form(found) == _form(like.operator) else None


def _form(tree: PyTree) -> tuple:
    """All of a tree but its numbers."""
    return jax.tree.structure(tree), [(x.shape, x.dtype) for x in jax.tree.leaves(tree)]
