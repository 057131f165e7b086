# SPDX-License-Identifier: Apache-2.0
"""What an ansatz is made of, in a table."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from manybody import _checks, _flops
from manybody._precision import count_real
from manybody._types import Array, PyTree
from manybody.hilbert import DiscreteSpace
from manybody.network import LinenNetwork, Network, as_network

WIDTH = 60
"""Characters for the shapes of a layer."""


def summary(ansatz: Any, space: DiscreteSpace) -> str:
    """The layers of an ansatz with their parameters and operations, and which fast paths it has.

    Operations are those of log psi of one more configuration in a batch; a complex product counts as six. What is made
    of the parameters once for all configurations is not counted.

    Args:
        ansatz: as for a `VariationalState`.
        space: the space of the configurations.

    Returns:
        A table, ready to be printed.

    Raises:
        TypeError: if `ansatz` is none, or `space` no discrete space.

    Example:
        >>> import manybody as mb
        >>> print(mb.ansatz.summary(mb.ansatz.MLP(hidden=(8,)), mb.hilbert.Spin(4)))
        layer        parameters  type     shapes              operations
        layers_0             40  float64  bias 8, kernel 4x8          72
        output                8  float64  kernel 8x1                  16
        (elsewhere)           0                                       64
        MLP                  48                                      152
        changes of one site: followed, with 105 operations
        direct draws: no
        symmetry: none known
    """
    _checks.require_type(space, DiscreteSpace, "space")
    network = as_network(ansatz)
    sigma = jax.ShapeDtypeStruct((1, space.size), jnp.int8)
    params, constants = jax.eval_shape(network.init, jax.random.key(0), sigma)
    groups = _groups(params)
    operations = _by_group(_of_one_more(lambda s: _flops.count(network.log_psi, params, constants, s), space), groups)
    rows = [("layer", "parameters", "type", "shapes", "operations")]
    rows += [(name or "(own)", *_described(leaves), str(operations.pop(name, 0))) for name, leaves in groups.items()]
    if elsewhere := sum(operations.values()):
        rows.append(("(elsewhere)", "0", "", "", str(elsewhere)))
    total = sum(int(row[4]) for row in rows[1:])
    rows.append((_title(network), str(sum(int(row[1]) for row in rows[1:])), "", "", str(total)))
    return "\n".join([*_aligned(rows), *_fast_paths(network, params, constants, space)])


def _title(network: Network) -> str:
    return type(network.module).__name__ if isinstance(network, LinenNetwork) else type(network).__name__


def _groups(params: PyTree) -> dict[str, dict[str, Any]]:
    """The arrays of each layer: those that lie next to each other in the tree."""
    found: dict[str, dict[str, Any]] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        *layer, name = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
        found.setdefault("/".join(layer), {})[name] = leaf
    return found


def _by_group(operations: Mapping[str, int], groups: Mapping[str, Any]) -> dict[str, int]:
    """Operations by the layer, the deepest one, that the scope they belong to lies in; "*" for none."""
    found: dict[str, int] = {}
    for scope, number in operations.items():
        parts = [part for part in scope.split("/")[1:] if "." not in part]  # without the module, and its methods
        names = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        layer = next((name for name in reversed(names) if name in groups), "" if "" in groups else "*")
        found[layer] = found.get(layer, 0) + number
    return found


def _described(leaves: Mapping[str, Any]) -> tuple[str, str, str]:
    """Number of real parameters, types and shapes."""
    shapes = [f"{name} {'x'.join(map(str, x.shape)) or '1'}" for name, x in leaves.items()]
    types = sorted({str(x.dtype) for x in leaves.values()})
    return str(count_real(leaves)), ", ".join(types), textwrap.shorten(", ".join(shapes), WIDTH, placeholder=" ...")


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    is_number = (False, True, False, False, True)
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, is_number, strict=True)
        )
        for row in rows
    ]


def _of_one_more(count: Callable[[Any], Counter[str]], space: DiscreteSpace) -> Counter[str]:
    """How many more operations two configurations take than one."""
    one, two = (count(jax.ShapeDtypeStruct((n, space.size), jnp.int8)) for n in (1, 2))
    return two - one


def _fast_paths(network: Network, params: PyTree, constants: PyTree, space: DiscreteSpace) -> list[str]:
    def cached(params: PyTree, constants: PyTree, sigma: Array) -> PyTree:
        return network.bind(params, constants).init_cache(sigma)

    def ratio(params: PyTree, constants: PyTree, cache: PyTree, sites: Array, values: Array) -> Array:
        return network.bind(params, constants).log_ratio(cache, sites, values)

    def count(sigma: jax.ShapeDtypeStruct) -> Counter[str]:
        cache = jax.eval_shape(cached, params, constants, sigma)
        change = (jax.ShapeDtypeStruct((len(sigma), 1), dtype) for dtype in (jnp.int32, jnp.int8))
        return _flops.count(ratio, params, constants, cache, *change)

    changes = "evaluated anew"
    if network.is_incremental:
        changes = f"followed, with {_of_one_more(count, space).total()} operations"
    return [
        f"changes of one site: {changes}",
        f"direct draws: {'yes' if network.is_autoregressive else 'no'}",
        f"symmetry: {'none known' if network.sector is None else network.sector}",
    ]
