# SPDX-License-Identifier: Apache-2.0
"""Any function with products of matrices in a narrow type: their factors are rounded, their sums and all else are not.

A function is traced, and its program run anew with other products. JAX's own `default_matmul_precision` is no help:
what it does depends on the device (nothing on CPUs), and a narrow algorithm drops the imaginary parts there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, DebugInfo, DropVar, Jaxpr, Literal, jaxpr_as_fun, jaxprs_in_params

from manybody._types import Array, PyTree

PRODUCTS = ("dot_general", "conv_general_dilated")
CALLS = ("jit", "pjit", "closed_call")
RECOMPUTED = ("checkpoint", "remat", "remat2")
LOOPS = ("scan", "while", "cond")
_NAMES = DebugInfo("narrowed", "equation", None, None)


def narrowed(function: Callable[..., PyTree], dtype: jnp.dtype) -> Callable[..., PyTree]:
    """The function with its products of factors of type `dtype`, added up in single precision at least.

    Derivatives are those of the products of factors that are not rounded. Products whose precision the function
    chooses itself stay as they are; so do those in functions with a rule of their own for reverse mode (`custom_vjp`).
    """

    def evaluate(*arguments: PyTree) -> PyTree:
        with jax.default_matmul_precision(None):  # so that a precision in the program is one of the function
            program, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        results = _run(program.jaxpr, program.consts, jax.tree.leaves(arguments), dtype)
        return jax.tree.unflatten(jax.tree.structure(shape), results)

    return evaluate


def _run(program: Jaxpr, constants: Sequence[Array], arguments: Sequence[Array], dtype: jnp.dtype) -> list[Array]:
    values = dict(zip([*program.constvars, *program.invars], [*constants, *arguments], strict=True))

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, Literal) else values[variable]

    for equation in program.eqns:
        with jax.named_scope(str(equation.source_info.name_stack)):
            found = _evaluated(equation, list(map(read, equation.invars)), dtype)
        values.update(zip(equation.outvars, found, strict=True))
    return list(map(read, program.outvars))


def _evaluated(equation: Any, arguments: list[Array], dtype: jnp.dtype) -> list[Any]:
    """The results of one equation."""
    name, options = equation.primitive.name, equation.params
    if _is_free_product(equation):
        return [_product(equation, dtype)(*arguments)]
    if _has_products(equation):
        if name in CALLS:
            return _run(options["jaxpr"].jaxpr, options["jaxpr"].consts, arguments, dtype)
        if name in RECOMPUTED:
            inner = options["jaxpr"]
            again = jax.checkpoint(lambda *args: _run(inner, (), args, dtype), policy=options["policy"])
            return again(*arguments)
        if name == "custom_jvp_call":
            return _with_rule(equation, dtype)(*arguments)
        if name in LOOPS:
            equation = equation.replace(params={key: _inside(value, dtype) for key, value in options.items()})
    return _as_it_is(equation, arguments)


def _as_it_is(equation: Any, arguments: Sequence[Array]) -> list[Any]:
    inputs = {x: value for x, value in zip(equation.invars, arguments, strict=True) if not isinstance(x, Literal)}
    outputs = [x for x in equation.outvars if not isinstance(x, DropVar)]
    program = Jaxpr((), list(inputs), outputs, [equation], equation.effects, _NAMES)
    found = iter(jaxpr_as_fun(ClosedJaxpr(program, ()))(*inputs.values()))
    return [None if isinstance(x, DropVar) else next(found) for x in equation.outvars]


def _with_rule(equation: Any, dtype: jnp.dtype) -> Callable[..., list[Array]]:
    """A function with a rule for its derivative: with narrow products, but the rule as it is."""
    inner = equation.params["call_jaxpr"]

    @jax.custom_jvp
    def function(*arguments: Array) -> list[Array]:
        return _run(inner.jaxpr, inner.consts, arguments, dtype)

    @function.defjvp
    def slope(values: tuple[Array, ...], directions: tuple[Array, ...]) -> tuple[list[Array], list[Array]]:
        _, slopes = jax.jvp(lambda *arguments: _as_it_is(equation, arguments), values, directions)
        return function(*values), slopes

    return function


def _inside(option: Any, dtype: jnp.dtype) -> Any:
    """The same option of a loop or branch, with narrow products in its programs."""
    if isinstance(option, tuple):
        return tuple(_inside(part, dtype) for part in option)
    if not isinstance(option, ClosedJaxpr):
        return option
    program = jax.make_jaxpr(lambda *args: _run(option.jaxpr, option.consts, args, dtype))
    return program(*option.in_avals)


def _has_products(equation: Any) -> bool:
    """Whether there are products in the programs that an equation runs."""
    return any(
        inner.primitive.name in PRODUCTS or _has_products(inner)
        for program in jaxprs_in_params(equation.params)
        for inner in program.eqns
    )


def _is_free_product(equation: Any) -> bool:
    """Whether it is a product of floating-point numbers for which nobody has chosen a precision."""
    return (
        equation.primitive.name in PRODUCTS
        and equation.params["precision"] is None
        and all(jnp.issubdtype(x.aval.dtype, jnp.inexact) for x in equation.invars)
    )


def _product(equation: Any, dtype: jnp.dtype) -> Callable[[Array, Array], Array]:
    """The bilinear function of rounded factors, with the derivative of that of exact ones."""
    primitive, options, kind = equation.primitive, equation.params, equation.outvars[0].aval.dtype
    # Without a precision, GPUs and TPUs would round factors of 32 bits on their own.
    wide = options | {"precision": (jax.lax.Precision.HIGHEST,) * 2}
    if jnp.finfo(dtype).bits < 32:
        narrow = options | {"preferred_element_type": jnp.dtype("float32")}
    else:
        narrow = wide | {"preferred_element_type": dtype}

    def exact(a: Array, b: Array) -> Array:
        return primitive.bind(a, b, **wide)

    def real(a: Array, b: Array) -> Array:
        return primitive.bind(rounded(a, dtype), rounded(b, dtype), **narrow)

    @jax.custom_jvp
    def product(a: Array, b: Array) -> Array:
        if not jnp.issubdtype(kind, jnp.complexfloating):
            return real(a, b).astype(kind)
        re = real(a.real, b.real) - real(a.imag, b.imag)
        im = real(a.real, b.imag) + real(a.imag, b.real)
        return jax.lax.complex(re, im).astype(kind)

    product.defjvps(lambda da, _, a, b: exact(da, b), lambda db, _, a, b: exact(a, db))
    return product


def rounded(x: Array, dtype: jnp.dtype) -> Array:
    """Real numbers in a narrower type; compilers may not leave this rounding out, as they may that of conversions."""
    bits = jnp.finfo(dtype)
    return jax.lax.reduce_precision(x, exponent_bits=bits.nexp, mantissa_bits=bits.nmant).astype(dtype)
