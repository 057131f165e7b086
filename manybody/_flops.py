# SPDX-License-Identifier: Apache-2.0
"""Floating-point operations of a function, counted in its jaxpr.

A product of real matrices (m, k) and (k, n) has 2 m k n of them, of complex ones 8 m k n; a real element of the result
of an arithmetic or special function counts as one, a complex one as two (a product of two as six); a sum as many as it
has terms. Moving numbers about costs nothing. Loops of unknown length are counted once, and of branches
the cheapest one: others are for rare cases.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

_FREE = frozenset(
    "reshape transpose broadcast_in_dim squeeze expand_dims convert_element_type slice dynamic_slice gather pad copy "
    "dynamic_update_slice concatenate split rev iota select_n bitcast_convert_type stop_gradient scatter real imag "
    "complex conj device_put argmax argmin sort pvary pcast random_bits random_seed random_wrap random_unwrap "
    "random_fold_in threefry2x32 copy_p eq ne lt le gt ge and or not xor shift_left shift_right_logical is_finite "
    "sharding_constraint layout_constraint optimization_barrier top_k clamp sign".split()
)
_SUMS = frozenset("reduce_sum reduce_max reduce_min reduce_prod cumsum cumprod cummax cumlogsumexp reduce_and".split())


def count(function: Callable, *arguments: Any) -> Counter[str]:
    """Operations by the name of the part (the path that `jax.named_scope` and Flax modules give) that asks for them.

    Args:
        function: anything that JAX can trace.
        *arguments: arrays, or `jax.ShapeDtypeStruct` of them, in trees.
    """
    found: Counter[str] = Counter()
    _add(jax.make_jaxpr(function)(*arguments).jaxpr, "", 1, found)
    return found


def _add(jaxpr: Any, scope: str, times: int, found: Counter[str]) -> None:
    for equation in jaxpr.eqns:
        here = "/".join(part for part in (scope, str(equation.source_info.name_stack)) if part)
        inner = _inner(equation)
        if inner is None:
            found[here] += times * _own(equation)
            continue
        repeats = times * equation.params.get("length", 1)
        if equation.primitive.name == "cond":
            inner = [min(inner, key=_total)]
        for part in inner:
            _add(part, here, repeats, found)


def _total(jaxpr: Any) -> int:
    found: Counter[str] = Counter()
    _add(jaxpr, "", 1, found)
    return found.total()


def _inner(equation: Any) -> list[Any] | None:
    """The jaxprs that an equation runs, if it is a call, a loop or a branch."""
    named = equation.params
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr", "body_jaxpr"):
        if key in named:
            return [getattr(named[key], "jaxpr", named[key])]
    return [branch.jaxpr for branch in named["branches"]] if "branches" in named else None


def _own(equation: Any) -> int:
    name, out = equation.primitive.name, equation.outvars[0].aval
    if name in _FREE or not jnp.issubdtype(getattr(out, "dtype", int), jnp.inexact):
        return 0
    is_complex = jnp.issubdtype(out.dtype, jnp.complexfloating)
    if name in ("dot_general", "conv_general_dilated"):
        return (8 if is_complex else 2) * math.prod(out.shape) * _contracted(equation)
    first = equation.invars[0].aval
    size = math.prod(first.shape if name in _SUMS else out.shape)
    each = 6 if name in ("mul", "div") else 2
    return (each if is_complex else 1) * size


def _contracted(equation: Any) -> int:
    """Products in each element of the result."""
    left, right = (v.aval.shape for v in equation.invars[:2])
    if equation.primitive.name == "dot_general":
        (axes, _), _ = equation.params["dimension_numbers"]
        return math.prod(left[axis] for axis in axes)
    numbers = equation.params["dimension_numbers"].rhs_spec
    return math.prod(right[axis] for axis in numbers[1:])
