# SPDX-License-Identifier: Apache-2.0
"""Trees of parameters as files have them: arrays by names. Nothing here knows a tool."""

import numpy as np


def named(tree, inside=()):
    """The arrays of nested dictionaries by their paths, "layer.kernel"."""
    found = {}
    for key, value in tree.items():
        path = (*inside, key)
        found |= named(value, path) if hasattr(value, "items") else {".".join(path): value}
    return found


def like(tree, arrays, inside=()):
    """A tree like this one, of the arrays with the names of its own, in their types."""
    if hasattr(tree, "items"):
        return {key: like(value, arrays, (*inside, key)) for key, value in tree.items()}
    return np.asarray(arrays[".".join(inside)], tree.dtype)


def given(file):
    """What is in a file for tools: parameters by name, and configurations if there are any."""
    with np.load(file) as data:
        arrays = dict(data)
    return {name: x for name, x in arrays.items() if name != "sigma"}, arrays.get("sigma")
