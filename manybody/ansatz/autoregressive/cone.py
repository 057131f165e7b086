# SPDX-License-Identifier: Apache-2.0
"""The light cone of one site in a network of causal convolutions on an open box: a product with one matrix a layer.

Displacements are the same wherever the site is, and what lies outside of the box is left out. From layer to layer the
differences of the activations in the cone are multiplied with the weights between its displacements.
"""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import numpy as np

from manybody._struct import read_only
from manybody.ansatz.autoregressive.grid import Box, displacements


class Cone(NamedTuple):
    """Where a layer makes a difference.

    Attributes:
        places: the positions for each origin, n_sites where there is none, shape (origins, displacements).
        taps: which tap leads from a displacement in the layer below to one here, shape (displacements below,
            displacements); as many as there are taps for none.
    """

    places: np.ndarray
    taps: np.ndarray


@functools.lru_cache(maxsize=64)
def cones(box: Box, kernel_size: int, dilation: int, n_layers: int) -> tuple[Cone, ...]:
    """One for each layer. The last one has the origin as well, where the level that is looked up changes."""
    origin = (0,) * len(box.shape)
    below, found = [origin], []
    for layer in range(n_layers):
        taps = {t: k for k, t in enumerate(displacements(box, kernel_size, dilation**layer, layer == 0))}
        here = {tuple(np.subtract(start, tap).tolist()) for start, tap in itertools.product(below, taps)}
        own = sorted(here | {origin} if layer == n_layers - 1 else here)
        between = [[taps.get(tuple(np.subtract(a, b).tolist()), len(taps)) for b in own] for a in below]
        found.append(Cone(_places(box, own), read_only(np.array(between, np.int32))))
        below = own
    return tuple(found)


def _places(box: Box, offsets: list[tuple[int, ...]]) -> np.ndarray:
    shape, n_sites = np.array(box.shape), int(np.prod(box.shape))
    origins = np.stack(np.unravel_index(np.arange(n_sites), box.shape), axis=-1)  # (origins, dim)
    there = origins[:, None] + np.array(offsets)[None]
    inside = np.all((there >= 0) & (there < shape), axis=-1)
    position = np.ravel_multi_index(tuple(np.moveaxis(there % shape, -1, 0)), box.shape)
    return read_only(np.where(inside, position, n_sites).astype(np.int32))
