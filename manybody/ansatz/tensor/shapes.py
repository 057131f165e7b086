# SPDX-License-Identifier: Apache-2.0
"""Shapes (left bond, level, right bond) of the tensors of a matrix product state, and how they are kept and padded.

Tensors of one shape are kept in one array, so that there are few arrays at any number of sites and no entry without
use.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from manybody import _checks
from manybody._types import Array, Inexact

Shape = tuple[int, int, int]


def bond_dimensions(
    local_dimensions: tuple[int, ...], bond_dim: int | tuple[int, ...], periodic: bool
) -> tuple[int, ...]:
    """Dimensions of the bonds to the left of each site, and to the right of the last one.

    Raises:
        TypeError: if `bond_dim` is neither an integer nor a tuple of them.
        ValueError: if one is not positive, or they are too many or too few.
    """
    n_sites = len(local_dimensions)
    if isinstance(bond_dim, tuple):
        given = tuple(_checks.integer(d, "bond_dim", minimum=1) for d in bond_dim)
        n_bonds = n_sites if periodic else n_sites - 1
        _checks.require(len(given) == n_bonds, "bond_dim", f"have {n_bonds} entries, one for each bond", len(given))
        return (given[-1], *given) if periodic else (1, *given, 1)
    largest = _checks.integer(bond_dim, "bond_dim", minimum=1)
    if periodic:
        return (largest,) * (n_sites + 1)
    left, right = _from_end(local_dimensions, largest), _from_end(local_dimensions[::-1], largest)[::-1]
    return tuple(map(min, left, right))


def _from_end(local_dimensions: Sequence[int], largest: int) -> list[int]:
    """Dimensions of the bonds that are enough for all that lies before them, none above `largest`."""
    bonds = [1]
    for dimension in local_dimensions:
        bonds.append(min(largest, bonds[-1] * dimension))
    return bonds


def tensor_shapes(local_dimensions: tuple[int, ...], bonds: tuple[int, ...]) -> tuple[Shape, ...]:
    """The shape of the tensor of each site."""
    return tuple(zip(bonds[:-1], local_dimensions, bonds[1:], strict=True))


def check_tensors(tensors: list[np.ndarray], local_dimensions: tuple[int, ...], periodic: bool) -> None:
    """Raise `ValueError` unless the tensors fit the sites and each other."""
    n_sites = len(local_dimensions)
    _checks.require(len(tensors) == n_sites, "tensors", f"be one for each of {n_sites} sites", len(tensors))
    for site, (tensor, dimension) in enumerate(zip(tensors, local_dimensions, strict=True)):
        good = tensor.ndim == 3 and tensor.shape[1] == dimension
        must = f"have shape (left, {dimension}, right) at site {site}"
        _checks.require(good, "tensors", must, tensor.shape)
    left, right = [tensor.shape[0] for tensor in tensors], [tensor.shape[2] for tensor in tensors]
    fits = left[1:] == right[:-1] and left[0] == right[-1] and (periodic or left[0] == 1)
    end = "the first left bond equal to the last right one" if periodic else "bonds of dimension 1 at both ends"
    _checks.require(fits, "tensors", f"have equal bonds between neighbours and {end}", [t.shape for t in tensors])


def name_of(shape: Shape) -> str:
    """The name of the parameter that holds the tensors of this shape (n_tensors, left, level, right)."""
    return "tensors_{}x{}x{}".format(*shape)


def padded(
    groups: dict[Shape, Inexact[Array, "tensors left level right"]], shapes: tuple[Shape, ...]
) -> Inexact[Array, "sites levels D D"]:
    """The matrices of all sites and levels, padded with zeros to one size, in the order of the sites."""
    n_levels = max(level for _, level, _ in shapes)
    size = max(max(left, right) for left, _, right in shapes)
    wanted = np.array([n_levels, size, size])
    blocks = []
    for (left, level, right), group in groups.items():
        missing = wanted - [level, left, right]
        blocks.append(jnp.pad(jnp.swapaxes(group, 1, 2), ((0, 0), *((0, int(n)) for n in missing))))
    place = places(tuple(groups), shapes)
    together = jnp.concatenate(blocks)
    return together if np.array_equal(place, np.arange(len(together))) else together[place]


def places(kinds: tuple[Shape, ...], shapes: tuple[Shape, ...]) -> np.ndarray:
    """Where the tensor of each site is, if those of one shape follow one another, shape by shape."""
    order = np.argsort([kinds.index(shape) for shape in shapes], kind="stable")
    return np.argsort(order)
