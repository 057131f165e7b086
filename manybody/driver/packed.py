# SPDX-License-Identifier: Apache-2.0
"""Records as one array: each array that goes to the host takes longer than the arithmetic of a small step."""

from __future__ import annotations

import functools
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
    records = data.view(_record_type(packed.places)).reshape(data.shape[:-1])
    return jax.tree.unflatten(packed.structure, [records[str(number)] for number in range(len(packed.places))])


@functools.lru_cache(maxsize=128)
def _record_type(places: tuple[Place, ...]) -> np.dtype:
    """That of all leaves at their places."""
    return np.dtype(
        {
            "names": [str(number) for number in range(len(places))],
            "formats": [(place.dtype, place.shape) for place in places],
            "offsets": [place.start for place in places],
            "itemsize": places[-1].stop,
        }
    )


def _bytes(x: Array) -> UInt[Array, "n_bytes"]:
    if jnp.iscomplexobj(x):
        x = jnp.stack([x.real, x.imag], axis=-1)
    if x.dtype == jnp.bool_:
        x = x.astype(jnp.uint8)
    return jax.lax.bitcast_convert_type(x, jnp.uint8).reshape(-1)
