# SPDX-License-Identifier: Apache-2.0
"""Compiled operators: what one does to a batch of configurations, inside jit.

Couplings enter as an array: other values need no compilation.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import jax.numpy as jnp
import numpy as np

from manybody._struct import dataclass, static
from manybody._types import Array, Inexact, Int, Int8
from manybody.hilbert import DiscreteSpace
from manybody.hilbert.local import levels_of


class Connections(NamedTuple):
    """What an operator does to configurations, the diagonal apart: <sigma| O |sigma'> and how sigma' differs.

    Attributes:
        sites: int32 (..., conn, changed) sites that change; distinct.
        values: int8 (..., conn, changed) their values in sigma'. A connection that changes fewer sites than the widest
            one is filled up with sites that keep their value.
        elements: (..., conn) matrix elements <sigma|O|sigma'>; zero for connections that sigma does not have (their
            sites and values mean nothing then).
    """

    sites: Int[Array, "... conn changed"]
    values: Int8[Array, "... conn changed"]
    elements: Inexact[Array, "... conn"]


class CompiledOperator(abc.ABC):
    """What samplers and estimators see of an operator; a pytree."""

    if TYPE_CHECKING:

        def replace(self, **changes: Any) -> Self: ...

    @property
    @abc.abstractmethod
    def n_connections(self) -> int:
        """Static: number of connections per configuration, the unused ones included."""

    @property
    def may_repeat(self) -> bool:
        """Static: whether two connections of a configuration may lead to the same one; their elements add up."""
        return False

    @property
    def never_vanishes(self) -> bool:
        """Static: whether every configuration has all connections, unless couplings vanish: then none is looked for."""
        return False

    @abc.abstractmethod
    def diagonal(self, sigma: Int8[Array, "samples sites"]) -> Inexact[Array, "samples"]:
        """<sigma|O|sigma>."""

    @abc.abstractmethod
    def elements(self, sigma: Int8[Array, "samples sites"]) -> Inexact[Array, "samples conn"]:
        """<sigma|O|sigma'> of all connections."""

    @abc.abstractmethod
    def change(self, sigma: Int8[Array, "rows sites"], conn: Int[Array, "rows"]) -> tuple[Array, Array]:
        """Sites (rows, changed) and values (rows, changed) of connection number `conn` of each configuration."""

    def changes(self, sigma: Int8[Array, "samples sites"]) -> tuple[Array, Array]:
        """Sites and values (samples, conn, changed) of all connections."""
        n_rows, n_conn = sigma.shape[0], self.n_connections
        conn = jnp.tile(jnp.arange(n_conn, dtype=jnp.int32), n_rows)
        sites, values = self.change(jnp.repeat(sigma, n_conn, axis=0), conn)
        shape = (n_rows, n_conn, sites.shape[-1])
        return sites.reshape(shape), values.reshape(shape)

    def codes(
        self, space: DiscreteSpace, sigma: Int8[Array, "samples sites"], place: np.ndarray
    ) -> Int[Array, "samples conn"]:
        """Mixed-radix numbers, sum(place * level), of all configurations that sigma is connected to.

        Args:
            space: the space of the operator.
            sigma: configurations.
            place: integers (sites,), place values of the digits; 0 for sites that do not count.
        """
        levels, weights = space.to_levels(sigma), jnp.asarray(place)
        sites, values = self.changes(sigma)
        old = jnp.take_along_axis(levels[:, None, :], sites, axis=-1)
        moved = levels_of(space, sites, values) - old
        code = (levels.astype(weights.dtype) * weights[None]).sum(axis=-1, dtype=weights.dtype)
        return code[:, None] + (moved.astype(weights.dtype) * weights[sites]).sum(axis=-1, dtype=weights.dtype)

    def connections(self, sigma: Int8[Array, "samples sites"]) -> Connections:
        """All connections of a batch."""
        return Connections(*self.changes(sigma), self.elements(sigma))


@dataclass
class ProjectedOperator(CompiledOperator):
    """P (inner) P, where P projects on the legal configurations of a space with more than sums of levels to keep."""

    inner: CompiledOperator
    space: DiscreteSpace = static()

    @property
    def n_connections(self) -> int:
        return self.inner.n_connections

    @property
    def may_repeat(self) -> bool:
        return self.inner.may_repeat

    def diagonal(self, sigma: Array) -> Array:
        return self.inner.diagonal(sigma)

    def elements(self, sigma: Array) -> Array:
        elements = self.inner.elements(sigma)
        return jnp.where(connected_are_legal(self.space, self.inner, sigma), elements, jnp.zeros_like(elements))

    def change(self, sigma: Array, conn: Array) -> tuple[Array, Array]:
        return self.inner.change(sigma, conn)

    def changes(self, sigma: Array) -> tuple[Array, Array]:
        return self.inner.changes(sigma)

    def codes(self, space: DiscreteSpace, sigma: Array, place: np.ndarray) -> Array:
        return self.inner.codes(space, sigma, place)


def connected_are_legal(space: DiscreteSpace, compiled: CompiledOperator, sigma: Array) -> Array:
    """Whether the connections (samples, conn) of configurations lead to legal ones."""
    n_rows, n_conn = sigma.shape[0], compiled.n_connections
    if n_conn == 0:
        return jnp.ones((n_rows, 0), bool)
    return jnp.asarray(space.contains(connected(sigma, *compiled.changes(sigma))))


def connected(sigma: Array, sites: Array, values: Array) -> Array:
    """Configurations (samples, conn, sites) in which `sites` (samples, conn, changed) got other values."""
    n_rows, n_conn, width = sites.shape
    parents = jnp.repeat(sigma, n_conn, axis=0)  # (samples * conn, sites)
    rows, columns = jnp.arange(len(parents))[:, None], sites.reshape(-1, width)
    changed = parents.at[rows, columns].set(values.reshape(-1, width), unique_indices=True)
    return changed.reshape(n_rows, n_conn, sigma.shape[1])
