# SPDX-License-Identifier: Apache-2.0
"""The sample-space kernel T = rows rows^T, layer by layer, without a Jacobian where that is cheaper.

For a dense layer z = h W + b the derivative with respect to W is the outer product of the input h and the derivative D
with respect to z. Summed over W and b the kernel of the layer is

    sum over p, q of (h_ip . h_jq + 1) (D_ip . D_jq)

over the positions p, q at which sample i and j use the layer (R. Novak et al., arXiv:2206.08720, section 4): with one
position n^2 (d_in + d_out) operations and n (d_in + d_out) numbers instead of n^2 d_in d_out and n d_in d_out. The
formula is used for a layer if positions^2 (d_in + d_out) < d_in d_out; all other parameters are contracted.

Layers are found by intercepting the calls of flax.linen.Dense, so it works for any log psi made of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from manybody._precision import widen
from manybody._types import Array, Float
from manybody.parallel import Comm
from manybody.parallel.chunk import map_rows
from manybody.sr.tangent import Tangent, TangentMap

Path = tuple[str, ...]

_EXCHANGED = 2**20
"""Entries of the Jacobian that a worker sends at a time."""

_NARROW = 1024
"""Parameter arrays with fewer columns are contracted together (a transformer's kernel: 16 ms instead of 39)."""


class Layer(NamedTuple):
    """A dense layer that is treated by its structure."""

    output: jax.ShapeDtypeStruct  # of one configuration: (..., d_out)
    has_bias: bool
    real: bool  # whether its parameters are real


def kernel(tangent: Tangent) -> Float[Array, "rows rows"]:
    """T of all samples, the same on all workers; rows are (sample, part) with the part running fastest.

    Each worker makes the rows of its own samples. Of a layer treated by its structure that takes the inputs and slopes
    of all samples; of the Jacobian of the others a worker sees its own rows, and then its own columns.
    """
    comm, n_parts = tangent.comm, tangent.n_parts
    layers, rest = plan(tangent.example)
    inputs, slopes, others = tangent.each(lambda group: _derivatives(group, layers, rest))
    n_local = tangent.n_local
    n_rows = n_local * comm.size * n_parts
    own = comm.pvary(jnp.zeros((n_local, n_parts, n_local * comm.size, n_parts)))
    for path, layer in layers.items():
        h, d = inputs[path], slopes[path]
        own = own + _layer_kernel(layer, h, d, comm.all_gather(h), comm.all_gather(d))
    if others:
        partial = comm.pvary(jnp.zeros((n_rows, n_rows)))
        for block in _gathered([x.reshape(n_local * n_parts, -1) for x in others]):
            partial = partial + _contracted(comm, block)
        own = own + comm.psum_scatter(partial).reshape(own.shape)
    return comm.all_gather(tangent.centered_kernel(own)).reshape(n_rows, n_rows)


def _gathered(blocks: list[Array]) -> list[Array]:
    """Narrow blocks of columns side by side: each product adds to the whole kernel, which takes its own time."""
    narrow = [x for x in blocks if x.shape[1] < _NARROW]
    of_type = {x.dtype: [y for y in narrow if y.dtype == x.dtype] for x in narrow}  # single precision stays so
    return [jnp.concatenate(some, axis=1) for some in of_type.values()] + [x for x in blocks if x.shape[1] >= _NARROW]


def _contracted(comm: Comm, flat: Float[Array, "rows params"]) -> Float[Array, "all_rows all_rows"]:
    """This worker's part of rows rows^T: what its share of the columns adds to it, from the rows of all workers.

    Columns change hands some at a time, so that a worker never holds more than its rows of the Jacobian and these.
    """
    n_columns = flat.shape[1]
    width = comm.size * max(1, min(-(-n_columns // comm.size), _EXCHANGED // (flat.shape[0] * comm.size)))
    if comm.size == 1 or width >= n_columns:
        columns = comm.shard_to_columns(jnp.pad(flat, ((0, 0), (0, -n_columns % comm.size))))
        return widen(columns @ columns.T)

    def add(total: Array, number: Array) -> tuple[Array, None]:
        start = jnp.minimum(number * width, n_columns - width)  # the last block overlaps the one before it
        block = jax.lax.dynamic_slice_in_dim(flat, start, width, axis=1)
        is_new = start + jnp.arange(width) >= number * width
        columns = comm.shard_to_columns(jnp.where(is_new[None], block, jnp.zeros((), block.dtype)))
        return total + widen(columns @ columns.T), None

    n_rows = flat.shape[0] * comm.size
    start = comm.pvary(jnp.zeros((n_rows, n_rows)))
    return jax.lax.scan(add, start, jnp.arange(-(-n_columns // width)))[0]


def plan(tangent: TangentMap) -> tuple[dict[Path, Layer], list[int]]:
    """The layers treated by their structure, and the numbers of the parameter leaves that are contracted.

    Structured is a layer that is called once, on plain arrays of the evaluation (not inside of a scan, vmap or
    checkpoint), with weights that are parameters and serve for nothing else, if the formula is the cheaper one.
    """
    calls: list[_Call] = []

    def record(leaves: list[Array], sigma: Array) -> Array:
        def note(module: nn.Dense, h: Array, call: Callable[[], Array]) -> Array:
            weights: list[Any] = [module.get_variable("params", name) for name in _names(module)]
            numbers = [i for w in weights for i, leaf in enumerate(leaves) if leaf is w]
            z = call()
            calls.append(_Call(module.path, h.shape[-1], jax.ShapeDtypeStruct(z.shape, z.dtype), numbers, len(weights)))
            return z

        return _watched(tangent, leaves, sigma, note)

    leaves = jax.tree.leaves(tangent.params)
    jax.eval_shape(record, leaves, _one_configuration(tangent))
    paths = [call.path for call in calls]
    layers = {
        call.path: Layer(call.output, call.n_weights == 2, not jnp.iscomplexobj(leaves[call.numbers[0]]))
        for call in calls
        if paths.count(call.path) == 1 and len(call.numbers) == call.n_weights and _is_cheaper(call)
    }
    numbers = {call.path: call.numbers for call in calls}
    entangled = _entangled(tangent, layers, numbers)
    layers = {path: layer for path, layer in layers.items() if path not in entangled}
    covered = {number for path in layers for number in numbers[path]}
    return layers, [number for number in range(len(leaves)) if number not in covered]


class _Call(NamedTuple):
    """A call of a dense layer: its output for one configuration, and which leaves its weights are."""

    path: Path
    d_in: int
    output: jax.ShapeDtypeStruct
    numbers: list[int]
    n_weights: int


def _is_cheaper(call: _Call) -> bool:
    n_positions, d_out = math.prod(call.output.shape[:-1]), call.output.shape[-1]
    return n_positions**2 * (call.d_in + d_out) < call.d_in * d_out


def _entangled(tangent: TangentMap, layers: dict[Path, Layer], numbers: dict[Path, list[int]]) -> set[Path]:
    """Layers whose weights are used elsewhere, too, or that are called inside of another transformation."""

    def bypassed(leaves: list[Array], shifts: dict[Path, Array], sigma: Array) -> tuple[Array, dict[Path, Array]]:
        seen = {}

        def note(module: nn.Dense, h: Array, call: Callable[[], Array]) -> Array:
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
    inputs = dict(zip(seen, jaxpr.outvars[1:], strict=True))
    return {
        path
        for path in layers
        if id(inputs[path]) in foreign or any(id(jaxpr.invars[number]) in used for number in numbers[path])
    }


def _one_configuration(tangent: TangentMap) -> jax.ShapeDtypeStruct:
    sigma = tangent.samples.sigma
    return jax.ShapeDtypeStruct(sigma.shape[-1:], sigma.dtype)


def _names(module: nn.Dense) -> tuple[str, ...]:
    return ("kernel", "bias") if module.use_bias else ("kernel",)


def describe(tangent: Tangent) -> str:
    """Which layers use the structured form, in words."""
    layers, rest = plan(tangent.example)
    names = ", ".join("/".join(path) or "the dense layer" for path in layers)
    return f"structured: {names or 'none'}; contracted: {len(rest)} parameter arrays"


def _watched(tangent: TangentMap, leaves: list[Array], sigma: Array, note: Callable) -> Array:
    """log psi of one configuration, with `note(module, input, call) -> output` in the place of every dense layer."""

    def interceptor(call: Callable, args: tuple, kwargs: dict, context: Any) -> Any:
        module = context.module
        linear = type(module) is nn.Dense and module.dot_general is None and module.dot_general_cls is None
        if not linear or context.method_name != "__call__":
            return call(*args, **kwargs)
        h = args[0] if args else kwargs["inputs"]
        return note(module, h, lambda: call(h))

    params = jax.tree.unflatten(jax.tree.structure(tangent.params), leaves)
    with nn.intercept_methods(interceptor):
        return tangent.log_psi(params, sigma[None])[0]


def _derivatives(tangent: TangentMap, layers: dict[Path, Layer], rest: list[int]) -> tuple[dict, dict, list]:
    """Layers' inputs (samples, positions, d_in) and slopes (samples, parts, positions, d_out); rows of the rest."""
    params = tangent.comm.pvary(tangent.params)
    leaves = jax.tree.leaves(params)
    n_parts = tangent.n_parts

    def one(sigma: Array) -> tuple:
        seen = {}

        def evaluate(shifts: dict, own: list) -> tuple[Array, dict]:
            def note(module: nn.Dense, h: Array, call: Callable[[], Array]) -> Array:
                if module.path not in layers:
                    return call()
                seen[module.path] = h.reshape(-1, h.shape[-1])  # (positions, d_in)
                return call() + shifts[module.path]

            mixed = list(leaves)
            for number, leaf in zip(rest, own, strict=True):
                mixed[number] = leaf
            value = _watched(tangent, mixed, sigma, note)
            return value, dict(seen)

        shifts = {path: jnp.zeros(layer.output.shape, layer.output.dtype) for path, layer in layers.items()}
        shifts = tangent.comm.pvary(shifts)  # else their derivative would be summed over workers
        value, pullback, inputs = jax.vjp(evaluate, shifts, [leaves[i] for i in rest], has_aux=True)
        ones = jnp.ones_like(value)
        pulled = [pullback(c) for c in ([ones, -1j * ones] if n_parts == 2 else [ones])]
        slopes, own = jax.tree.map(lambda *parts: jnp.stack(parts), *pulled)
        slopes = {path: d.reshape(n_parts, -1, d.shape[-1]) for path, d in slopes.items()}
        return inputs, slopes, [_real_columns(x) for x in own]

    inputs, slopes, own = map_rows(jax.vmap(one), tangent.samples.flat_sigma, tangent.chunk_size)
    return {k: widen(h) for k, h in inputs.items()}, {k: widen(d) for k, d in slopes.items()}, own


def _layer_kernel(layer: Layer, h: Array, d: Array, h_all: Array, d_all: Array) -> Float[Array, "a u b v"]:
    """One layer's kernel between local and all samples.

    With JAX's convention dL = Re(D . dz) the derivative with respect to complex W is h D, of which real parameters see
    the real part: Re(a) Re(b) = Re(a b + a^* b) / 2.
    """

    def product(h_local: Array, d_local: Array) -> Array:
        overlap = jnp.einsum("ipa,jqa->ipjq", h_local, h_all)
        slopes = jnp.einsum("iupb,jvqb->iupjvq", d_local, d_all)
        if layer.has_bias:
            overlap = overlap + 1.0
        dtype = np.promote_types(overlap.dtype, slopes.dtype)
        if h.shape[1] == 1:  # one position: elementwise
            product = overlap[:, 0, :, 0].astype(dtype)[:, None, :, None] * slopes[:, :, 0, :, :, 0].astype(dtype)
        else:
            product = jnp.einsum("ipjq,iupjvq->iujv", overlap.astype(dtype), slopes.astype(dtype))
        return product.real

    mixed = product(h.conj(), d.conj())
    if not layer.real or not (jnp.iscomplexobj(h) or jnp.iscomplexobj(d)):
        return mixed
    return (product(h, d) + mixed) / 2


def _real_columns(x: Array) -> Array:
    x = x.reshape(x.shape[0], -1)  # (parts, entries)
    return jnp.concatenate([x.real, x.imag], axis=-1) if jnp.iscomplexobj(x) else x
