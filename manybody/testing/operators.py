# SPDX-License-Identifier: Apache-2.0
"""The laws of operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from manybody._types import Array
from manybody.hilbert import DiscreteSpace
from manybody.operator import CompiledOperator, DiscreteOperator, Operator

_BLOCK = 64
"""Configurations that are evaluated at a time, so that each operator is compiled once."""
_LARGEST_DENSE = 2**11
_TOLERANCE = 1e-12
"""Relative to the largest matrix element."""


class Rows(NamedTuple):
    """Some rows of an operator, by way of its connections.

    Attributes:
        sigma: configurations (samples, sites).
        diagonal: <sigma|O|sigma> (samples,).
        sites: sites that the connections change (samples, conn, changed).
        values: the values that they get (samples, conn, changed).
        elements: <sigma|O|sigma'> (samples, conn).
    """

    sigma: np.ndarray
    diagonal: np.ndarray
    sites: np.ndarray
    values: np.ndarray
    elements: np.ndarray

    @property
    def targets(self) -> np.ndarray:
        """sigma' (samples, conn, sites); only those with non-zero elements mean anything."""
        targets = np.repeat(self.sigma[:, None], self.sites.shape[1], axis=1)
        np.put_along_axis(targets, self.sites.astype(np.int64), self.values, axis=-1)
        return targets


Evaluate = Callable[[CompiledOperator, Array], tuple[Array, ...]]


def check_operator(operator: Operator, n_samples: int = _BLOCK, seed: int = 0) -> None:
    """Hold an operator to all laws that samplers, estimators and exact methods rely on.

    * Inside jit, connections change distinct sites of the space, and where their element is not zero they lead to
      configurations of the space other than sigma and, unless the compiled operator says that they may repeat, other
      than one another.
    * The properties that the operator claims hold.
    * A `DiscreteOperator` equals, and hashes like, a copy; other values of its couplings keep its structure, so that
      nothing compiles again; and the adjoint is the adjoint.
    * On spaces that are small enough, `to_dense` is what connections and diagonal say.

    Args:
        operator: the operator.
        n_samples: number of random configurations to look at; all of them are where there are no more.
        seed: of the random configurations.

    Raises:
        AssertionError: if a law is broken; the message says which.

    Example:
        >>> import manybody as mb
        >>> space = mb.hilbert.Spin(4)
        >>> check_operator(mb.operator.spin.sx(space, 0) @ mb.operator.spin.sz(space, 1))
    """
    space = operator.space
    few = space.is_indexable and space.n_states <= max(n_samples, _LARGEST_DENSE)
    sigma = space.all_states() if few else np.asarray(space.random_state(jax.random.key(seed), n_samples))
    traces: list[None] = []

    @jax.jit
    def evaluate(compiled: CompiledOperator, sigma: Array) -> tuple[Array, ...]:
        traces.append(None)
        return (compiled.diagonal(sigma), *compiled.connections(sigma))

    rows = _rows(evaluate, operator, sigma)
    _check_connections(operator, rows)
    _check_properties(evaluate, operator, rows)
    if isinstance(operator, DiscreteOperator):
        _check_value_semantics(operator)
        scaled = _rows(evaluate, operator.replace(couplings=2.0 * operator.couplings), sigma)
        linear = np.allclose(2 * rows.elements, scaled.elements) and np.allclose(2 * rows.diagonal, scaled.diagonal)
        _require(linear, "elements must be linear in the couplings")
        _require(len(traces) == 1, "other values of the couplings must not be traced again")
        _check_adjoint(evaluate, operator, rows)
    if few:
        matrix = _matrix(space, rows)
        _require(_close(operator.to_dense(), matrix, matrix), "to_dense must agree with the connections")


def _require(condition: bool, law: str) -> None:
    """Raise, as `assert` does, where Python is told to leave assertions out, too."""
    if not condition:
        raise AssertionError(law)


def _close(one: np.ndarray, other: np.ndarray, scale: np.ndarray) -> bool:
    return bool(np.allclose(one, other, rtol=0, atol=_TOLERANCE * np.max(np.abs(scale), initial=0.0)))


def _rows(evaluate: Evaluate, operator: Operator, sigma: np.ndarray) -> Rows:
    """Rows that start from `sigma`, in blocks of one size."""
    compiled, n = operator.compile(), len(sigma)
    padded = np.concatenate([sigma, np.repeat(sigma[:1], -n % _BLOCK, axis=0)])
    blocks = [evaluate(compiled, jnp.asarray(block)) for block in padded.reshape(-1, _BLOCK, sigma.shape[1])]
    return Rows(sigma, *(np.concatenate(parts)[:n] for parts in zip(*blocks, strict=True)))


def _matrix(space: DiscreteSpace, rows: Rows) -> np.ndarray:
    """The dense matrix whose rows these are, all of them."""
    matrix = np.diag(rows.diagonal).astype(np.promote_types(rows.diagonal.dtype, rows.elements.dtype))
    sample, conn = np.nonzero(rows.elements)
    np.add.at(matrix, (sample, space.states_to_index(rows.targets[sample, conn])), rows.elements[sample, conn])
    return matrix


def _check_connections(operator: Operator, rows: Rows) -> None:
    space, (n_samples, n_conn) = operator.space, rows.elements.shape
    shape = (n_samples, n_conn, rows.sites.shape[-1])
    _require(rows.sites.shape == rows.values.shape == shape, "sites and values must fit the elements")
    _require(rows.sites.dtype == np.int32 and rows.values.dtype == np.int8, "sites must be int32 and values int8")
    _require(bool(np.all((rows.sites >= 0) & (rows.sites < space.size))), "sites must lie in the space")
    ordered = np.sort(rows.sites, axis=-1)
    _require(bool(np.all(ordered[..., 1:] != ordered[..., :-1])), "the sites of a connection must be distinct")
    _require(n_conn <= operator.max_connections, "max_connections must bound the number of connections")
    may_repeat = operator.compile().may_repeat
    finite = np.all(np.isfinite(rows.diagonal)) and np.all(np.isfinite(rows.elements))
    _require(bool(finite), "elements must be finite")
    for start, targets, elements in zip(rows.sigma, rows.targets, rows.elements, strict=True):
        reached = targets[elements != 0]
        _require(bool(np.all(space.contains(reached))), "connections must lead to configurations of the space")
        different = len(np.unique(np.concatenate([start[None], reached]), axis=0))
        distinct = not np.all(reached == start, axis=-1).any() if may_repeat else different == len(reached) + 1
        _require(distinct, "connections must differ from sigma and from one another")


def _check_properties(evaluate: Evaluate, operator: Operator, rows: Rows) -> None:
    if operator.is_hermitian:
        _require(_is_adjoint(evaluate, operator, rows), "is_hermitian must be true")
    if isinstance(operator, DiscreteOperator):
        if operator.is_real:
            _require(not np.any(rows.elements.imag) and not np.any(rows.diagonal.imag), "is_real must be true")
        if operator.is_diagonal:
            _require(not np.any(rows.elements), "is_diagonal must be true")


def _is_adjoint(evaluate: Evaluate, other: Operator, rows: Rows, most: int = 256) -> bool:
    """Whether <sigma|O|sigma'> = <sigma'|other|sigma>* for (at most so many) connections of some rows of O."""
    diagonal = _rows(evaluate, other, rows.sigma).diagonal
    if not _close(rows.diagonal, diagonal.conj(), rows.diagonal):
        return False
    sample, conn = (index[:: max(1, len(index) // most)] for index in np.nonzero(rows.elements))
    if len(sample) == 0:
        return True
    back = _rows(evaluate, other, rows.targets[sample, conn])
    returns = np.all(back.targets == rows.sigma[sample][:, None], axis=-1) & (back.elements != 0)
    element = np.where(returns, back.elements, 0).sum(axis=-1)
    alike = np.all(rows.targets[sample] == rows.targets[sample, conn][:, None], axis=-1)  # more than one may lead there
    there = np.where(alike, rows.elements[sample], 0).sum(axis=-1)
    return _close(there, element.conj(), rows.elements)


def _check_adjoint(evaluate: Evaluate, operator: DiscreteOperator, rows: Rows) -> None:
    adjoint = operator.adjoint()
    _require(_is_adjoint(evaluate, adjoint, rows), "<sigma|O|sigma'> must be the conjugate of <sigma'|adjoint|sigma>")
    _require(adjoint.is_hermitian == operator.is_hermitian, "the adjoint must be Hermitian if the operator is")


def _check_value_semantics(operator: DiscreteOperator) -> None:
    """Equality, hash, and couplings that change nothing but values."""
    leaves, structure = jax.tree.flatten(operator)
    copy = jax.tree.unflatten(structure, [np.array(leaf) for leaf in leaves])
    _require(copy == operator and hash(copy) == hash(operator), "an operator must equal, and hash like, a copy")
    scaled = operator.replace(couplings=2.0 * operator.couplings)
    is_zero = not np.any(np.asarray(operator.couplings))
    _require((scaled == operator) == is_zero, "operators with other couplings must differ")
    for one, other in ((operator, scaled), (operator.compile(), scaled.compile())):
        structures: list[Any] = [jax.tree.structure(one), jax.tree.structure(other)]
        same = structures[0] == structures[1]
        _require(same, "other values of the couplings must keep the structure")
