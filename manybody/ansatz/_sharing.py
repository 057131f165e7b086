# SPDX-License-Identifier: Apache-2.0
"""Weights of hidden units that are shared over permutations of the sites."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._struct import FrozenArray
from manybody._types import Array, Inexact
from manybody.ansatz._numerics import Initializer
from manybody.symmetry import PermutationGroup


def permutations(symmetries: Any) -> FrozenArray:
    """Permutations (n_symmetries, sites), those of a group or an array that is seen to hold some.

    Raises:
        ValueError: if they are none, or do more to a configuration than to permute its sites.
    """
    if isinstance(symmetries, FrozenArray):
        return symmetries
    if isinstance(symmetries, PermutationGroup):
        plain = bool((symmetries.signs == 1).all()) and not symmetries.inverts.any()
        cure = "`GCNN` and `Symmetrised` take such groups."
        _checks.require(plain, "symmetries", "have neither signs nor inversion", symmetries, cure)
        symmetries = symmetries.sites.astype(int)
    array = np.asarray(symmetries)
    good = (
        array.ndim == 2
        and len(array) > 0
        and np.array_equal(np.sort(array, axis=1), np.broadcast_to(np.arange(array.shape[1]), array.shape))
    )
    _checks.require(good, "symmetries", "hold permutations (n_symmetries, sites)", f"an array of shape {array.shape}")
    return FrozenArray(array)


def check_sites(symmetries: FrozenArray, n_sites: int) -> None:
    """Raise `ValueError` unless they permute so many sites."""
    n_permuted = symmetries.array.shape[1]
    _checks.require(n_permuted == n_sites, "symmetries", f"permute {n_sites} sites", n_permuted)


def n_features(density: float, n_sites: int, symmetries: FrozenArray | None, name: str = "alpha") -> int:
    """Number of features whose copies are `density` hidden units per site, at least one.

    Raises:
        ValueError: if that is no multiple of the number of symmetries.
    """
    n_hidden = max(1, round(density * n_sites))
    if symmetries is None:
        return n_hidden
    n = len(symmetries.array)
    must = f"make a number of hidden units that is a multiple of {n} symmetries"
    _checks.require(n_hidden % n == 0, name, must, n_hidden)
    return n_hidden // n


def shared(init: Initializer, symmetries: FrozenArray | None) -> Initializer:
    """Smaller by the root of how often each weight is used, so that log psi is as large as without sharing."""
    if symmetries is None:
        return init
    factor = 1 / math.sqrt(len(symmetries.array))
    return lambda key, shape, dtype: factor * init(key, shape, dtype)


def copied(
    kernel: Inexact[Array, "*parts sites features"], symmetries: FrozenArray | None
) -> Inexact[Array, "*parts sites hidden"]:
    """The weights of all hidden units: unit (g, f) is feature f seen by the permuted configuration."""
    if symmetries is None:
        return kernel
    inverse = np.argsort(symmetries.array, axis=1)
    every = jnp.swapaxes(kernel[..., inverse, :], -3, -2)  # (..., sites, symmetries, features)
    return every.reshape(*kernel.shape[:-1], -1)


def copied_bias(
    bias: Inexact[Array, "*parts features"], symmetries: FrozenArray | None
) -> Inexact[Array, "*parts hidden"]:
    """Those of all hidden units."""
    return bias if symmetries is None else jnp.tile(bias, len(symmetries.array))


def averaged(
    kernel: Inexact[Array, "*parts sites width"], symmetries: FrozenArray | None
) -> Inexact[Array, "*parts sites width"]:
    """A kernel that does not change under the permutations: the mean over them."""
    if symmetries is None:
        return kernel
    return jnp.mean(kernel[..., np.argsort(symmetries.array, axis=1), :], axis=-3)
