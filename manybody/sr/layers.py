# SPDX-License-Identifier: Apache-2.0
"""Dense layers of a wave function, and their inputs and slopes: what the kernel is made of instead of a Jacobian.

Layers are found by intercepting the calls of flax.linen.Dense and of `SymmetricDense`, so it works for any log psi made
of them.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

from manybody._symmetric import SymmetricDense
from manybody._types import Array
from manybody.estimator.derivatives import cotangents
from manybody.parallel.chunk import map_each
from manybody.sr.tangent import TangentMap

Path = tuple[str, ...]
Linear = nn.Dense | SymmetricDense


class Layer(NamedTuple):
    """A dense layer, called once for a configuration.

    Attributes:
        source: number of its input, the same for layers of one input.
        input: of one configuration, (..., d_in).
        output: of one configuration, (..., d_out).
        leaves: numbers of the parameter leaves that are its weights.
        weights: these.
        is_symmetric: whether its matrix of weights is, with zero diagonal, so that there is one for each pair.
    """

    source: int
    input: jax.ShapeDtypeStruct
    output: jax.ShapeDtypeStruct
    leaves: tuple[int, ...]
    weights: tuple[jax.ShapeDtypeStruct, ...]
    is_symmetric: bool

    @property
    def has_bias(self) -> bool:
        return len(self.weights) == 2

    @property
    def is_real(self) -> bool:
        """Whether its parameters are real."""
        return not jnp.issubdtype(self.weights[0].dtype, jnp.complexfloating)

    @property
    def n_positions(self) -> int:
        """Number of places at which a configuration uses it."""
        return math.prod(self.output.shape[:-1])


def find(tangent: TangentMap) -> dict[Path, Layer]:
    """Layers of which the kernel can be made.

    Such a layer is called once, on plain arrays of the evaluation (not inside of a scan, vmap or checkpoint), with
    weights that are parameters and serve for nothing else.
    """
    calls: list[tuple[Path, Layer]] = []

    def record(leaves: list[Array], sigma: Array) -> Array:
        def note(module: Linear, h: Array, call: Callable[[], Array]) -> Array:
            is_symmetric = isinstance(module, SymmetricDense)
            names = ("kernel",) if is_symmetric or not module.use_bias else ("kernel", "bias")
            found: list[Any] = [module.get_variable("params", name) for name in names]
            numbers = tuple(i for w in found for i, leaf in enumerate(leaves) if leaf is w)
            z = call()
            h_shape, z_shape, *weights = (jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (h, z, *found))
            calls.append((module.path, Layer(len(calls), h_shape, z_shape, numbers, tuple(weights), is_symmetric)))
            return z

        return _watched(tangent, leaves, sigma, note)

    jax.eval_shape(record, jax.tree.leaves(tangent.params), _one_configuration(tangent))
    paths = [path for path, _ in calls]
    layers = {p: layer for p, layer in calls if paths.count(p) == 1 and len(layer.leaves) == len(layer.weights)}
    sources = _sources(tangent, layers)
    return {path: layer._replace(source=sources[path]) for path, layer in layers.items() if path in sources}


def _sources(tangent: TangentMap, layers: Mapping[Path, Layer]) -> dict[Path, int]:
    """A number of the input of each layer whose weights serve for nothing else, outside of other transformations."""

    def bypassed(leaves: list[Array], shifts: dict[Path, Array], sigma: Array) -> tuple[Array, dict[Path, Array]]:
        seen = {}

        def note(module: Linear, h: Array, call: Callable[[], Array]) -> Array:
            if module.path not in layers:
                return call()
            seen[module.path] = h
            return shifts[module.path]  # not the output: so the weights are not used here

        return _watched(tangent, leaves, sigma, note), seen

    leaves = jax.tree.leaves(tangent.params)
    shifts = {path: layer.output for path, layer in layers.items()}
    closed, (_, seen) = jax.make_jaxpr(bypassed, return_shape=True)(leaves, shifts, _one_configuration(tangent))
    jaxpr = closed.jaxpr
    used = {id(x) for equation in jaxpr.eqns for x in equation.invars} | {id(x) for x in jaxpr.outvars}
    # What belongs to an inner transformation appears as a traced constant.
    foreign = {
        id(x) for x, const in zip(jaxpr.constvars, closed.consts, strict=True) if isinstance(const, jax.core.Tracer)
    }
    numbers = _numbered(jaxpr)
    return {
        path: numbers[x]
        for path, x in zip(seen, jaxpr.outvars[1:], strict=True)
        if id(x) not in foreign and not any(id(jaxpr.invars[number]) in used for number in layers[path].leaves)
    }


def _numbered(jaxpr: Any) -> dict[Any, int]:
    """Numbers of variables; those that are made of the same ones by the same simple operation have the same number."""
    numbers: dict[Any, int] = {x: i for i, x in enumerate([*jaxpr.constvars, *jaxpr.invars])}
    known: dict[tuple, int] = {}
    for equation in jaxpr.eqns:
        start = len(numbers)
        if not any(isinstance(x, Literal) for x in equation.invars) and len(equation.outvars) == 1:
            made = (equation.primitive, tuple(equation.params.items()), tuple(numbers[x] for x in equation.invars))
            with contextlib.suppress(TypeError):  # parameters that cannot be compared, like arrays
                start = known.setdefault(made, start)
        numbers |= {x: start + i for i, x in enumerate(equation.outvars)}
    return numbers


def _one_configuration(tangent: TangentMap) -> jax.ShapeDtypeStruct:
    sigma = tangent.samples.sigma
    return jax.ShapeDtypeStruct(sigma.shape[-1:], sigma.dtype)


def _watched(tangent: TangentMap, leaves: list[Array], sigma: Array, note: Callable) -> Array:
    """log psi of one configuration, with `note(module, input, call) -> output` in the place of every dense layer."""

    def interceptor(call: Callable, args: tuple, kwargs: dict, context: Any) -> Any:
        module = context.module
        dense = type(module) is nn.Dense and module.dot_general is None and module.dot_general_cls is None
        if not (dense or type(module) is SymmetricDense) or context.method_name != "__call__":
            return call(*args, **kwargs)
        h = args[0] if args else next(iter(kwargs.values()))
        return note(module, h, lambda: call(h))

    params = jax.tree.unflatten(jax.tree.structure(tangent.params), leaves)
    with nn.intercept_methods(interceptor):
        return tangent.log_psi(params, sigma[None])[0]


def derivatives(
    tangent: TangentMap, layers: Mapping[Path, Layer], rest: list[int]
) -> tuple[dict[int, Array], dict[Path, Array], Array | None]:
    """What a kernel is made of.

    Args:
        tangent: the tangent map.
        layers: layers to be treated by their structure.
        rest: numbers of all parameter leaves that are not theirs.

    Returns:
        The inputs (samples, positions, d_in) of the layers by `source`, their slopes (samples, parts, positions,
        d_out), and the rows (samples, parts, columns) of the other leaves, side by side (None if there are
        none): put together here, where there are few at a time, that is done in the caches.
    """
    params = tangent.comm.pvary(tangent.params)
    leaves = jax.tree.leaves(params)
    n_parts = tangent.n_parts

    def one(sigma: Array) -> tuple:
        seen = {}

        def evaluate(shifts: dict, own: list) -> tuple[Array, dict]:
            def note(module: Linear, h: Array, call: Callable[[], Array]) -> Array:
                if module.path not in layers:
                    return call()
                seen[layers[module.path].source] = h.reshape(-1, h.shape[-1])  # (positions, d_in)
                return call() + shifts[module.path]

            mixed = list(leaves)
            for number, leaf in zip(rest, own, strict=True):
                mixed[number] = leaf
            value = _watched(tangent, mixed, sigma, note)
            return value, dict(seen)

        shifts = {path: jnp.zeros(layer.output.shape, layer.output.dtype) for path, layer in layers.items()}
        shifts = tangent.comm.pvary(shifts)  # else their derivative would be summed over workers
        value, pullback, inputs = jax.vjp(evaluate, shifts, [leaves[i] for i in rest], has_aux=True)
        pulled = [pullback(c) for c in cotangents(value, n_parts)]
        slopes, own = jax.tree.map(lambda *parts: jnp.stack(parts), *pulled)
        slopes = {path: d.reshape(n_parts, -1, d.shape[-1]) for path, d in slopes.items()}
        return inputs, slopes, _side_by_side([_real_columns(x) for x in own]) if own else None

    return map_each(one, tangent.samples.flat_sigma, tangent.chunk_size)


def _side_by_side(columns: list[Array]) -> Array:
    dtype = np.result_type(*(x.dtype for x in columns))
    return jnp.concatenate([x.astype(dtype) for x in columns], axis=-1)


def _real_columns(x: Array) -> Array:
    x = x.reshape(x.shape[0], -1)  # (parts, entries)
    # JAX gives d/dRe - i d/dIm for a complex parameter.
    return jnp.concatenate([x.real, -x.imag], axis=-1) if jnp.iscomplexobj(x) else x
