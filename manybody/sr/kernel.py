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
from manybody._types import Array, Float, PyTree
from manybody.parallel.chunk import map_rows
from manybody.sr.tangent import TangentMap

Path = tuple[str, ...]


class Layer(NamedTuple):
    """A dense layer that is treated by its structure."""

    output: jax.ShapeDtypeStruct  # of one configuration: (..., d_out)
    has_bias: bool
    real: bool  # whether its parameters are real


def kernel(tangent: TangentMap) -> Float[Array, "rows rows"]:
    """T of all samples, the same on all workers; rows are (sample, part) with the part running fastest."""
    comm, n_parts = tangent.comm, tangent.n_parts
    layers, rest = plan(tangent)
    inputs, slopes, others = _derivatives(tangent, layers, rest)
    n_local = tangent.n_local
    structured = comm.pvary(jnp.zeros((n_local, n_parts, n_local * comm.size, n_parts)))
    for path, layer in layers.items():
        h, d = inputs[path], slopes[path]
        structured = structured + _layer_kernel(layer, h, d, comm.all_gather(h), comm.all_gather(d))
    n_rows = n_local * comm.size * n_parts
    total = comm.all_gather(structured).reshape(n_rows, n_rows)
    for block in others:  # (samples, parts, ...) of one leaf
        flat = block.reshape(n_local * n_parts, -1)
        flat = jnp.pad(flat, ((0, 0), (0, -flat.shape[1] % comm.size)))
        columns = comm.shard_to_columns(flat)
        total = total + widen(comm.psum(columns @ columns.T))
    return _centered(tangent, total)


def plan(tangent: TangentMap) -> tuple[dict[Path, Layer], list[int]]:
    """The layers treated by their structure, and the numbers of the parameter leaves that are contracted."""
    calls: list[tuple[Path, tuple, Any, bool]] = []

    def note(path: Path, h: Array, z: Array, module: nn.Dense) -> Array:
        calls.append((path, h.shape, jax.ShapeDtypeStruct(z.shape, z.dtype), module.use_bias))
        return z

    sigma = jax.ShapeDtypeStruct(tangent.samples.sigma.shape[-1:], tangent.samples.sigma.dtype)
    jax.eval_shape(lambda p, s: _watched(tangent, p, s, note), tangent.params, sigma)
    paths = [path for path, *_ in calls]
    leaves = {_names(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tangent.params)[0]}
    prefix = _prefix(leaves, paths)
    layers = {}
    for path, h_shape, output, has_bias in calls:
        weights = leaves.get((*prefix, *path, "kernel"))
        if weights is None or paths.count(path) > 1:
            continue  # weights made elsewhere, or shared between several calls
        d_in, d_out = h_shape[-1], output.shape[-1]
        n_positions = math.prod(output.shape[:-1])
        if n_positions**2 * (d_in + d_out) < d_in * d_out:
            layers[path] = Layer(output, has_bias, not jnp.iscomplexobj(weights))
    covered = {(*prefix, *path, name) for path in layers for name in ("kernel", "bias")}
    return layers, [number for number, name in enumerate(leaves) if name not in covered]


def describe(tangent: TangentMap) -> str:
    """Which layers use the structured form, in words."""
    layers, rest = plan(tangent)
    names = ", ".join("/".join(path) or "the dense layer" for path in layers)
    return f"structured: {names or 'none'}; contracted: {len(rest)} parameter arrays"


def _watched(tangent: TangentMap, params: PyTree, sigma: Array, note: Callable) -> Array:
    """log psi of one configuration, with `note(path, input, output, module) -> output` called at every dense layer."""

    def interceptor(call: Callable, args: tuple, kwargs: dict, context: Any) -> Any:
        if type(context.module) is not nn.Dense or context.method_name != "__call__":
            return call(*args, **kwargs)
        return note(context.module.path, args[0], call(*args, **kwargs), context.module)

    with nn.intercept_methods(interceptor):
        return tangent.log_psi(params, sigma[None])[0]


def _derivatives(tangent: TangentMap, layers: dict[Path, Layer], rest: list[int]) -> tuple[dict, dict, list]:
    """Inputs (samples, positions, d_in) and slopes (samples, parts, positions, d_out) of the layers, rows of the rest."""
    params = tangent.comm.pvary(tangent.params)
    leaves, structure = jax.tree.flatten(params)
    n_parts = tangent.n_parts

    def one(sigma: Array) -> tuple:
        seen = {}

        def evaluate(shifts: dict, own: list) -> tuple[Array, dict]:
            def note(path: Path, h: Array, z: Array, module: nn.Dense) -> Array:
                del module
                if path not in layers:
                    return z
                seen[path] = h.reshape(-1, h.shape[-1])  # (positions, d_in)
                return z + shifts[path]

            mixed = list(leaves)
            for number, leaf in zip(rest, own, strict=True):
                mixed[number] = leaf
            value = _watched(tangent, jax.tree.unflatten(structure, mixed), sigma, note)
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


def _centered(tangent: TangentMap, total: Array) -> Array:
    """sqrt(w_i w_j) times the kernel of deviations from the weighted mean."""
    n_parts = tangent.n_parts
    weight = tangent.comm.all_gather(tangent.samples.flat_weight)
    k = total.reshape(weight.size, n_parts, weight.size, n_parts)
    k = k - jnp.einsum("i,iujv->ujv", weight, k)[None]
    k = k - jnp.einsum("iujv,j->iuv", k, weight)[:, :, None]
    root = jnp.sqrt(weight)
    k = k * root[:, None, None, None] * root[None, None, :, None]
    return k.reshape(total.shape)


def _real_columns(x: Array) -> Array:
    x = x.reshape(x.shape[0], -1)  # (parts, entries)
    return jnp.concatenate([x.real, x.imag], axis=-1) if jnp.iscomplexobj(x) else x


def _names(path: tuple) -> Path:
    return tuple(str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key)))) for key in path)


def _prefix(leaves: dict[Path, Any], paths: list[Path]) -> Path:
    """What stands before module paths in the parameter tree (nothing, for the parameters of a linen module)."""
    for path in paths:
        for name in leaves:
            if name[-len(path) - 1 :] == (*path, "kernel"):
                return name[: len(name) - len(path) - 1]
    return ()
