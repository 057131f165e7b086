# SPDX-License-Identifier: Apache-2.0
"""What every operator is."""

from __future__ import annotations

import abc

import jax
import numpy as np
import scipy

from manybody import _checks
from manybody._types import Array, Inexact, Int8
from manybody.hilbert import DiscreteSpace
from manybody.hilbert.arrays import AnyArray, as_integers
from manybody.operator import conversion
from manybody.operator.compiled import CompiledOperator, Connections

_diagonal = jax.jit(lambda compiled, sigma: compiled.diagonal(sigma))
_connections = jax.jit(lambda compiled, sigma: compiled.connections(sigma))


class Operator(abc.ABC):
    """An operator on the discrete space `space`; immutable.

    A new operator states its space and properties and compiles itself; everything else follows. Sums, products and
    other algebra are for `DiscreteOperator`, whose terms are known.
    """

    space: DiscreteSpace

    @property
    @abc.abstractmethod
    def is_hermitian(self) -> bool:
        """Whether the operator is known to equal its adjoint (for all real values of its couplings)."""

    @abc.abstractmethod
    def compile(self) -> CompiledOperator:
        """The form that samplers and estimators use; a pytree whose structure does not depend on the couplings."""

    @property
    def max_connections(self) -> int:
        """Bound on the number of configurations that one configuration is connected to (itself not counted)."""
        return self.compile().n_connections

    def diagonal(self, sigma: Int8[Array, "samples sites"]) -> Inexact[Array, "samples"]:
        """Matrix elements <sigma|O|sigma>.

        Raises:
            TypeError: if `sigma` has no integer dtype.
            ValueError: if it has another shape, or holds what is no configuration of the space (seen outside of jit).
        """
        return _diagonal(self.compile(), _configurations(self.space, sigma))

    def connections(self, sigma: Int8[Array, "samples sites"]) -> Connections:
        """Non-diagonal matrix elements <sigma|O|sigma'> and how each sigma' differs from sigma.

        Raises:
            TypeError: if `sigma` has no integer dtype.
            ValueError: if it has another shape, or holds what is no configuration of the space (seen outside of jit).
        """
        return _connections(self.compile(), _configurations(self.space, sigma))

    def to_sparse(self) -> scipy.sparse.csr_array:
        """The matrix (n_states, n_states) in the order of `space.all_states()`.

        Raises:
            ValueError: if the space has too many states to number.
        """
        return conversion.to_sparse(self.space, self.compile())

    def to_dense(self) -> np.ndarray:
        """The dense matrix (n_states, n_states) in the order of `space.all_states()`."""
        return self.to_sparse().toarray()


def _configurations(space: DiscreteSpace, sigma: AnyArray) -> AnyArray:
    """`sigma` if it may be configurations (samples, sites) of the space, and is where its values can be seen."""
    sigma = as_integers(sigma, "sigma")
    good = sigma.ndim == 2 and sigma.shape[1] == space.size
    _checks.require(good, "sigma", f"have shape (samples, {space.size})", sigma.shape)
    if isinstance(sigma, jax.core.Tracer) or (isinstance(sigma, jax.Array) and not sigma.is_fully_addressable):
        return sigma
    rows = np.asarray(sigma)
    legal = space.contains(rows)
    if not legal.all():
        got = np.array2string(rows[np.argmin(legal)])
        raise ValueError(_checks.requirement("sigma", f"hold configurations of {space}", got))
    return sigma
