# SPDX-License-Identifier: Apache-2.0
"""Local estimators of all terms of an operator from one evaluation of the amplitudes.

An operator is linear in its couplings, so O_loc(sigma) = sum_k couplings[k] O_k,loc(sigma), and the local values of its
terms are the gradient with respect to the couplings: every ratio of amplitudes is evaluated once, however many terms
the connection belongs to. A gradient of a linear function does not depend on where it is taken; the couplings that the
operator comes with only say which connections are looked at (see `generic`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from manybody._precision import widen
from manybody._types import Array, Inexact, Int8
from manybody.amplitude import Amplitude
from manybody.estimator.expect import expect
from manybody.estimator.local import LocalValues, fold_ratios, ratio_dtype
from manybody.operator import CompiledOperator, DiscreteOperator
from manybody.operator.compiled import ProjectedOperator
from manybody.parallel import Comm
from manybody.parallel.chunk import map_rows
from manybody.sampler import Samples
from manybody.stats import Estimate

Transform = Callable[[Array], Array]
"""From the local values of the terms (samples, terms) to others (samples, values), sample by sample."""

_BLOCK = 2**21
"""Terms (or connections, if there are more) of all samples that are handled at a time."""
_COLUMNS = 64
"""Values whose means and errors are computed at a time: their Fourier transforms take memory."""


def generic(operator: DiscreteOperator) -> DiscreteOperator:
    """The operator with random couplings, none of them 0, of which no two terms cancel."""
    return operator.replace(couplings=jnp.asarray(np.random.default_rng(0).uniform(1, 2, operator.couplings.shape)))


def local_terms(
    comm: Comm,
    amplitude: Amplitude,
    operator: CompiledOperator,
    sigma: Int8[Array, "samples sites"],
    n_buffer: int,
    chunk_size: int | None,
    transform: Transform | None = None,
) -> LocalValues:
    """Local estimators (samples, couplings) of the terms of each coupling, without the coupling; or what is made of it.

    Args:
        comm: the workers.
        amplitude: the wave function.
        operator: the compiled operator, with `generic` couplings.
        sigma: configurations.
        n_buffer: static number of connections that fit (see `buffer_size`).
        chunk_size: static number of connections (and of configurations) evaluated at a time.
        transform: applied before the values of all samples are put together, which saves memory if it makes them fewer.
    """
    ratios, n_rows = _ratios(comm, amplitude, operator, sigma, n_buffer, chunk_size)
    n_couplings = _couplings(operator).shape[0]
    parts = jax.eval_shape(lambda s: (widen(operator.diagonal(s)), widen(operator.elements(s))), sigma)
    dtype = np.result_type(ratios.dtype, *(part.dtype for part in parts))
    start = comm.pvary(jnp.zeros(n_couplings, dtype))

    def of_one(rows: tuple[Array, Array]) -> Array:
        sigma, ratio = rows

        def value(couplings: Array) -> Array:
            varied = _with_couplings(operator, couplings)
            connected = jnp.sum(varied.elements(sigma[None])[0].astype(dtype) * ratio.astype(dtype))
            return varied.diagonal(sigma[None])[0].astype(dtype) + connected

        return jax.grad(value, holomorphic=jnp.issubdtype(dtype, jnp.complexfloating))(start)

    def of_some(rows: tuple[Array, Array]) -> Array:
        values = jax.vmap(of_one)(rows)
        return values if transform is None else transform(values)

    n_chunk = max(1, _BLOCK // max(n_couplings, operator.n_connections, 1))
    chunk = n_chunk if chunk_size is None else min(chunk_size, n_chunk)
    return LocalValues(map_rows(of_some, (sigma, ratios), chunk), n_rows)


def expect_terms(
    comm: Comm,
    values: Inexact[Array, "samples values"],
    samples: Samples,
    *,
    hermitian: bool = False,
    function: Callable[[Array], Array] | None = None,
) -> Estimate:
    """Mean and error of each column of values, or of functions of the means.

    The error of a function is that of its linear part at the means, df = sum_k (df/dx_k) dx_k, which is a local value
    like any other: so correlations between the x_k, and along the chains, are in it. The bias of order 1/n is not.
    """

    def one(column: Array) -> Estimate:
        return expect(comm, column, samples, hermitian=hermitian)

    def each(columns: Array) -> Estimate:
        return map_rows(jax.vmap(one), columns, _COLUMNS)

    if function is None:
        return each(values.T)
    means = comm.psum(samples.flat_weight.astype(values.dtype) @ values)
    means = means.real if hermitian else means
    slopes = jax.jacrev(function, holomorphic=jnp.iscomplexobj(means))(means)  # (functions, values)
    found = each(slopes.astype(values.dtype) @ values.T)
    return found.replace(mean=function(means))


def _ratios(
    comm: Comm, amplitude: Amplitude, operator: CompiledOperator, sigma: Array, n_buffer: int, chunk_size: int | None
) -> tuple[Array, Array]:
    """psi(sigma') / psi(sigma) of all connections (samples, conn), 0 where one is not in use; and how many are."""
    n_samples, n_conn = len(sigma), operator.n_connections
    if n_conn == 0:  # real, whatever psi is
        return jnp.zeros((n_samples, 0), jnp.result_type(float)), jnp.int32(0)
    used = map_rows(lambda s: operator.elements(s) != 0, sigma, chunk_size).reshape(-1)  # (samples * conn,)

    def add(total: Array, row: Array, ratio: Array) -> Array:
        return total.at[row].add(ratio)

    none = jnp.zeros(n_samples * n_conn, ratio_dtype(amplitude, sigma))
    ratios, count = fold_ratios(comm, amplitude, operator, sigma, used, n_buffer, chunk_size, add, none)
    return ratios.reshape(n_samples, n_conn), comm.pmax(count)


def _couplings(operator: Any) -> Array:
    return _couplings(operator.inner) if isinstance(operator, ProjectedOperator) else operator.couplings


def _with_couplings(operator: Any, couplings: Array) -> CompiledOperator:
    if isinstance(operator, ProjectedOperator):
        return operator.replace(inner=_with_couplings(operator.inner, couplings))
    return operator.with_couplings(couplings)
