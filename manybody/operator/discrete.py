# SPDX-License-Identifier: Apache-2.0
"""Operators made of terms: algebra, properties, compilation."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._struct import dataclass, static
from manybody._types import Array, Float
from manybody.hilbert import DiscreteSpace
from manybody.operator import bits, matrices
from manybody.operator.base import Operator
from manybody.operator.compiled import BitOperator, CompiledOperator, TableOperator, compile_bits, compile_matrices

Terms = bits.BitTerms | matrices.MatrixTerms


@dataclass
class DiscreteOperator(Operator):
    """sum over c of couplings[c] * (terms of coupling c).

    Closed under ``+ - * @`` and `adjoint`. Couplings are leaves of the pytree: an operator with other values (from
    `replace`, or made by the same function with other numbers) runs through compiled code without compiling again.
    Properties hold for all real couplings, so they depend on the structure alone. A product needs the values of the
    couplings and has a single one, 1.
    """

    space: DiscreteSpace = static()
    terms: Terms = static()
    couplings: Float[Array, "couplings"]

    if TYPE_CHECKING:

        def replace(self, **changes: Any) -> Self: ...

    __array_ufunc__ = None  # a NumPy number times an operator is an operator's business

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DiscreteOperator):
            return NotImplemented
        same = self.space == other.space and self.terms == other.terms
        return same and np.array_equal(self.couplings, other.couplings)

    def __hash__(self) -> int:
        return hash((self.space, self.terms, np.asarray(self.couplings).tobytes()))

    # --- properties --------------------------------------------------------------------------------------------------

    @property
    def is_hermitian(self) -> bool:
        return _is_hermitian(self.terms)

    @property
    def is_real(self) -> bool:
        """Whether all matrix elements are real."""
        return self.terms.is_real

    @property
    def is_diagonal(self) -> bool:
        """Whether there are no connections."""
        return self.max_connections == 0

    def conserves(self, space: DiscreteSpace) -> bool:
        """Whether the operator is known to map the sectors of `space` (the same sites, constrained) to themselves.

        Raises:
            ValueError: if the sites differ.
        """
        self._check_sites(space)
        return not any(self.terms.leaves_sector(sector) for sector in space.sectors)

    # --- algebra -----------------------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> DiscreteOperator:
        if type(other) is int and other == 0:  # what the built-in `sum` starts from
            return self
        if _is_scalar(other):
            other = identity(self.space) * other
        if not isinstance(other, DiscreteOperator):
            return NotImplemented
        _same_space(self, other)
        terms = self.terms.add(other.terms, shift=self.couplings.shape[0])
        return _make(
            self.space, terms, as_couplings(lambda xp, *parts: xp.concatenate(parts), self.couplings, other.couplings)
        )

    __radd__ = __add__

    def __neg__(self) -> DiscreteOperator:
        return self * -1.0

    def __sub__(self, other: DiscreteOperator | complex) -> DiscreteOperator:
        return self + (-1.0) * other

    def __rsub__(self, other: complex) -> DiscreteOperator:
        return (-self) + other

    def __mul__(self, factor: Any) -> DiscreteOperator:
        if not _is_scalar(factor):
            return NotImplemented
        if not jnp.iscomplexobj(factor):
            return self.replace(
                couplings=as_couplings(lambda _, values, number: values * number, self.couplings, factor)
            )
        if isinstance(factor, jax.core.Tracer):
            raise TypeError(
                _checks.requirement("factor", "be real where it is traced", factor.dtype, "Complex ones must be known.")
            )
        # A complex number changes which properties hold, so it belongs to the terms.
        return _make(self.space, self.terms.scale(complex(factor)), self.couplings)

    __rmul__ = __mul__

    def __truediv__(self, divisor: complex) -> DiscreteOperator:
        return self * (1.0 / divisor)

    def __matmul__(self, other: DiscreteOperator) -> DiscreteOperator:
        if not isinstance(other, DiscreteOperator):
            return NotImplemented
        _same_space(self, other)
        left, right = self.fold(), other.fold()
        return _make(self.space, left.terms.product(right.terms), left.couplings)

    def adjoint(self) -> DiscreteOperator:
        """The Hermitian conjugate."""
        return self.replace(terms=self.terms.adjoint())

    def fold(self) -> DiscreteOperator:
        """The same operator with the values of its couplings made part of its terms.

        Raises:
            TypeError: under a JAX transformation, where the values are not known.
        """
        if isinstance(self.couplings, jax.core.Tracer):
            raise TypeError(
                "A product of operators needs the values of their couplings, which are traced here; "
                "make the product outside of the jitted function."
            )
        terms = self.terms.fold(np.asarray(self.couplings))
        return self.replace(terms=terms, couplings=as_couplings(_same, np.ones(1)))

    def on(self, space: DiscreteSpace) -> DiscreteOperator:
        """The same terms on another space with the same sites, for instance a sector that they conserve.

        Raises:
            ValueError: if the sites differ, or the operator leads out of the sector.
        """
        self._check_sites(space)
        return _make(space, self.terms, self.couplings)

    def _check_sites(self, space: DiscreteSpace) -> None:
        _checks.require_type(space, DiscreteSpace, "space")
        same = space.local_dimensions == self.space.local_dimensions
        _checks.require(same, "space", f"have the same sites as the operator's ({self.space})", space)

    # --- evaluation --------------------------------------------------------------------------------------------------

    def compile(self) -> CompiledOperator:
        compiled = _compile(self.space, self.terms)
        needed, given = compiled.couplings.shape[0], self.couplings
        real = given.ndim == 1 and len(given) >= needed and not jnp.iscomplexobj(given)
        _checks.require(real, "couplings", f"be {needed} real numbers", f"{given.dtype} of shape {given.shape}")
        return compiled.replace(couplings=given)


def make_operator(space: DiscreteSpace, local_terms: Callable[[Any, Any], Terms], couplings: Any) -> DiscreteOperator:
    """Operator from a function that makes terms in the representation that fits the space.

    Args:
        space: the space.
        local_terms: called with (module, first argument): either (`bits`, n_sites) or (`matrices`, local dimensions).
        couplings: real (n_couplings,).

    Raises:
        ValueError: if the operator leads out of the sector of `space`, or a coupling is complex.
    """
    two_level = all(d == 2 for d in space.local_dimensions)
    module, first = (bits, space.size) if two_level else (matrices, space.local_dimensions)
    cure = "Make complex numbers part of the matrices."
    _checks.require(not jnp.iscomplexobj(couplings), "couplings", "be real", "complex ones", cure)
    return _make(space, local_terms(module, first), as_couplings(_same, couplings))


def identity(space: DiscreteSpace) -> DiscreteOperator:
    """The identity."""

    def terms(module: Any, first: Any) -> Terms:
        return module.from_matrix(first, (), np.ones((1, 1)))

    return make_operator(space, terms, np.ones(1))


def _make(space: DiscreteSpace, terms: Terms, couplings: Array) -> DiscreteOperator:
    """An operator, checked to stay in the sector and with as many known properties as its values allow.

    Two terms with couplings of their own may have a property only together (XX + YY conserves S^z). Then the values
    are folded into the terms.
    """
    operator = DiscreteOperator(space, terms, couplings)
    folded = operator.fold() if couplings.shape[0] > 1 and not isinstance(couplings, jax.core.Tracer) else operator
    if not operator.conserves(space):
        if not folded.conserves(space):
            raise ValueError(
                _checks.requirement(
                    "operator",
                    f"stay within the sector of {space}",
                    "terms that lead out of it",
                    "Build it on the unconstrained space.",
                )
            )
        return folded
    if not operator.is_hermitian and folded.is_hermitian:
        return folded
    return operator


@functools.lru_cache(maxsize=256)
def _is_hermitian(terms: Terms) -> bool:
    return terms.is_hermitian()


@functools.lru_cache(maxsize=64)
def _compile(space: DiscreteSpace, terms: Terms) -> BitOperator | TableOperator:
    tables = compile_bits(space, terms) if isinstance(terms, bits.BitTerms) else compile_matrices(space, terms)
    with jax.ensure_compile_time_eval():  # also inside jit
        return jax.device_put(tables)


def _same_space(left: DiscreteOperator, right: DiscreteOperator) -> None:
    _checks.require(left.space == right.space, "operator", f"act on {left.space} like the other one", right.space)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, numbers.Number) or (
        isinstance(value, (np.ndarray, np.generic, jax.Array)) and value.ndim == 0
    )


def as_couplings(function: Callable[..., Any], *values: Any) -> Array:
    """Couplings computed from others: function(NumPy or jax.numpy, *values), in double precision.

    NumPy computes what is not traced: JAX would compile for every number of couplings, and trace constants inside jit.
    """
    dtype = jax.dtypes.canonicalize_dtype(np.float64)
    if any(isinstance(value, jax.core.Tracer) for value in values):
        return function(jnp, *(jnp.asarray(value).astype(dtype) for value in values))
    with jax.ensure_compile_time_eval():
        return jax.device_put(function(np, *(np.asarray(value, dtype) for value in values)))


def _same(_: Any, values: Any) -> Any:
    return values
