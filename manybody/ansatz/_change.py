# SPDX-License-Identifier: Apache-2.0
"""Sparse changes of configurations, as linear layers see them."""

from __future__ import annotations

import jax.numpy as jnp

from manybody._types import Array, Inexact, Int, Int8, Num

MAX_GATHERED = 8
"""With more changed sites than this, one matrix product with the whole kernel beats gathering its rows."""


def differences(
    sigma: Int8[Array, "batch sites"], sites: Int[Array, "batch changed"], values: Int8[Array, "batch changed"]
) -> Int[Array, "batch changed"]:
    """New minus old values of the changed sites (int32: the difference of two int8 may not be one)."""
    old = jnp.take_along_axis(sigma, sites, axis=-1, mode="promise_in_bounds")
    return values.astype(jnp.int32) - old.astype(jnp.int32)


def rows(table: Num[Array, "rows hidden"], index: Int[Array, "batch"]) -> Num[Array, "batch hidden"]:
    """Rows of a table; the indices are not checked."""
    return jnp.asarray(table).at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


def linear_change(
    kernel: Inexact[Array, "sites hidden"], sites: Int[Array, "batch changed"], delta: Int[Array, "batch changed"]
) -> Inexact[Array, "batch hidden"]:
    """Change sum_j delta_j W[site_j] of the output of a dense layer with kernel W."""
    step = delta.astype(kernel.dtype)
    if sites.shape[1] > MAX_GATHERED:
        batch = jnp.arange(sites.shape[0], dtype=sites.dtype)
        dense = jnp.zeros((sites.shape[0], kernel.shape[0]), kernel.dtype).at[batch[:, None], sites].set(step)
        return dense @ kernel
    change = jnp.zeros((sites.shape[0], kernel.shape[1]), kernel.dtype)
    for j in range(sites.shape[1]):  # unrolled, so that the gathers fuse with the sum
        change = change + step[:, j, None] * rows(kernel, sites[:, j])
    return change
