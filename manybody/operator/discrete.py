# SPDX-License-Identifier: Apache-2.0
"""Operators made of terms: algebra, properties, compilation."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._struct import dataclass, static
from manybody._types import Array, Float
from manybody.hilbert import DiscreteSpace, SumSector
from manybody.operator import bits, matrices
from manybody.operator.base import Operator
from manybody.operator.compiled import CompiledOperator, ProjectedOperator, connected_are_legal
from manybody.operator.compiled_bits import BitOperator, compile_bits
from manybody.operator.compiled_matrices import TableOperator, compile_matrices
from manybody.operator.compiled_permuted import PermutedOperator, compile_permuted
from manybody.operator.permuted import PermutedTerms, lifted, plain

Terms = bits.BitTerms | matrices.MatrixTerms | PermutedTerms
_SEEN, _BLOCK = 2**14, 2**18
"""Configurations, and connections at a time, by which an operator on a constrained space is judged."""


@dataclass
class DiscreteOperator(Operator):
    """sum over c of couplings[c] * (terms of coupling c).

    Closed under ``+ - * @`` and `adjoint`. Couplings are leaves of the pytree: an operator with other values (from
    `replace`, or made by the same function with other numbers) runs through compiled code without compiling again.
    Properties hold for all real couplings, so they depend on the structure alone. A product needs the values of the
    couplings and has a single one, 1.

    On a space with constraints beyond sums of levels, `is_projected` says that what leads out of it is left out, i.e.
    that the operator is P (terms) P; without it, the terms have been seen not to lead out.
    """

    space: DiscreteSpace = static()
    terms: Terms = static()
    couplings: Float[Array, "couplings"]
    is_projected: bool = static(default=False)

    if TYPE_CHECKING:

        def replace(self, **changes: Any) -> Self: ...

    __array_ufunc__ = None  # a NumPy number times an operator is an operator's business

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DiscreteOperator):
            return NotImplemented
        same = (self.space, self.terms, self.is_projected) == (other.space, other.terms, other.is_projected)
        return same and np.array_equal(self.couplings, other.couplings)

    def __hash__(self) -> int:
        return hash((self.space, self.terms, np.asarray(self.couplings).tobytes(), self.is_projected))

    # --- properties --------------------------------------------------------------------------------------------------

    @property
    def is_hermitian(self) -> bool:
        return _is_hermitian(self.terms)

    @property
    def is_real(self) -> bool:
        """Whether all matrix elements are known to be real, from the terms as they are written."""
        return self.terms.is_real

    @property
    def is_diagonal(self) -> bool:
        """Whether there are known to be no connections."""
        return self.max_connections == 0

    @property
    def conserved(self) -> frozenset[str]:
        """Which numbers of the space (see `DiscreteSpace.numbers`) the operator is known to conserve, at any value."""
        fixed = {sector.sites for sector in self.space.sectors}
        dimensions = self.space.local_dimensions

        def keeps(sites: tuple[int, ...]) -> bool:
            top = sum(dimensions[site] - 1 for site in sites)
            return not any(self.terms.leaves_sector(SumSector(sites, total)) for total in range(top + 1))

        return frozenset(n for n, sites in self.space.numbers.items() if sites in fixed or keeps(sites))

    def conserves(self, space: DiscreteSpace) -> bool:
        """Whether the operator is known to map the sectors of `space` (the same sites, constrained) to themselves.

        Raises:
            ValueError: if the sites differ.
        """
        self._check_sites(space)
        return not leaves_sectors(self.terms, space.sectors)

    # --- algebra -----------------------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> DiscreteOperator:
        if type(other) is int and other == 0:  # what the built-in `sum` starts from
            return self
        if _is_scalar(other):
            other = identity(self.space) * other
        if not isinstance(other, DiscreteOperator):
            return NotImplemented
        _same_space(self, other)
        mine, theirs = _alike(self.space, self.terms, other.terms)
        terms = mine.add(theirs, shift=self.couplings.shape[0])
        couplings = as_couplings(lambda xp, *parts: xp.concatenate(parts), self.couplings, other.couplings)
        return _make(self.space, terms, couplings, project=self.is_projected or other.is_projected)

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
        return _make(self.space, self.terms.scale(complex(factor)), self.couplings, project=self.is_projected)

    __rmul__ = __mul__

    def __truediv__(self, divisor: complex) -> DiscreteOperator:
        return self * (1.0 / divisor)

    def __matmul__(self, other: DiscreteOperator) -> DiscreteOperator:
        if not isinstance(other, DiscreteOperator):
            return NotImplemented
        _same_space(self, other)
        cure = "Multiply on the unconstrained space, and project the product."
        _checks.require(not (self.is_projected or other.is_projected), "operator", "not be projected", self.space, cure)
        left, right = self.fold(), other.fold()
        first, second = _alike(self.space, left.terms, right.terms)
        return _make(self.space, first.product(second), left.couplings)

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

    def on(self, space: DiscreteSpace, *, project: bool = False) -> DiscreteOperator:
        """The same terms on another space with the same sites, for instance a sector that they conserve.

        Args:
            space: the space.
            project: leave out what leads out of it, i.e. take P (this) P.

        Raises:
            ValueError: if the sites differ, or the operator leads out of the space and is not projected.
        """
        self._check_sites(space)
        return _make(space, self.terms, self.couplings, project=project)

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
        compiled = compiled.with_couplings(given)
        return ProjectedOperator(compiled, self.space) if self.is_projected else compiled


def make_operator(
    space: DiscreteSpace, local_terms: Callable[[Any, Any], Terms], couplings: Any, *, project: bool = False
) -> DiscreteOperator:
    """Operator from a function that makes terms in the representation that fits the space.

    Args:
        space: the space.
        local_terms: called with (module, first argument): either (`bits`, n_sites) or (`matrices`, local dimensions).
        couplings: real (n_couplings,).
        project: leave out what leads out of `space`.

    Raises:
        ValueError: if the operator leads out of `space` and is not projected, or a coupling is complex.
    """
    two_level = all(d == 2 for d in space.local_dimensions)
    module, first = (bits, space.size) if two_level else (matrices, space.local_dimensions)
    cure = "Make complex numbers part of the matrices."
    _checks.require(not jnp.iscomplexobj(couplings), "couplings", "be real", "complex ones", cure)
    return _make(space, local_terms(module, first), as_couplings(_same, couplings), project=project)


def from_rows(space: DiscreteSpace, rows: bits.BitTerms, couplings: Any, *, project: bool = False) -> DiscreteOperator:
    """Operator from rows of masks.

    Raises:
        ValueError: if a site has more than two levels, or the operator leads out of the sector of `space`.
    """
    two_level = all(d == 2 for d in space.local_dimensions)
    _checks.require(two_level, "space", "have two levels on each site", space)
    return _make(space, rows, as_couplings(_same, couplings), project=project)


def from_terms(space: DiscreteSpace, terms: Terms, couplings: Any) -> DiscreteOperator:
    """Operator from terms in the representation of the space, checked like any other."""
    return _make(space, terms, as_couplings(_same, couplings))


def identity(space: DiscreteSpace) -> DiscreteOperator:
    """The identity."""

    def terms(module: Any, first: Any) -> Terms:
        return module.from_matrix(first, (), np.ones((1, 1)))

    return make_operator(space, terms, np.ones(1))


def _make(space: DiscreteSpace, terms: Terms, couplings: Array, *, project: bool = False) -> DiscreteOperator:
    """An operator, checked to stay in the space or projected, and with as many known properties as its values allow.

    Two terms with couplings of their own may have a property only together (XX + YY conserves S^z). Then the values
    are folded into the terms.
    """
    terms = plain(terms)
    if project and space.sectors:
        terms = terms.within(space.sectors)
    if not space.has_only_sectors and not project and leads_out(space, terms):
        raise ValueError(_leaves(space))
    operator = DiscreteOperator(space, terms, couplings, project and not space.has_only_sectors)
    folded = operator.fold() if couplings.shape[0] > 1 and not isinstance(couplings, jax.core.Tracer) else operator
    if not operator.conserves(space):
        if not folded.conserves(space):
            raise ValueError(_leaves(space))
        return folded
    if not operator.is_hermitian and folded.is_hermitian:
        return folded
    return operator


@functools.lru_cache(maxsize=256)
def _is_hermitian(terms: Terms) -> bool:
    return terms.is_hermitian()


def leaves_sectors(terms: Terms, sectors: Sequence[SumSector]) -> bool:
    """Whether terms are not known to keep the sums of all these sectors."""
    if isinstance(terms, PermutedTerms):
        return terms.leaves(sectors)
    return any(terms.leaves_sector(sector) for sector in sectors)


def _alike(space: DiscreteSpace, first: Terms, second: Terms) -> tuple[Any, Any]:
    """The terms of two operators in one representation."""
    if isinstance(first, PermutedTerms) or isinstance(second, PermutedTerms):
        return lifted(first, space.fermions), lifted(second, space.fermions)
    return first, second


def _leaves(space: DiscreteSpace) -> str:
    cure = "Build it on the unconstrained space, or project it."
    return _checks.requirement("operator", f"stay within the sector of {space}", "terms that lead out of it", cure)


@functools.lru_cache(maxsize=64)
def _compile(space: DiscreteSpace, terms: Terms) -> BitOperator | TableOperator | PermutedOperator:
    tables: BitOperator | TableOperator | PermutedOperator
    if isinstance(terms, PermutedTerms):
        tables = compile_permuted(space, terms)
    elif isinstance(terms, bits.BitTerms):
        tables, _ = compile_bits(space, [terms])
    else:
        tables, _ = compile_matrices(space, [terms])
    with jax.ensure_compile_time_eval():  # also inside jit
        return jax.device_put(tables)


@functools.lru_cache(maxsize=256)
def leads_out(space: DiscreteSpace, terms: Terms) -> bool:
    """Whether some connection of a legal configuration is not legal.

    Seen from all configurations of a small space, and from a few thousand random ones of a large one.
    """
    compiled = _compile(space, terms)
    n_rows = min(_SEEN, max(1, _BLOCK // (compiled.n_connections + 1)))
    if space.is_indexable and space.n_states <= _SEEN:
        states = space.all_states()
    else:
        with jax.ensure_compile_time_eval():
            states = np.asarray(space.random_state(jax.random.key(0), n_rows))
    blocks = [states[start : start + n_rows] for start in range(0, len(states), n_rows)]
    with jax.ensure_compile_time_eval():
        return any(bool(_some_leave(space, compiled, jnp.asarray(block))) for block in blocks)


@functools.partial(jax.jit, static_argnums=0)
def _some_leave(space: DiscreteSpace, compiled: CompiledOperator, sigma: Array) -> Array:
    elements = compiled.elements(sigma)
    scale = 1e-12 * jnp.max(jnp.abs(elements), initial=0.0)
    return jnp.any((jnp.abs(elements) > scale) & ~connected_are_legal(space, compiled, sigma))


def _same_space(left: DiscreteOperator, right: DiscreteOperator) -> None:
    _checks.require(left.space == right.space, "operator", f"act on {left.space} like the other one", right.space)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, numbers.Number) or (
        isinstance(value, (np.ndarray, np.generic, jax.Array)) and value.ndim == 0
    )


def as_couplings(function: Callable[..., Any], *values: Any) -> Array:
    """Couplings computed from others: function(NumPy or jax.numpy, *values), in double precision.

    NumPy computes what is not traced: JAX would compile for every number of couplings, and trace constants inside jit.

    Raises:
        ValueError: if one that is not traced is nan or infinite.
    """
    dtype = jax.dtypes.canonicalize_dtype(np.float64)
    if any(isinstance(value, jax.core.Tracer) for value in values):
        return function(jnp, *(jnp.asarray(value).astype(dtype) for value in values))
    with jax.ensure_compile_time_eval():
        couplings = function(np, *(np.asarray(value, dtype) for value in values))
        if not np.isfinite(couplings).all():
            raise ValueError(_checks.requirement("couplings", "be finite", f"{couplings.tolist()!r:.80}"))
        return jax.device_put(couplings)


def _same(_: Any, values: Any) -> Any:
    return values
