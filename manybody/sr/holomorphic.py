# SPDX-License-Identifier: Apache-2.0
"""Whether log psi is a holomorphic function of its parameters, found from how it is computed.

It is if the derivative along a direction v is complex linear in v: all parameters are complex, and the program of the
derivative takes v through operations only that are complex linear, never through a real part, a modulus or a conjugate.
Operations that are not known count as others; then the state is taken for one that is not, which costs time alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from manybody._types import Array, PyTree

LINEAR = frozenset(
    "add add_any broadcast_in_dim concatenate conv_general_dilated copy cumsum dot_general expand_dims mul neg pad "
    "pvary reduce_sum reshape rev slice squeeze sub transpose".split()
)
"""Linear in each argument by itself; a derivative never multiplies two that depend on the direction."""
SOME_ARGUMENTS = {
    **{"div": (0,), "gather": (0,), "dynamic_slice": (0,), "dynamic_update_slice": (0, 1)},
    **{"scatter": (0, 2), "scatter-add": (0, 2), "select_n": range(1, 99)},
}
"""Linear in the arguments at these places; the others are divisors, indices and conditions."""
NESTED = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint")


def is_holomorphic(log_psi: Callable[[PyTree, Array], Array], params: PyTree, sigma: jax.ShapeDtypeStruct) -> bool:
    """Whether log_psi(params, sigma) is known to be holomorphic in all parameters; shapes are enough."""
    leaves = jax.tree.leaves(params)
    if not leaves or not all(jnp.issubdtype(x.dtype, jnp.complexfloating) for x in leaves):
        return False
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), params)

    def derivative(p: PyTree, v: PyTree, s: Array) -> Array:
        return jax.jvp(lambda q: log_psi(q, s), (p,), (v,))[1]

    program = jax.make_jaxpr(derivative)(shapes, shapes, sigma).jaxpr
    n = len(leaves)
    return _reached(program, [n <= i < 2 * n for i in range(len(program.invars))], [True]) is not None


def _reached(program: Any, depends: Sequence[bool], wanted: Sequence[bool]) -> list[bool] | None:
    """Which results of a program depend on some of its arguments; None if one that is wanted is not linear in them."""
    found = {variable for variable, yes in zip(program.invars, depends, strict=True) if yes}
    for equation, uses in _used(program, wanted):
        touched = [_is_in(x, found) for x in equation.invars]
        if any(touched):
            reached = _reached_by(equation, touched, uses)
            if reached is None:
                return None
            found |= {x for x, yes in zip(equation.outvars, reached, strict=True) if yes}
    return [_is_in(x, found) for x in program.outvars]


def _used(program: Any, wanted: Sequence[bool]) -> list[tuple[Any, list[bool]]]:
    """The equations that something wanted needs, and which of their results: derivatives leave others behind."""
    needed = {x for x, yes in zip(program.outvars, wanted, strict=True) if yes and not _is_literal(x)}
    kept = []
    for equation in reversed(program.eqns):
        uses = [x in needed for x in equation.outvars]
        if any(uses):
            kept.append((equation, uses))
            needed |= {x for x in equation.invars if not _is_literal(x)}
    return kept[::-1]


def _reached_by(equation: Any, touched: list[bool], uses: list[bool]) -> list[bool] | None:
    name, options = equation.primitive.name, equation.params
    inner = options.get("jaxpr", options.get("call_jaxpr"))
    inner = getattr(inner, "jaxpr", inner)
    if name == "scan":
        return _reached_by_scan(inner, touched, options["num_consts"], options["num_carry"])
    if name in NESTED and inner is not None:
        return _reached(inner, touched, uses)
    if name == "convert_element_type":
        is_linear = jnp.issubdtype(options["new_dtype"], jnp.complexfloating)
    elif name in SOME_ARGUMENTS:
        is_linear = all(place in SOME_ARGUMENTS[name] for place, x in enumerate(touched) if x)
    else:
        is_linear = name in LINEAR
    return [True] * len(equation.outvars) if is_linear else None


def _reached_by_scan(program: Any, touched: list[bool], n_constants: int, n_carried: int) -> list[bool] | None:
    """What one round carries may depend on the direction from the next round on."""
    carried = slice(n_constants, n_constants + n_carried)
    while True:
        reached = _reached(program, touched, [True] * len(program.outvars))
        if reached is None:
            return None
        after = [*touched[: carried.start], *map(max, touched[carried], reached[:n_carried]), *touched[carried.stop :]]
        if after == touched:
            return reached
        touched = after


def _is_literal(variable: Any) -> bool:
    return hasattr(variable, "val")


def _is_in(variable: Any, found: set) -> bool:
    return not _is_literal(variable) and variable in found  # literals cannot be hashed
