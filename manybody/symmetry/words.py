# SPDX-License-Identifier: Apache-2.0
"""How the elements of a group are products of its generators."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from manybody._types import Int


class Layer(NamedTuple):
    """Elements that are products of equally many generators: generator times an element of the layer before.

    Attributes:
        elements: shape (n,).
        generators: places in the list of generators, shape (n,).
        before: elements, shape (n,).
    """

    elements: Int[np.ndarray, " n"]
    generators: Int[np.ndarray, " n"]
    before: Int[np.ndarray, " n"]


@runtime_checkable
class Group(Protocol):
    """What is read of a group here; see `manybody.symmetry.FiniteGroup`."""

    @property
    def order(self) -> int: ...
    @property
    def generators(self) -> np.ndarray: ...

    def multiply(self, a: np.ndarray, b: np.ndarray) -> np.ndarray: ...


def layers(group: Group) -> tuple[Layer, ...]:
    """All elements but the identity, each in the layer of its shortest products."""
    found: list[Layer] = []
    known, new = np.zeros(group.order, bool), np.array([0])
    known[0] = True
    while True:
        reached, first = np.unique(group.multiply(group.generators[:, None], new[None, :]), return_index=True)
        fresh = ~known[reached]
        if not fresh.any():
            return tuple(found)
        generator, place = np.divmod(first[fresh], len(new))
        found.append(Layer(reached[fresh], generator, new[place]))
        new = reached[fresh]
        known[new] = True
