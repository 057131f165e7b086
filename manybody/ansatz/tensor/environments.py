# SPDX-License-Identifier: Apache-2.0
"""Products of the matrices of a matrix product state, from either end, at any length without over- or underflow.

All matrices are padded with zeros to the largest bond dimension D. K is the dimension of the bond between the last and
the first site: 1 if the boundaries are open, so that products from an end are vectors.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from manybody._struct import dataclass
from manybody._types import Array, Complex, Float, Inexact, Int
from manybody.amplitude import where_accepted

GATHERING = 4
"""A step with a matrix of its own for each configuration takes about as long as so many with the same ones for all."""


@dataclass
class Scaled:
    """Arrays value * exp(log_scale); the largest entry of each value has modulus one, or all are zero."""

    value: Inexact[Array, "*batch K D"]
    log_scale: Float[Array, "*batch"]


def rescaled(value: Inexact[Array, "*batch K D"], log_scale: Float[Array, "*batch"]) -> Scaled:
    """value * exp(log_scale). The scale is a constant for derivatives: what they lose here is in the value again."""
    size = jnp.max(jnp.abs(jax.lax.stop_gradient(value)), axis=(-2, -1))
    size = jnp.where(size > 0, size, jnp.ones_like(size))
    return Scaled(value / size[..., None, None].astype(value.dtype), log_scale + jnp.log(size))


def times_chosen(
    value: Inexact[Array, "batch K D"], tensor: Inexact[Array, "levels D D"], level: Int[Array, "batch"]
) -> Inexact[Array, "batch K D"]:
    """Each value times the matrix of its level.

    It is put beside zeros for the other levels and meets all matrices in one dense product, which is several times
    faster than a matrix of its own for each member of the batch.
    """
    n_levels, size, _ = tensor.shape
    is_level = level[:, None] == jnp.arange(n_levels, dtype=level.dtype)[None]  # (batch, levels)
    beside = jnp.where(is_level[:, None, :, None], value[:, :, None, :], jnp.zeros_like(value[:, :, None, :]))
    return (beside.reshape(-1, n_levels * size) @ tensor.reshape(-1, size)).reshape(value.shape)


def products(
    tensors: Inexact[Array, "sites levels D D"], levels: Int[Array, "batch sites"], n_rows: int
) -> tuple[Scaled, Scaled]:
    """Products from the left: of all matrices (batch, K, D), and of those before each site (sites, batch, K, D)."""

    def step(before: Scaled, here: tuple[Array, Array]) -> tuple[Scaled, Scaled]:
        return rescaled(times_chosen(before.value, *here), before.log_scale), before

    return jax.lax.scan(step, _nothing(tensors, levels, n_rows), (tensors, levels.T))


def environments(
    tensors: Inexact[Array, "sites levels D D"], levels: Int[Array, "batch sites"], n_rows: int
) -> tuple[Complex[Array, "batch"], Scaled, Scaled]:
    """log psi, and the products before and behind each site (batch, sites, K, D), the latter transposed."""
    both = jnp.stack([tensors, jnp.swapaxes(tensors, -1, -2)[::-1]]), jnp.stack([levels, levels[:, ::-1]])
    ends, seen = jax.vmap(functools.partial(products, n_rows=n_rows))(*both)  # in one loop
    before = jax.tree.map(lambda x: jnp.swapaxes(x[0], 0, 1), seen)
    behind = jax.tree.map(lambda x: jnp.swapaxes(x[1, ::-1], 0, 1), seen)
    return log_trace(jax.tree.map(lambda x: x[0], ends)), before, behind


def log_trace(product: Scaled) -> Complex[Array, "*batch"]:
    """log of the trace of products around all sites, (..., K, D)."""
    n_rows = product.value.shape[-2]
    return _log(jnp.trace(product.value[..., :n_rows], axis1=-2, axis2=-1), product.log_scale)


def log_psi_of_stretch(
    tensors: Inexact[Array, "sites levels D D"],
    levels: Int[Array, "batch sites"],
    before: Scaled,
    behind: Scaled,
    first: Int[Array, "batch"],
    last: Int[Array, "batch"],
) -> Complex[Array, "batch"]:
    """log psi of configurations of which only the sites from `first` to `last` differ from the environments'."""

    def step(number: Array, product: Scaled) -> Scaled:
        site = first + number
        level = jnp.take_along_axis(levels, jnp.minimum(site, last)[:, None], axis=1)[:, 0]
        matrix = tensors.at[site, level].get(mode="clip")
        further = rescaled(product.value @ matrix, product.log_scale)
        return where_accepted(site <= last, further, product)

    def by_stretch() -> Array:
        product = jax.lax.fori_loop(jnp.zeros_like(length), length, step, start)
        return _log(jnp.sum(product.value * rest.value, axis=(1, 2)), product.log_scale + rest.log_scale)

    def from_the_end() -> Array:
        return log_trace(products(tensors, levels, before.value.shape[-2])[0])

    # Only what is needed of the environments goes into the branches, where they would have to be there as a whole.
    start, rest = _at(before, first), _at(behind, last)
    length = jnp.max(last - first) + 1
    return jax.lax.cond(length * GATHERING > levels.shape[1], from_the_end, by_stretch)


def norms(tensors: Inexact[Array, "sites levels D D"], n_rows: int) -> tuple[Scaled, Scaled]:
    r"""Sums of |psi|^2 over the levels of all sites, and of those behind each site (sites, K D, K D).

    The latter are the right environments :math:`G_{kb,k'b'} = \sum_R R_{bk} R^*_{b'k'}` over the products R behind it.
    """

    def step(behind: Scaled, tensor: Array) -> tuple[Scaled, Scaled]:
        shape = (n_rows, tensor.shape[-1]) * 2
        here = jnp.einsum("slb,kbmc,snc->klmn", tensor, behind.value.reshape(shape), tensor.conj())
        return rescaled(here.reshape(behind.value.shape), behind.log_scale), behind

    edge = jnp.eye(n_rows, tensors.shape[-1], dtype=tensors.dtype).reshape(-1)  # (K D)
    nothing = Scaled(jnp.outer(edge, edge) + _zero(tensors), _zero(tensors).real)
    total, behind = jax.lax.scan(step, nothing, tensors, reverse=True)
    return Scaled((edge @ total.value @ edge)[None, None], total.log_scale), behind


def log_conditional(
    before: Inexact[Array, "draws K D"], tensor: Inexact[Array, "levels D D"], behind: Inexact[Array, "KD KD"]
) -> Float[Array, "draws levels"]:
    """log of the normalised probability of each level, given the products before and the environment behind it.

    After levels that cannot occur all are alike.
    """
    products = jnp.einsum("nkl,slb->nskb", before, tensor)
    products = products.reshape(*products.shape[:2], -1)  # (draws, levels, K D)
    p = jnp.sum((products @ behind * products.conj()).real, axis=-1)
    p = jnp.maximum(p, jnp.zeros_like(p))  # rounding errors of what vanishes may be negative
    p = jnp.where(jnp.any(p > 0, axis=-1, keepdims=True), p, jnp.ones_like(p))
    return jnp.log(p) - jnp.log(jnp.sum(p, axis=-1, keepdims=True))


def _nothing(tensors: Array, levels: Array, n_rows: int) -> Scaled:
    """The product of no matrices (batch, K, D), as varying between workers as the products will be."""
    zeros = jnp.zeros_like(levels[:, 0], tensors.real.dtype) + _zero(tensors).real
    edge = jnp.eye(n_rows, tensors.shape[-1], dtype=tensors.dtype)
    return Scaled(edge[None] + zeros[:, None, None].astype(tensors.dtype), zeros)


def _zero(tensors: Array) -> Array:
    return jnp.zeros_like(tensors[0, 0, 0, 0])


def _at(environment: Scaled, site: Int[Array, "batch"]) -> Scaled:
    """Those of one site (batch, K, D), out of (batch, sites, K, D)."""
    rows = jnp.arange(site.shape[0], dtype=site.dtype)
    return jax.tree.map(lambda x: x.at[rows, site].get(mode="promise_in_bounds"), environment)


def _log(psi: Inexact[Array, "*batch"], log_scale: Float[Array, "*batch"]) -> Complex[Array, "*batch"]:
    """log(psi exp(log_scale)); -inf with derivative zero where psi vanishes."""
    dtype = np.result_type(psi.dtype, np.complex64)
    vanishes = psi == 0
    log = jnp.log(jnp.where(vanishes, jnp.ones_like(psi), psi).astype(dtype)) + log_scale.astype(dtype)
    return jnp.where(vanishes, jnp.full_like(log, -jnp.inf), log)
