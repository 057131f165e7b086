# SPDX-License-Identifier: Apache-2.0
"""Records as one array: each array that goes to the host takes longer than the arithmetic of a small step."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from manybody._struct import dataclass, static
from manybody._types import Array, PyTree, UInt


class Place(NamedTuple):
    """Which bytes a leaf has, its type and its shape."""

    start: int
    stop: int
    dtype: str
    shape: tuple[int, ...]


@dataclass
class Packed:
    """A tree of arrays, one after the other.

    Attributes:
        data: all numbers (*batch, n_bytes).
        places: where the leaves are in it.
        structure: of the tree.
    """

    data: UInt[Array, "*batch n_bytes"]
    places: tuple[Place, ...] = static()
    structure: jax.tree_util.PyTreeDef = static()


def pack(tree: PyTree) -> Packed:
    """A tree of numbers and truth values, in arrays of any shape, as one array."""
    leaves, structure = jax.tree.flatten(tree)
    parts, places, start = [], [], 0
    for leaf in map(jnp.asarray, leaves):
        parts.append(_bytes(leaf))
        places.append(Place(start, start + parts[-1].size, leaf.dtype.name, leaf.shape))
        start = places[-1].stop
    return Packed(jnp.concatenate(parts), tuple(places), structure)


def unpack(packed: Packed) -> PyTree:
    """The tree again, on the host; its arrays have the leading axes that `packed.data` has."""
    data = np.asarray(packed.data)

    def leaf(place: Place) -> np.ndarray:
        part = data[..., place.start : place.stop].copy().view(place.dtype)  # a copy is aligned
        return part.reshape((*data.shape[:-1], *place.shape))

    return jax.tree.unflatten(packed.structure, [leaf(place) for place in packed.places])


def _bytes(x: Array) -> UInt[Array, "n_bytes"]:
    if jnp.iscomplexobj(x):
        x = jnp.stack([x.real, x.imag], axis=-1)
    if x.dtype == jnp.bool_:
        x = x.astype(jnp.uint8)
    return jax.lax.bitcast_convert_type(x, jnp.uint8).reshape(-1)
