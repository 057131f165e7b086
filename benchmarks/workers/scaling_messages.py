# SPDX-License-Identifier: Apache-2.0
"""The collectives of a step, read off its jaxpr.

The jaxpr knows how often a scan repeats its body; the text of the compiled program need not. Calls of MPI have side
effects, so that XLA neither removes nor merges them: the call sites of both agree, which the benchmark checks.
"""

import math
import re
from collections import Counter

from jax.extend import core

SUFFIX = "_mpi"
"""Of the names of mpi4jax's primitives."""


def messages(jaxpr, suffix=SUFFIX):
    """Collectives by kind and size.

    Args:
        jaxpr: a (closed) jaxpr.
        suffix: what the names of the primitives end with.

    Returns:
        List of {"kind", "bytes": what one rank puts in, "count", "is_per_iteration"}, the largest first. With
        "is_per_iteration" the collective is in a while loop, whose length nobody knows before.
    """
    table = Counter()
    _walk(jaxpr, suffix, 1, False, table)
    rows = [
        {"kind": kind, "bytes": size, "count": count, "is_per_iteration": endless}
        for (kind, size, endless), count in table.items()
    ]
    return sorted(rows, key=lambda row: (-row["bytes"], row["kind"]))


def n_sites(jaxpr, suffix=SUFFIX):
    """How many equations are collectives, wherever they are."""
    own = sum(equation.primitive.name.endswith(suffix) for equation in _open(jaxpr).eqns)
    return own + sum(n_sites(inner, suffix) for equation in _open(jaxpr).eqns for inner in _inner(equation))


def call_sites(text):
    """How many calls of MPI there are in the text of a compiled program (HLO)."""
    return len(re.findall(r'custom_call_target="mpi_\w+"', text))


def _walk(jaxpr, suffix, times, endless, table):
    for equation in _open(jaxpr).eqns:
        name = equation.primitive.name
        if name.endswith(suffix):
            size = sum(math.prod(x.aval.shape) * x.aval.dtype.itemsize for x in equation.invars)
            table[name.removesuffix(suffix), size, endless] += times
        length = equation.params["length"] if name == "scan" else 1
        for inner in _inner(equation):  # all branches of a cond are counted: the workers agree on one of them
            _walk(inner, suffix, times * length, endless or name == "while", table)


def _open(jaxpr):
    return jaxpr.jaxpr if isinstance(jaxpr, core.ClosedJaxpr) else jaxpr


def _inner(equation):
    values = [x for value in equation.params.values() for x in (value if isinstance(value, (tuple, list)) else [value])]
    return [value for value in values if isinstance(value, (core.ClosedJaxpr, core.Jaxpr))]
