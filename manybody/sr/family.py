# SPDX-License-Identifier: Apache-2.0
"""The tangent map of a family of states whose parameters are sums of the same coefficients.

At couplings r the parameters are theta_r = sum_k phi_rk c_k. A sample of r depends on the coefficients through theta_r
alone, so its row is O (x) phi_r, O = d log psi / d theta at theta_r; and what is minimised is the mean over r of the
distances in the metrics of the members:

    rows sqrt(w_i / R) (O_i - <O>_r) (x) phi_r,     e_i = sqrt(w_i / R) (E_i - <E>_r),

with means taken over the samples of each r. Therefore rows rows^T = (phi_r . phi_s) times that of the O, however many
coefficients there are.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from manybody._types import Array, Float, Inexact, PyTree
from manybody.estimator.expect import LogPsi
from manybody.parallel import Comm
from manybody.sampler import Samples
from manybody.sr.tangent import Tangent, TangentMap, deviations


@dataclass(frozen=True)
class TangentFamily(Tangent):
    """A worker's block of the tangent map of all members, one group of samples for each; lives in one traced step.

    Attributes:
        comm: the workers.
        log_psi: the wave function of a member.
        params: the coefficients c: a tree like the parameters of a member, with a leading axis (features, ...).
        features: phi (groups, features).
        samples: those of all members: `Samples` with a leading axis, weights that add up to one in each group.
        chunk_size: configurations of each member differentiated at a time.
    """

    comm: Comm
    log_psi: LogPsi
    params: PyTree
    features: Float[Array, "groups features"]
    samples: Samples
    chunk_size: int | None

    @property
    def n_parts(self) -> int:
        return self.example.n_parts

    @property
    def n_local(self) -> int:
        return math.prod(self.samples.weight.shape)

    @property
    def example(self) -> TangentMap:
        def first(params: PyTree, samples: Samples) -> tuple[PyTree, Samples]:
            return jax.tree.map(lambda x: x[0], (self._at(params), samples))

        return self._member(*jax.eval_shape(first, self.params, self.samples))

    def each(self, function: Callable[[TangentMap], PyTree]) -> PyTree:
        return jax.tree.map(_merged, self._over_groups(function))

    def residual(self, values: Inexact[Array, "samples"], mean: Inexact[Array, "groups"]) -> Array:
        return self._scaled(self._over_groups(TangentMap.residual, self._grouped(values), mean))

    def apply(self, tangent: PyTree) -> Float[Array, "samples parts"]:
        return self._scaled(self._over_groups(TangentMap.apply, self._at(tangent)))

    def collected(self, function: Callable[..., PyTree], *rows: PyTree) -> PyTree:
        found = self._over_groups(function, *jax.tree.map(self._grouped, rows))  # tree of (groups, ...)
        phi = self.features / math.sqrt(self.n_groups)
        return jax.tree.map(lambda x: jnp.tensordot(phi.T.astype(x.dtype), x, axes=1), found)

    def jacobian(self) -> Float[Array, "samples parts params"]:
        rows = self._over_groups(TangentMap.jacobian)  # (groups, samples, parts, params of a member)
        columns, start = [], 0
        for x in jax.tree.leaves(self.example.params):
            for _ in range(2 if jnp.issubdtype(x.dtype, jnp.complexfloating) else 1):
                block = rows[..., start : start + x.size]
                product = self.features[:, None, None, :, None] * block[:, :, :, None, :]
                columns.append(
                    product.reshape(*rows.shape[:3], -1)
                )  # features run slower than the parameters of a leaf
                start += x.size
        return self._scaled(jnp.concatenate(columns, axis=-1))

    def centered_kernel(self, own: Float[Array, "a u b v"]) -> Float[Array, "a u b v"]:
        n_groups, n_parts, n_workers = self.n_groups, self.n_parts, self.comm.size
        n = self.n_local // n_groups
        blocks = own.reshape(n_groups, n, n_parts, n_workers, n_groups, n, n_parts)
        blocks = jnp.moveaxis(blocks, 4, 1).reshape(n_groups, n_groups, n, n_parts, n_workers * n, n_parts)
        weight = self.samples.weight.reshape(n_groups, n)
        every = self.comm.all_gather(weight.T).T  # (groups, samples of all workers)
        of_pairs = jax.vmap(jax.vmap(functools.partial(deviations, self.comm), (0, None, 0)), (0, 0, None))
        overlaps = (self.features @ self.features.T / n_groups)[:, :, None, None, None, None]
        found = (overlaps * of_pairs(blocks, weight, every)).reshape(n_groups, n_groups, n, n_parts, n_workers, n, -1)
        return jnp.moveaxis(found, 1, 4).reshape(own.shape)

    # --- members -----------------------------------------------------------------------------------------------------

    @property
    def n_groups(self) -> int:
        """Number of members."""
        return len(self.features)

    def _member(self, params: PyTree, samples: Samples) -> TangentMap:
        return TangentMap(self.comm, self.log_psi, params, samples, self.chunk_size)

    def _over_groups(self, function: Callable[..., PyTree], *rows: PyTree) -> PyTree:
        """A function of the tangent map of each member, and of its rows of other arrays."""

        def one(params: PyTree, samples: Samples, *own: Any) -> PyTree:
            return function(self._member(params, samples), *own)

        return jax.vmap(one)(self._at(self.params), self.samples, *rows)

    def _at(self, coefficients: PyTree) -> PyTree:
        """Parameters (groups, ...) of all members."""
        return jax.tree.map(lambda c: jnp.tensordot(self.features.astype(c.dtype), c, axes=1), coefficients)

    def _grouped(self, x: Array) -> Array:
        return x.reshape(self.n_groups, -1, *x.shape[1:])  # (groups, samples, ...)

    def _scaled(self, rows: Array) -> Array:
        return _merged(rows) / math.sqrt(self.n_groups)


def _merged(x: Array) -> Array:
    return x.reshape(-1, *x.shape[2:])  # (groups * samples, ...)
