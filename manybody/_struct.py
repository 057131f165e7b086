# SPDX-License-Identifier: Apache-2.0
"""Frozen dataclasses that are pytrees.

`dataclass` makes fields leaves (or sub-trees); `static` marks the fields that belong to the structure. A static
field must hash and compare by content, so it never holds an array: JAX accepts one on the first call and fails on
the second, when it compares the old structure with the new one.
"""

from __future__ import annotations

import zlib
from typing import Any, TypeVar, dataclass_transform

import flax.struct
import numpy as np

T = TypeVar("T")


def static(**kwargs: Any) -> Any:
    """A dataclass field that is part of the structure (hashable, compared when a jitted function is called)."""
    return flax.struct.field(pytree_node=False, **kwargs)


@dataclass_transform(frozen_default=True, field_specifiers=(static, flax.struct.field))
def dataclass(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass and a pytree; `dataclasses.replace` makes changed copies."""
    return flax.struct.dataclass(cls)


def layout(cls: type[T], *specs: Any) -> T:
    """An instance of a pytree class whose leaves say how they are laid out over workers, instead of being arrays."""
    return cls(*specs)


def read_only(array: np.ndarray) -> np.ndarray:
    """The array, locked, because a cached result is shared by all who ask for it."""
    array.setflags(write=False)
    return array


class FrozenArray:
    """A NumPy array that may stand in a static field: read-only, compared and hashed by content."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = np.array(array)
        self.array.setflags(write=False)
        self._key = (self.array.shape, self.array.dtype.str, self.array.tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrozenArray) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        content = zlib.crc32(self.array.tobytes())
        return f"FrozenArray(shape={self.array.shape}, dtype={self.array.dtype}, crc32={content:08x})"
